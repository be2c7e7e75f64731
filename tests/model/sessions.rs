//! SESSIONS by brute force, and against it: kernel and partials, merged in any order; and every cell through SQL, whether it
//! comes from a scan or from rows.
//!
//! The model is written from the reference. It shares nothing with the kernel but the types.

use crate::analysis_case::{
    Cal, Event, Group, INPUTS, Shape, answer, cal, events, filled, group_cells, merged, number, shape,
};
use crate::case::config;
use crate::retention_case::grid;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use trodden_query::behavior::bucket::Bucket;
use trodden_query::behavior::path::{EXCLUDE, Sessions, UserInput};
use trodden_query::behavior::periods::Period;
use trodden_query::behavior::sessions::{
    SessionsKernel, SessionsSpec, StopRow, StopsPartial, SummaryPartial, SummaryRow,
};

/// Arguments. Where sessions are named, the colour is their name.
#[derive(Debug, Clone)]
struct Case {
    sessions: Sessions,
    /// Whether the page is the node, or the name of the event.
    pages: bool,
    collapse: bool,
    cal: Cal,
    bucketed: bool,
}

fn case((_, step): (i64, i64)) -> impl Strategy<Value = Case> {
    let gap = prop_oneof![Just(step), Just(step - 1), Just(2 * step), Just(1)].prop_map(Sessions::GapUs);
    let sessions = prop_oneof![3 => gap, 2 => Just(Sessions::Named), 1 => Just(Sessions::Whole)];
    // Weeks of buckets are from Monday.
    let monday = |cal: Cal| match cal.period {
        Period::Week { .. } => Cal { period: Period::Week { starts_on: 0.try_into().unwrap() }, ..cal },
        _ => cal,
    };
    (sessions, any::<[bool; 3]>(), cal().prop_map(monday))
        .prop_map(|(sessions, [pages, collapse, bucketed], cal)| Case { sessions, pages, collapse, cal, bucketed })
}

/// What the stop of an event is called, and its code for the kernel: in the order of names. NULL is none.
fn node(case: &Case, event: &Event) -> Option<(&'static str, u32)> {
    if case.pages {
        (event.page > 0).then(|| (["p1", "p2", "p3"][usize::from(event.page) - 1], u32::from(event.page)))
    } else {
        Some(if event.counts { ("yes", 2) } else { ("no", 1) })
    }
}

/// One session: its user, its number, its events, and its stops as ranges of places in them.
struct Session {
    user: usize,
    number: usize,
    events: Vec<Event>,
}

impl Session {
    fn us(&self) -> i64 {
        self.events[self.events.len() - 1].ts - self.events[0].ts
    }

