//! SEGMENT by brute force, and against it: every cell through SQL, for random expressions over random events, whether bitmaps
//! answer, or a scan of those whom they leave open, or rows.
//!
//! The model is written from the reference: every user is asked for every part of the expression, event by event. It shares
//! nothing with the kernel.

use crate::analysis_case::{Cal, Event, PRICES, Shape, answer, events, filled, number, shape};
use crate::calendar::ZONES;
use crate::case::config;
use crate::retention_case::grid;
use crate::segment_users::{self, Facts, facts};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use trodden_query::Database;
use trodden_query::behavior::periods::Period;

/// Which events a condition means.
type Means = fn(&Event) -> bool;

/// What `DID` may be asked.
const CONDITIONS: [(&str, Means); 9] = [
    ("'yes'", |event| event.counts),
    ("'no'", |event| !event.counts),
    ("colour = 'k1'", |event| event.colour == 1),
    ("event = 'yes' AND page = 'p2'", |event| event.counts && event.page == 2),
    ("price > 1", |event| PRICES[event.price].is_some_and(|price| price > 1.0)),
    ("['yes', 'gone']", |event| event.counts),
    ("colour IS NULL", |event| event.colour == 0),
    ("", |_| true),
    ("'gone'", |_| false),
];

/// One `DID`.
#[derive(Debug, Clone)]
pub(crate) struct Did {
    condition: usize,
    at_least: Option<u32>,
    at_most: Option<u32>,
    exactly: Option<u32>,
    days: Option<u32>,
    since: Option<i64>,
    until: Option<i64>,
    within: Option<i64>,
}

impl Did {
    fn text(&self, name: &str) -> String {
        let mut arguments: Vec<String> = Vec::new();
        let condition = CONDITIONS[self.condition].0;
        arguments.extend((!condition.is_empty()).then(|| condition.to_string()));
        let numbers = [("at_least", self.at_least), ("at_most", self.at_most), ("exactly", self.exactly)];
        for (name, number) in numbers.into_iter().chain([("days_at_least", self.days)]) {
            arguments.extend(number.map(|number| format!("{name} => {number}")));
        }
        for (name, instant) in [("since", self.since), ("until", self.until)] {
            arguments.extend(instant.map(|us| format!("{name} => to_timestamp_micros({us})")));
        }
        arguments.extend(self.within.map(|us| format!("within => '{us} microseconds'")));
        format!("{name}({})", arguments.join(", "))
    }

    fn is_true(&self, case: &Case, events: &[Event]) -> bool {
        let is_in_time = |ts: i64| {
            let back = self.within.zip(case.as_of).is_none_or(|(within, as_of)| ts >= as_of - within && ts <= as_of);
            self.since.is_none_or(|since| ts >= since) && self.until.is_none_or(|until| ts < until) && back
        };
        let counts = |event: &&Event| CONDITIONS[self.condition].1(event) && is_in_time(event.ts);
        let found: Vec<&Event> = events.iter().filter(counts).collect();
        let days: BTreeSet<i64> = found.iter().map(|event| case.cal.days().number(event.ts)).collect();
        let count = found.len() as u32;
        let least = self.at_least.or(self.exactly).unwrap_or(1);
        count >= least
            && self.at_most.or(self.exactly).is_none_or(|most| count <= most)
            && self.days.is_none_or(|least| days.len() as u32 >= least)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Did(Did),
    DidNot(Did),
    /// What is said of the user, by the number of the condition.
    User(usize),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Always(bool),
}

impl Expression {
    pub(crate) fn text(&self) -> String {
        let joined = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(Self::text).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Self::Did(did) => did.text("DID"),
            Self::DidNot(did) => did.text("did_not"),
            Self::User(condition) => segment_users::CONDITIONS[*condition].0.to_string(),
            Self::And(parts) => joined(parts, " AND "),
            Self::Or(parts) => joined(parts, " OR "),
            Self::Not(inner) => format!("NOT {}", inner.text()),
            Self::Always(truth) => truth.to_string(),
        }
    }

    /// `None`: neither true nor false.
    fn truth(&self, case: &Case, user: &str, events: &[Event]) -> Option<bool> {
        let of = |part: &Self| part.truth(case, user, events);
        match self {
            Self::Did(did) => Some(did.is_true(case, events)),
            Self::DidNot(did) => Some(!did.is_true(case, events)),
            Self::User(condition) => case.facts.truth(*condition, user, case.as_of),
            Self::And(parts) if parts.iter().any(|part| of(part) == Some(false)) => Some(false),
            Self::And(parts) => parts.iter().all(|part| of(part) == Some(true)).then_some(true),
            Self::Or(parts) if parts.iter().any(|part| of(part) == Some(true)) => Some(true),
            Self::Or(parts) => parts.iter().all(|part| of(part) == Some(false)).then_some(false),
            Self::Not(inner) => of(inner).map(|truth| !truth),
            Self::Always(truth) => Some(*truth),
        }
    }
}

