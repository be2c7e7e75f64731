//! Users for the ready-made analyses, drawn so that ties, and events on both sides of the ends of periods, are frequent; the
//! table that holds them, and its answers as text.

use crate::calendar::{DAY_US, ZONES, Zone, month, month_days};
use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::arrow::array::{Array, AsArray};
use trodden_query::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use trodden_query::behavior::periods::{Calendar, Period};
use trodden_query::{Database, Options};

/// Prices, of which the sum depends on the order in which they are added, unless it is exact.
pub(crate) const PRICES: [Option<f64>; 8] =
    [None, Some(0.1), Some(0.7), Some(2.5), Some(1e16), Some(-1e16), Some(-0.3), Some(30.0)];

/// One event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) counts: bool,
    /// 0 is NULL, here and below.
    pub(crate) colour: u8,
    pub(crate) page: u8,
    /// One of [`PRICES`].
    pub(crate) price: usize,
}

/// The periods of a zone, by a calendar of its own.
#[derive(Clone, Copy)]
pub(crate) struct Cal {
    pub(crate) zone: &'static Zone,
    pub(crate) period: Period,
}

impl std::fmt::Debug for Cal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} in {}", self.period, self.zone.name)
    }
}

impl Cal {
    pub(crate) fn kernel(&self) -> Calendar {
        Calendar { period: self.period, time_zone: self.zone.name.parse().unwrap() }
    }

    pub(crate) fn days(&self) -> Self {
        Self { period: Period::Day, ..*self }
    }

    pub(crate) fn number(&self, ts: i64) -> i64 {
        let day = self.zone.day(ts);
        match self.period {
            Period::Day => day,
            // 1970-01-01 was a Thursday.
            Period::Week { starts_on } => (day + 3 - i64::from(starts_on.num_days_from_monday())).div_euclid(7),
            Period::Month => {
                let (year, place) = month(day);
                year * 12 + place - 1
            }
        }
    }

    pub(crate) fn start(&self, number: i64) -> i64 {
        let day = match self.period {
            Period::Day => number,
            Period::Week { starts_on } => number * 7 - 3 + i64::from(starts_on.num_days_from_monday()),
            Period::Month => month_days(number).0,
        };
        self.zone.utc_us(day * DAY_US)
    }

    /// The last period that begins before an instant, from `number` on, which does.
    pub(crate) fn last_before(&self, number: i64, ts: i64) -> i64 {
        (number..).take_while(|&number| self.start(number) < ts).last().unwrap_or(number - 1)
    }
}

pub(crate) fn cal() -> impl Strategy<Value = Cal> {
    let period = prop_oneof![
        3 => Just(Period::Day),
        2 => (0..7_u8).prop_map(|day| Period::Week { starts_on: day.try_into().unwrap() }),
        2 => Just(Period::Month),
    ];
    (period, 0..ZONES.len()).prop_map(|(period, zone)| Cal { zone: &ZONES[zone], period })
}

/// Events in total order on a grid. Some lie a microsecond beside it.
pub(crate) fn events((from, step): (i64, i64), count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let beside = prop_oneof![4 => Just(0_i64), 1 => Just(-1), 1 => Just(1)];
    let counts = prop_oneof![3 => Just(true), 1 => Just(false)];
    let event = (0..13_i64, beside, counts, 0..3_u8, 0..4_u8, 0..PRICES.len());
    let event = event.prop_map(move |(at, beside, counts, colour, page, price)| Event {
        ts: from + at * step + beside,
        counts,
        colour,
        page,
        price,
    });
    vec(event, 0..=count_max).prop_map(|mut events| {
        events.sort_by_key(|event| event.ts);
        events
    })
}

/// What a case asks beside the arguments of an analysis.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// One of [`ON`].
    pub(crate) on: usize,
    /// How many columns `by` has: none, the colour, the colour and the page.
    pub(crate) by: usize,
    /// Whether all events of a user have the same colour and page.
    pub(crate) constant: bool,
    pub(crate) zone_of_table: bool,
    pub(crate) flush: bool,
    pub(crate) threads: usize,
}

/// Ways to say which events count.
pub(crate) const ON: [&str; 4] = ["", "on => 'yes', ", "on => counts, ", "on => ['yes', 'gone'], "];
/// Ways to say `by`.
const BY: [&str; 3] = ["", ", by => colour", ", by => (colour, page)"];
/// Inputs with the same events: the table itself, through indexes where they answer; the same, filtered; rows.
pub(crate) const INPUTS: [&str; 3] =
    ["events", "(SELECT * FROM events WHERE user_id <> 'nobody')", "(SELECT * FROM events ORDER BY seq)"];

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    (0..ON.len(), 0..BY.len(), any::<[bool; 3]>(), 1..4_usize).prop_map(
        |(on, by, [constant, zone_of_table, flush], threads)| Shape { on, by, constant, zone_of_table, flush, threads },
    )
}

/// A group: its codes, of which 0 is NULL and comes first.
pub(crate) type Group = Vec<u8>;

