//! Every format and compression, sets of files, mapping, fingerprints.

use super::*;
use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use std::sync::Arc;

const CSV: &str = "user_id,ts,event,event_id,price,name\n\
    u1,2024-05-01T10:00:00Z,view,a1,1.5,\"x, \"\"y\"\"\nz\"\n\
    u2,2024-05-01 10:00:01.25,buy,,2,\n";
const JSONL: &str = r#"{"user_id":"u1","ts":"2024-05-01T10:00:00Z","event":"view","event_id":"a1","price":1.5,"name":"x, \"y\"\nz"}

{"name":null,"user_id":"u2","ts":"2024-05-01 10:00:01.25","event":"buy","price":2}
"#;
const WANT: [&str; 2] =
    ["u1 @1714557600.000000 view #a1 price=1.5 name=x, \"y\"\nz", "u2 @1714557601.250000 buy price=2.0"];

#[test]
fn all_text_formats_in_all_compressions_give_the_same_events() {
    let files = Files::new();
    let tsv = CSV.replace("x, ", "x; ").replace(',', "\t").replace("x; ", "x, ");
    for (name, content) in [("e.csv", CSV), ("e.tsv", &tsv), ("e.jsonl", JSONL), ("e.ndjson", JSONL)] {
        for compression in ["", ".gz", ".zst"] {
            let path = files.write(&format!("{name}{compression}"), content);
            for threads in [1, 4] {
                let options = ImportOptions { threads: Some(threads), ..ImportOptions::file(&path) };
                let (summary, rows) = import(&options).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert_eq!(rows, WANT, "{path}");
                assert_eq!((summary.rows, summary.accepted, summary.rejected), (2, 2, 0));
                assert_eq!(type_of(&summary, "price"), Some(ColumnType::Double));
            }
        }
    }
}

#[test]
fn content_tells_what_the_name_does_not() {
    let files = Files::new();
    for content in [CSV, &CSV.replace(',', ";").replace("x; ", "x, "), JSONL] {
        let (_, rows) = import_file(&files.write("data", content)).unwrap();
        assert_eq!(rows, WANT);
        let zipped = files.path("packed");
        std::fs::write(&zipped, compress("x.gz", content.as_bytes())).unwrap();
        assert_eq!(import_file(&zipped.display().to_string()).unwrap().1, WANT);
    }
}