/// A call: the expressions, and the time of the input and of the question.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) cal: Cal,
    pub(crate) expressions: Vec<Expression>,
    pub(crate) facts: Facts,
    as_of: Option<i64>,
    /// The input begins here.
    pub(crate) input_from: Option<i64>,
}

fn instant((start, step): (i64, i64)) -> impl Strategy<Value = i64> {
    // On the grid, beside it, and at midnights of UTC.
    (-1..14_i64, -1..2_i64, any::<bool>()).prop_map(move |(at, beside, at_midnight)| {
        let us = start + at * step + beside;
        if at_midnight { us.div_euclid(86_400_000_000) * 86_400_000_000 } else { us }
    })
}

fn did(grid: (i64, i64), has_moment: bool) -> impl Strategy<Value = Did> {
    let seldom = |number: std::ops::Range<u32>| prop_oneof![3 => Just(None), 1 => number.prop_map(Some)];
    let time = || prop_oneof![3 => Just(None), 1 => instant(grid).prop_map(Some)];
    let within = prop_oneof![2 => Just(None), 1 => (1..9_i64).prop_map(move |steps| Some(steps * grid.1))];
    let numbers = (seldom(0..4), seldom(0..4), seldom(0..3), seldom(1..4));
    (0..CONDITIONS.len(), numbers, time(), time(), within).prop_map(
        move |(condition, (at_least, at_most, exactly, days), since, until, within)| {
            let exactly = exactly.filter(|_| at_least.is_none() && at_most.is_none());
            Did {
                condition,
                at_least,
                at_most: at_most.filter(|most| *most >= at_least.unwrap_or(1)),
                exactly,
                days,
                since,
                until: until.filter(|until| since.is_none_or(|since| since < *until)),
                within: within.filter(|_| has_moment),
            }
        },
    )
}

fn expression(grid: (i64, i64), has_moment: bool) -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        6 => did(grid, has_moment).prop_map(Expression::Did),
        3 => did(grid, has_moment).prop_map(Expression::DidNot),
        4 => (0..segment_users::CONDITIONS.len()).prop_map(Expression::User),
        1 => any::<bool>().prop_map(Expression::Always),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(Expression::And),
            2 => vec(inner.clone(), 2..4).prop_map(Expression::Or),
            1 => inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

pub(crate) fn case(grid: (i64, i64)) -> impl Strategy<Value = Case> {
    let seldom = || prop_oneof![2 => Just(None), 1 => instant(grid).prop_map(Some)];
    (seldom(), seldom(), 0..ZONES.len()).prop_flat_map(move |(as_of, input_from, zone)| {
        let cal = Cal { zone: &ZONES[zone], period: Period::Day };
        (vec(expression(grid, as_of.is_some()), 1..4), facts(grid)).prop_map(move |(expressions, facts)| Case {
            cal,
            expressions,
            facts,
            as_of,
            input_from,
        })
    })
}

impl Case {
    /// The same events three times: the table, a filter that no index knows, and rows.
    fn inputs(&self) -> [String; 3] {
        let from = self.input_from.map(|us| format!(" AND ts >= to_timestamp_micros({us})")).unwrap_or_default();
        let plain = match from.is_empty() {
            true => "events".to_string(),
            false => format!("(SELECT * FROM events WHERE true{from})"),
        };
        [
            plain,
            format!("(SELECT * FROM events WHERE length(user_id) < 100{from})"),
            format!("(SELECT * FROM events WHERE true{from} ORDER BY seq)"),
        ]
    }

    pub(crate) fn arguments(&self, shape: &Shape) -> String {
        let as_of = self.as_of.map(|us| format!(", as_of => to_timestamp_micros({us})")).unwrap_or_default();
        format!("{as_of}{}", shape.arguments(&self.cal))
    }

    /// The users whom the question sees, with their events.
    pub(crate) fn known(&self, stored: &[Vec<Event>]) -> Vec<(String, Vec<Event>)> {
        let exists = |event: &&Event| {
            self.as_of.is_none_or(|as_of| event.ts <= as_of) && self.input_from.is_none_or(|from| event.ts >= from)
        };
        let seen = |(user, events): (usize, &Vec<Event>)| {
            (format!("u{user}"), events.iter().filter(exists).copied().collect())
        };
        let seen = stored.iter().enumerate().map(seen);
        seen.filter(|(_, events): &(String, Vec<Event>)| !events.is_empty()).collect()
    }

    /// For each expression its users, of those who are known.
    pub(crate) fn users(&self, known: &[(String, Vec<Event>)]) -> Vec<BTreeSet<String>> {
        let of = |expression: &Expression| {
            let users = known.iter().filter(|(user, events)| expression.truth(self, user, events) == Some(true));
            users.map(|(user, _)| user.clone()).collect()
        };
        self.expressions.iter().map(of).collect()
    }

