//! The same through SQL: a table is filled, calls are written out, and every row of their answers is what the model says, over
//! the table and over rows.
//!
//! A case is one call with all its arguments that was answered by the table and by rows and compared both times. To fill a
//! table costs about as much as to answer one, so a table answers many of them, one after the other: what is kept from
//! one call to the next has to be right for all. Calls in which rounding decides the order are drawn, and do not count.

use crate::case::config;
use crate::recommend_case::{Case, Event, ITEMS, KINDS, USERS, asked_of, events, question, ranks};
use crate::recommend_model::{counted, history, popular, similarity, successors};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use trodden_query::arrow::array::{Array, AsArray};
use trodden_query::arrow::datatypes::{Float64Type, Int64Type};
use trodden_query::behavior::recommend::{SequenceOptions, Similarity};
use trodden_query::{Database, Options};

/// What an event says of its item, beside the event itself: NULL, or a number that multiplies, a category, whether it may be
/// recommended.
type Facts = (Option<f64>, Option<u8>, Option<bool>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Popular,
    Knn(Similarity),
    Rp3Beta,
    Sequence,
}

#[derive(Debug, Clone, PartialEq)]
enum Target {
    User(u32),
    Item(u32),
    Items(Vec<u32>),
}

#[derive(Debug, Clone, PartialEq)]
enum Asked {
    One(Target),
    EveryUser,
    EveryItem,
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Default,
    Include,
    Kind(u8),
}

/// A table, and how it is made.
#[derive(Debug, Clone)]
struct Data {
    events: Vec<Event>,
    /// What each event says of its item.
    facts: Vec<Facts>,
    /// Order of items by value, by code.
    ranks: Vec<u32>,
    threads: usize,
    flush: bool,
}

/// What a call says.
#[derive(Debug, Clone)]
struct Call {
    question: (Vec<f64>, [Option<i64>; 3]),
    asked: Asked,
    methods: Vec<Method>,
    /// Without weights every event is worth 1.
    weighed: bool,
    seen: Seen,
    exclude: Vec<u32>,
    candidates: bool,
    boost: bool,
    diversify: Option<usize>,
    top: usize,
}

fn data() -> impl Strategy<Value = Data> {
    let number = prop_oneof![Just(1.0), Just(0.0), Just(-1.0), Just(3.0), Just(0.5)];
    let facts = vec((option::of(number), option::of(0..2_u8), option::of(any::<bool>())), 40);
    (events(40), facts, ranks(), 1..4_usize, any::<bool>()).prop_map(|(events, facts, ranks, threads, flush)| Data {
        events,
        facts,
        ranks,
        threads,
        flush,
    })
}

fn one_list() -> impl Strategy<Value = Asked> {
    let target = prop_oneof![
        // One of them has no event.
        3 => (0..=USERS).prop_map(Target::User),
        1 => (0..ITEMS).prop_map(Target::Item),
        1 => vec(0..ITEMS, 1..4).prop_map(Target::Items),
    ];
    target.prop_map(Asked::One)
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        2 => Just(Method::Popular),
        1 => Just(Method::Sequence),
        1 => Just(Method::Rp3Beta),
        1 => Just(Method::Knn(Similarity::Llr)),
        1 => Just(Method::Knn(Similarity::Cosine)),
        1 => Just(Method::Knn(Similarity::Jaccard)),
        2 => Just(Method::Knn(Similarity::Overlap)),
        1 => Just(Method::Knn(Similarity::Bm25 { k1: 1.2, b: 0.75 })),
    ]
}

