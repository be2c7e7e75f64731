//! The same through SQL: a table is filled, the call is written out, and every cell of the answer is what the model says.

use crate::calendar::ZONES;
use crate::case::{Event, config, events, spec};
use crate::funnel_model;
use crate::funnel_partial::{close, naive_rows};
use crate::funnel_rows::{attributed, attribution, bucket_and_zone, moment, stretch};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use trodden_query::arrow::array::{Array, AsArray, RecordBatch};
use trodden_query::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use trodden_query::behavior::funnel::{Attribution, Bucket, Count, FunnelSpec, Order, Ties};
use trodden_query::{Database, Options};

/// What a case asks beside the arguments of the kernel.
#[derive(Debug, Clone)]
struct Shape {
    by: usize,
    users: bool,
    /// Steps by their names, where a number would do.
    by_name: bool,
    /// The zone is that of the table.
    zone_of_table: bool,
    seed: usize,
    threads: usize,
    flush: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    (0..BY.len(), any::<[bool; 4]>(), 0..100_usize, 1..4_usize).prop_map(
        |(by, [users, by_name, zone_of_table, flush], seed, threads)| Shape {
            by,
            users,
            by_name,
            zone_of_table,
            seed,
            threads,
            flush,
        },
    )
}

/// Columns of a row that `by` reads.
#[derive(Debug, Clone, Copy)]
struct Cells {
    colour: Option<usize>,
    size: Option<usize>,
    ts: i64,
}

fn cells(user: usize, event: usize, seed: usize, ts: i64) -> Cells {
    let dice = user * 7 + event * 5 + event * event + seed;
    Cells { colour: Some(dice % 3).filter(|v| *v > 0), size: Some(dice % 4).filter(|v| *v > 0), ts }
}

const NULL: &str = "NULL";

fn text(value: Option<impl ToString>) -> String {
    value.map_or(NULL.into(), |value| value.to_string())
}

fn colour(cells: Cells) -> Option<String> {
    cells.colour.map(|colour| format!("k{colour}"))
}

