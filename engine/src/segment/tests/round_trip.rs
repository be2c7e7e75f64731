//! Whatever goes in comes out.

use super::*;
use crate::rows::NULL_CODE;
use crate::segment::{ColumnBlock, TextBlock};
use crate::types::{TS_MIN_US, Value};
use proptest::prelude::*;

/// Equal bit by bit, NaN and -0 included.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn check_rows(rows: &Rows, segment: &Segment) {
    let mut row = 0;
    for (block, read) in segment.blocks().iter().zip(read_all(segment)) {
        assert_eq!(block.row_start as usize, row);
        assert_eq!(block.rows as usize, read.len());
        let end = row + read.len();
        assert_eq!(read.ordinals, rows.ordinals[row..end]);
        assert_eq!(read.ts, rows.ts[row..end]);
        assert_eq!(block.ts_min, *rows.ts[row..end].iter().min().unwrap());
        assert_eq!(block.ts_max, *rows.ts[row..end].iter().max().unwrap());
        for at in 0..read.len() {
            assert_eq!(read.event.get(at), rows.event.get(row + at));
            assert_eq!(read.event_id.get(at), rows.event_id.get(row + at));
            for ((name, column), (read_name, read_column)) in rows.properties.iter().zip(&read.properties) {
                assert_eq!(name, read_name);
                let (expected, got) = (column.get(row + at), read_column.get(at));
                assert!(same(&expected, &got), "column {name} row {}: {expected:?}, read {got:?}", row + at);
            }
        }
        row = end;
    }
    assert_eq!(row, rows.len());
}

/// Reading by row, by part and as codes gives what reading the whole block gives.
fn check_access(rows: &Rows, segment: &Segment) {
    for (index, meta) in segment.blocks().iter().enumerate() {
        let block = segment.block(index);
        let (start, count) = (meta.row_start as usize, block.rows());
        let part = count / 3..count - count / 4;
        let users = block.users().unwrap();
        assert_eq!(users.starts.len(), users.ordinals.len() + 1);
        let times = block.times().unwrap();
        assert!((0..count).all(|row| times.get(row) == rows.ts[start + row]));
        for (name, expected) in &rows.properties {
            let column = block.column(name).unwrap();
            let decoded = column.decode(part.clone());
            for (at, row) in part.clone().enumerate() {
                let value = expected.get(start + row);
                assert!(same(&column.get(row), &value) && same(&decoded.get(at), &value));
                assert_eq!(column.validity().is_valid(row), value != Value::Null);
            }
            if let ColumnBlock::Text(text) = &column {
                check_codes(text, part.clone());
            }
            check_range(segment, index, name, (0..count).map(|row| expected.get(start + row)));
        }
    }
}

fn check_codes(text: &TextBlock<'_>, part: std::ops::Range<usize>) {
    let TextBlock::Dict(codes) = text else { return };
    let mut decoded = Vec::new();
    codes.decode_codes(part.clone(), &mut decoded);
    for (row, code) in part.zip(decoded) {
        assert_eq!(codes.code(row), code);
        match text.get(row) {
            Some(text) => assert_eq!(&*codes.dictionary()[code as usize], text),
            None => assert_eq!(code, NULL_CODE),
        }
        if let Some(constant) = codes.constant() {
            assert_eq!(constant, code);
        }
        if let (Some((min, max)), true) = (codes.bounds(), code != NULL_CODE) {
            assert!((min..=max).contains(&code));
        }
    }
}

fn check_range(segment: &Segment, block: usize, name: &str, values: impl Iterator<Item = Value>) {
    let key = |value: &Value| match value {
        Value::Boolean(value) => Some(i128::from(*value)),
        Value::BigInt(value) | Value::Timestamp(value) => Some(i128::from(*value)),
        Value::Double(value) => {
            let bits = if *value == 0.0 { 0 } else { value.to_bits() as i64 };
            Some(i128::from(if bits < 0 { bits ^ i64::MAX } else { bits }))
        }
        _ => None,
    };
    let keys: Vec<i128> = values.filter_map(|value| key(&value)).collect();
    let expected = keys.iter().min().copied().zip(keys.iter().max().copied());
    let got = segment.block_column_range(block, name);
    assert_eq!(got.and_then(|(min, max)| key(&min).zip(key(&max))), expected, "column {name}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_rows_come_out_as_they_went_in(seed in any::<u64>(), count in 0_usize..120, tiny in any::<bool>()) {
        let mut random = Random(seed);
        let (schema, rows) = random_rows(&mut random, count, 1_700_000_000_000_000);
        let limits = if tiny { TINY } else { BlockLimits::default() };
        let (meta, bytes) = build(&rows, spec(&schema, 5..40, Tz::UTC), limits);
        prop_assert_eq!(meta.bytes as usize, bytes.len());
        let segment = open(bytes);
        prop_assert_eq!(segment.meta(), &meta);
        prop_assert_eq!(segment.schema(), &schema);
        prop_assert_eq!(meta.rows as usize, count);
        check_rows(&rows, &segment);
        check_access(&rows, &segment);
        let names: Vec<_> = (5..40).map(user_name).collect();
        prop_assert_eq!(segment.user_ids().unwrap(), names);
        for ordinal in 0..50 {
            let expected = (5..40).contains(&ordinal).then(|| user_name(ordinal)).flatten();
            prop_assert_eq!(segment.user_id(ordinal).unwrap(), expected);
        }
        let problems = segment.verify();
        prop_assert!(problems.is_empty(), "{:?}", problems);
        let counted = format!("{count} rows");
        let description = describe_segment(Blob::from(segment.bytes().to_vec()));
        prop_assert!(description.text.contains(&counted) && description.damage.is_empty(), "{}", description.text);
        for (name, column) in &rows.properties {
            let stats = segment.column_stats(name).unwrap();
            let nulls = (0..count).filter(|&row| column.get(row) == Value::Null).count();
            prop_assert_eq!(stats.null_count as usize, nulls);
        }
    }

    #[test]
    fn what_was_read_can_be_written_again(seed in any::<u64>(), count in 1_usize..100) {
        let mut random = Random(seed);
        let (schema, rows) = random_rows(&mut random, count, TS_MIN_US);
        let (_, bytes) = build(&rows, spec(&schema, 0..0, Tz::UTC), TINY);
        let segment = open(bytes);
        let mut builder = SegmentBuilder::new(spec(&schema, 0..0, Tz::UTC), Vec::new());
        for piece in read_all(&segment) {
            let order: Vec<u32> = (0..piece.len() as u32).collect();
            builder.push(&piece, &order).unwrap();
        }
        let (_, bytes) = builder.finish(&mut std::iter::empty()).unwrap();
        check_rows(&rows, &open(bytes));
    }
}

