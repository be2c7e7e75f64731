//! Wrong, damaged and missing files: each a typed error that names the file, and nothing stored.

use super::*;

const ROWS: &str = "user_id,ts,event\nu1,2024-05-01,e\nu2,2024-05-02,e\n";

/// The error of an import, with proof that nothing was stored.
fn fails(options: &ImportOptions) -> ImportError {
    let memory = Memory::default();
    let error = import_into(&memory, options).expect_err("the import should fail");
    assert!(memory.rows.lock().is_empty() && memory.imported.lock().is_empty());
    error
}

fn file_fails(path: &str) -> ImportError {
    fails(&ImportOptions::file(path))
}

#[test]
fn missing_files() {
    let files = Files::new();
    assert!(matches!(file_fails(&files.pattern("none.csv")), ImportError::NoFile { .. }));
    assert!(matches!(file_fails(&files.pattern("*.csv")), ImportError::NoFile { .. }));
    assert!(matches!(file_fails("a[b"), ImportError::BadGlob { .. }));
    assert!(matches!(fails(&ImportOptions::default()), ImportError::Option { .. }));
    std::fs::create_dir(files.path("empty")).unwrap();
    assert!(matches!(file_fails(&files.pattern("empty")), ImportError::NoFile { .. }));
}

#[test]
fn files_of_another_kind() {
    let files = Files::new();
    for (name, content, want) in [
        ("text.parquet", &b"user_id,ts\n"[..], "is not a Parquet file, but text"),
        ("zip.csv", b"PK\x03\x04....", "a zip archive"),
        ("wide.csv", b"\xff\xfeu\0s\0", "UTF-16"),
        ("binary.jsonl", b"ab\0cd", "binary data"),
        ("array.json", b"[{\"user_id\":1}]", "one JSON array"),
        ("parquet.csv", b"PAR1....PAR1", "is a Parquet file"),
    ] {
        let error = file_fails(&files.write(name, content));
        assert!(matches!(error, ImportError::WrongFormat { .. }), "{error:?}");
        assert!(error.to_string().contains(want) && error.to_string().contains(name), "{error}");
        assert!(error.hint().is_some() && error.is_invalid_input());
    }
    let plain = files.path("plain.csv.gz");
    std::fs::write(&plain, ROWS).unwrap();
    let error = file_fails(&plain.display().to_string());
    assert!(error.to_string().contains("was taken for gzip, but its content is text"), "{error}");
    let error = file_fails(&files.write("e.parquet.gz", b"PAR1"));
    assert!(error.to_string().contains("a Parquet file inside gzip"), "{error}");
    assert!(matches!(file_fails(&files.write("what", "one word")), ImportError::UnknownFormat { .. }));
}

#[test]
fn files_without_rows() {
    let files = Files::new();
    for (name, content, want) in [
        ("nothing.csv", "", "the file is empty"),
        ("nothing.jsonl", "", "the file is empty"),
        ("nothing.parquet", "", "the file is empty"),
        ("blank.jsonl", "\n \n", "the file has no row"),
        ("header.csv", "user_id,ts,event\n", "there is a header and no row"),
    ] {
        let error = file_fails(&files.write(name, content));
        assert!(matches!(error, ImportError::Empty { .. }), "{error:?}");
        assert!(error.to_string().contains(want), "{error}");
    }
    // Among others it is reported, and stops nothing.
    files.write("set/a.csv", "user_id,ts,event\n");
    files.write("set/b.csv", ROWS);
    let (summary, rows) = import_file(&files.pattern("set")).unwrap();
    assert_eq!((rows.len(), &summary.files[0].outcome), (2, &FileOutcome::NoRows));
}

#[test]
fn a_file_cut_at_any_place_is_an_error_or_ends_at_a_row() {
    let files = Files::new();
    let mut text = String::from("user_id,ts,event\n");
    (0..200).for_each(|row| text += &format!("user{row},2024-05-01,e{row}\n"));
    for name in ["cut.csv.gz", "cut.csv.zst"] {
        let whole = compress(name, text.as_bytes());
        for length in 0..whole.len() {
            files.replace(name, &whole[..length]);
            let error = file_fails(&files.pattern(name));
            let typed = match length {
                0 => matches!(error, ImportError::Empty { .. }),
                1..4 => matches!(error, ImportError::WrongFormat { .. } | ImportError::Damaged { .. }),
                _ => matches!(error, ImportError::Damaged { .. }),
            };
            assert!(typed, "{name} cut at {length}: {error:?}");
        }
    }
}