/// Expressions for `by`, and what they make of a row.
type By = (&'static str, fn(Cells) -> Vec<String>);
const BY: [By; 7] = [
    ("", |_| Vec::new()),
    ("colour", |c| vec![text(colour(c))]),
    ("coalesce(colour, 'none')", |c| vec![colour(c).unwrap_or("none".into())]),
    ("CASE WHEN colour = 'k1' THEN 'one' ELSE 'other' END", |c| {
        vec![if c.colour == Some(1) { "one" } else { "other" }.into()]
    }),
    ("(colour, size * 2)", |c| vec![text(colour(c)), text(c.size.map(|size| size * 2))]),
    ("CAST(date_part('minute', ts) AS BIGINT)", |c| vec![text(Some(c.ts.div_euclid(60_000_000).rem_euclid(60)))]),
    ("('all', coalesce(size, 0))", |c| vec!["all".into(), text(Some(c.size.unwrap_or(0)))]),
];

fn call(spec: &FunnelSpec, shape: &Shape, zone: &str, input: &str) -> String {
    let steps: Vec<String> = (0..spec.steps.len()).map(|step| format!("s{step} => m{step}")).collect();
    let mut sql = format!("SELECT * FROM FUNNEL({input}, STEPS({})", steps.join(", "));
    let mut add = |name: &str, value: String| write!(sql, ", {name} => {value}").unwrap();
    let span = |us: i64| format!("'{us} microseconds'");
    let step = |number: usize| if shape.by_name { format!("'s{}'", number - 1) } else { number.to_string() };
    if let Some(us) = spec.within_us {
        add("within", span(us));
    }
    if !spec.step_within_us.is_empty() {
        let limits: Vec<String> = spec.step_within_us.iter().map(|limit| limit.map_or(NULL.into(), span)).collect();
        add("step_within", format!("[{}]", limits.join(", ")));
    }
    add(
        "order",
        match spec.order {
            Order::Ordered => "'ordered'",
            Order::Strict => "'strict'",
            Order::Any => "'any'",
        }
        .into(),
    );
    add(
        "ties",
        match spec.ties {
            Ties::Any => "'any'",
            Ties::Arrival => "'arrival'",
            Ties::Increase => "'increase'",
        }
        .into(),
    );
    let exclude = |(i, e): (usize, &trodden_query::behavior::funnel::Exclude)| {
        format!("EXCLUDE(x{i}, after => {}, before => {})", step(e.after), step(e.before))
    };
    let excludes: Vec<String> = spec.excludes.iter().enumerate().map(exclude).collect();
    add("exclude", format!("[{}]", excludes.join(", ")));
    if spec.hold {
        add("hold", "held".into());
    }
    if spec.count == Count::Attempts {
        add("count", "'attempts'".into());
    }
    if !BY[shape.by].0.is_empty() {
        add("by", BY[shape.by].0.into());
    }
    add(
        "attribution",
        match spec.attribution {
            Attribution::First => "'first'".into(),
            Attribution::Last => "'last'".into(),
            Attribution::Step(number) => step(number),
        },
    );
    if let Some(bucket) = spec.bucket {
        add(
            "bucket",
            match bucket {
                Bucket::Day => "'day'".into(),
                Bucket::Week => "INTERVAL '1' WEEK".into(),
                Bucket::Month => "'1 month'".into(),
                Bucket::IntervalUs(us) => span(us),
            },
        );
    }
    if !shape.zone_of_table {
        add("time_zone", format!("'{zone}'"));
    }
    add("emit", if shape.users { "'users'" } else { "'steps'" }.into());
    sql.push(')');
    sql
}

/// A database with the users' events, which arrive in another order than that of their times.
fn filled(users: &[Vec<Event>], shape: &Shape, zone: &str) -> Database {
    let database = Database::in_memory(Options { threads: shape.threads, ..Options::default() }).unwrap();
    let zone = if shape.zone_of_table { zone } else { "Asia/Kathmandu" };
    let run = |sql: &str| drop(database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")));
    run(&format!(
        "CREATE TABLE events (seq BIGINT, m0 BOOLEAN, m1 BOOLEAN, m2 BOOLEAN, m3 BOOLEAN, x0 BOOLEAN, x1 BOOLEAN,
           held TEXT, colour TEXT, size BIGINT) WITH (shards = 2, time_zone = '{zone}')"
    ));
    let all = users
        .iter()
        .enumerate()
        .flat_map(|(user, events)| events.iter().enumerate().map(move |(number, event)| (user, number, event)));
    let mut rows: Vec<(usize, usize, &Event)> = all.collect();
    // Stable: events of one time keep their order, which is that of their arrival.
    rows.sort_by_key(|(_, _, event)| (event.ts / 7 + event.ts) % 5);
    for (piece, rows) in rows.chunks(5).enumerate() {
        let row = |(at, &(user, number, event)): (usize, &(usize, usize, &Event))| {
            let of = cells(user, number, shape.seed, event.ts);
            let bits = |mask: u64, count: usize| {
                let bits = (0..count).map(|bit| if mask >> bit & 1 != 0 { "true" } else { "false" });
                bits.collect::<Vec<_>>().join(", ")
            };
            let quoted = |value: Option<String>| value.map_or(NULL.into(), |value| format!("'{value}'"));
            let held = quoted((event.hold != 0).then(|| format!("h{}", event.hold)));
            format!(
                "('u{user}', to_timestamp_micros({}), 'e', {}, {}, {}, {held}, {}, {})",
                event.ts,
                piece * 5 + at,
                bits(event.steps, 4),
                bits(event.excludes, 2),
                quoted(colour(of)),
                text(of.size),
            )
        };
        let rows: Vec<String> = rows.iter().enumerate().map(row).collect();
        run(&format!(
            "INSERT INTO events (user_id, ts, event, seq, m0, m1, m2, m3, x0, x1, held, colour, size) VALUES {}",
            rows.join(", ")
        ));
        if shape.flush {
            run("FLUSH events");
        }
    }
    database
}

/// Cells that are compared as they are, then numbers that are computed.
type Line = (Vec<String>, Vec<Option<f64>>);

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return NULL.into();
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|at| cell(&list, at)).collect::<Vec<_>>().join(" ")
        }
        other => panic!("a column of type {other}"),
    }
}

