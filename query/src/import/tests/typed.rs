//! Columns and values of Parquet that no table holds: named, with the way out, and harmless when left out.

use super::*;
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, IntervalYearMonthArray, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// A Parquet file of two events with one more column.
fn write(files: &Files, name: &str, column: (&str, ArrayRef)) -> String {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(StringArray::from(vec!["u1", "u2"]))),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![0, DAY_MS]))),
        ("event", Arc::new(StringArray::from(vec!["a", "b"]))),
        column,
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = files.path(name);
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.display().to_string()
}

fn with_columns(path: &str, include: &[&str], exclude: &[&str]) -> ImportOptions {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let columns = ColumnOptions { include: names(include), exclude: names(exclude), ..Default::default() };
    ImportOptions { columns, ..ImportOptions::file(path) }
}

const WITHOUT: [&str; 2] = ["u1 @0.000000 a", "u2 @86400.000000 b"];

fn bytes(values: [&[u8]; 2]) -> ArrayRef {
    Arc::new(BinaryArray::from_vec(values.to_vec()))
}

#[test]
fn a_type_without_counterpart_is_named_unless_it_is_left_out() {
    let files = Files::new();
    let fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([b"abcde", b"fghij"].into_iter()).unwrap());
    let interval: ArrayRef = Arc::new(IntervalYearMonthArray::from(vec![1, 14]));
    for (name, values, found) in [("odd", fixed, "FixedSizeBinary(5)"), ("odd", interval, "Interval")] {
        let path = write(&files, "e.parquet", (name, values));
        let error = import_file(&path).unwrap_err();
        assert!(matches!(&error, ImportError::UnsupportedType { column, .. } if column == "odd"), "{error:?}");
        assert!(error.to_string().contains(found) && error.to_string().contains("e.parquet"), "{error}");
        assert_eq!(error.hint().unwrap(), "leave it out: exclude 'odd'");
        assert_eq!(import(&with_columns(&path, &[], &["odd"])).unwrap().1, WITHOUT);
        assert_eq!(import(&with_columns(&path, &["user*"], &[])).unwrap().1, WITHOUT);
        assert!(import(&with_columns(&path, &["o*"], &[])).is_err());
        let part = ImportOptions { user: Some("odd".into()), ..ImportOptions::file(&path) };
        assert!(matches!(import(&part).unwrap_err(), ImportError::UnsupportedType { .. }));
        let part = ImportOptions { time: Some("odd".into()), ..ImportOptions::file(&path) };
        assert!(matches!(import(&part).unwrap_err(), ImportError::UnsupportedType { .. }));
    }
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_column() {
    let files = Files::new();
    let path = write(&files, "e.parquet", ("raw", bytes([b"fine", b"\xff\xfe"])));
    let error = import_file(&path).unwrap_err();
    assert!(matches!(&error, ImportError::BadValue { column, .. } if column == "raw"), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no text in UTF-8") && text.contains("'raw'") && !text.contains("changed"), "{text}");
    assert!(error.hint().unwrap().contains("exclude 'raw'") && error.is_invalid_input());
    assert_eq!(import(&with_columns(&path, &[], &["raw"])).unwrap().1, WITHOUT);
    let path = write(&files, "text.parquet", ("raw", bytes([b"fine", b"too"])));
    assert_eq!(import_file(&path).unwrap().1, ["u1 @0.000000 a raw=fine", "u2 @86400.000000 b raw=too"]);
}

#[test]
fn bytes_that_are_no_text_in_a_part_are_no_damage() {
    let files = Files::new();
    let path = write(&files, "e.parquet", ("raw", bytes([b"fine", b"\xff\xfe"])));
    let parts = |user: &str, time: &str, event: &str| ImportOptions {
        user: Some(user.into()),
        time: Some(time.into()),
        event: Some(event.into()),
        ..ImportOptions::file(&path)
    };
    for options in [parts("raw", "ts", "event"), parts("user_id", "ts", "raw"), parts("user_id", "raw", "event")] {
        let error = import(&options).unwrap_err();
        assert!(matches!(&error, ImportError::BadValue { column, .. } if column == "raw"), "{error:?}");
        assert!(!error.to_string().contains("damaged"), "{error}");
        assert!(error.hint().unwrap().contains("name another column"));
    }
}

#[test]
fn a_time_beyond_a_type_becomes_text_and_one_beyond_all_is_named() {
    let files = Files::new();
    let times = |late: i64| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![0, late])) };
    let path = write(&files, "late.parquet", ("due", times(6_585_000 * DAY_MS)));
    let (summary, rows) = import_file(&path).unwrap();
    assert_eq!(type_of(&summary, "due"), Some(ColumnType::Text));
    assert!(rows[0].ends_with("due=1970-01-01T00:00:00") && rows[1].contains("due=+19999-"), "{rows:?}");
    let path = write(&files, "beyond.parquet", ("due", times(i64::MAX / 4)));
    let error = import_file(&path).unwrap_err();
    assert!(matches!(&error, ImportError::BadValue { column, .. } if column == "due"), "{error:?}");
    assert!(error.to_string().contains("a time beyond") && !error.to_string().contains("changed"), "{error}");
    assert_eq!(import(&with_columns(&path, &[], &["due"])).unwrap().1, WITHOUT);
}

#[test]
fn a_codec_that_nothing_unpacks_is_named_unless_its_column_is_left_out() {
    let files = Files::new();
    let note: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let path = write(&files, "e.parquet", ("note", note));
    assert_eq!(import_file(&path).unwrap().1, ["u1 @0.000000 a note=x", "u2 @86400.000000 b note=y"]);
    // In the footer: the path of the column, a list of one text, then the codec, a number of zigzag: 0 none, 3 LZO.
    let mut content = std::fs::read(&path).unwrap();
    let before = b"\x19\x18\x04note\x15\x00";
    let place = content.windows(before.len()).position(|window| window == before).expect("the codec");
    content[place + before.len() - 1] = 6;
    files.replace("e.parquet", &content);
    let error = import_file(&path).unwrap_err();
    assert!(matches!(&error, ImportError::UnsupportedCodec { column, .. } if column == "note"), "{error:?}");
    assert!(error.to_string().contains("LZO") && !error.to_string().contains("damaged"), "{error}");
    assert!(error.hint().unwrap().contains("exclude 'note'"));
    assert_eq!(import(&with_columns(&path, &[], &["note"])).unwrap().1, WITHOUT);
}