    /// Name and code of each stop, and how long it took.
    fn stops(&self, case: &Case) -> Vec<((&'static str, u32), Option<i64>)> {
        let begins = |&place: &usize| {
            let same = |before: usize| node(case, &self.events[before]) == node(case, &self.events[place]);
            !case.collapse || place == 0 || !same(place - 1)
        };
        let starts: Vec<usize> = (0..self.events.len()).filter(begins).collect();
        let dwell = |at: usize| starts.get(at + 1).map(|&next| self.events[next].ts - self.events[starts[at]].ts);
        (0..starts.len()).map(|at| (node(case, &self.events[starts[at]]).unwrap(), dwell(at))).collect()
    }
}

/// The sessions of all users. Events are left out where `is_excluded` says so, too.
fn sessions(case: &Case, users: &[Vec<Event>], is_excluded: impl Fn(&Event) -> bool) -> Vec<Session> {
    let mut found = Vec::new();
    for (user, events) in users.iter().enumerate() {
        let is_named = case.sessions == Sessions::Named;
        let stays =
            |event: &&Event| !is_excluded(event) && node(case, event).is_some() && (!is_named || event.colour > 0);
        let kept: Vec<Event> = events.iter().filter(stays).copied().collect();
        let mut own: Vec<Vec<Event>> = Vec::new();
        for (place, event) in kept.iter().enumerate() {
            let joins = match case.sessions {
                Sessions::GapUs(gap_us) => place > 0 && event.ts - kept[place - 1].ts <= gap_us,
                Sessions::Whole => place > 0,
                Sessions::Named => own.iter().any(|session| session[0].colour == event.colour),
            };
            let of_event = match case.sessions {
                Sessions::Named => own.iter_mut().find(|session| session[0].colour == event.colour),
                Sessions::GapUs(_) | Sessions::Whole => own.last_mut(),
            };
            match of_event.filter(|_| joins) {
                Some(session) => session.push(*event),
                None => own.push(vec![*event]),
            }
        }
        found.extend(own.into_iter().zip(1..).map(|(events, number)| Session { user, number, events }));
    }
    found
}

/// In seconds, or whatever a million of them are.
fn median(mut values: Vec<i64>) -> Option<f64> {
    values.sort_unstable();
    let (low, high) = (values.get(values.len().wrapping_sub(1) / 2)?, values[values.len() / 2]);
    Some((*low as f64 + (high - low) as f64 * 0.5) / 1e6)
}

fn bucket_us(case: &Case, session: &Session) -> i64 {
    if case.bucketed { case.cal.start(case.cal.number(session.events[0].ts)) } else { 0 }
}

/// The rows of the summary by group and bucket; groups as they are given.
fn summary<G: Ord + Clone>(
    case: &Case,
    sessions: &[Session],
    group: impl Fn(&Session) -> G,
) -> Vec<((G, i64), SummaryRow)> {
    let mut parts: BTreeMap<(G, i64), Vec<&Session>> = BTreeMap::new();
    sessions.iter().for_each(|one| parts.entry((group(one), bucket_us(case, one))).or_default().push(one));
    let row = |(key, part): ((G, i64), Vec<&Session>)| {
        let count = part.len() as f64;
        let us: Vec<i64> = part.iter().map(|one| one.us()).collect();
        let events: Vec<i64> = part.iter().map(|one| one.events.len() as i64 * 1_000_000).collect();
        let row = SummaryRow {
            group: 0,
            bucket_us: key.1,
            sessions: part.len() as u64,
            users: part.iter().map(|one| one.user).collect::<BTreeSet<_>>().len() as u64,
            seconds: [us.iter().sum::<i64>() as f64 / (count * 1e6), median(us).unwrap()],
            events: [events.iter().sum::<i64>() as f64 / (count * 1e6), median(events).unwrap()],
            bounces: part.iter().filter(|one| one.events.len() == 1).count() as u64,
        };
        (key, row)
    };
    parts.into_iter().map(row).collect()
}

/// The rows of stops, by group and name.
fn stops<G: Ord + Clone>(
    case: &Case,
    sessions: &[Session],
    group: impl Fn(&Session) -> G,
) -> Vec<(G, &'static str, StopRow)> {
    let mut rows = Vec::new();
    let groups: BTreeSet<G> = sessions.iter().map(&group).collect();
    for of_row in groups {
        let own: Vec<&Session> = sessions.iter().filter(|one| group(one) == of_row).collect();
        let nodes: BTreeSet<(&str, u32)> = own.iter().flat_map(|one| one.stops(case)).map(|stop| stop.0).collect();
        for node in nodes {
            let with: Vec<&&Session> = own.iter().filter(|one| one.stops(case).iter().any(|s| s.0 == node)).collect();
            let all: Vec<Option<i64>> =
                own.iter().flat_map(|one| one.stops(case)).filter(|stop| stop.0 == node).map(|stop| stop.1).collect();
            let first = |one: &&&Session| one.stops(case).first().unwrap().0 == node;
            let last = |one: &&&Session| one.stops(case).last().unwrap().0 == node;
            let row = StopRow {
                group: 0,
                node: node.1,
                stops: all.len() as u64,
                sessions: with.len() as u64,
                users: with.iter().map(|one| one.user).collect::<BTreeSet<_>>().len() as u64,
                median_dwell_seconds: median(all.into_iter().flatten().collect()),
                entries: own.iter().filter(first).count() as u64,
                exits: own.iter().filter(last).count() as u64,
            };
            rows.push((of_row.clone(), node.0, row));
        }
    }
    rows.sort_by(|a, b| (&a.0, b.2.stops, a.1).cmp(&(&b.0, a.2.stops, b.1)));
    rows
}

fn spec(case: &Case) -> SessionsSpec {
    let bucket = match case.cal.period {
        Period::Day => Bucket::Day,
        Period::Week { .. } => Bucket::Week,
        Period::Month => Bucket::Month,
    };
    SessionsSpec {
        sessions: case.sessions,
        collapse: case.collapse,
        bucket: case.bucketed.then_some(bucket),
        time_zone: case.cal.kernel().time_zone,
    }
}

/// Number, first and last time, events, entry and exit.
type Seen = (usize, i64, i64, usize, u32, u32);

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn any_division_gives_the_rows_of_the_model(
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 8), 0..5))),
        picks in vec(any::<prop::sample::Index>(), 6),
    ) {
        let mut kernel = SessionsKernel::new(spec(&case)).unwrap();
        let expected = sessions(&case, &users, |event| !event.counts);
        let (mut parts, mut found): (Vec<(SummaryPartial, StopsPartial)>, Vec<Seen>) = (Vec::new(), Vec::new());
        for events in &users {
            let times: Vec<i64> = events.iter().map(|event| event.ts).collect();
            let nodes: Vec<u32> = events.iter().map(|event| node(&case, event).map_or(0, |node| node.1)).collect();
            let masks: Vec<u64> = events.iter().map(|event| if event.counts { 0 } else { EXCLUDE }).collect();
            let names: Vec<u32> = events.iter().map(|event| u32::from(event.colour)).collect();
            let input = UserInput { times: &times, nodes: &nodes, masks: &masks, sessions: &names };
            let mut part = (SummaryPartial::default(), StopsPartial::default());
            part.0.begin_user();
            part.1.begin_user();
            kernel.run(&input, |one| {
                let group = u32::from(events[one.first_event()].colour);
                part.0.add(group, kernel_bucket(&case, one.started_us()), one);
                part.1.add(group, one, case.collapse);
                let ends = (one.started_us(), one.ended_us(), one.events() as usize);
                found.push((one.number as usize, ends.0, ends.1, ends.2, one.entry(), one.exit()));
            });
            parts.push(part);
        }
        let model = expected.iter().map(|one| {
            let (first, last) = (one.events[0], one.events[one.events.len() - 1]);
            let code = |event: &Event| node(&case, event).unwrap().1;
            (one.number, first.ts, last.ts, one.events.len(), code(&first), code(&last))
        });
        prop_assert_eq!(found, model.collect::<Vec<Seen>>());
        let (rows, of_stops) = merged(parts, &picks, |into, other| {
            into.0.merge(&other.0, |group| group);
            into.1.merge(&other.1, |group| group, |node| node);
        });
        let group = |one: &Session| u32::from(one.events[0].colour);
        let expected_rows = summary(&case, &expected, group);
        let expected_rows: Vec<SummaryRow> =
            expected_rows.into_iter().map(|((group, _), row)| SummaryRow { group, ..row }).collect();
        prop_assert_eq!(rows.finish(|group| group), expected_rows);
        let expected_stops: Vec<StopRow> =
            stops(&case, &expected, group).into_iter().map(|(group, _, row)| StopRow { group, ..row }).collect();
        prop_assert_eq!(of_stops.finish(1, |group| group, |node| node), expected_stops);
    }
}

