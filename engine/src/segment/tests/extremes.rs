//! Sizes at the edge: long texts, many columns, many event names, many users, one user.

use super::*;
use crate::types::{TS_MAX_US, TS_MIN_US, Value};

fn rows_of(ordinals: Vec<u32>, ts: Vec<i64>, event: impl Fn(usize) -> String) -> Rows {
    let mut rows = Rows { ordinals, ts, ..Rows::default() };
    (0..rows.ordinals.len()).for_each(|row| rows.event.push(Some(&event(row))));
    rows
}

fn push_all(rows: &Rows, schema: &Schema, introduced: u32) -> Segment {
    let mut builder = SegmentBuilder::new(spec(schema, 0..introduced, Tz::UTC), Vec::new());
    let order: Vec<u32> = (0..rows.len() as u32).collect();
    builder.push(rows, &order).unwrap();
    let (_, bytes) = builder.finish(&mut (0..introduced).map(user_name)).unwrap();
    open(bytes)
}

#[test]
fn texts_of_a_mebibyte() {
    let stored = schema(&[("body", ColumnType::Text), ("same", ColumnType::Text)]);
    let mut rows = rows_of((0..40).map(|row| row / 20).collect(), (0..40).collect(), |_| "x".into());
    let mut body = TextColumn::default();
    let mut same = TextColumn::default();
    let long = "é".repeat(1 << 19);
    for row in 0..40_u32 {
        body.push(Some(&format!("{row}{long}")));
        same.push(Some(&long));
    }
    rows.properties = vec![("body".into(), Column::Text(body)), ("same".into(), Column::Text(same))];
    let segment = push_all(&rows, &stored, 2);
    assert!(segment.blocks().len() > 3, "long texts end a block early");
    assert!(!segment.is_dictionary_coded("body") && segment.is_dictionary_coded("same"));
    for (meta, read) in segment.blocks().iter().zip(read_all(&segment)) {
        for row in 0..read.len() {
            let expected = rows.properties[0].1.get(meta.row_start as usize + row);
            assert!(read.properties[0].1.get(row) == expected);
            assert!(read.properties[1].1.get(row) == Value::Text(long.clone()));
        }
    }
    assert!(segment.verify().is_empty());
}

#[test]
fn five_hundred_properties_most_of_them_null() {
    let names: Vec<String> = (0..500).map(|number| format!("p{number}")).collect();
    let columns: Vec<(&str, ColumnType)> = names.iter().map(|name| (name.as_str(), ColumnType::BigInt)).collect();
    let stored = schema(&columns);
    let mut rows = rows_of((0..20_000).map(|row| row / 4).collect(), vec![5; 20_000], |_| "x".into());
    for number in [3_usize, 250] {
        let column = Column::BigInt {
            values: (0..20_000).map(|row| if row % 1000 == number as i64 { row } else { 0 }).collect(),
            valid: (0..20_000).map(|row| row % 1000 == number).collect(),
        };
        rows.properties.push((names[number].clone(), column));
    }
    let segment = push_all(&rows, &stored, 0);
    assert_eq!(segment.schema().columns.len(), 500);
    for name in ["p3", "p250", "p499"] {
        let nulls = if name == "p499" { 20_000 } else { 19_980 };
        assert_eq!(segment.column_stats(name).unwrap().null_count, nulls);
    }
    let block = segment.block(1);
    assert_eq!(block.column("p250").unwrap().get(17_250 - 16_384), Value::BigInt(17_250));
    // 500 columns over 2 blocks: names, types and places, but no values.
    assert!(segment.meta().bytes < 60_000, "{} bytes", segment.meta().bytes);
    assert!(segment.verify().is_empty());
}

#[test]
fn two_thousand_event_names() {
    let count = 60_000_u32;
    let day = 86_400_000_000;
    let ts = (0..count).map(|row| i64::from(row % 60) * day);
    let rows =
        rows_of((0..count).map(|row| row / 60).collect(), ts.collect(), |row| format!("event {}", row * 7 % 2000));
    let segment = push_all(&rows, &Schema::default(), 1000);
    assert_eq!(segment.event_names().len(), 2000);
    for name in ["event 0", "event 1999"] {
        let code = segment.event_code(name).unwrap();
        let number: usize = name[6..].parse().unwrap();
        let expected = (0..count).filter(|row| *row as usize * 7 % 2000 == number).map(|row| row / 60);
        assert!(segment.event_users(code).unwrap().iter().eq(expected));
    }
    assert!(segment.verify().is_empty());
}

