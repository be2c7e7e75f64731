//! Indexes agree with a naive count over the rows.

use super::*;
use crate::segment::{FIRST_VALUE, NO_DAY, NO_EVENT, NULL_VALUE, VALUES_DIFFER, words_of};
use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet, HashMap};

fn local_day(tz: Tz, ts_us: i64) -> i32 {
    let date = DateTime::from_timestamp_micros(ts_us).unwrap().with_timezone(&tz).date_naive();
    (date - NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()).num_days() as i32
}

fn set(bitmap: &RoaringBitmap) -> BTreeSet<u32> {
    bitmap.iter().collect()
}

fn check_events(rows: &Rows, segment: &Segment, tz: Tz) {
    let mut users: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut days: BTreeMap<(&str, i32), BTreeSet<u32>> = BTreeMap::new();
    let mut counts: BTreeMap<(Option<&str>, i32), BTreeMap<u32, u32>> = BTreeMap::new();
    for row in 0..rows.len() {
        let event = rows.event.get(row).unwrap();
        users.entry(event).or_default().insert(rows.ordinals[row]);
        let day = local_day(tz, rows.ts[row]);
        days.entry((event, day)).or_default().insert(rows.ordinals[row]);
        for name in [Some(event), None] {
            *counts.entry((name, day)).or_default().entry(rows.ordinals[row]).or_default() += 1;
        }
    }
    assert_eq!(set(&segment.users().unwrap()), rows.ordinals.iter().copied().collect());
    assert_eq!(segment.event_names().len(), users.len());
    for (code, name) in (0..).zip(segment.event_names()) {
        assert_eq!(segment.event_code(name), Some(code));
        assert_eq!(set(&segment.event_users(code).unwrap()), users[&**name]);
        let expected: Vec<i32> = days.keys().filter(|(event, _)| **event == **name).map(|(_, day)| *day).collect();
        assert_eq!(segment.event_days(code).unwrap(), expected);
        for &day in &expected {
            let got = segment.event_day_users(code, day).unwrap().unwrap();
            assert_eq!(set(&got), days[&(&**name, day)]);
        }
        assert!(segment.event_day_users(code, -9_999_999).unwrap().is_none());
    }
    let names = (0..).zip(segment.event_names()).map(|(code, name)| (Some(code), Some(&**name)));
    for (code, name) in names.chain([(None, None)]) {
        for least in [1, 2] {
            let of_name = counts.iter().filter(|((of, _), _)| *of == name);
            let users = of_name.map(|((_, day), users)| {
                let users = users.iter().filter(|(_, count)| **count >= least).map(|(user, _)| *user);
                (*day, users.collect::<BTreeSet<u32>>())
            });
            let expected: Vec<_> = users.filter(|(_, users)| !users.is_empty()).collect();
            let read = |days| segment.users_by_day(code, least == 2, &days).unwrap();
            let found: Vec<_> = read(i32::MIN..=i32::MAX).into_iter().map(|(day, users)| (day, set(&users))).collect();
            assert_eq!(found, expected, "{name:?}, {least} times");
            let some = found.get(1).map_or(0, |(day, _)| *day);
            let after: Vec<i32> = read(some..=i32::MAX).into_iter().map(|(day, _)| day).collect();
            assert_eq!(after, expected.iter().map(|(day, _)| *day).filter(|day| *day >= some).collect::<Vec<_>>());
            assert!(read(some..=some).len() <= 1);
            for _ in ["found", "kept"] {
                check_days(segment, code, least == 2, &expected);
            }
            if least == 1 {
                let of =
                    |user| expected.iter().find(|(_, users)| users.contains(&user)).map_or(NO_DAY, |(day, _)| *day);
                let last = rows.ordinals.iter().max().map_or(0, |last| last + 1).max(segment.introduced().end);
                let first: Vec<i32> = (0..last).map(of).collect();
                // Once found, once kept.
                assert_eq!(*segment.first_days(code).unwrap(), first, "{name:?}");
                assert_eq!(*segment.first_days(code).unwrap(), first, "{name:?}");
            }
        }
    }
    assert_eq!(segment.event_code("no such event"), None);
    assert!(segment.event_users(9_999_999).unwrap().is_empty());
}