impl Shape {
    /// The users as the table holds them.
    pub(crate) fn stored(&self, mut users: Vec<Vec<Event>>) -> Vec<Vec<Event>> {
        for events in users.iter_mut().filter(|_| self.constant) {
            let first = events.first().map(|event| (event.colour, event.page));
            for event in events {
                (event.colour, event.page) = first.unwrap_or_default();
            }
        }
        users
    }

    /// The stored users as the call sees them.
    pub(crate) fn seen(&self, stored: &[Vec<Event>]) -> Vec<Vec<Event>> {
        let counts = |event: &Event| Event { counts: event.counts || self.on == 0, ..*event };
        stored.iter().map(|events| events.iter().map(counts).collect()).collect()
    }

    /// The group of an event.
    pub(crate) fn group(&self, event: &Event) -> Group {
        [event.colour, event.page][..self.by].to_vec()
    }

    /// The group of the first event that counts; `None` where none does.
    pub(crate) fn group_of_user(&self, events: &[Event]) -> Option<Group> {
        events.iter().find(|event| event.counts).map(|event| self.group(event))
    }

    /// What is behind `by` and the zone in a call.
    pub(crate) fn arguments(&self, cal: &Cal) -> String {
        let zone = if self.zone_of_table { String::new() } else { format!(", time_zone => '{}'", cal.zone.name) };
        format!("{}{zone}", BY[self.by])
    }
}

/// The cells of a group.
pub(crate) fn group_cells(group: &[u8]) -> Vec<String> {
    let cell = |(place, code): (usize, &u8)| match code {
        0 => "NULL".to_string(),
        code => format!("{}{code}", ["k", "p"][place]),
    };
    group.iter().enumerate().map(cell).collect()
}

fn text(code: u8, letter: &str) -> String {
    if code == 0 { "NULL".into() } else { format!("'{letter}{code}'") }
}

/// A table with these users, whose zone is `zone`, or another one.
pub(crate) fn filled(users: &[Vec<Event>], shape: &Shape, zone: &str) -> Database {
    let database = Database::in_memory(Options { threads: shape.threads, ..Options::default() }).unwrap();
    let zone = if shape.zone_of_table { zone } else { "Asia/Kathmandu" };
    let run = |sql: &str| drop(database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")));
    run(&format!(
        "CREATE TABLE events (seq BIGINT, counts BOOLEAN, colour TEXT, page TEXT, price DOUBLE)
           WITH (shards = 2, time_zone = '{zone}')"
    ));
    let mut rows = Vec::new();
    for (user, events) in users.iter().enumerate() {
        for Event { ts, counts, colour, page, price } in events {
            let name = if *counts { "yes" } else { "no" };
            let price = PRICES[*price].map_or("NULL".to_string(), |price| format!("CAST('{price}' AS DOUBLE)"));
            let (colour, page) = (text(*colour, "k"), text(*page, "p"));
            rows.push((
                *ts,
                format!("('u{user}', to_timestamp_micros({ts}), '{name}', {counts}, {colour}, {page}, {price}"),
            ));
        }
    }
    // Stable: events of one time keep their order, which is that of their arrival.
    rows.sort_by_key(|(ts, _)| (ts / 7 + ts) % 5);
    let rows: Vec<String> = (0..).zip(rows).map(|(seq, (_, row)): (i64, _)| format!("{row}, {seq})")).collect();
    for rows in rows.chunks(7) {
        let columns = "user_id, ts, event, counts, colour, page, price, seq";
        run(&format!("INSERT INTO events ({columns}) VALUES {}", rows.join(", ")));
        if shape.flush {
            run("FLUSH events");
        }
    }
    database
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => number(Some(column.as_primitive::<Float64Type>().value(row))),
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

/// A number as the cells have it, to the last bit.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "NULL".into(), |value| format!("{value:?}"))
}

/// The lines of an answer, which come in order.
pub(crate) fn answer(database: &Database, sql: &str) -> Result<Vec<Vec<String>>, TestCaseError> {
    let answer = database.query_blocking(sql).map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
    let lines = answer.batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
    });
    Ok(lines.collect())
}

/// The argument of a calendar period, with the day that weeks start on.
pub(crate) fn period_argument(name: &str, period: Period) -> String {
    match period {
        Period::Day => format!("{name} => INTERVAL '1' DAY"),
        Period::Month => format!("{name} => '1 month'"),
        Period::Week { starts_on } => {
            let day = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
            let day = day[starts_on.num_days_from_monday() as usize];
            format!("{name} => INTERVAL '1' WEEK, week_start => '{day}'")
        }
    }
}

/// The time of the newest event; the beginning of time where there is none.
pub(crate) fn newest(users: &[Vec<Event>]) -> i64 {
    users.iter().flatten().map(|event| event.ts).max().unwrap_or(i64::MIN)
}

/// Merge any two of `parts` until one is left.
pub(crate) fn merged<T: Default>(mut parts: Vec<T>, picks: &[prop::sample::Index], merge: impl Fn(&mut T, T)) -> T {
    let mut picks = picks.iter().cycle();
    while parts.len() > 1 {
        let pick = picks.next().unwrap();
        let other = parts.swap_remove(pick.index(parts.len()));
        let into = pick.index(parts.len());
        merge(&mut parts[into], other);
    }
    parts.pop().unwrap_or_default()
}