    /// The expressions from the `from`-th on as `segments`.
    fn segments(&self, from: usize) -> String {
        let segments = self.expressions[from..].iter().enumerate();
        let segments: Vec<String> = segments.map(|(i, expression)| format!("s{i} => {}", expression.text())).collect();
        format!("segments => SEGMENTS({})", segments.join(", "))
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn overlap(sets: &[BTreeSet<String>]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (a, of_a) in sets.iter().enumerate() {
        for (b, of_b) in sets.iter().enumerate() {
            let (both, either) = (of_a.intersection(of_b).count(), of_a.union(of_b).count());
            let counts = [of_a.len(), of_b.len(), both].map(|count| count.to_string());
            let shares = [share(both, of_a.len()), share(both, either)].map(number);
            rows.push([vec![format!("s{a}"), format!("s{b}")], counts.to_vec(), shares.to_vec()].concat());
        }
    }
    rows
}

/// The rows of `lift`, without `z` and `p_value`, and `z`.
fn lift(chosen: &BTreeSet<String>, sets: &[BTreeSet<String>], known: usize) -> (Vec<Vec<String>>, Vec<Option<f64>>) {
    let (mut rows, mut scores) = (Vec::new(), Vec::new());
    let (all_in, all_out) = (chosen.len(), known - chosen.len());
    for (i, set) in sets.iter().enumerate() {
        let inside = set.intersection(chosen).count();
        let outside = set.len() - inside;
        let (share_in, share_out) = (share(inside, all_in), share(outside, all_out));
        let lift = share_in.zip(share_out).filter(|(_, out)| *out > 0.0).map(|(inside, out)| inside / out);
        rows.push(vec![
            format!("s{i}"),
            inside.to_string(),
            number(share_in),
            outside.to_string(),
            number(share_out),
            number(lift),
        ]);
        let pooled = set.len() as f64 / known as f64;
        let score = share_in.zip(share_out).filter(|_| pooled > 0.0 && pooled < 1.0).map(|(inside, out)| {
            (inside - out) / (pooled * (1.0 - pooled) * (1.0 / all_in as f64 + 1.0 / all_out as f64)).sqrt()
        });
        scores.push(score);
    }
    (rows, scores)
}

fn check_input(
    database: &Database,
    case: &Case,
    shape: &Shape,
    stored: &[Vec<Event>],
    input: &str,
) -> Result<(), TestCaseError> {
    let known = case.known(stored);
    let sets = case.users(&known);
    let arguments = case.arguments(shape);
    let ask = |rest: &str| format!("SELECT * FROM SEGMENT({input}, {rest}{arguments})");
    let text = case.expressions[0].text();
    let sql = ask(&format!("where => {text}"));
    let count = vec![sets[0].len().to_string(), known.len().to_string(), number(share(sets[0].len(), known.len()))];
    prop_assert_eq!(&answer(database, &sql)?, &vec![count], "{}", sql);
    let sql = ask(&format!("where => {text}, emit => 'users'"));
    let users: Vec<Vec<String>> = sets[0].iter().map(|user| vec![user.clone()]).collect();
    prop_assert_eq!(&answer(database, &sql)?, &users, "{}", sql);
    let sql = ask(&format!("{}, emit => 'overlap'", case.segments(0)));
    prop_assert_eq!(&answer(database, &sql)?, &overlap(&sets), "{}", sql);
    if sets.len() < 2 {
        return Ok(());
    }
    let among: Vec<BTreeSet<String>> = sets[1..].iter().map(|set| set & &sets[0]).collect();
    let sql = ask(&format!("where => {text}, {}, emit => 'overlap'", case.segments(1)));
    prop_assert_eq!(&answer(database, &sql)?, &overlap(&among), "{}", sql);
    let sql = ask(&format!("where => {text}, {}, emit => 'lift'", case.segments(1)));
    let found = answer(database, &sql)?;
    let (rows, scores) = lift(&sets[0], &sets[1..], known.len());
    let cut: Vec<Vec<String>> = found.iter().map(|row| row[..6].to_vec()).collect();
    prop_assert_eq!(&cut, &rows, "{}", sql);
    for (row, score) in found.iter().zip(scores) {
        match score {
            Some(score) => {
                let (z, p): (f64, f64) = (row[6].parse().unwrap(), row[7].parse().unwrap());
                prop_assert!((z - score).abs() < 1e-9 && (0.0..=1.0).contains(&p), "{} {} {}", sql, z, score);
            }
            None => prop_assert_eq!(&row[6..], &["NULL".to_string(), "NULL".into()], "{}", sql),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 7), 0..6))),
    ) {
        let shape = Shape { on: 0, by: 0, ..shape };
        let stored = shape.stored(users);
        let database = filled(&stored, &shape, case.cal.zone.name);
        case.facts.store(&database);
        for input in case.inputs() {
            check_input(&database, &case, &shape, &stored, &input)?;
        }
    }
}