#[test]
fn one_event_for_each_of_many_users() {
    let count = 200_000_u32;
    let rows = rows_of((0..count).collect(), (0..i64::from(count)).collect(), |_| "x".into());
    let segment = push_all(&rows, &Schema::default(), 0);
    assert_eq!(segment.meta().users, count);
    assert_eq!(segment.users().unwrap().len(), u64::from(count));
    // Times of 14 bits, and nothing else.
    assert!(segment.meta().bytes < 200_000 * 2, "{} bytes", segment.meta().bytes);
    assert!(segment.verify().is_empty());
}

#[test]
fn one_user_with_many_events_spans_blocks() {
    let count = 300_000;
    let rows = rows_of(vec![4; count], (0..count as i64).map(|row| row * 1_000_003).collect(), |row| {
        if row == 299_999 { "last".into() } else { "x".into() }
    });
    let segment = push_all(&rows, &Schema::default(), 0);
    assert_eq!(segment.blocks().len(), 5);
    assert!(segment.blocks().iter().all(|block| (block.first_ordinal, block.last_ordinal) == (4, 4)));
    assert_eq!(segment.meta().users, 1);
    assert_eq!(segment.event_users(0).unwrap().len(), 1);
    assert!(read_all(&segment).iter().flat_map(|rows| rows.ts.iter()).eq(&rows.ts));
    assert!(segment.verify().is_empty());
}

#[test]
fn both_ends_of_time_and_of_numbers() {
    let stored = schema(&[("n", ColumnType::BigInt), ("t", ColumnType::Timestamp), ("d", ColumnType::Double)]);
    let mut rows = rows_of(vec![0, 0, 0, u32::MAX], vec![TS_MIN_US, -1, TS_MAX_US, 0], |_| "x".into());
    let values = vec![i64::MIN, i64::MAX, 0, -1];
    let valid = vec![true; 4];
    rows.properties = vec![
        ("n".into(), Column::BigInt { values: values.clone(), valid: valid.clone() }),
        ("t".into(), Column::Timestamp { values: values.clone(), valid: valid.clone() }),
        ("d".into(), Column::Double { values: vec![-0.0, f64::NAN, f64::MIN, f64::MAX], valid }),
    ];
    let segment = push_all(&rows, &stored, 0);
    let read = &read_all(&segment)[0];
    assert_eq!(read.ts, rows.ts);
    for (row, &value) in values.iter().enumerate() {
        assert_eq!(read.properties[0].1.get(row), Value::BigInt(value));
        assert_eq!(read.properties[1].1.get(row), Value::Timestamp(value));
    }
    assert_eq!(segment.event_days(0).unwrap(), [-719_162, -1, 0, 2_932_896]);
    assert!(segment.verify().is_empty());
}

#[test]
fn texts_that_hardly_repeat_have_no_dictionary() {
    let stored = schema(&[("id", ColumnType::Text), ("colour", ColumnType::Text)]);
    let count = 40_000_usize;
    let mut rows = rows_of((0..count as u32).map(|row| row / 10).collect(), vec![1; count], |_| "x".into());
    let (mut id, mut colour) = (TextColumn::default(), TextColumn::default());
    for row in 0..count {
        rows.event_id.push(Some(&format!("{:032x}", row as u128 * 0x9E37_79B9_7F4A_7C15)));
        id.push((row % 5 != 0).then(|| format!("order-{row}")).as_deref());
        colour.push(Some(["red", "green"][row % 2]));
    }
    rows.properties = vec![("id".into(), Column::Text(id)), ("colour".into(), Column::Text(colour))];
    let segment = push_all(&rows, &stored, 0);
    assert!(!segment.is_dictionary_coded("id") && !segment.is_dictionary_coded("event_id"));
    assert!(segment.is_dictionary_coded("colour") && segment.is_dictionary_coded("event"));
    assert_eq!(segment.column_stats("colour").unwrap().distinct, Some(2));
    assert_eq!(segment.column_stats("id").unwrap().distinct, None);
    for (meta, read) in segment.blocks().iter().zip(read_all(&segment)) {
        for row in 0..read.len() {
            let whole = meta.row_start as usize + row;
            assert_eq!(read.event_id.get(row), rows.event_id.get(whole));
            assert_eq!(read.properties[0].1.get(row), rows.properties[0].1.get(whole));
        }
    }
    assert!(segment.verify().is_empty());
}