/// The days of each user are the users of each day.
fn check_days(segment: &Segment, code: Option<u32>, twice: bool, expected: &[(i32, BTreeSet<u32>)]) {
    let span = segment.day_span();
    let words = words_of(&span);
    let (active, users) = (segment.active_days(code, twice).unwrap(), segment.active_users(code).unwrap());
    let mut found: BTreeMap<i32, BTreeSet<u32>> = BTreeMap::new();
    for (user, days) in active.chunks_exact(words).enumerate() {
        let bits = (0..words * 64).filter(|bit| days[bit / 64] >> (bit % 64) & 1 == 1);
        for bit in bits {
            found.entry(*span.start() + bit as i32).or_default().insert(user as u32);
        }
        let is_active = users[user / 64] >> (user % 64) & 1 == 1;
        assert!(is_active || days.iter().all(|&word| word == 0), "{code:?}: {user}");
        assert!(twice || !is_active || days.iter().any(|&word| word != 0), "{code:?}: {user}");
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{code:?}");
}

/// Stretches of days whose ends are where blocks of days begin and end, or near it, or somewhere.
fn some_days() -> impl Strategy<Value = i32> {
    prop_oneof![(-9..6_i32).prop_map(|number| 64 * number), (-70..40_i32).prop_map(|number| 8 * number), -600..400_i32]
        .prop_flat_map(|day| day - 1..=day + 1)
}

/// The value that all events of a user have, of a column of texts with bitmaps.
fn check_values_by_user(segment: &Segment, name: &str, by_user: &HashMap<u32, BTreeSet<String>>) {
    for _ in ["found", "kept"] {
        let Some(values) = segment.values_by_user(name).unwrap() else {
            assert!(!matches!(segment.schema().column(name), Some(column) if column.column_type == ColumnType::Text));
            return;
        };
        let dictionary = segment.dictionary(name).unwrap().unwrap();
        for (user, &value) in (0..).zip(values.iter()) {
            let expected = match by_user.get(&user) {
                None => NO_EVENT,
                Some(of_user) if of_user.len() > 1 => VALUES_DIFFER,
                Some(of_user) if of_user.contains("Null") => NULL_VALUE,
                Some(of_user) => {
                    let code = dictionary.iter().position(|text| of_user.contains(&format!("Text({text:?})")));
                    code.unwrap() as u16 + FIRST_VALUE
                }
            };
            assert_eq!(value, expected, "{name} of {user}");
        }
        assert!(by_user.keys().all(|&user| (user as usize) < values.len()));
    }
}

fn check_values(rows: &Rows, segment: &Segment) {
    for (name, column) in &rows.properties {
        let mut users: HashMap<String, BTreeSet<u32>> = HashMap::new();
        let mut by_user: HashMap<u32, BTreeSet<String>> = HashMap::new();
        for row in 0..rows.len() {
            // Bits, so that NaN equals itself.
            let value = match column.get(row) {
                crate::types::Value::Double(value) => format!("double {:x}", value.to_bits()),
                other => format!("{other:?}"),
            };
            users.entry(value.clone()).or_default().insert(rows.ordinals[row]);
            by_user.entry(rows.ordinals[row]).or_default().insert(value);
        }
        let is_uniform = by_user.values().all(|values| values.len() == 1);
        let is_plain = matches!(column, Column::Text(_)) && !segment.is_dictionary_coded(name);
        assert_eq!(segment.is_uniform(name), is_uniform && !is_plain, "column {name}");
        let values: Vec<(u32, String)> = match column {
            Column::Boolean { .. } => (0..2).map(|code| (code, format!("Boolean({})", code == 1))).collect(),
            Column::Text(_) if !is_plain => {
                let dictionary = segment.dictionary(name).unwrap().unwrap();
                (0..).zip(dictionary.iter()).map(|(code, text)| (code, format!("Text({text:?})"))).collect()
            }
            _ => Vec::new(),
        };
        let is_indexed = column.column_type() == ColumnType::Boolean
            || (column.column_type() == ColumnType::Text && !is_plain && values.len() <= 256);
        assert_eq!(segment.is_value_indexed(name), is_indexed);
        assert_eq!(segment.null_users(name).unwrap().is_some(), is_indexed);
        if !is_indexed {
            assert!(segment.value_users(name, 0).unwrap().is_none());
            continue;
        }
        check_values_by_user(segment, name, &by_user);
        for (code, value) in values {
            let got = segment.value_users(name, code).unwrap().unwrap();
            assert_eq!(set(&got), users.get(&value).cloned().unwrap_or_default(), "{name} = {value}");
        }
        let nulls = users.get("Null").cloned().unwrap_or_default();
        assert_eq!(set(&segment.null_users(name).unwrap().unwrap()), nulls, "{name} IS NULL");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn users_of_a_stretch_are_those_of_its_days(
        seed in any::<u64>(),
        count in 1_usize..300,
        first in some_days(),
        length in 1..500_u64,
        stretches in prop::collection::vec((some_days(), some_days()), 1..12),
        is_wide in prop::bool::weighted(0.1),
    ) {
        let mut random = Random(seed);
        let mut rows = Rows::new(&Schema::default());
        for row in 0..count {
            rows.ordinals.push(row as u32);
            let far = if is_wide && row % 2 == 1 { 40_000 } else { 0 };
            let day = i64::from(first) + random.below(length) as i64 + far;
            rows.ts.push(day * 86_400_000_000 + random.below(86_400_000_000) as i64);
            rows.event.push(Some(["view", "buy"][random.below(2) as usize]));
            rows.event_id.push(None);
        }
        let segment = open(build(&rows, spec(&Schema::default(), 0..count as u32, Tz::UTC), BlockLimits::default()).1);
        let ends = [(i32::MIN, i32::MAX), (i32::MIN, first + 70), (first + 3, i32::MAX)];
        let names = segment.event_names().iter().zip(0..).map(|(name, code)| (Some(code), Some(&**name)));
        for (code, name) in names.chain([(None, None)]) {
            for (from, to) in ends.into_iter().chain(stretches.iter().copied()) {
                let is_in = |row: &usize| {
                    let is_named = name.is_none_or(|name| rows.event.get(*row) == Some(name));
                    is_named && (from..=to).contains(&local_day(Tz::UTC, rows.ts[*row]))
                };
                let expected: BTreeSet<u32> = (0..count).filter(is_in).map(|row| row as u32).collect();
                let found = segment.users_in_days(code, &(from..=to)).unwrap();
                prop_assert_eq!(set(&found), expected, "{:?} from {} to {}", name, from, to);
            }
        }
    }

    #[test]
    fn indexes_agree_with_the_rows(
        seed in any::<u64>(),
        count in 1_usize..150,
        tiny in any::<bool>(),
        zone in 0_usize..5,
    ) {
        let zones = [Tz::UTC, Tz::Europe__Berlin, Tz::America__St_Johns, Tz::Asia__Kathmandu, Tz::Pacific__Apia];
        let mut random = Random(seed);
        // Around a change of the clocks, in both halves of the year, and before 1970.
        let starts = [1_774_746_000_000_000, 1_793_000_000_000_000, -5_000_000_000_000_000];
        let start = starts[random.below(3) as usize];
        let (schema, rows) = random_rows(&mut random, count, start);
        let limits = if tiny { TINY } else { BlockLimits::default() };
        let (_, bytes) = build(&rows, spec(&schema, 0..0, zones[zone]), limits);
        let segment = open(bytes);
        check_events(&rows, &segment, zones[zone]);
        check_values(&rows, &segment);
    }
}

#[test]
fn a_column_that_is_not_stored_is_null_throughout() {
    let (_, bytes) = build(&Rows::default(), spec(&Schema::default(), 0..0, Tz::UTC), TINY);
    let segment = open(bytes);
    assert!(segment.is_uniform("later") && segment.null_users("later").unwrap().is_none());
    assert!(segment.column_stats("later").is_none() && segment.dictionary("later").unwrap().is_none());
}
