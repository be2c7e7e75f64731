//! RFM by brute force, and against it: scores of all customers, sums in any order; and every cell through SQL, whether it
//! comes from a scan or from rows.
//!
//! The model is written from the reference: each customer is compared with every other one, segments are rules in place of a
//! table, and sums are those of whole numbers. It shares nothing with the kernel but the types.

use crate::analysis_case::{
    Cal, Event, Group, INPUTS, ON, PRICES, Shape, answer, cal, events, filled, group_cells, newest, number, shape,
};
use crate::case::config;
use crate::retention_case::grid;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use trodden_query::behavior::exact_sum::ExactSum;
use trodden_query::behavior::rfm::{Bounds, Customer, RfmSpec, Segment, events_until, recency_days, scores};

/// Arguments, the zone, and how a call says what an event is worth.
#[derive(Debug, Clone)]
struct Case {
    cal: Cal,
    as_of: Option<i64>,
    scores: u32,
    /// Ascending; empty where quantiles decide.
    bounds: [Vec<i32>; 3],
    value: &'static str,
}

fn bounds(scores: u32) -> impl Strategy<Value = Vec<i32>> {
    let count = scores as usize - 1;
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence((-2..14).collect::<Vec<i32>>(), count)]
}

fn case((start, step): (i64, i64)) -> impl Strategy<Value = Case> {
    let as_of = prop_oneof![2 => Just(None), 1 => (0..20_i64).prop_map(move |at| Some(start + at * step))];
    let bounded = (2..=10_u32).prop_flat_map(|scores| (Just(scores), bounds(scores), bounds(scores), bounds(scores)));
    let value = prop_oneof![3 => Just("price"), 1 => Just("price * 1.0")];
    (cal(), as_of, bounded, value).prop_map(|(cal, as_of, (scores, recency, frequency, monetary), value)| Case {
        cal: cal.days(),
        as_of,
        scores,
        bounds: [recency, frequency, monetary],
        value,
    })
}

impl Case {
    fn spec(&self) -> RfmSpec {
        let [recency, frequency, monetary] =
            self.bounds.clone().map(|bounds| bounds.into_iter().map(f64::from).collect());
        let bounds = Bounds { recency, frequency, monetary };
        RfmSpec { as_of_us: self.as_of, scores: self.scores, bounds, time_zone: self.cal.kernel().time_zone }
    }
}

/// The sum as a whole number of parts so small that all prices are whole numbers of them; rounded once.
fn exact(values: impl Iterator<Item = f64>) -> f64 {
    let part = 2_f64.powi(60);
    values.map(|value| (value * part) as i128).sum::<i128>() as f64 / part
}

/// What is known of a user: the place of the user, the group, last event, days, events, sum, scores, segment.
#[derive(Debug, Clone)]
struct Known {
    user: usize,
    group: Group,
    last: i64,
    days: i64,
    frequency: u64,
    monetary: f64,
    scores: [u32; 3],
    segment: &'static str,
}

fn known(case: &Case, users: &[Vec<Event>], group: impl Fn(&Event) -> Group) -> Vec<Known> {
    let newest = newest(users);
    let mut all = Vec::new();
    for (user, events) in users.iter().enumerate() {
        let counting = |event: &&Event| event.counts && case.as_of.is_none_or(|as_of| event.ts <= as_of);
        let own: Vec<&Event> = events.iter().filter(counting).collect();
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        all.push(Known {
            user,
            group: group(first),
            last: last.ts,
            days: case.cal.number(case.as_of.unwrap_or(newest)) - case.cal.number(last.ts),
            frequency: own.len() as u64,
            monetary: exact(own.iter().map(|event| PRICES[event.price].unwrap_or(0.0))),
            scores: [0; 3],
            segment: "",
        });
    }
    let measures: Vec<[f64; 3]> = all.iter().map(|one| [one.days as f64, one.frequency as f64, one.monetary]).collect();
    for (one, own) in all.iter_mut().zip(&measures) {
        for measure in 0..3 {
            let is_better = |a: f64, b: f64| if measure == 0 { a < b } else { a > b };
            let bounds = &case.bounds[measure];
            let reached = bounds.iter().filter(|&&bound| !is_better(f64::from(bound), own[measure])).count();
            let worse = measures.iter().filter(|other| is_better(own[measure], other[measure])).count();
            let by_quantile = worse * case.scores as usize / measures.len();
            one.scores[measure] = 1 + if bounds.is_empty() { by_quantile } else { reached } as u32;
        }
        one.segment = segment(one.scores[0], one.scores[1], case.scores);
    }
    all
}

