//! `compare` against the definition: each side is asked by itself, over the events of users whom the model of SEGMENT finds,
//! and rows, shares, differences and the test are put together here.

use crate::among::{call, inputs};
use crate::analysis_case::{Shape, answer, events, filled, number, shape};
use crate::case::config;
use crate::retention_case::grid;
use crate::segment::case;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A call that is compared.
struct Asked {
    call: &'static str,
    /// The columns of its answer that name a row, and how many of them name its group.
    keys: &'static [&'static str],
    groups: usize,
    /// Whether it says which rows are complete.
    complete: bool,
    of: Of,
}

/// Of whom the users of a row are a share.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Of the group's users of step 1.
    StepOne,
    CohortUsers,
    /// Of the users of all rows of the group.
    Everybody,
}

const ASKED: [Asked; 11] = [
    Asked {
        call: "FUNNEL({}, steps => ['yes', 'no'], within => '10 days')",
        keys: &["step", "step_name"],
        groups: 0,
        complete: false,
        of: Of::StepOne,
    },
    Asked {
        call: "FUNNEL({}, STEPS(a => 'yes', b => price > 1, c => 'no'), order => 'any', by => (colour, page), attribution => 'last')",
        keys: &["colour", "page", "step", "step_name"],
        groups: 2,
        complete: false,
        of: Of::StepOne,
    },
    Asked {
        call: "FUNNEL({}, steps => ['yes', 'yes'], by => colour, bucket => '1 week')",
        keys: &["colour", "bucket", "step", "step_name"],
        groups: 2,
        complete: false,
        of: Of::StepOne,
    },
    Asked {
        call: "RETENTION({}, start => 'yes', periods => 3)",
        keys: &["cohort", "period"],
        groups: 1,
        complete: true,
        of: Of::CohortUsers,
    },
    Asked {
        call: "RETENTION({}, start => 'yes', return => price > 1, brackets => [1, 4], by => page, cohort => 'every')",
        keys: &["cohort", "page", "period"],
        groups: 2,
        complete: true,
        of: Of::CohortUsers,
    },
    Asked {
        call: "RETENTION({}, period => INTERVAL '1' WEEK, periods => 2, windows => 'rolling', mode => 'on_or_after', by => colour)",
        keys: &["cohort", "colour", "period"],
        groups: 2,
        complete: true,
        of: Of::CohortUsers,
    },
    Asked {
        call: "STICKINESS({}, within => INTERVAL '1' WEEK, by => colour)",
        keys: &["period", "colour", "days"],
        groups: 2,
        complete: true,
        of: Of::Everybody,
    },
    Asked {
        call: "STICKINESS({}, on => counts)",
        keys: &["period", "days"],
        groups: 1,
        complete: true,
        of: Of::Everybody,
    },
    Asked {
        call: "RFM({}, value => price, scores => 3)",
        keys: &["segment"],
        groups: 0,
        complete: false,
        of: Of::Everybody,
    },
    Asked {
        call: "RFM({}, value => price, on => 'yes', scores => 2, bounds => BOUNDS(recency => [5], frequency => [2]), by => (colour, page))",
        keys: &["colour", "page", "segment"],
        groups: 2,
        complete: false,
        of: Of::Everybody,
    },
    Asked {
        call: "RFM({}, value => price, by => colour)",
        keys: &["colour", "segment"],
        groups: 1,
        complete: false,
        of: Of::Everybody,
    },
];

/// The segments of RFM in the order of its answer.
const SEGMENTS: [&str; 11] = [
    "champions",
    "loyal",
    "potential_loyalist",
    "new",
    "promising",
    "needs_attention",
    "about_to_sleep",
    "at_risk",
    "cannot_lose",
    "hibernating",
    "lost",
];

/// A cell of a key, in order: NULL, numbers, segments, texts.
type Cell = (bool, i64, String);

fn cell(text: &str) -> Cell {
    let place = SEGMENTS.iter().position(|segment| *segment == text).map(|place| place as i64);
    (text != "NULL", text.parse().ok().or(place).unwrap_or(0), text.to_string())
}

#[derive(Clone, Default)]
struct Row {
    complete: Option<bool>,
    users: u64,
    of: u64,
}

/// One side by itself.
type Side = BTreeMap<Vec<Cell>, Row>;

impl Asked {
    /// The answer of an input, by the keys of its rows.
    fn side(&self, database: &trodden_query::Database, input: &str) -> Result<Side, TestCaseError> {
        let complete = if self.complete { "complete" } else { "true" };
        let cohort = if self.of == Of::CohortUsers { "cohort_users" } else { "0" };
        let keys = self.keys.join(", ");
        let sql = call(self.call, input, "").replacen('*', &format!("{keys}, {complete}, users, {cohort}"), 1);
        let rows = answer(database, &sql)?;
        let count = self.keys.len();
        let users = |row: &[String]| row[count + 1].parse::<u64>().unwrap();
        let of = |row: &[String]| -> u64 {
            let group = rows.iter().filter(|other| other[..self.groups] == row[..self.groups]);
            match self.of {
                Of::CohortUsers => row[count + 2].parse().unwrap(),
                Of::StepOne => group.filter(|other| other[self.groups] == "1").map(|other| users(other)).sum(),
                Of::Everybody => group.map(|other| users(other)).sum(),
            }
        };
        let row = |row: &Vec<String>| {
            let key = row[..count].iter().map(|text| cell(text)).collect();
            (key, Row { complete: Some(row[count] == "true"), users: users(row), of: of(row) })
        };
        Ok(rows.iter().map(row).collect())
    }