#[test]
fn columns_are_matched_by_name_and_widened() {
    let stored = schema(&[("a", ColumnType::Text), ("b", ColumnType::Double), ("c", ColumnType::BigInt)]);
    let mut builder = SegmentBuilder::new(spec(&stored, 0..0, Tz::UTC), Vec::new());
    let mut rows = Rows { ordinals: vec![1, 0], ts: vec![7, 9], ..Rows::default() };
    rows.event = text_column(&[Some("x"), Some("y")]);
    rows.properties.push(("b".into(), Column::BigInt { values: vec![3, 0], valid: vec![true, false] }));
    rows.properties.push(("a".into(), Column::Boolean { values: vec![true, false], valid: vec![true, true] }));
    builder.push(&rows, &[1, 0]).unwrap();
    let (_, bytes) = builder.finish(&mut std::iter::empty()).unwrap();
    let read = &read_all(&open(bytes))[0];
    assert_eq!((read.ordinals.as_slice(), read.ts.as_slice()), ([0, 1].as_slice(), [9, 7].as_slice()));
    let values = |name: &str| [read.property(name).unwrap().get(0), read.property(name).unwrap().get(1)];
    assert_eq!(values("a"), [Value::Text("false".into()), Value::Text("true".into())]);
    assert_eq!(values("b"), [Value::Null, Value::Double(3.0)]);
    assert_eq!(values("c"), [Value::Null, Value::Null]);
    assert_eq!(read.event_id.get(0), None);
}

#[test]
fn wrong_rows_are_refused() {
    let stored = schema(&[("a", ColumnType::BigInt)]);
    let good = || {
        let event = text_column(&[Some("x"), Some("x")]);
        Rows { ordinals: vec![1, 2], ts: vec![7, 8], event, ..Rows::default() }
    };
    let push = |rows: &Rows, order: &[u32]| {
        SegmentBuilder::new(spec(&stored, 0..0, Tz::UTC), Vec::new())
            .push(rows, order)
            .map_err(|error| error.to_string())
    };
    push(&good(), &[0, 1]).unwrap();
    assert!(push(&good(), &[1, 0]).unwrap_err().contains("out of order"));
    assert!(push(&good(), &[0, 2]).is_err());
    assert!(push(&Rows { ts: vec![7], ..good() }, &[0]).unwrap_err().contains("lengths"));
    assert!(push(&Rows { ts: vec![TS_MIN_US - 1, 0], ..good() }, &[0]).is_err());
    assert!(push(&Rows { event: text_column(&[None, Some("x")]), ..good() }, &[0]).is_err());
    let mut unknown = good();
    unknown.properties.push(("z".into(), Column::BigInt { values: vec![0; 2], valid: vec![true; 2] }));
    assert!(push(&unknown, &[0]).unwrap_err().contains("'z'"));
    let mut wider = good();
    wider.properties.push(("a".into(), Column::Double { values: vec![0.5; 2], valid: vec![true; 2] }));
    assert!(push(&wider, &[0]).unwrap_err().contains("'a'"));
    let builder = SegmentBuilder::new(spec(&stored, 0..3, Tz::UTC), Vec::new());
    assert!(builder.finish(&mut std::iter::once(None)).unwrap_err().to_string().contains("1 ids for 3"));
}

#[test]
fn a_segment_without_rows_keeps_its_user_ids() {
    let (meta, bytes) = build(&Rows::default(), spec(&Schema::default(), 100..3000, Tz::Asia__Kolkata), TINY);
    let segment = open(bytes);
    assert!(meta.ts_min > meta.ts_max && meta.users == 0 && segment.users().unwrap().is_empty());
    assert_eq!(segment.user_id(2999).unwrap(), user_name(2999));
    assert_eq!(segment.user_ids().unwrap().len(), 2900);
    assert_eq!(segment.time_zone(), Tz::Asia__Kolkata);
    assert!(segment.verify().is_empty() && segment.event_names().is_empty());
}

#[test]
fn many_threads_read_one_segment() {
    let mut random = Random(77);
    let (schema, rows) = random_rows(&mut random, 400, 0);
    let (_, bytes) = build(&rows, spec(&schema, 0..300, Tz::UTC), TINY);
    let segment = open(bytes);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                check_rows(&rows, &segment);
                check_access(&rows, &segment);
                for ordinal in (0..300).rev() {
                    assert_eq!(segment.user_id(ordinal).unwrap(), user_name(ordinal));
                }
                assert!(segment.verify().is_empty());
            });
        }
    });
}
