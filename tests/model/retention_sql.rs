//! The same through SQL: a table is filled, the call is written out, and every cell of the answer is what the model says,
//! whether it comes from day bitmaps, from a scan or from rows.

use crate::calendar::ZONES;
use crate::case::config;
use crate::retention_case::{Case, Event, case, events, grid};
use crate::retention_model::{matrix, retention};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write;
use trodden_query::arrow::array::{Array, AsArray};
use trodden_query::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use trodden_query::behavior::retention::{Cohorts, Mode, Period, Periods, Windows};
use trodden_query::{Database, Options};

/// Conditions of a call, and what they make of the mask of an event (1 start, 2 return).
type Conditions = (&'static str, fn(u64) -> u64);

const CONDITIONS: [Conditions; 6] = [
    ("start => ['s', 'both'], return => ['r', 'both']", |mask| mask),
    ("start => 'both', return => event = 'r' OR event = 'both'", |mask| if mask == 1 { 0 } else { mask }),
    ("start => 's', return => 'r'", |mask| if mask == 3 { 0 } else { mask }),
    ("start => 's'", |mask| 2 | u64::from(mask == 1)),
    ("return => 'r'", |mask| 1 | if mask == 2 { 2 } else { 0 }),
    ("start => starts, return => returns", |mask| mask),
];

/// What a case asks beside the arguments of the kernel.
#[derive(Debug, Clone)]
struct Shape {
    conditions: usize,
    by: bool,
    /// The colour changes from event to event.
    colours: bool,
    zone_of_table: bool,
    threads: usize,
    flush: bool,
    plain: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    (0..CONDITIONS.len(), any::<[bool; 5]>(), 1..4_usize).prop_map(
        |(conditions, [by, colours, zone_of_table, flush, plain], threads)| Shape {
            conditions,
            by,
            colours,
            zone_of_table,
            threads,
            flush,
            plain,
        },
    )
}

/// 0 for NULL.
fn colour(shape: &Shape, user: usize, event: usize) -> u8 {
    (if shape.colours { user + event } else { user } % 3) as u8
}

fn filled(users: &[Vec<Event>], shape: &Shape, zone: &str) -> Database {
    let database = Database::in_memory(Options { threads: shape.threads, ..Options::default() }).unwrap();
    let zone = if shape.zone_of_table { zone } else { "Asia/Kathmandu" };
    let run = |sql: &str| drop(database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")));
    run(&format!(
        "CREATE TABLE events (seq BIGINT, starts BOOLEAN, returns BOOLEAN, colour TEXT)
           WITH (shards = 2, time_zone = '{zone}')"
    ));
    let mut rows = Vec::new();
    for (user, events) in users.iter().enumerate() {
        for (number, (ts, mask)) in events.iter().enumerate() {
            let name = ["other", "s", "r", "both"][*mask as usize];
            let colour = match colour(shape, user, number) {
                0 => "NULL".to_string(),
                colour => format!("'k{colour}'"),
            };
            let (starts, returns) = (mask & 1 != 0, mask & 2 != 0);
            let row = format!("('u{user}', to_timestamp_micros({ts}), '{name}', {starts}, {returns}, {colour}");
            rows.push((*ts, row));
        }
    }
    // Stable: events of one time keep their order, which is that of their arrival.
    rows.sort_by_key(|(ts, _)| (ts / 7 + ts) % 5);
    let rows: Vec<String> = (0..).zip(rows).map(|(seq, (_, row)): (i64, _)| format!("{row}, {seq})")).collect();
    for rows in rows.chunks(7) {
        let columns = "user_id, ts, event, starts, returns, colour, seq";
        run(&format!("INSERT INTO events ({columns}) VALUES {}", rows.join(", ")));
        if shape.flush {
            run("FLUSH events");
        }
    }
    database
}

fn call(case: &Case, shape: &Shape, input: &str, emit: &str) -> String {
    let spec = &case.spec;
    let mut sql = format!("SELECT * FROM RETENTION({input}, {}", CONDITIONS[shape.conditions].0);
    let mut add = |name: &str, value: String| write!(sql, ", {name} => {value}").unwrap();
    match spec.period {
        Period::Day => {}
        Period::Week { starts_on } => {
            add("period", "INTERVAL '1' WEEK".into());
            let day = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
            add("week_start", format!("'{}'", day[starts_on.num_days_from_monday() as usize]));
        }
        Period::Month => add("period", "'1 month'".into()),
        Period::Days(days) => add("period", format!("INTERVAL '{days}' DAY")),
    }
    match &spec.periods {
        Periods::Count(count) => add("periods", count.to_string()),
        Periods::Brackets(brackets) => add("brackets", format!("{brackets:?}")),
    }
    let mode = match spec.mode {
        Mode::On => "on",
        Mode::OnOrAfter => "on_or_after",
        Mode::OnOrBefore => "on_or_before",
        Mode::Streak => "streak",
    };
    add("mode", format!("'{mode}'"));
    if spec.cohort == Cohorts::Every {
        add("cohort", "'every'".into());
    }
    if spec.windows == Windows::Rolling {
        add("windows", "'rolling'".into());
    }
    add("min_count", spec.min_count.to_string());
    if shape.by {
        add("by", "colour".into());
    }
    if !shape.zone_of_table {
        add("time_zone", format!("'{}'", case.zone.name));
    }
    add("emit", format!("'{emit}'"));
    sql.push(')');
    sql
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:.9}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
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

/// The lines of an answer, which come in order.
fn answer(database: &Database, sql: &str) -> Result<Vec<Vec<String>>, TestCaseError> {
    let answer = database.query_blocking(sql).map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
    let lines = answer.batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
    });
    Ok(lines.collect())
}

