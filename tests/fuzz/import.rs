//! Mutated files through the whole import.

use crate::mutate::{Random, mutate_bytes, rounds};
use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use std::fs;
use std::sync::Arc;
use trodden_engine::TableOutline;
use trodden_query::import::{ImportOptions, Silent, dry_run};

const CSV: &str = "user_id,ts,event,price,note\n\
    ada,2026-03-01T10:00:00Z,visit,1.5,\"a, \"\"quoted\"\" note\"\n\
    bob,2026-03-01T10:00:01.250+02:00,purchase,,\n\
    cyd,2026-03-02 11:00:00,visit,-3e7,\"two\nlines\"\n";
const TSV: &str = "user_id\tts\tevent\tok\nada\t1772323200\tvisit\ttrue\nbob\t1772323201\tpurchase\tfalse\n";
const JSON_LINES: &str = "{\"user_id\":\"ada\",\"ts\":\"2026-03-01T10:00:00Z\",\"event\":\"visit\",\"price\":1.5,\"tags\":[1,2]}\n\
    {\"user_id\":7,\"ts\":1772323200000,\"event\":\"purchase\",\"deep\":{\"a\":null,\"b\":\"\\u00e9\"}}\n";

/// A small Parquet file.
fn parquet() -> Vec<u8> {
    let columns: [(&str, ArrayRef); 4] = [
        ("user_id", Arc::new(StringArray::from(vec!["ada", "bob", "ada"]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1_772_323_200_000_000, 5, -5]))),
        ("event", Arc::new(StringArray::from(vec!["visit", "visit", "purchase"]))),
        ("price", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    bytes
}

fn check(name: &str, original: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    let options =
        ImportOptions { threads: Some(1), max_rejects: u64::MAX, ..ImportOptions::file(path.to_str().expect("UTF-8")) };
    let import = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        dry_run(&TableOutline::default(), &options, &Silent)
    };
    import(original).unwrap_or_else(|error| panic!("the original of {name} is good, but: {error}"));

    let mut random = Random::from_environment(original.len() as u64);
    let mut refused = 0;
    for case in rounds(1500) {
        let bytes = mutate_bytes(original, &mut random);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| import(&bytes))) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                refused += 1;
                let words = error.to_string();
                assert!(!words.is_empty() && !words.contains("panic"), "{name}, case {case}: {words}\n{bytes:?}");
            }
            Err(_) => panic!("{name}, case {case}: the import panicked on {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert!(refused > 0, "mutations of {name} that are never refused change too little");
}

#[test]
fn csv() {
    check("events.csv", CSV.as_bytes());
}

#[test]
fn tsv() {
    check("events.tsv", TSV.as_bytes());
}

#[test]
fn json_lines() {
    check("events.jsonl", JSON_LINES.as_bytes());
}

#[test]
fn parquet_files() {
    check("events.parquet", &parquet());
}