/// Scores of recency and frequency, of five each, and the segment that they make.
const RULES: [(RangeInclusive<u32>, RangeInclusive<u32>, &str); 12] = [
    (5..=5, 4..=5, "champions"),
    (3..=4, 4..=5, "loyal"),
    (4..=5, 2..=3, "potential_loyalist"),
    (5..=5, 1..=1, "new"),
    (4..=4, 1..=1, "promising"),
    (3..=3, 3..=3, "needs_attention"),
    (3..=3, 1..=2, "about_to_sleep"),
    (1..=2, 3..=4, "at_risk"),
    (1..=2, 5..=5, "cannot_lose"),
    (2..=2, 1..=2, "hibernating"),
    (1..=1, 2..=2, "hibernating"),
    (1..=1, 1..=1, "lost"),
];

fn segment(recency: u32, frequency: u32, scores: u32) -> &'static str {
    let stretched = |score: u32| {
        let place = 4.0 * f64::from(score - 1) / f64::from(scores - 1);
        1 + (place + 0.5).floor() as u32
    };
    let (recency, frequency) = (stretched(recency), stretched(frequency));
    let fits = |rule: &&(RangeInclusive<u32>, RangeInclusive<u32>, &str)| {
        rule.0.contains(&recency) && rule.1.contains(&frequency)
    };
    let found: Vec<_> = RULES.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "recency {recency}, frequency {frequency}");
    found[0].2
}

#[test]
fn the_table_of_segments_is_the_rules() {
    for scores in 2..=10 {
        for (recency, frequency) in (1..=scores).flat_map(|r| (1..=scores).map(move |f| (r, f))) {
            assert_eq!(Segment::of(recency, frequency, scores).word(), segment(recency, frequency, scores));
        }
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn scores_are_those_of_the_model(
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 6), 0..9))),
        backwards in any::<bool>(),
    ) {
        let spec = case.spec();
        spec.validate().unwrap();
        let expected = known(&case, &users, |_| Group::new());
        let mut customers = Vec::new();
        for events in &users {
            let counting: Vec<&Event> = events.iter().filter(|event| event.counts).collect();
            let times: Vec<i64> = counting.iter().map(|event| event.ts).collect();
            let until = events_until(&times, spec.as_of_us);
            let mut own: Vec<f64> = counting[..until].iter().map(|event| PRICES[event.price].unwrap_or(0.0)).collect();
            if backwards {
                own.reverse();
            }
            let mut sum = ExactSum::default();
            own.iter().for_each(|&value| sum.add(value));
            if let Some(&last_us) = times[..until].last() {
                customers.push(Customer { last_us, frequency: until as u64, monetary: sum.value() });
            }
        }
        if backwards {
            customers.reverse();
        }
        let as_of = case.as_of.unwrap_or(newest(&users));
        let days = recency_days(&spec, as_of, &customers);
        let found: Vec<_> = days.iter().zip(scores(&spec, &days, &customers)).zip(&customers).collect();
        let found = found.into_iter().map(|((days, scores), customer)| {
            let of_segment = Segment::of(scores.recency, scores.frequency, spec.scores).word();
            let scores = [scores.recency, scores.frequency, scores.monetary];
            (customer.last_us, *days, customer.frequency, customer.monetary.to_bits(), scores, of_segment)
        });
        let mut found: Vec<_> = found.collect();
        if backwards {
            found.reverse();
        }
        let expected: Vec<_> = expected
            .into_iter()
            .map(|one| (one.last, one.days, one.frequency, one.monetary.to_bits(), one.scores, one.segment))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_sum_is_that_of_whole_numbers_in_any_division(
        values in vec((0..PRICES.len(), any::<prop::sample::Index>()), 0..40),
    ) {
        let mut parts = [ExactSum::default(), ExactSum::default(), ExactSum::default()];
        for (price, part) in &values {
            parts[part.index(3)].add(PRICES[*price].unwrap_or(0.0));
        }
        let [mut all, second, third] = parts;
        all.merge(&third);
        all.merge(&second);
        let expected = exact(values.iter().map(|(price, _)| PRICES[*price].unwrap_or(0.0)));
        prop_assert_eq!(all.value().to_bits(), expected.to_bits());
    }
}

