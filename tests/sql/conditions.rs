//! Conditions, counts and extremes of an event table against the same rows in a plain table of DataFusion, which knows
//! nothing of segments, bitmaps and statistics.

use crate::support::{TestDatabase, rows};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::runtime::Runtime;
use trodden_query::Options;
use trodden_query::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use trodden_query::arrow::datatypes::{DataType, Field, Schema, TimeUnit};

/// A row before it is written anywhere. Numbers stand for values of a few.
#[derive(Debug, Clone)]
struct Row {
    user: u8,
    hour: u8,
    event: u8,
    id: Option<u16>,
    colour: Option<u8>,
    size: Option<i8>,
    price: Option<u8>,
    vip: Option<bool>,
    due: Option<u8>,
}

const EVENTS: [&str; 4] = ["apple", "banana", "ab%c", "Apple"];
const PRICES: [&str; 5] = ["-0.0", "0.0", "1.5", "NaN", "-7"];
/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;

impl Row {
    fn ts_us(&self) -> i64 {
        START_US + i64::from(self.hour) * 3_600_000_000
    }

    fn due_us(&self) -> Option<i64> {
        self.due.map(|hour| START_US + i64::from(hour) * 3_600_000_000)
    }

    fn price(&self) -> Option<f64> {
        self.price.map(|price| PRICES[price as usize].parse().expect("a number"))
    }
}

fn row() -> impl Strategy<Value = Row> {
    let option = proptest::option::of::<std::ops::Range<u8>>;
    (
        (0..5u8, 0..72u8, 0..4u8, proptest::option::of(0..6u16)),
        (option(0..3), proptest::option::of(-2..4i8), option(0..5), proptest::option::of(any::<bool>()), option(0..72)),
    )
        .prop_map(|((user, hour, event, id), (colour, size, price, vip, due))| Row {
            user,
            hour,
            event,
            id,
            colour,
            size,
            price,
            vip,
            due,
        })
}

/// `size` as it is once a value with a fraction was stored: a DOUBLE.
type Size = fn(&[Row]) -> ArrayRef;

fn whole_sizes(rows: &[Row]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.size.map(i64::from)).collect::<Int64Array>())
}

fn double_sizes(rows: &[Row]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.size.map(f64::from)).collect::<Float64Array>())
}

/// The rows as a plain table called `events`. `seq` is the place in `rows`.
fn plain(rows: &[(usize, Row)], size: Size) -> SessionContext {
    let seq = rows.iter().map(|(seq, _)| *seq as i64).collect::<Int64Array>();
    let rows: Vec<Row> = rows.iter().map(|(_, row)| row.clone()).collect();
    let times =
        |times: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) };
    let texts = |text: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(text).collect::<StringViewArray>())
    };
    let sizes = size(&rows);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", texts(&|row| Some(format!("u{}", row.user)))),
        ("ts", times(rows.iter().map(|row| Some(row.ts_us())).collect())),
        ("event", texts(&|row| Some(EVENTS[row.event as usize].into()))),
        ("event_id", texts(&|row| row.id.map(|id| format!("i{id}")))),
        ("seq", Arc::new(seq)),
        ("colour", texts(&|row| row.colour.map(|colour| format!("k{colour}")))),
        ("size", sizes),
        ("price", Arc::new(rows.iter().map(Row::price).collect::<Float64Array>())),
        ("vip", Arc::new(rows.iter().map(|row| row.vip).collect::<BooleanArray>())),
        ("due", times(rows.iter().map(Row::due_us).collect())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    assert_eq!(fields[1].data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, column)| column).collect());
    let context = SessionContext::new();
    let table = MemTable::try_new(schema, vec![vec![batch.expect("a batch")]]).expect("a table");
    context.register_table("events", Arc::new(table)).expect("registered");
    context
}

fn literal<T: ToString>(value: Option<T>) -> String {
    value.map_or("NULL".into(), |value| value.to_string())
}