/// A Parquet file with two row groups of two rows.
pub(super) fn write_parquet(path: &Path) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), None, Some(3.0)]))),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![1_714_557_600_000, 1_714_557_601_250, 0, 5]))),
        ("event", Arc::new(StringArray::from(vec!["view", "buy", "view", ""]))),
        ("count", Arc::new(Int32Array::from(vec![Some(7), None, Some(8), Some(9)]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_gives_events_and_names_refused_rows_by_number() {
    let files = Files::new();
    write_parquet(&files.path("e.parquet"));
    let rejects = files.path("rejects.jsonl");
    let options = ImportOptions {
        max_rejects: 2,
        rejects: Some(rejects.clone()),
        ..ImportOptions::file(files.pattern("e.parquet"))
    };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!(rows, ["1 @1714557600.000000 view count=7", "2 @1714557601.250000 buy"]);
    assert_eq!((summary.rows, summary.accepted, summary.rejected), (4, 2, 2));
    let lines: Vec<serde_json::Value> =
        std::fs::read_to_string(rejects).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |index: usize| (lines[index]["line"].as_u64().unwrap(), lines[index]["reason"].as_str().unwrap());
    assert_eq!(lines.len(), 2);
    assert_eq!(of(0), (3, "the user is missing"));
    assert_eq!(of(1), (4, "the event is missing"));
    assert_eq!(lines[1]["row"], r#"{"user_id":3.0,"ts":"1970-01-01T00:00:00.005","event":"","count":9}"#);
}

#[test]
fn sets_of_files_are_taken_in_order_of_their_names_with_their_columns_by_name() {
    let files = Files::new();
    files.write("d/b.csv", "ts,event,user_id,y\n2024-05-01,e,u2,5\n");
    files.write("d/a.csv.gz", "user_id,ts,event,x\nu1,2024-05-01,e,1\n");
    files.write("d/c.jsonl", r#"{"x":2,"userid":"u3","ts":1714521600,"event":"e","deep":{"list":[1, 2]}}"#);
    files.write("d/notes.md", "nothing");
    files.write("d/_SUCCESS", "");
    let want =
        ["u1 @1714521600.000000 e x=1", "u2 @1714521600.000000 e y=5", "u3 @1714521600.000000 e x=2 deep.list=[1, 2]"];
    assert_eq!(import_file(&files.pattern("d")).unwrap().1, want);
    assert_eq!(import_file(&files.pattern("d/?.*")).unwrap().1, want);
    let twice =
        ImportOptions { files: vec![files.pattern("d/a.csv.gz"), files.pattern("d/[ab]*")], ..Default::default() };
    assert_eq!(import(&twice).unwrap().1, want[..2]);
}

#[test]
fn the_result_is_the_same_whatever_the_number_of_threads() {
    let files = Files::new();
    let mut text = String::from("user_id,ts,event,note\n");
    for row in 0..120_000 {
        text += &format!("u{},{},e{},\"line\n{row}\"\n", row % 977, 1_700_000_000 + row / 10, row % 7);
    }
    let path = files.write("big.csv", &text);
    let load = |threads| {
        let memory = Memory::default();
        import_into(&memory, &ImportOptions { threads: Some(threads), ..ImportOptions::file(&path) }).unwrap();
        assert!(*memory.batches.lock() > 2);
        memory.rows.into_inner()
    };
    let one = load(1);
    assert_eq!(one.len(), 120_000);
    assert_eq!(one[119_999], "u805 @1700011999.000000 e5 note=line\n119999");
    assert_eq!(one, load(5));
}

#[test]
fn the_same_file_twice_adds_nothing_twice() {
    let files = Files::new();
    let memory = Memory::default();
    let path = files.write("e.csv", CSV);
    let options = ImportOptions::file(&path);
    assert_eq!(import_into(&memory, &options).unwrap().accepted, 2);
    let again = import_into(&memory, &options).unwrap();
    assert_eq!((again.accepted, again.rows, again.skipped()), (0, 0, 1));
    assert_eq!(again.files[0].outcome, FileOutcome::AlreadyImported);
    assert!(again.to_string().contains("already imported, skipped"), "{again}");
    // To say what is found anyway changes nothing; to say something else makes other events.
    let same = ImportOptions { user: Some("user_id".into()), threads: Some(1), ..options.clone() };
    assert_eq!(import_into(&memory, &same).unwrap().accepted, 0);
    let other = ImportOptions { user: Some("name".into()), max_rejects: 9, ..options };
    assert_eq!(import_into(&memory, &other).unwrap().accepted, 1);
    // A copy is the same file.
    std::fs::copy(&path, files.path("copy.csv")).unwrap();
    let both = ImportOptions { files: vec![files.pattern("*.csv")], ..Default::default() };
    assert_eq!(import(&both).unwrap().0.skipped(), 1);
    assert_eq!(memory.rows.lock().len(), 3);
}

#[test]
fn columns_are_mapped_included_excluded_renamed() {
    let files = Files::new();
    let path = files.write("e.csv", "who,when,what,ts,a,b,c.x,c.y\nu,2024-05-01,e,9,1,2,3,4\n");
    let mut options = ImportOptions {
        user: Some("who".into()),
        time: Some("when".into()),
        event: Some("what".into()),
        columns: ColumnOptions {
            exclude: vec!["c.*".into()],
            rename: vec![("a".into(), "alpha".into())],
            types: vec![("b".into(), ColumnType::Text)],
            ..Default::default()
        },
        ..ImportOptions::file(path)
    };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!(rows, ["u @1714521600.000000 e file_ts=9 alpha=1 b=2"]);
    assert_eq!(type_of(&summary, "b"), Some(ColumnType::Text));
    assert!(summary.notes[0].contains("'ts' became 'file_ts'"), "{:?}", summary.notes);
    options.columns = ColumnOptions { include: vec!["b".into()], ..Default::default() };
    assert_eq!(import(&options).unwrap().1, ["u @1714521600.000000 e b=2"]);
    options.event = None;
    options.event_value = Some("seen".into());
    assert_eq!(import(&options).unwrap().1, ["u @1714521600.000000 seen b=2"]);
}

#[test]
fn well_known_names_are_taken_and_said() {
    let files = Files::new();
    let path = files.write("e.csv", "Distinct ID,Timestamp,Event Name,$insert_id\nu,2024-05-01,e,7\n");
    let (summary, rows) = import_file(&path).unwrap();
    assert_eq!(rows, ["u @1714521600.000000 e #7"]);
    assert!(summary.to_string().contains("user = 'Distinct ID' (by its name)"), "{summary}");
    let path = files.write("two.csv", "user,uid,ts,event\na,b,2024-05-01,e\n");
    let error = import_file(&path).unwrap_err();
    assert!(error.to_string().contains("several columns could be the user: 'user', 'uid'"), "{error}");
}

#[test]
fn a_file_without_a_header_has_numbered_columns() {
    let files = Files::new();
    let path = files.write("e.csv", "u1,2024-05-01,view,5\nu2,2024-05-02,buy,NA\n");
    let options = ImportOptions {
        header: false,
        user: Some("column_1".into()),
        time: Some("column_2".into()),
        event: Some("column_3".into()),
        null_values: vec!["NA".into()],
        ..ImportOptions::file(path)
    };
    assert_eq!(import(&options).unwrap().1, ["u1 @1714521600.000000 view column_4=5", "u2 @1714608000.000000 buy"]);
}

#[test]
fn a_trial_stores_nothing_and_tells_what_would_be() {
    let files = Files::new();
    let options = ImportOptions::file(files.write("e.csv", CSV));
    let summary = dry_run(&TableOutline::default(), &options, &Silent).unwrap();
    assert_eq!((summary.accepted, summary.dry_run), (2, true));
    assert!(summary.to_string().starts_with("would import 2 events from 1 file"), "{summary}");
}