#[test]
fn a_parquet_file_cut_or_flipped_anywhere_is_no_panic() {
    let files = Files::new();
    let path = files.path("whole.parquet");
    super::formats::write_parquet(&path);
    let whole = std::fs::read(&path).unwrap();
    let options =
        ImportOptions { max_rejects: 4, threads: Some(1), ..ImportOptions::file(files.pattern("bad.parquet")) };
    for length in 1..whole.len() {
        files.replace("bad.parquet", &whole[..length]);
        let error = fails(&options);
        assert!(matches!(error, ImportError::Damaged { .. } | ImportError::WrongFormat { .. }), "{length}: {error:?}");
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        files.replace("bad.parquet", &bytes);
        // Some flips change a value or a name that nothing protects; all others are told.
        let _ = import(&options);
    }
}

#[test]
fn missing_columns_are_named_with_what_is_there() {
    let files = Files::new();
    let path = files.write("e.csv", "user_id,tss,event\nu,2024-05-01,e\n");
    let error = file_fails(&path);
    assert!(error.to_string().contains("no column for the time"), "{error}");
    assert!(error.to_string().contains("'user_id', 'tss', 'event'"), "{error}");
    assert!(error.hint().unwrap().contains("is it 'tss'?"));
    let error = fails(&ImportOptions { time: Some("tsz".into()), ..ImportOptions::file(&path) });
    assert_eq!(error.hint().unwrap(), "did you mean 'tss'?");
    let columns = ColumnOptions { exclude: vec!["evnt".into()], ..Default::default() };
    let error = fails(&ImportOptions { time: Some("tss".into()), columns, ..ImportOptions::file(&path) });
    assert!(matches!(&error, ImportError::UnknownColumn { option: "exclude", .. }), "{error:?}");
    assert_eq!(error.hint().unwrap(), "did you mean 'event'?");
    let include = ColumnOptions { include: vec!["pirce".into()], ..Default::default() };
    let error = fails(&ImportOptions { time: Some("tss".into()), columns: include, ..ImportOptions::file(&path) });
    assert!(error.to_string().contains("that --columns (in SQL: INCLUDE) names"), "{error}");
    let twice = files.write("twice.csv", "user_id,ts,event,a,A\nu,2024-05-01,e,1,2\n");
    assert!(matches!(file_fails(&twice), ImportError::DuplicateColumn { .. }));
    let both = ImportOptions { user: Some("event".into()), ..ImportOptions::file(files.write("ok.csv", ROWS)) };
    assert!(fails(&both).to_string().contains("'event' would play two parts"));
}

#[test]
fn unclear_times_are_refused_with_the_way_out() {
    let files = Files::new();
    for (values, want) in [
        (["01/02/2024", "05/02/2024"], "day/month or month/day"),
        (["5", "6"], "too small"),
        (["soon", "later"], "'soon' is no time"),
    ] {
        let path = files.write("e.csv", format!("user_id,ts,event\nu,{},e\nu,{},e\n", values[0], values[1]));
        let error = file_fails(&path);
        assert!(matches!(error, ImportError::UnclearTime { .. }), "{error:?}");
        assert!(error.to_string().contains(want) && error.hint().is_some(), "{error}");
    }
    let bad = ImportOptions {
        time_format: TimeFormat::Pattern("%!".into()),
        ..ImportOptions::file(files.write("ok.csv", ROWS))
    };
    assert!(matches!(fails(&bad), ImportError::Option { .. }));
}