fn insert(test: &TestDatabase, all: &[(usize, Row)], pieces: usize, flush: bool) {
    for rows in all.chunks(pieces.max(1)) {
        let row = |(seq, row): &(usize, Row)| {
            let quoted = |value: Option<String>| value.map_or("NULL".into(), |value| format!("'{value}'"));
            format!(
                "('u{}', to_timestamp_micros({}), '{}', {}, {seq}, {}, {}, CAST({} AS DOUBLE), {}, {})",
                row.user,
                row.ts_us(),
                EVENTS[row.event as usize],
                quoted(row.id.map(|id| format!("i{id}"))),
                quoted(row.colour.map(|colour| format!("k{colour}"))),
                literal(row.size),
                quoted(row.price.map(|price| PRICES[price as usize].into())),
                literal(row.vip),
                row.due_us().map_or("NULL".into(), |us| format!("to_timestamp_micros({us})")),
            )
        };
        let values: Vec<String> = rows.iter().map(row).collect();
        let columns = "user_id, ts, event, event_id, seq, colour, size, price, vip, due";
        test.run(&format!("INSERT INTO events ({columns}) VALUES {}", values.join(", "))).expect("rows");
        if flush {
            test.run("FLUSH events").expect("flushed");
        }
    }
}

/// Without the duplicates that the table would not store: ids are told apart by user.
fn without_duplicates(all: Vec<Row>) -> Vec<(usize, Row)> {
    let mut seen = std::collections::HashSet::new();
    let rows = all.into_iter().filter(|row| row.id.is_none_or(|id| seen.insert((row.user, id))));
    rows.enumerate().collect()
}

fn atom() -> impl Strategy<Value = String> {
    let fixed = proptest::sample::select(
        &[
            "event LIKE 'a%'",
            "event NOT LIKE '%a'",
            "event ILIKE 'APPLE'",
            "event NOT ILIKE 'b%'",
            r"event LIKE 'ab\%c'",
            "event LIKE '_pple'",
            "event SIMILAR TO '(apple|banana)'",
            "event IN ('apple', 'apple', 'nothing')",
            "event NOT IN ('apple', 'banana')",
            "event > 'Apple'",
            "user_id IN ('u1', 'u1', 'u2', 'nobody')",
            "user_id IN ('u3')",
            "user_id NOT IN ('u1', 'u1')",
            "user_id NOT IN ('u1', NULL)",
            "user_id = 'u0'",
            "user_id > 'u2'",
            "colour IN ('k0', NULL, 'k0')",
            "colour NOT IN ('k0', NULL)",
            "colour NOT IN ('k0', 'k2', 'k0')",
            // In parentheses: the parser of the plain table takes an AND or OR behind it for a part of the operand.
            "(colour IS DISTINCT FROM 'k1')",
            "(colour IS NOT DISTINCT FROM 'k1')",
            "(colour IS NOT DISTINCT FROM NULL)",
            "colour IS NULL",
            "colour = NULL",
            "lower(colour) <> 'k1'",
            "coalesce(colour, 'none') = 'none'",
            "colour || event = 'k1apple'",
            "size NOT BETWEEN 0 AND 1",
            "size BETWEEN -1 AND 2",
            "size BETWEEN NULL AND 2",
            "size NOT BETWEEN 1 AND NULL",
            "size = 1.0",
            "size > 0.5",
            "CAST(size AS TEXT) = '1'",
            "CAST(size AS DOUBLE) < 1.5",
            "(size IS DISTINCT FROM 2)",
            "(size IS NOT DISTINCT FROM NULL)",
            "size IN (1, NULL, 3)",
            "size NOT IN (1, 3)",
            "size % 2 = 0",
            "price = 0",
            "price <> 0",
            "price > -0.0",
            "price >= 0",
            "price IN (0.0, 1.5)",
            "price NOT IN (0.0, 1.5)",
            "price > 1e300",
            "price = CAST('NaN' AS DOUBLE)",
            "price < CAST('NaN' AS DOUBLE)",
            "(price IS DISTINCT FROM 1.5)",
            "price > size",
            "ts >= DATE '2026-01-02'",
            "ts < DATE '2026-01-03'",
            "ts = DATE '2026-01-02'",
            "ts <> TIMESTAMP '2026-01-02 05:00:00'",
            "ts NOT BETWEEN '2026-01-01 12:00:00' AND '2026-01-02 12:00:00'",
            "ts BETWEEN DATE '2026-01-02' AND DATE '2026-01-03'",
            "CAST(ts AS DATE) = DATE '2026-01-02'",
            "date_part('hour', ts) < 6",
            "ts IN (TIMESTAMP '2026-01-02 05:00:00', TIMESTAMP '2026-01-01 07:00:00')",
            "NOT (ts > '2026-01-02 12:00:00')",
            "due > ts",
            "due < DATE '2026-01-02'",
            "(due IS NOT DISTINCT FROM ts)",
            "vip",
            "NOT vip",
            "vip IS NOT TRUE",
            "vip IS UNKNOWN",
            "vip = (size > 0)",
            "event_id IS NULL",
            "event_id IN ('i1', 'i1', 'i4')",
            "event_id NOT LIKE 'i1%'",
            "event_id <> 'i3'",
            "CASE WHEN vip THEN size > 0 ELSE colour = 'k1' END",
            "true",
            "NULL",
        ][..],
    );
    let days = (1..4u8, 0..24u8, proptest::sample::select(&["<", "<=", ">", ">=", "=", "<>"][..]))
        .prop_map(|(day, hour, op)| format!("ts {op} '2026-01-0{day} {hour:02}:00:00'"));
    prop_oneof![6 => fixed.prop_map(String::from), 1 => days]
}