fn call(asked: impl Strategy<Value = Asked>) -> impl Strategy<Value = Call> {
    let seen = prop_oneof![2 => Just(Seen::Default), 1 => Just(Seen::Include), 1 => (0..KINDS).prop_map(Seen::Kind)];
    let second = prop_oneof![2 => Just(None), 1 => Just(Some(Method::Popular)), 1 => Just(Some(Method::Sequence))];
    let limits = (vec(0..ITEMS, 0..2), any::<[bool; 2]>(), option::of(1..3_usize), 1..7_usize);
    (question(), asked, method(), second, seen, limits, any::<bool>()).prop_map(
        |(
            (mut weights, moments),
            asked,
            method,
            second,
            seen,
            (exclude, [candidates, boost], diversify, top),
            weighed,
        )| {
            weights[0] = 1.0;
            let question = (weights, moments);
            let methods = std::iter::once(method).chain(second.filter(|second| *second != method)).collect();
            // Kinds that are seen have to be told apart.
            let weighed = weighed || matches!(seen, Seen::Kind(_));
            Call { question, asked, methods, weighed, seen, exclude, candidates, boost, diversify, top }
        },
    )
}

fn item_name(ranks: &[u32], item: u32) -> String {
    format!("i{}", ranks[item as usize])
}

fn text<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or("NULL".into(), |value| value.to_string())
}

fn filled(data: &Data) -> Database {
    let database = Database::in_memory(Options { threads: data.threads, ..Options::default() }).unwrap();
    let run = |sql: &str| drop(database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")));
    run("CREATE TABLE events (seq BIGINT, item TEXT, factor DOUBLE, category TEXT, ok BOOLEAN) WITH (shards = 2)");
    // An event without an item, which is none.
    let mut rows = vec!["(-1, 'u0', to_timestamp_micros(1000), 'k0', NULL, 9, 'c0', true)".to_string()];
    for (seq, ((user, event), (factor, category, ok))) in data.events.iter().zip(&data.facts).enumerate() {
        let (factor, category) = (text(*factor), text(category.map(|category| format!("'c{category}'"))));
        let (ts, kind, item) = (event.ts_us, event.kind, item_name(&data.ranks, event.item));
        rows.push(format!(
            "({seq}, 'u{user}', to_timestamp_micros({ts}), 'k{kind}', '{item}', {factor}, {category}, {})",
            text(*ok)
        ));
    }
    for rows in rows.chunks(9) {
        let columns = "seq, user_id, ts, event, item, factor, category, ok";
        run(&format!("INSERT INTO events ({columns}) VALUES {}", rows.join(", ")));
        if data.flush {
            run("FLUSH events");
        }
    }
    database
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Popular => "popular",
        Method::Knn(_) => "item_knn",
        Method::Rp3Beta => "rp3beta",
        Method::Sequence => "sequence",
    }
}

fn written(case: &Case, call: &Call, input: &str) -> String {
    let mut sql = format!("SELECT * FROM RECOMMEND({input}, item => item, top => {}", call.top);
    let mut add = |name: &str, value: String| write!(sql, ", {name} => {value}").unwrap();
    let name = |item: &u32| format!("'{}'", item_name(&case.ranks, *item));
    let list = |items: &[u32]| format!("[{}]", items.iter().map(name).collect::<Vec<_>>().join(", "));
    match &call.asked {
        Asked::One(Target::User(user)) => add("for_user", format!("'u{user}'")),
        Asked::One(Target::Item(item)) => add("for_item", name(item)),
        Asked::One(Target::Items(items)) => add("for_items", list(items)),
        Asked::EveryUser => {}
        Asked::EveryItem => add("emit", "'items'".into()),
    }
    let names: Vec<String> = call.methods.iter().map(|method| format!("'{}'", method_name(*method))).collect();
    match names.as_slice() {
        [one] => add("using", one.clone()),
        several => add("using", format!("FALLBACK({})", several.join(", "))),
    }
    match call.methods[0] {
        Method::Knn(Similarity::Cosine) => add("similarity", "'cosine'".into()),
        Method::Knn(Similarity::Jaccard) => add("similarity", "'jaccard'".into()),
        Method::Knn(Similarity::Overlap) => add("similarity", "'overlap'".into()),
        Method::Knn(Similarity::Bm25 { .. }) => add("similarity", "'bm25'".into()),
        _ => {}
    }
    if call.weighed {
        let weights: Vec<String> = (0..2).map(|kind| format!("k{kind} => {}", case.weights[kind])).collect();
        add("weights", format!("WEIGHTS({})", weights.join(", ")));
    }
    match call.seen {
        Seen::Default => {}
        Seen::Include => add("seen", "'include'".into()),
        Seen::Kind(kind) => add("seen", format!("['k{kind}']")),
    }
    if !call.exclude.is_empty() {
        add("exclude", list(&call.exclude));
    }
    for (name, us) in [("window", case.window_us), ("half_life", case.half_life_us)] {
        us.into_iter().for_each(|us| add(name, format!("INTERVAL '{us} microseconds'")));
    }
    case.as_of_us.into_iter().for_each(|us| add("as_of", format!("to_timestamp_micros({us})")));
    if call.candidates {
        add("candidates", "ok".into());
    }
    if call.boost {
        add("boost", "factor * 1.0".into());
    }
    call.diversify.into_iter().for_each(|max| add("diversify", format!("DIVERSIFY(category, max => {max})")));
    sql + ")"
}