fn call(case: &Case, shape: &Shape, input: &str, emit: &str) -> String {
    let as_of = case.as_of.map(|at| format!(", as_of => to_timestamp_micros({at})")).unwrap_or_default();
    let given = ["recency", "frequency", "monetary"].into_iter().zip(&case.bounds);
    let given = given.filter(|(_, bounds)| !bounds.is_empty());
    let given: Vec<String> = given.map(|(name, bounds)| format!("{name} => {bounds:?}")).collect();
    let given = if given.is_empty() { String::new() } else { format!(", bounds => BOUNDS({})", given.join(", ")) };
    format!(
        "SELECT * FROM RFM({input}, {}value => {}, scores => {}{as_of}{given}{}, emit => '{emit}')",
        ON[shape.on],
        case.value,
        case.scores,
        shape.arguments(&case.cal),
    )
}

/// The lines of every shape of the answer.
fn expected(case: &Case, known: &[Known]) -> [(&'static str, Vec<Vec<String>>); 3] {
    let users = known.iter().map(|one| {
        let head = [vec![format!("u{}", one.user)], group_cells(&one.group)].concat();
        let measures = vec![one.last.to_string(), one.days.to_string(), one.frequency.to_string()];
        let scores = one.scores.map(|score| score.to_string()).to_vec();
        [head, measures, vec![number(Some(one.monetary))], scores, vec![one.segment.to_string()]].concat()
    });
    let groups: BTreeSet<Group> = known.iter().map(|one| one.group.clone()).collect();
    let (mut segments, mut cells) = (Vec::new(), Vec::new());
    for group in groups {
        let members: Vec<&Known> = known.iter().filter(|one| one.group == group).collect();
        let share = |part: &[&&Known]| number(Some(part.len() as f64 / members.len() as f64));
        let sum = |part: &[&&Known]| number(Some(exact(part.iter().map(|one| one.monetary))));
        for segment in Segment::ALL.map(Segment::word) {
            let own: Vec<&&Known> = members.iter().filter(|one| one.segment == segment).collect();
            let mean = |sum: f64| number((!own.is_empty()).then(|| sum / own.len() as f64));
            let days = own.iter().map(|one| one.days as f64).sum();
            let frequency = own.iter().map(|one| one.frequency as f64).sum();
            let counts = vec![segment.to_string(), own.len().to_string(), share(&own)];
            segments.push([group_cells(&group), counts, vec![mean(days), mean(frequency), sum(&own)]].concat());
        }
        for (recency, frequency) in (1..=case.scores).flat_map(|r| (1..=case.scores).map(move |f| (r, f))) {
            let own: Vec<&&Known> = members.iter().filter(|one| one.scores[..2] == [recency, frequency]).collect();
            let word = segment(recency, frequency, case.scores).to_string();
            let place = vec![recency.to_string(), frequency.to_string(), word, own.len().to_string()];
            cells.push([group_cells(&group), place, vec![share(&own), sum(&own)]].concat());
        }
    }
    [("users", users.collect()), ("segments", segments), ("cells", cells)]
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 7), 0..8))),
    ) {
        let stored = shape.stored(users);
        let known = known(&case, &shape.seen(&stored), |event| shape.group(event));
        let database = filled(&stored, &shape, case.cal.zone.name);
        for (emit, lines) in expected(&case, &known) {
            for input in INPUTS {
                let sql = call(&case, &shape, input, emit);
                prop_assert_eq!(&answer(&database, &sql)?, &lines, "{}", sql);
            }
        }
    }
}