fn condition() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

fn of_plain(runtime: &Runtime, context: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let answer = runtime.block_on(async { context.sql(sql).await?.collect().await });
    answer.map(|batches| rows(&batches)).map_err(|error| error.to_string())
}

const CREATE: &str =
    "CREATE TABLE events (seq BIGINT, colour TEXT, size BIGINT, price DOUBLE, vip BOOLEAN, due TIMESTAMP)
                      WITH (shards = 2)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_condition_finds_the_rows_that_it_finds_in_a_plain_table(
        all in vec(row(), 1..40),
        conditions in vec(condition(), 8),
        (pieces, flush, threads) in (1..20usize, any::<bool>(), 1..4usize),
    ) {
        let runtime = Runtime::new().expect("threads");
        let all = without_duplicates(all);
        let test = TestDatabase::in_memory_with(Options { threads, ..Options::default() });
        test.run(CREATE).expect("a table");
        insert(&test, &all, pieces, flush);
        let context = plain(&all, whole_sizes);
        for condition in conditions {
            let sql = format!("SELECT seq FROM events WHERE {condition} ORDER BY seq");
            let found = test.run(&sql).map(|answer| rows(&answer.batches)).map_err(|error| error.to_string());
            match of_plain(&runtime, &context, &sql) {
                Ok(expected) => prop_assert_eq!(found, Ok(expected), "{}", sql),
                Err(_) => prop_assert!(found.is_err(), "{}", sql),
            }
        }
    }
}

/// Counts and extremes of every column: each alone, which statistics may answer, and all together, which they may not.
fn extremes() -> Vec<String> {
    let columns = ["user_id", "ts", "event", "event_id", "seq", "colour", "size", "price", "vip", "due"];
    let of = |column: &str| format!("count({column}), min({column}), max({column}), count(DISTINCT {column})");
    let all = format!("SELECT count(*), {} FROM events", columns.map(of).join(", "));
    let counts = columns.iter().map(|column| format!("SELECT count(*), count({column}) FROM events"));
    let bounds = columns.iter().map(|column| format!("SELECT min({column}), max({column}) FROM events"));
    counts.chain(bounds).chain([all]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_extremes_are_those_of_a_plain_table(all in vec(row(), 1..30), pieces in 1..12usize) {
        let runtime = Runtime::new().expect("threads");
        let mut all = without_duplicates(all);
        let test = TestDatabase::in_memory();
        test.run(CREATE).expect("a table");
        insert(&test, &all, pieces, false);
        let check = |all: &[(usize, Row)], size: Size, what: &str| {
            let context = plain(all, size);
            for sql in extremes() {
                let expected = of_plain(&runtime, &context, &sql).expect("an answer");
                prop_assert_eq!(test.rows(&sql), expected, "{}: {}", what, sql);
            }
            Ok(())
        };
        check(&all, whole_sizes, "in memory")?;
        test.run("FLUSH events").expect("flushed");
        check(&all, whole_sizes, "in segments")?;
        test.run("DELETE FROM events WHERE user_id = 'u1'").expect("deleted");
        all.retain(|(_, row)| row.user != 1);
        check(&all, whole_sizes, "after a deletion")?;
        // A value with a fraction widens the column; the user goes again, the type stays.
        test.run("INSERT INTO events (user_id, ts, event, size) VALUES ('wide', '2026-01-01', 'apple', 0.5)").expect("a row");
        test.run("FLUSH events").expect("flushed");
        test.run("DELETE FROM events WHERE user_id = 'wide'").expect("deleted");
        check(&all, double_sizes, "after widening")?;
        test.run("OPTIMIZE TABLE events").expect("merged");
        check(&all, double_sizes, "in one segment")?;
    }
}