/// The case as the call sees it: events of kinds that it names, and what they are worth.
fn seen_by(case: &Case, call: &Call) -> Case {
    let mut weights = if call.weighed { case.weights.clone() } else { vec![1.0; 3] };
    if call.weighed {
        weights[2] = 0.0;
    }
    let is_named = |kind: u8| !call.weighed || kind < 2 || call.seen == Seen::Kind(kind);
    let events = case.events.iter().copied().filter(|(_, event)| is_named(event.kind)).collect();
    Case { events, weights, ..case.clone() }
}

/// The newest events of an item, of all kinds, and what they say.
fn newest(case: &Case, facts: &[Facts], item: u32) -> Vec<Facts> {
    let until = case.as_of_us.unwrap_or(i64::MAX);
    let is_of = |event: &Event| event.1.item == item && event.1.ts_us <= until;
    let own: Vec<(i64, Facts)> =
        case.events.iter().zip(facts).filter(|(event, _)| is_of(event)).map(|(e, f)| (e.1.ts_us, *f)).collect();
    let last = own.iter().map(|(ts, _)| *ts).max();
    own.into_iter().filter(|(ts, _)| Some(*ts) == last).map(|(_, facts)| facts).collect()
}

/// What each source of a target says about every item, the sources in order.
fn said(case: &Case, method: Method, target: &Target) -> Vec<(u32, Vec<f64>)> {
    let recency = if method == Method::Sequence { 0.5 } else { 0.95 };
    let mut sources: Vec<(u32, f64)> = match target {
        Target::User(user) => history(case, *user, if method == Method::Rp3Beta { 1.0 } else { recency }),
        Target::Item(item) => vec![(*item, 1.0)],
        Target::Items(items) => {
            let newest = |at: &usize| !items[at + 1..].contains(&items[*at]);
            (0..items.len()).rev().filter(newest).map(|at| (items[at], 1.0)).collect()
        }
    };
    if method == Method::Sequence {
        sources.truncate(3);
    }
    let says = |source: u32| -> Vec<f64> {
        match method {
            Method::Popular => vec![0.0; ITEMS as usize],
            Method::Knn(chosen) => (0..ITEMS).map(|item| similarity(case, source, item, chosen)).collect(),
            Method::Rp3Beta => {
                let beta = if matches!(target, Target::Items(_)) { 0.4 } else { 0.6 };
                let walk = Similarity::Rp3Beta { alpha: 1.0, beta };
                (0..ITEMS).map(|item| similarity(case, source, item, walk)).collect()
            }
            Method::Sequence => successors(case, source, SequenceOptions::default()),
        }
    };
    let weighed = |(source, weight): (u32, f64)| (source, says(source).iter().map(|value| weight * value).collect());
    sources.into_iter().map(weighed).collect()
}

