//! Every format over one batch with everything that is awkward.

use super::*;
use arrow_array::builder::{Float64Builder, ListBuilder};
use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, NullArray, StringArray,
    TimestampMicrosecondArray,
};
use std::sync::Arc;

const PLAIN: Terminal = Terminal { stdout: false, stderr: false, unicode: false, color: false, width: 80 };

fn batch() -> RecordBatch {
    let mut list = ListBuilder::new(Float64Builder::new());
    list.append_value([Some(1.5), None]);
    list.append_null();
    list.append_value([Some(f64::NAN)]);
    let codes: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let times = TimestampMicrosecondArray::from(vec![Some(0), None, Some(1_767_225_600_000_001)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("a|b, \"c\"\n"), None, Some("")]))),
        ("number", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None, Some(-1)]))),
        ("share", Arc::new(Float64Array::from(vec![Some(0.25), None, Some(f64::INFINITY)]))),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("ts", Arc::new(times.clone().with_timezone("UTC"))),
        ("naive", Arc::new(times)),
        ("list", Arc::new(list.finish())),
        ("code", Arc::new(codes)),
        ("nothing", Arc::new(NullArray::new(3))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn written(format: Format, batches: &[RecordBatch], schema: &SchemaRef, max_rows: Option<usize>) -> (Vec<u8>, Written) {
    let mut out: Vec<u8> = Vec::new();
    let mut writer = writer(format, schema, &mut out, &PLAIN, max_rows).expect("a writer");
    for batch in batches {
        writer.write(batch).expect("a written batch");
    }
    let done = writer.finish().expect("an end");
    (out, done)
}

fn text(format: Format) -> String {
    let batch = batch();
    String::from_utf8(written(format, std::slice::from_ref(&batch), &batch.schema(), None).0).expect("UTF-8")
}

#[test]
fn json_lines_are_an_object_a_row() {
    let text = text(Format::Jsonl);
    let lines: Vec<&str> = text.lines().collect();
    let first = [
        r#"{"text":"a|b, \"c\"\n","number":9007199254740993,"share":0.25,"yes":true,"ts":"1970-01-01T00:00:00Z","#,
        r#""naive":"1970-01-01T00:00:00Z","list":[1.5,null],"code":"a","nothing":null}"#,
    ];
    assert_eq!(lines[0], first.concat());
    let second = [
        r#"{"text":null,"number":null,"share":null,"yes":null,"ts":null,"#,
        r#""naive":null,"list":null,"code":null,"nothing":null}"#,
    ];
    assert_eq!(lines[1], second.concat());
    assert!(lines[2].contains(r#""share":null"#) && lines[2].contains(r#""ts":"2026-01-01T00:00:00.000001Z""#));
    assert!(lines[2].contains(r#""list":[null]"#), "{}", lines[2]);
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    }
}

#[test]
fn json_is_one_array_even_when_empty() {
    let value: serde_json::Value = serde_json::from_str(&text(Format::Json)).expect("JSON");
    assert_eq!(value.as_array().map(Vec::len), Some(3));
    assert_eq!(written(Format::Json, &[], &batch().schema(), None).0, b"[]\n");
}

#[test]
fn csv_tells_null_from_empty() {
    let text = text(Format::Csv);
    assert!(
        text.starts_with("text,number,share,yes,ts,naive,list,code,nothing\n\"a|b, \"\"c\"\"\n\",9007199254740993,")
    );
    assert!(text.contains("\n,,,,,,,,\n"), "{text}");
    assert!(text.contains("\n\"\",-1,inf,false,"), "{text}");
    assert!(text.contains(",\"[1.5,null]\",a,\n"), "{text}");
}

#[test]
fn markdown_keeps_cells_together() {
    let text = text(Format::Markdown);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[1], "| --- | ---: | ---: | --- | --- | --- | --- | --- | --- |");
    assert!(lines[2].starts_with(r#"| a\|b, "c"<br> | 9007199254740993 |"#), "{}", lines[2]);
    assert!(lines[3].starts_with("| NULL | NULL |"));
}

#[test]
fn table_aligns_numbers_shows_null_and_counts_what_it_leaves_out() {
    let text = text(Format::Table);
    assert!(text.is_ascii());
    assert!(text.contains("|               -1 |"), "{text}");
    assert!(text.contains("| NULL "), "{text}");
    assert!(text.contains(r#"a|b, "c"\n"#), "{text}");
    let batch = batch();
    let (_, done) = written(Format::Table, &[batch.clone(), batch.clone()], &batch.schema(), Some(4));
    assert_eq!(done, Written { rows: 6, shown: 4 });
}

#[test]
fn parquet_comes_back_as_it_went() {
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let batch = batch();
    let (bytes, done) = written(Format::Parquet, std::slice::from_ref(&batch), &batch.schema(), None);
    assert_eq!(done.rows, 3);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let file = std::fs::File::open(file.path()).expect("opened");
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build()).expect("Parquet");
    let back = reader.next().expect("a batch").expect("readable");
    assert_eq!(back.num_rows(), 3);
    assert_eq!(back.column(1), batch.column(1));
    assert_eq!(back.column(6).null_count(), 1);
}

#[test]
fn a_stored_text_cannot_steer_the_terminal() {
    let column: ArrayRef = Arc::new(StringArray::from(vec!["\u{1b}[2Jgone"]));
    let batch = RecordBatch::try_from_iter([("x", column)]).expect("one column");
    let (out, _) = written(Format::Table, std::slice::from_ref(&batch), &batch.schema(), None);
    assert!(!out.contains(&0x1b), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn a_name_of_a_column_cannot_steer_the_terminal() {
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let batch = RecordBatch::try_from_iter([("\u{1b}]0;title\u{7}", column)]).expect("one column");
    for format in [Format::Table, Format::Markdown] {
        let (out, _) = written(format, std::slice::from_ref(&batch), &batch.schema(), None);
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.contains("title") && !text.contains(['\u{1b}', '\u{7}']), "{text}");
    }
}

#[test]
fn a_long_table_is_written_as_it_comes_and_looks_the_same() {
    let batch = |from: i64, rows: i64| {
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("n{}", from + row))));
        let number: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_from_iter([("name", text), ("number", number)]).expect("two columns")
    };
    for unicode in [false, true] {
        let terminal = Terminal { unicode, ..PLAIN };
        let all = |batches: &[RecordBatch]| {
            let mut out: Vec<u8> = Vec::new();
            let mut writer = writer(Format::Table, &batches[0].schema(), &mut out, &terminal, None).expect("a writer");
            batches.iter().for_each(|batch| writer.write(batch).expect("a written batch"));
            let done = writer.finish().expect("an end");
            (String::from_utf8(out).expect("UTF-8"), done.rows)
        };
        let (short, _) = all(&[batch(10_000, 10_000)]);
        let (long, rows) = all(&[batch(10_000, 9_000), batch(19_000, 3_000), batch(22_000, 1)]);
        assert_eq!(rows, 12_001);
        let (short, long): (Vec<&str>, Vec<&str>) = (short.lines().collect(), long.lines().collect());
        assert_eq!(long.len(), short.len() + 2_001);
        assert_eq!(long[..10_003], short[..10_003]);
        assert_eq!(long.last(), short.last());
        assert_eq!(long[10_003], short[3].replace("10000", "20000"));
        assert_eq!(long[12_003], short[3].replace("10000", "22000"));
    }
}

#[test]
fn a_long_table_is_not_held() {
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
    let batch = RecordBatch::try_from_iter([("n", number)]).expect("one column");
    let mut out: Vec<u8> = Vec::new();
    let mut writer = writer(Format::Table, &batch.schema(), &mut out, &PLAIN, None).expect("a writer");
    writer.write(&batch).expect("a written batch");
    drop(writer);
    assert!(out.iter().filter(|byte| **byte == b'\n').count() > 19_000, "the rows wait for the end");
}
