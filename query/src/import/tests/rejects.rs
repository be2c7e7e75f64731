//! The file of rejected rows has all of them, also when there are too many.

use super::*;

/// Rows of several chunks of which every thousandth has no user; the last one is `late`.
fn text(late: &str) -> String {
    let mut text = String::from("user_id,ts,event,v\n");
    for row in 0..120_000 {
        let user = if row % 1_000 == 7 { String::new() } else { format!("u{row}") };
        text += &format!("{user},2024-05-01,an event with a long name,1\n");
    }
    text + late
}

/// Line numbers in a rejects file.
fn lines(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_u64().unwrap();
    text.lines().map(line).collect()
}

#[test]
fn all_rejected_rows_are_written_down_before_too_many_stop_the_import() {
    let files = Files::new();
    let want: Vec<u64> = (0..120).map(|thousand| thousand * 1_000 + 7 + 2).collect();
    for late in ["", "u,2024-05-01,e,text\n"] {
        let path = files.write("e.csv", text(late));
        assert!(std::fs::metadata(&path).unwrap().len() > 4 << 20, "that is not several chunks");
        for threads in [1, 4] {
            let rejects = files.path("rejects.jsonl");
            let options = ImportOptions {
                max_rejects: 3,
                rejects: Some(rejects.clone()),
                threads: Some(threads),
                sample_rows: 1,
                ..ImportOptions::file(&path)
            };
            let memory = Memory::default();
            let error = import_into(&memory, &options).unwrap_err();
            let ImportError::TooManyRejects { max_rejects: 3, rejected: 120, first, .. } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(first.iter().map(|reject| reject.line).collect::<Vec<_>>(), want[..5]);
            assert!(error.hint().unwrap().starts_with("all 120 are in "), "{:?}", error.hint());
            assert_eq!(lines(&rejects), want);
            assert!(memory.rows.lock().is_empty() && memory.imported.lock().is_empty());
            // As many as there are may be.
            let enough = ImportOptions { max_rejects: 120, ..options };
            assert_eq!(import(&enough).unwrap().0.rejected, 120);
            assert_eq!(lines(&rejects), want);
        }
    }
}

#[test]
fn all_rejected_rows_of_parquet_are_written_down() {
    use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray};
    let files = Files::new();
    let users = (0..5_000).map(|row| (row % 10 != 3).then(|| format!("u{row}")));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", std::sync::Arc::new(users.collect::<StringArray>())),
        ("ts", std::sync::Arc::new(TimestampMillisecondArray::from_iter_values(0..5_000))),
        ("event", std::sync::Arc::new(StringArray::from_iter_values((0..5_000).map(|_| "e")))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let file = std::fs::File::create(files.path("e.parquet")).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let rejects = files.path("rejects.jsonl");
    let options = ImportOptions {
        max_rejects: 1,
        rejects: Some(rejects.clone()),
        threads: Some(4),
        ..ImportOptions::file(files.pattern("e.parquet"))
    };
    let error = import(&options).unwrap_err();
    assert!(matches!(error, ImportError::TooManyRejects { rejected: 500, .. }), "{error:?}");
    assert_eq!(lines(&rejects), (0..500).map(|ten| ten * 10 + 4).collect::<Vec<_>>());
}

#[test]
fn a_rejected_row_is_written_with_its_empty_outer_fields() {
    let files = Files::new();
    for (name, content, want) in [
        ("e.tsv", "user_id\tts\tevent\tnote\n\t2024-05-01\te\t\n\n\t\t\t\t \r\n", ["\t2024-05-01\te\t", "\t\t\t\t "]),
        ("e.csv", "user_id,ts,event,note\n ,soon,e, \n\r\n,2024-05-01,e,\n", [" ,soon,e, ", ",2024-05-01,e,"]),
    ] {
        let options = ImportOptions {
            max_rejects: 2,
            rejects: Some(files.path("rejects.jsonl")),
            time_format: TimeFormat::Rfc3339,
            ..ImportOptions::file(files.write(name, content))
        };
        let (summary, _) = import(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows: Vec<&str> = summary.first_rejects.iter().map(|reject| reject.row.as_str()).collect();
        assert_eq!(rows, want, "{name}");
    }
}

#[test]
fn rows_in_another_encoding_come_with_the_way_to_convert_them() {
    let files = Files::new();
    let mut text = b"user_id,ts,event\nu,2024-05-01,e\n".to_vec();
    text.extend_from_slice(b"J\xfcrgen,2024-05-01,e\n");
    let error = import_file(&files.write("latin.csv", &text)).unwrap_err();
    assert!(error.to_string().contains("invalid UTF-8"), "{error}");
    assert!(error.hint().unwrap().contains("iconv -f"), "{:?}", error.hint());
    let error = import_file(&files.write("other.csv", "user_id,ts,event\n,2024-05-01,e\n")).unwrap_err();
    assert!(!error.hint().unwrap().contains("iconv"));
    let mut text = b"{\"user_id\":\"J\xfcrgen\",\"ts\":\"2024-05-01\",\"event\":\"e\"}\n".to_vec();
    text.extend_from_slice(b"{\"user_id\":\"u\",\"ts\":\"2024-05-01\",\"event\":\"e\"}\n");
    let error = import_file(&files.write("latin.jsonl", &text)).unwrap_err();
    assert!(error.hint().unwrap().contains("iconv -f"), "{error:?}");
}

#[test]
fn a_rejects_file_that_cannot_be_written_comes_with_the_way_out() {
    let files = Files::new();
    let path = files.write("e.csv", "user_id,ts,event\n,2024-05-01,e\n");
    let fails = |rejects: PathBuf| {
        let error = import(&ImportOptions { rejects: Some(rejects), ..ImportOptions::file(&path) }).unwrap_err();
        assert!(matches!(error, ImportError::Rejects { .. }), "{error:?}");
        error.hint().expect("a way out")
    };
    assert!(fails(files.path("no/such/place")).contains("make its directory"));
    assert!(fails(files.0.path().into()).contains("that you may write"));
    // A disk that is always full.
    if Path::new("/dev/full").exists() {
        assert!(fails("/dev/full".into()).contains("free space"));
    }
}