/// A row: item, score, the items behind it, and the algorithm.
type Row = (u32, f64, Option<Vec<u32>>, &'static str);

/// The list for a target by definition; `None` where scores are so near each other that rounding decides their order.
fn list(all: &Case, facts: &[Facts], call: &Call, target: &Target) -> Option<Vec<Row>> {
    let case = seen_by(all, call);
    let place = |item: u32| case.ranks[item as usize];
    let has = |item: u32| {
        let Target::User(user) = target else { return false };
        let own = case.events.iter().filter(|(other, event)| other == user && event.ts_us <= case.now_us());
        own.filter(|(_, event)| event.item == item).any(|(_, event)| match call.seen {
            Seen::Default => case.weights[usize::from(event.kind)] > 0.0,
            Seen::Include => false,
            Seen::Kind(kind) => event.kind == kind,
        })
    };
    let is_named = |item: u32| match target {
        Target::User(_) => false,
        Target::Item(one) => *one == item,
        Target::Items(items) if call.seen == Seen::Include => items.last() == Some(&item),
        Target::Items(items) => items.contains(&item),
    };
    let may = |item: u32| {
        let is_candidate = !call.candidates || newest(all, facts, item).iter().any(|facts| facts.2 == Some(true));
        is_candidate && !has(item) && !is_named(item) && !call.exclude.contains(&item)
    };
    let boost = |item: u32| {
        let factors = newest(all, facts, item).into_iter().map(|facts| facts.0.unwrap_or(1.0));
        if call.boost { factors.fold(f64::NEG_INFINITY, f64::max) } else { 1.0 }
    };
    let category = |item: u32| newest(all, facts, item).into_iter().filter_map(|facts| facts.1).min();
    let fits = |rows: &[Row], item: u32| {
        let same = rows.iter().filter(|row| category(row.0).is_some() && category(row.0) == category(item)).count();
        rows.len() < call.top && rows.iter().all(|row| row.0 != item) && call.diversify.is_none_or(|max| same < max)
    };
    // Sums of parts are rounded by the kernel, so that even equal ones may differ there, but for those of the same two.
    let sorted = |scores: &[f64], method: Method, said: &[(u32, Vec<f64>)]| -> Option<Vec<(u32, f64)>> {
        let is_sum = matches!(method, Method::Sequence | Method::Rp3Beta | Method::Knn(Similarity::Bm25 { .. }));
        let parts = |item: u32| {
            let mut parts: Vec<f64> =
                said.iter().map(|source| source.1[item as usize]).filter(|part| *part > 0.0).collect();
            parts.sort_by(f64::total_cmp);
            parts
        };
        // Logarithms and roots are rounded as they come.
        let is_rough = matches!(method, Method::Knn(Similarity::Llr | Similarity::Cosine));
        let is_rounded = |a: u32, b: u32| {
            let of_others = || parts(a) != parts(b) || parts(a).len() > 2;
            is_sum || case.half_life_us.is_some() || is_rough && of_others()
        };
        let mut left: Vec<(u32, f64)> = (0..ITEMS)
            .filter(|&item| scores[item as usize] > 0.0 && may(item) && boost(item) > 0.0)
            .map(|item| (item, scores[item as usize] * boost(item)))
            .collect();
        left.sort_by(|a, b| b.1.total_cmp(&a.1).then(place(a.0).cmp(&place(b.0))));
        let is_near = |pair: &[(u32, f64)]| {
            let [(a, of_a), (b, of_b)] = [pair[0], pair[1]];
            of_a - of_b <= 1e-9 * of_a && (of_a != of_b || is_rounded(a, b))
        };
        (!left.windows(2).any(is_near)).then_some(left)
    };
    let mut rows: Vec<Row> = Vec::new();
    let popularity = popular(&case, case.half_life_us);
    for method in &call.methods {
        let said = said(&case, *method, target);
        let scores: Vec<f64> = match method {
            Method::Popular => popularity.clone(),
            _ => (0..ITEMS as usize).map(|item| said.iter().map(|source| source.1[item]).sum()).collect(),
        };
        for (item, score) in sorted(&scores, *method, &said)? {
            if fits(&rows, item) {
                let mut reasons: Vec<(u32, f64)> = said
                    .iter()
                    .map(|(source, shares)| (*source, shares[item as usize]))
                    .filter(|reason| reason.1 > 0.0)
                    .collect();
                reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(place(a.0).cmp(&place(b.0))));
                reasons.truncate(3);
                let reasons: Vec<u32> = reasons.iter().map(|reason| reason.0).collect();
                rows.push((item, score, (!reasons.is_empty()).then_some(reasons), method_name(*method)));
            }
        }
    }
    let has_scores = !rows.is_empty();
    for (item, score) in sorted(&popularity, Method::Popular, &[])? {
        if fits(&rows, item) {
            rows.push((item, if has_scores { 0.0 } else { score }, None, "popular"));
        }
    }
    Some(rows)
}