#[test]
fn rejected_rows_are_told_by_line_and_too_many_stop_the_import() {
    let files = Files::new();
    let mut text = b"user_id,ts,event,note\r\nu1,2024-05-01,e,\"two\r\nlines\"\r\n,2024-05-01,e,\r\n\r\nu,never,e,\r\nu,2024-05-01,,\r\nu,2024-05-01,e\r\nu,0000-01-01,e,\r\nu,2024-05-01,e,".to_vec();
    text.extend_from_slice(b"\xff\r\nu2,2024-05-01,e,ok\r\n");
    let path = files.write("e.csv", &text);
    let rejects = files.path("rejects.jsonl");
    let mut options = ImportOptions { max_rejects: 6, rejects: Some(rejects.clone()), ..ImportOptions::file(&path) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((summary.rows, summary.accepted, summary.rejected), (8, 2, 6));
    let lines: Vec<Reject> = std::fs::read_to_string(&rejects)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|value| Reject {
            file: value["file"].as_str().unwrap().into(),
            line: value["line"].as_u64().unwrap(),
            reason: value["reason"].as_str().unwrap().into(),
            row: value["row"].as_str().unwrap().into(),
        })
        .collect();
    let got: Vec<(u64, &str, &str)> =
        lines.iter().map(|reject| (reject.line, reject.reason.as_str(), reject.row.as_str())).collect();
    let no_time =
        |value: &str| format!("'{value}' is no time (expected dates and times as in RFC 3339, years 1 to 9999)");
    assert_eq!(
        got,
        [
            (4, "the user is missing", ",2024-05-01,e,"),
            (6, &no_time("never"), "u,never,e,"),
            (7, "the event is missing", "u,2024-05-01,,"),
            (8, "3 fields where the header has 4", "u,2024-05-01,e"),
            (9, &no_time("0000-01-01"), "u,0000-01-01,e,"),
            (10, "invalid UTF-8", "u,2024-05-01,e,\u{fffd}"),
        ]
    );
    options.max_rejects = 5;
    let error = fails(&options);
    let ImportError::TooManyRejects { max_rejects: 5, rejected: 6, first, written_to: Some(_) } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(first[..], lines[..5]);
    assert!(error.to_string().contains("e.csv, line 4: the user is missing"), "{error}");
    assert_eq!(std::fs::read_to_string(&rejects).unwrap().lines().count(), 6);
}

#[test]
fn bad_json_is_told_by_line() {
    let files = Files::new();
    let text = "{\"user_id\":\"u\",\"ts\":\"2024-05-01\",\"event\":\"e\"}\n\n{\"user_id\":\n7\n";
    let options = ImportOptions { max_rejects: 2, ..ImportOptions::file(files.write("e.jsonl", text)) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!((rows.len(), summary.rejected), (1, 2));
    assert!(summary.first_rejects[0].reason.starts_with("bad JSON: EOF"), "{:?}", summary.first_rejects);
    assert_eq!(summary.first_rejects[0].line, 3);
    assert_eq!(summary.first_rejects[1].reason, "not a JSON object");
}

#[test]
fn an_unclosed_quote_and_a_rejects_file_that_cannot_be() {
    let files = Files::new();
    let path = files.write("e.csv", "user_id,ts,event\nu,2024-05-01,e\nu,2024-05-01,\"e\nu,2024-05-01,e\n");
    assert!(matches!(file_fails(&path), ImportError::EndlessRow { line: 3, .. }));
    let path = files.write("ok.csv", ROWS);
    let rejects = |path| ImportOptions { rejects: Some(path), ..ImportOptions::file(files.pattern("ok.csv")) };
    assert!(matches!(fails(&rejects(files.path("no/such/dir"))), ImportError::Rejects { .. }));
    assert!(fails(&rejects(path.into())).to_string().contains("is also to be imported"));
    assert_eq!(std::fs::read_to_string(files.path("ok.csv")).unwrap(), ROWS);
}

#[test]
fn a_cancelled_import_stores_nothing() {
    struct Cancelled;
    impl Progress for Cancelled {
        fn begin(&self, _bytes_total: u64) {}
        fn advance(&self, _bytes: u64, _rows: u64) {}
        fn note(&self, _message: &str) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let files = Files::new();
    let memory = Memory::default();
    let error = run(&memory, &ImportOptions::file(files.write("ok.csv", ROWS)), &Cancelled, AHEAD_BYTES).unwrap_err();
    assert!(matches!(error, ImportError::Cancelled));
    assert!(memory.rows.lock().is_empty());
}