fn lines(batches: &[RecordBatch]) -> Vec<Line> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut line: Line = Default::default();
            for column in batch.columns() {
                match column.as_primitive_opt::<Float64Type>() {
                    Some(numbers) => line.1.push(numbers.is_valid(row).then(|| numbers.value(row))),
                    None => line.0.push(cell(column, row)),
                }
            }
            lines.push(line);
        }
    }
    lines
}

/// The cells of `by`, and the beginning of the bucket where there is one.
type Group = (Vec<String>, Option<i64>);

/// What the definitions say.
fn expected(spec: &FunnelSpec, users: &[Vec<Event>], shape: &Shape, zone: usize) -> Vec<Line> {
    let by_columns = (BY[shape.by].1)(cells(0, 0, 0, 0)).len();
    let mut lines = Vec::new();
    let mut groups: BTreeMap<Group, Vec<Vec<i64>>> = BTreeMap::new();
    for (user, events) in users.iter().enumerate() {
        for (chain, reason) in funnel_model::funnel(spec, events) {
            let event = attributed(&chain, spec.attribution);
            let value = |event: usize| (BY[shape.by].1)(cells(user, event, shape.seed, events[event].ts));
            let by = event.map_or(vec![NULL.into(); by_columns], value);
            let times: Vec<i64> = chain.iter().map(|&event| events[event as usize].ts).collect();
            if shape.users {
                let list: Vec<String> = times.iter().map(i64::to_string).collect();
                let mut line = vec![format!("u{user}")];
                line.extend(by);
                line.extend([times[0].to_string(), times.len().to_string(), list.join(" ")]);
                line.push(text(reason.map(|reason| reason.name())));
                lines.push((line, Vec::new()));
                continue;
            }
            let bucket = spec.bucket.map(|bucket| ZONES[zone].start_us(bucket, times[0]));
            groups.entry((by, bucket)).or_default().push(times);
        }
    }
    if groups.is_empty() && by_columns == 0 && spec.bucket.is_none() && !shape.users {
        groups.insert(Default::default(), Vec::new());
    }
    for ((by, bucket), chains) in groups {
        for row in naive_rows(&chains, spec.steps.len()) {
            let mut line = by.clone();
            line.extend(bucket.map(|us| us.to_string()));
            line.extend([
                row.step.to_string(),
                format!("s{}", row.step - 1),
                row.users.to_string(),
                row.dropped.to_string(),
            ]);
            let seconds = [row.median_seconds, row.p90_seconds, row.median_seconds_total];
            lines.push((line, [[row.conversion, row.step_conversion].as_slice(), &seconds].concat()));
        }
    }
    lines
}

fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        (spec, users, attribution) in spec(4).prop_flat_map(|spec| {
            let steps = spec.steps.len();
            (Just(spec), vec(events(steps, 5), 0..6), attribution(steps))
        }),
        (bucket, zone) in bucket_and_zone(),
        (start_us, step_us) in moment(),
        shape in shape(),
    ) {
        let (mut spec, mut users) = (spec, users);
        stretch(&mut spec, &mut users, start_us, step_us);
        (spec.attribution, spec.bucket) = (attribution, bucket);
        let name = ZONES[zone].name;
        let expected = sorted(expected(&spec, &users, &shape, zone));
        let database = filled(&users, &shape, name);
        for input in ["events", "(SELECT * FROM events ORDER BY seq)"] {
            let sql = call(&spec, &shape, name, input);
            let answer = database.query_blocking(&sql);
            let answer = answer.map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
            let found = sorted(lines(&answer.batches));
            prop_assert_eq!(found.len(), expected.len(), "{}\n{:?}\n{:?}", sql, found, expected);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert_eq!(&found.0, &expected.0, "{}", sql);
                let same = found.1.len() == expected.1.len() && found.1.iter().zip(&expected.1).all(|(a, b)| close(*a, *b));
                prop_assert!(same, "{}\n{:?}\n{:?}", sql, found, expected);
            }
        }
    }
}