/// What stands in front of a list, and the list.
type Lists = BTreeMap<String, Vec<Row>>;

fn expected(case: &Case, facts: &[Facts], call: &Call) -> Option<Lists> {
    let visible = seen_by(case, call);
    let targets: Vec<(String, Target)> = match &call.asked {
        Asked::One(target) => {
            let first = match target {
                Target::User(user) => format!("u{user}"),
                Target::Item(item) => item_name(&case.ranks, *item),
                Target::Items(_) => String::new(),
            };
            vec![(first, target.clone())]
        }
        Asked::EveryUser => {
            let is_there = |user: &u32| {
                visible.events.iter().any(|(other, event)| other == user && event.ts_us <= visible.now_us())
            };
            (0..USERS).filter(is_there).map(|user| (format!("u{user}"), Target::User(user))).collect()
        }
        Asked::EveryItem => {
            let is_used =
                |item: &u32| (0..USERS).any(|user| counted(&visible, user).iter().any(|event| event.item == *item));
            (0..ITEMS).filter(is_used).map(|item| (item_name(&case.ranks, item), Target::Item(item))).collect()
        }
    };
    let lists = targets.into_iter().map(|(first, target)| Some((first, list(case, facts, call, &target)?)));
    let lists = lists.collect::<Option<Lists>>()?;
    Some(lists.into_iter().filter(|(_, rows)| !rows.is_empty()).collect())
}

/// The lists of an answer; ranks count from 1 without a gap, in the order of rows.
fn found(
    case: &Case,
    call: &Call,
    batches: &[trodden_query::arrow::array::RecordBatch],
) -> Result<Lists, TestCaseError> {
    let item = |name: &str| (0..ITEMS).find(|&item| item_name(&case.ranks, item) == name).unwrap();
    let mut lists = Lists::new();
    for batch in batches {
        let text = |name: &str, row: usize| {
            batch.column_by_name(name).map(|column| column.as_string_view().value(row).to_string())
        };
        for row in 0..batch.num_rows() {
            let first = text("user_id", row).or(text("for_item", row)).unwrap_or_default();
            let list = lists.entry(first).or_default();
            let rank = batch.column_by_name("rank").unwrap().as_primitive::<Int64Type>().value(row);
            prop_assert_eq!(rank, list.len() as i64 + 1);
            let score = batch.column_by_name("score").unwrap().as_primitive::<Float64Type>().value(row);
            let because = batch.column_by_name("because").unwrap().as_list::<i32>();
            let reasons = because.is_valid(row).then(|| {
                let reasons = because.value(row);
                reasons.as_string_view().iter().map(|reason| item(reason.unwrap())).collect::<Vec<u32>>()
            });
            let using = batch.column_by_name("using").map(|using| using.as_string::<i32>().value(row));
            prop_assert_eq!(using.is_some(), call.methods.len() > 1);
            let known = ["popular", "item_knn", "rp3beta", "sequence"];
            let using = using.map_or("", |using| known.into_iter().find(|known| *known == using).unwrap());
            list.push((item(&text("item", row).unwrap()), score, reasons, using));
        }
    }
    Ok(lists)
}