fn key(colour: u8) -> String {
    if colour == 0 { "NULL".into() } else { format!("k{colour}") }
}

/// The rows of `emit => 'matrix'`. A group is that of the start event, so each cohort of a user is a user of its own.
fn expected_matrix(case: &Case, users: &[Vec<Event>], shape: &Shape) -> Vec<Vec<String>> {
    let newest = users.iter().flatten().map(|event| event.0).max().unwrap_or(i64::MIN);
    let mut lines = Vec::new();
    for colour_of_group in 0..if shape.by { 3 } else { 1 } {
        let in_group = |user: usize, start: usize| !shape.by || colour(shape, user, start) == colour_of_group;
        let rows = matrix(case, users, newest, in_group);
        for row in rows {
            let mut line = vec![row.cohort_us.to_string()];
            if shape.by {
                line.push(key(colour_of_group));
            }
            line.extend([row.cohort_users.to_string(), row.period.to_string(), row.users.to_string()]);
            line.extend([format!("{:.9}", row.rate), row.complete.to_string()]);
            lines.push((row.cohort_us, colour_of_group, row.period, line));
        }
    }
    // NULL comes first.
    lines.sort();
    lines.into_iter().map(|(.., line)| line).collect()
}

fn expected_users(case: &Case, users: &[Vec<Event>], shape: &Shape) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for (user, events) in users.iter().enumerate() {
        for (cohort_us, start_ts, start, rows) in retention(case, events) {
            let mut line = vec![format!("u{user}")];
            if shape.by {
                line.push(key(colour(shape, user, start)));
            }
            let periods: Vec<String> =
                rows.iter().map(|&row| case.spec.periods.period(row as usize).to_string()).collect();
            line.extend([cohort_us.to_string(), start_ts.to_string(), periods.join(" ")]);
            lines.push(line);
        }
    }
    lines
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        mut case in case(),
        shape in shape(),
        users in grid().prop_flat_map(|grid| vec(events(grid, 7), 0..6)),
    ) {
        if shape.plain {
            (case.spec.windows, case.spec.min_count, case.spec.mode) = (Windows::Calendar, 1, Mode::On);
        }
        let database = filled(&users, &shape, ZONES.iter().find(|zone| zone.name == case.zone.name).unwrap().name);
        let seen: Vec<Vec<Event>> = users
            .iter()
            .map(|events| events.iter().map(|(ts, mask)| (*ts, (CONDITIONS[shape.conditions].1)(*mask))).collect())
            .collect();
        let (matrix, of_users) = (expected_matrix(&case, &seen, &shape), expected_users(&case, &seen, &shape));
        for input in ["events", "(SELECT * FROM events WHERE user_id <> 'nobody')", "(SELECT * FROM events ORDER BY seq)"] {
            let sql = call(&case, &shape, input, "matrix");
            prop_assert_eq!(&answer(&database, &sql)?, &matrix, "{}", sql);
            let sql = call(&case, &shape, input, "users");
            prop_assert_eq!(&answer(&database, &sql)?, &of_users, "{}", sql);
        }
    }
}