fn kernel_bucket(case: &Case, start_us: i64) -> i64 {
    spec(case).bucket_us(start_us)
}

/// Ways to say what is left out.
const EXCLUDES: [&str; 4] = ["", ", exclude => 'no'", ", exclude => NOT counts", ", exclude => ['no', 'gone']"];

fn call(case: &Case, shape: &Shape, input: &str, emit: &str) -> String {
    let session = match case.sessions {
        Sessions::GapUs(gap_us) => format!("INTERVAL '{} MICROSECONDS'", gap_us),
        Sessions::Named => "colour".into(),
        Sessions::Whole => "NULL".into(),
    };
    let bucket = match case.cal.period {
        Period::Day => "'day'",
        Period::Week { .. } => "INTERVAL '1' WEEK",
        Period::Month => "'1 month'",
    };
    let own = match emit {
        "summary" if case.bucketed => format!(", bucket => {bucket}"),
        "stops" => format!(", collapse => {}", case.collapse),
        _ => String::new(),
    };
    let node = if case.pages { ", node => page" } else { "" };
    format!(
        "SELECT * FROM SESSIONS({input}, session => {session}{node}{}{own}{}, emit => '{emit}')",
        EXCLUDES[shape.on],
        shape.arguments(&case.cal),
    )
}

/// The lines of every shape of the answer.
fn expected(case: &Case, shape: &Shape, found: &[Session]) -> [(&'static str, Vec<Vec<String>>); 4] {
    let group = |one: &Session| shape.group(&one.events[0]);
    let seconds = |us: i64| number(Some(us as f64 / 1e6));
    let listed = found.iter().map(|one| {
        let (first, last) = (one.events[0], one.events[one.events.len() - 1]);
        let name = |event: &Event| node(case, event).unwrap().0.to_string();
        let times = vec![one.number.to_string(), first.ts.to_string(), last.ts.to_string(), seconds(one.us())];
        let ends = vec![one.events.len().to_string(), name(&first), name(&last), (one.events.len() == 1).to_string()];
        [vec![format!("u{}", one.user)], group_cells(&group(one)), times, ends].concat()
    });
    let mut of_users: BTreeMap<(usize, Group), [i64; 4]> = BTreeMap::new();
    for one in found {
        let row = of_users.entry((one.user, group(one))).or_default();
        let events = one.events.len() as i64;
        let add = [1, one.us(), events, i64::from(events == 1)];
        row.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
    }
    let users = of_users.into_iter().map(|((user, group), [sessions, us, events, bounces])| {
        let cells = vec![sessions.to_string(), seconds(us), events.to_string(), bounces.to_string()];
        [vec![format!("u{user}")], group_cells(&group), cells].concat()
    });
    let mut rows: Vec<Vec<String>> = summary(case, found, group)
        .into_iter()
        .map(|((group, bucket), row)| {
            let bucket = if case.bucketed { vec![bucket.to_string()] } else { Vec::new() };
            let counts = vec![row.sessions.to_string(), row.users.to_string()];
            let means = [row.seconds[0], row.seconds[1], row.events[0], row.events[1]].map(|mean| number(Some(mean)));
            let bounces = vec![row.bounces.to_string(), number(Some(row.bounces as f64 / row.sessions as f64))];
            [group_cells(&group), bucket, counts, means.to_vec(), bounces].concat()
        })
        .collect();
    if rows.is_empty() && shape.by == 0 && !case.bucketed {
        rows.push(["0", "0", "NULL", "NULL", "NULL", "NULL", "0", "NULL"].map(String::from).to_vec());
    }
    let of_stops = stops(case, found, group).into_iter().map(|(group, name, row)| {
        let counts = vec![name.to_string(), row.stops.to_string(), row.sessions.to_string(), row.users.to_string()];
        let ends = vec![number(row.median_dwell_seconds), row.entries.to_string(), row.exits.to_string()];
        [group_cells(&group), counts, ends].concat()
    });
    [("sessions", listed.collect()), ("users", users.collect()), ("summary", rows), ("stops", of_stops.collect())]
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 8), 0..6))),
    ) {
        let stored = shape.stored(users);
        let found = sessions(&case, &stored, |event| shape.on != 0 && !event.counts);
        let database = filled(&stored, &shape, case.cal.zone.name);
        for (emit, lines) in expected(&case, &shape, &found) {
            for input in INPUTS {
                let sql = call(&case, &shape, input, emit);
                prop_assert_eq!(&answer(&database, &sql)?, &lines, "{}", sql);
            }
        }
    }
}