/// Whether two reasons of a row are so near each other that rounding decides their order: then the order does not matter.
fn same_reasons(found: Option<&Vec<u32>>, expected: Option<&Vec<u32>>) -> bool {
    let sorted = |reasons: &Vec<u32>| {
        let mut sorted = reasons.clone();
        sorted.sort_unstable();
        sorted
    };
    match (found, expected) {
        (Some(found), Some(expected)) if found.len() == 3 => expected.len() == 3,
        (found, expected) => found.map(sorted) == expected.map(sorted),
    }
}

/// Tables, and how many calls each of them answers.
const TABLES: u32 = 400;
const CALLS: usize = 32;
/// Calls of each test that are compared at least.
const COMPARED_MIN: u32 = 10_000;

/// Whether the call was compared: not where rounding decides, nor where the definitions leave a basket open.
fn compared(data: &Data, database: &Database, call: &Call) -> Result<bool, TestCaseError> {
    let case = asked_of(&data.events, &data.ranks, &call.question);
    // A basket that may come back needs items that are known, of which the last is left out.
    if let (Asked::One(Target::Items(items)), Seen::Include) = (&call.asked, &call.seen) {
        let visible = seen_by(&case, call);
        let is_used =
            |item: &u32| (0..USERS).any(|user| counted(&visible, user).iter().any(|event| event.item == *item));
        if !items.iter().all(is_used) {
            return Ok(false);
        }
    }
    let Some(expected) = expected(&case, &data.facts, call) else { return Ok(false) };
    for input in ["events", "(SELECT * FROM events ORDER BY seq)"] {
        let sql = written(&case, call, input);
        let answer = database.query_blocking(&sql);
        let answer = answer.map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
        same(&sql, &found(&case, call, &answer.batches)?, &expected)?;
    }
    Ok(true)
}

fn same(sql: &str, found: &Lists, expected: &Lists) -> Result<(), TestCaseError> {
    let firsts = |lists: &Lists| lists.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(firsts(found), firsts(expected), "{}", sql);
    for (found, expected) in found.values().zip(expected.values()) {
        let items = |rows: &[Row]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
        prop_assert_eq!(items(found), items(expected), "{}\n{:?}\n{:?}", sql, found, expected);
        for (found, expected) in found.iter().zip(expected) {
            let is_near = (found.1 - expected.1).abs() <= 1e-9 * (1.0 + expected.1.abs());
            let is_same = is_near && same_reasons(found.2.as_ref(), expected.2.as_ref());
            prop_assert!(is_same && (found.3.is_empty() || found.3 == expected.3), "{sql}\n{found:?}\n{expected:?}");
        }
    }
    Ok(())
}

/// Draws tables and calls until enough of them are compared.
fn check(asked: impl Strategy<Value = Asked>) {
    let all = Cell::new(0);
    let outcome = TestRunner::new(config(TABLES)).run(&(data(), vec(call(asked), CALLS)), |(data, calls)| {
        let database = filled(&data);
        for call in &calls {
            all.set(all.get() + u32::from(compared(&data, &database, call)?));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{} calls were compared", all.get());
    assert!(all.get() >= COMPARED_MIN, "{}", all.get());
}

// Two tests of about the same length, so that they run beside each other.

#[test]
fn every_row_of_one_list_is_what_the_definitions_say() {
    check(one_list());
}

#[test]
fn every_row_of_lists_for_all_is_what_the_definitions_say() {
    check(prop_oneof![Just(Asked::EveryUser), Just(Asked::EveryItem)]);
}