    /// A row of a side, or what is said of it where the side does not have it.
    fn row(&self, side: &Side, key: &[Cell]) -> Row {
        let group = || side.iter().find(|(other, _)| other[..self.groups] == key[..self.groups]);
        side.get(key).cloned().unwrap_or_else(|| Row { of: group().map_or(0, |(_, row)| row.of), ..Row::default() })
    }

    /// The rows without `z` and `p_value`, and `z`.
    fn compared(&self, one: &Side, other: &Side) -> (Vec<Vec<String>>, Vec<Option<f64>>) {
        let mut keys: Vec<&Vec<Cell>> = one.keys().chain(other.keys()).collect();
        keys.sort();
        keys.dedup();
        let (mut rows, mut scores) = (Vec::new(), Vec::new());
        for key in keys {
            let (a, b) = (self.row(one, key), self.row(other, key));
            let mut row: Vec<String> = key.iter().map(|(_, _, text)| text.clone()).collect();
            if self.complete {
                row.push((a.complete.unwrap_or(true) && b.complete.unwrap_or(true)).to_string());
            }
            let share = |row: &Row| (row.of > 0).then(|| row.users as f64 / row.of as f64);
            for side in [&a, &b] {
                row.extend([side.users.to_string(), side.of.to_string(), number(share(side))]);
            }
            let difference = share(&a).zip(share(&b)).map(|(a, b)| a - b);
            row.push(number(difference));
            rows.push(row);
            let (all, of_all) = ((a.users + b.users) as f64, (a.of + b.of) as f64);
            let pooled = all / of_all;
            let is_open = a.users + b.users > 0 && a.users + b.users < a.of + b.of;
            scores.push(difference.filter(|_| is_open).map(|difference| {
                difference / (pooled * (1.0 - pooled) * (1.0 / a.of as f64 + 1.0 / b.of as f64)).sqrt()
            }));
        }
        (rows, scores)
    }

    /// What the database says is what was put together.
    fn check(&self, found: &[Vec<String>], one: &Side, other: &Side, sql: &str) -> Result<(), TestCaseError> {
        let (rows, scores) = self.compared(one, other);
        let end = self.keys.len() + usize::from(self.complete) + 7;
        let cut: Vec<Vec<String>> = found.iter().map(|row| row[..end].to_vec()).collect();
        prop_assert_eq!(&cut, &rows, "{}", sql);
        for (row, score) in found.iter().zip(scores) {
            prop_assert_eq!(row.len(), end + 2);
            match score {
                Some(score) => {
                    let (z, p): (f64, f64) = (row[end].parse().unwrap(), row[end + 1].parse().unwrap());
                    prop_assert!((z - score).abs() < 1e-9, "{} {} {}", sql, z, score);
                    prop_assert!((p - two_tails(score)).abs() < 1e-9, "{} {} {}", sql, p, score);
                }
                None => prop_assert_eq!(&row[end..], &["NULL".to_string(), "NULL".into()], "{}", sql),
            }
        }
        Ok(())
    }
}

/// How likely something normal is as far from its mean as `score`, or farther: one less the area between, by Simpson's rule.
fn two_tails(score: f64) -> f64 {
    let (parts, end) = (2_000, score.abs());
    let density = |part: i32| (-(end * f64::from(part) / f64::from(parts)).powi(2) / 2.0).exp();
    let weight = |part: i32| if part == 0 || part == parts { 1.0 } else { f64::from(2 + 2 * (part % 2)) };
    let sum: f64 = (0..=parts).map(|part| weight(part) * density(part)).sum();
    1.0 - 2.0 * sum * end / f64::from(parts) / 3.0 / (2.0 * std::f64::consts::PI).sqrt()
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn rows_are_those_of_both_sides(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 7), 0..9))),
    ) {
        let shape = Shape { on: 0, by: 0, ..shape };
        let stored = shape.stored(users);
        let database = filled(&stored, &shape, case.cal.zone.name);
        case.facts.store(&database);
        let arguments = case.arguments(&shape);
        let segments = case.users(&case.known(&stored)).into_iter().map(|users| users.into_iter().collect::<Vec<_>>());
        let segments: Vec<Vec<String>> = segments.collect();
        let last = segments.len() - 1;
        let texts = [&case.expressions[0], &case.expressions[last]].map(|expression| expression.text());
        for order in ["", " ORDER BY seq"] {
            let (input, among) = inputs(&case, &segments[0], order);
            let (_, compared) = inputs(&case, &segments[last], order);
            for asked in &ASKED {
                let sides = [&input, &among, &compared].map(|input| asked.side(&database, input));
                let [everybody, among, compared] = sides;
                let (everybody, among, compared) = (everybody?, among?, compared?);
                let segment = |text: &str| match arguments.is_empty() {
                    true => text.to_string(),
                    false => format!("SEGMENT(where => {text}{arguments})"),
                };
                let compare = format!(", compare => {}", segment(&texts[1]));
                let sql = call(asked.call, &input, &compare);
                asked.check(&answer(&database, &sql)?, &everybody, &compared, &sql)?;
                let sql = call(asked.call, &input, &format!("{compare}, among => {}", segment(&texts[0])));
                asked.check(&answer(&database, &sql)?, &among, &compared, &sql)?;
            }
        }
    }
}
