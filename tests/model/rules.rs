//! Rules against a reference that goes event by event and is written from `docs/semantics/rules.md` alone: random rules over
//! random batches, of which some are stored and some are not.

use crate::case::config;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_query::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use trodden_query::arrow::datatypes::{DataType, Int64Type};
use trodden_query::rules::{Cleaned, RuleSet};
use trodden_query::{Database, Options};

const TEXTS: [&str; 6] = ["a", "b", "1", "17", "+49 170 1234589", "ann@example.org"];
const AGENTS: [&str; 3] = ["", "Mozilla/5.0 (compatible; Googlebot/2.1)", "Mozilla/5.0 (X11; Linux) Firefox/140.0"];
const SECOND: i64 = 1_000_000;

/// An event: properties have a text or a number.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    user: String,
    ts: i64,
    event: String,
    id: Option<String>,
    values: BTreeMap<String, Cell>,
}

#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(String),
    Number(i64),
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// What a rule does, and to which events.
#[derive(Debug, Clone, Copy)]
enum Does {
    Bots,
    Limit(u64),
    Sample,
    Reject,
    RenameEvent,
    Rename(usize, usize),
    Map(usize, bool),
    MapEvent(bool),
    Mask(usize),
    Hash(usize),
    HashUser,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    Plan,
    Amount,
    View,
    NoMail,
    Nowhere,
    Nothing,
    NumberInPlan,
}

/// Properties by number: as a rule writes them, and as events do.
const NAMES: [&str; 4] = ["plan", "mail", "\"Phone\"", "tel"];
const COLUMNS: [&str; 4] = ["plan", "Mail", "Phone", "tel"];

impl Does {
    fn sql(self) -> String {
        match self {
            Self::Bots => "DROP BOTS".into(),
            Self::Limit(events) => format!("LIMIT {events} EVENTS PER SECOND"),
            Self::Sample => "SAMPLE 50 PERCENT".into(),
            Self::Reject => "REJECT 'not these'".into(),
            Self::RenameEvent => "RENAME EVENT 'view' TO 'seen'".into(),
            Self::Rename(from, to) => format!("RENAME {} TO {}", NAMES[from], NAMES[to]),
            Self::Map(name, all) => {
                let otherwise = if all { ", ELSE 'other'" } else { "" };
                format!("MAP {} ('a' TO 'alpha', '17' TO '18', 'b' TO 'a'{otherwise})", NAMES[name])
            }
            Self::MapEvent(all) => format!("MAP event ('buy' TO 'bought'{})", if all { " ELSE 'thing'" } else { "" }),
            Self::Mask(name) => format!("MASK {}, amount", NAMES[name]),
            Self::Hash(name) => format!("HASH {}", NAMES[name]),
            Self::HashUser => "HASH user_id, event_id".into(),
        }
    }
}

impl When {
    fn sql(self) -> &'static str {
        match self {
            Self::Always => "",
            Self::Plan => " WHERE plan = 'a'",
            Self::Amount => " WHERE Amount > 1",
            Self::View => " WHERE event = 'view' AND ts < '1970-01-01T00:00:02Z'",
            Self::NoMail => " WHERE mail IS NULL OR user_id = 'u1'",
            Self::Nowhere => " WHERE \"not there\" IS NULL",
            Self::Nothing => " WHERE nobody = 'x' OR lower(nobody) = 'x'",
            Self::NumberInPlan => " WHERE CAST(plan AS BIGINT) > 1",
        }
    }

    /// `None`: it cannot be computed.
    fn holds(self, event: &Sent) -> Option<bool> {
        let value = |name: &str| event.values.get(name);
        Some(match self {
            Self::Always | Self::Nowhere => true,
            Self::Nothing => false,
            Self::Plan => value("plan").is_some_and(|plan| plan.text() == "a"),
            Self::Amount => matches!(value("amount"), Some(Cell::Number(2..))),
            Self::View => event.event == "view" && event.ts < 2 * SECOND,
            Self::NoMail => value("Mail").is_none() || event.user == "u1",
            Self::NumberInPlan => match value("plan") {
                None => false,
                Some(plan) => plan.text().parse::<i64>().ok()? > 1,
            },
        })
    }
}

/// What the reference cannot know by itself, asked of rules that stand alone.
struct Oracle {
    hash: RuleSet,
    sample: RuleSet,
}

impl Oracle {
    fn hash(&self, text: &str) -> String {
        self.hash.user(text).expect("a hash")
    }

    fn stays(&self, user: &str) -> bool {
        let event = Sent { user: user.into(), ts: 0, event: "e".into(), id: None, values: BTreeMap::new() };
        !self.sample.apply(batch(&[event]), None).expect("a sample").batch.is_empty()
    }
}

/// What the reference remembers between batches: how many events of a user a rule let in within a second.
type Counts = HashMap<(usize, String, i64), u64>;

#[derive(Debug, Default, PartialEq)]
struct Expected {
    kept: Vec<(usize, Sent)>,
    rejected: Vec<usize>,
    dropped: u64,
    counts: BTreeMap<String, u64>,
}

fn mask(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.len() {
        0..8 => "***".into(),
        all => format!("******{}{}", letters[all - 2], letters[all - 1]),
    }
}

fn reference(
    rules: &[(Does, When)],
    events: &[Sent],
    agent: Option<&str>,
    oracle: &Oracle,
    counts: &mut Counts,
) -> Expected {
    let mut expected = Expected::default();
    let mut left: Vec<(usize, Sent)> = events.iter().cloned().enumerate().collect();
    let mut are_texts = types(events);
    for (number, (does, when)) in rules.iter().enumerate() {
        let mut next = Vec::new();
        for (row, mut event) in left {
            let mut count = |action: &str| *expected.counts.entry(format!("r{number} {action}")).or_insert(0) += 1;
            match when.holds(&event) {
                None => {
                    count("reject");
                    expected.rejected.push(row);
                    continue;
                }
                Some(false) => {
                    next.push((row, event));
                    continue;
                }
                Some(true) => {}
            }
            match one(*does, number, &mut event, agent, oracle, counts) {
                Fate::Stays => next.push((row, event)),
                Fate::Changed(action) => {
                    count(action);
                    next.push((row, event));
                }
                Fate::Dropped(action) => {
                    count(action);
                    expected.dropped += 1;
                }
                Fate::Rejected => {
                    count("reject");
                    expected.rejected.push(row);
                }
            }
        }
        let has = |action: &str| expected.counts.contains_key(&format!("r{number} {action}"));
        match *does {
            Does::Rename(from, to) if has("rename") => {
                let of_source = are_texts.get(COLUMNS[from]).copied().unwrap_or(false);
                let of_target = are_texts.get(COLUMNS[to]).copied().unwrap_or(false);
                are_texts.insert(COLUMNS[to], of_source || of_target);
                if next.iter().all(|(_, event)| !event.values.contains_key(COLUMNS[from])) {
                    are_texts.remove(COLUMNS[from]);
                }
            }
            Does::Map(name, _) if has("map") => drop(are_texts.insert(COLUMNS[name], true)),
            Does::Hash(name) if has("hash") => drop(are_texts.insert(COLUMNS[name], true)),
            _ => {}
        }
        // A property has one type in a batch.
        for (name, value) in next.iter_mut().flat_map(|(_, event)| &mut event.values) {
            if are_texts.get(name.as_str()) == Some(&true) {
                *value = Cell::Text(value.text());
            }
        }
        left = next;
    }
    expected.rejected.sort_unstable();
    expected.kept = left;
    expected
}

/// Whether the properties of a batch are texts in it.
fn types(events: &[Sent]) -> BTreeMap<&'static str, bool> {
    let column = |name: &'static str| {
        let mut values = events.iter().filter_map(|event| event.values.get(name)).peekable();
        values.peek()?;
        Some((name, values.any(|value| matches!(value, Cell::Text(_)))))
    };
    COLUMNS.into_iter().filter_map(column).collect()
}

enum Fate {
    Stays,
    Changed(&'static str),
    Dropped(&'static str),
    Rejected,
}

fn one(does: Does, number: usize, event: &mut Sent, agent: Option<&str>, oracle: &Oracle, counts: &mut Counts) -> Fate {
    let before = event.clone();
    let action = match does {
        Does::Bots => {
            let own = event.values.get("user_agent").map(Cell::text).filter(|own| !own.is_empty());
            let is_bot = own.or(agent.map(String::from)).is_some_and(|agent| agent.contains("bot"));
            return if is_bot { Fate::Dropped("drop") } else { Fate::Stays };
        }
        Does::Limit(most) => {
            let count = counts.entry((number, event.user.clone(), event.ts.div_euclid(SECOND))).or_insert(0);
            if *count >= most {
                return Fate::Dropped("limit");
            }
            *count += 1;
            return Fate::Stays;
        }
        Does::Sample => return if oracle.stays(&event.user) { Fate::Stays } else { Fate::Dropped("sample") },
        Does::Reject => return Fate::Rejected,
        Does::RenameEvent => {
            if event.event == "view" {
                event.event = "seen".into();
            }
            "rename"
        }
        Does::Rename(from, to) => {
            if let Some(value) = event.values.remove(COLUMNS[from]) {
                event.values.insert(COLUMNS[to].into(), value);
                return Fate::Changed("rename");
            }
            "rename"
        }
        Does::Map(name, all) => {
            if let Some(value) = event.values.get_mut(COLUMNS[name]) {
                let new = match value.text().as_str() {
                    "a" => Some("alpha"),
                    "17" => Some("18"),
                    "b" => Some("a"),
                    _ => all.then_some("other"),
                };
                if let Some(new) = new.filter(|new| *new != value.text()) {
                    *value = Cell::Text(new.into());
                }
            }
            "map"
        }
        Does::MapEvent(all) => {
            if event.event == "buy" {
                event.event = "bought".into();
            } else if all {
                event.event = "thing".into();
            }
            "map"
        }
        Does::Mask(name) => {
            event.values.remove("amount");
            match event.values.get_mut(COLUMNS[name]) {
                Some(Cell::Text(text)) => *text = mask(text),
                Some(Cell::Number(_)) => drop(event.values.remove(COLUMNS[name])),
                None => {}
            }
            "mask"
        }
        Does::Hash(name) => {
            if let Some(value) = event.values.get_mut(COLUMNS[name]) {
                *value = Cell::Text(oracle.hash(&value.text()));
            }
            "hash"
        }
        Does::HashUser => {
            event.user = oracle.hash(&event.user);
            event.id = event.id.as_deref().map(|id| oracle.hash(id));
            "hash"
        }
    };
    if *event == before { Fate::Stays } else { Fate::Changed(action) }
}

/// The events as a batch: a property has one type in it.
fn batch(events: &[Sent]) -> EventBatch {
    let mut names: Vec<&String> = events.iter().flat_map(|event| event.values.keys()).collect();
    names.sort();
    names.dedup();
    let column = |name: &String| {
        let values: Vec<Option<&Cell>> = events.iter().map(|event| event.values.get(name)).collect();
        let is_number = values.iter().flatten().all(|value| matches!(value, Cell::Number(_)));
        let number = |value: &Option<&Cell>| match value {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        };
        let array: ArrayRef = match is_number {
            true => Arc::new(values.iter().map(number).collect::<Int64Array>()),
            false => Arc::new(values.iter().map(|value| value.map(Cell::text)).collect::<StringArray>()),
        };
        (name.clone(), array)
    };
    EventBatch {
        user_id: events.iter().map(|event| Some(event.user.as_str())).collect(),
        ts: events.iter().map(|event| Some(event.ts)).collect(),
        event: events.iter().map(|event| Some(event.event.as_str())).collect(),
        event_id: Some(events.iter().map(|event| event.id.as_deref()).collect()),
        properties: names.into_iter().map(column).collect(),
    }
}

/// The events of a batch. Values are compared as texts: what a rule renamed may have been widened.
fn events(batch: &EventBatch) -> Vec<Sent> {
    let cell = |values: &ArrayRef, row: usize| match values.data_type() {
        _ if values.is_null(row) => None,
        DataType::Int64 => Some(Cell::Text(values.as_primitive::<Int64Type>().value(row).to_string())),
        _ => Some(Cell::Text(values.as_string::<i32>().value(row).to_string())),
    };
    let event = |row: usize| Sent {
        user: batch.user_id.value(row).into(),
        ts: batch.ts.value(row),
        event: batch.event.value(row).into(),
        id: batch.event_id.as_ref().filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row).to_string()),
        values: batch.properties.iter().filter_map(|(name, values)| Some((name.clone(), cell(values, row)?))).collect(),
    };
    (0..batch.len()).map(event).collect()
}

fn as_texts(event: &Sent) -> Sent {
    let values = event.values.iter().map(|(name, value)| (name.clone(), Cell::Text(value.text())));
    Sent { values: values.collect(), ..event.clone() }
}

/// What an event is made of: user, time, name, whether it has an id, values of the text columns, amount, agent.
type Parts = (u8, i64, u8, bool, [Option<u8>; 4], Option<i64>, Option<u8>);

fn sent() -> impl Strategy<Value = Parts> {
    let values = [option::of(0..6_u8), option::of(0..6_u8), option::of(0..6_u8), option::of(0..6_u8)];
    (0..4_u8, -1..4 * SECOND, 0..3_u8, any::<bool>(), values, option::of(0..4_i64), option::of(0..3_u8))
}

/// A batch, whose phone numbers are numbers or texts, and whether it is stored.
fn sent_batch() -> impl Strategy<Value = (Vec<Sent>, bool)> {
    (vec(sent(), 0..12), any::<bool>(), prop::bool::weighted(0.7)).prop_map(|(events, are_numbers, is_stored)| {
        let mut next = 0;
        let event =
            |(user, ts, event, has_id, values, amount, agent): (u8, i64, u8, bool, [_; 4], Option<i64>, Option<u8>)| {
                next += 1;
                let mut cells = BTreeMap::new();
                for (column, value) in COLUMNS.iter().zip(values) {
                    let Some(value): Option<u8> = value else { continue };
                    let cell = match *column == "Phone" && are_numbers {
                        true => Cell::Number(i64::from(value) + 15),
                        false => Cell::Text(TEXTS[usize::from(value)].into()),
                    };
                    cells.insert((*column).to_string(), cell);
                }
                cells.extend(amount.map(|amount| ("amount".to_string(), Cell::Number(amount))));
                cells.extend(agent.map(|agent| ("user_agent".into(), Cell::Text(AGENTS[usize::from(agent)].into()))));
                let event = ["view", "buy", "other"][usize::from(event)].into();
                Sent { user: format!("u{user}"), ts, event, id: has_id.then(|| format!("id{next}")), values: cells }
            };
        (events.into_iter().map(event).collect(), is_stored)
    })
}

fn rule() -> impl Strategy<Value = (Does, When)> {
    let does = prop_oneof![
        Just(Does::Bots),
        (1..3_u64).prop_map(Does::Limit),
        Just(Does::Sample),
        Just(Does::Reject),
        Just(Does::RenameEvent),
        (0..4_usize, 1..4_usize).prop_map(|(from, other)| Does::Rename(from, (from + other) % 4)),
        (0..4_usize, any::<bool>()).prop_map(|(name, all)| Does::Map(name, all)),
        any::<bool>().prop_map(Does::MapEvent),
        (0..4_usize).prop_map(Does::Mask),
        (0..4_usize).prop_map(Does::Hash),
        Just(Does::HashUser),
    ];
    let when = prop_oneof![
        3 => Just(When::Always),
        1 => Just(When::Plan),
        1 => Just(When::Amount),
        1 => Just(When::View),
        1 => Just(When::NoMail),
        1 => Just(When::Nowhere),
        1 => Just(When::Nothing),
        1 => Just(When::NumberInPlan),
    ];
    // Users have no condition.
    (does, when).prop_map(|(does, when)| match does {
        Does::HashUser => (does, When::Always),
        _ => (does, when),
    })
}

fn house() -> (Database, Oracle) {
    let database = Database::in_memory(Options { threads: 1, ..Options::default() }).expect("memory is there");
    let script = "CREATE TABLE events (plan TEXT, amount BIGINT, \"Mail\" TEXT, \"Phone\" TEXT) WITH (shards = 1);
         CREATE TABLE asked;
         CREATE RULE ids ON asked AS HASH user_id";
    database.query_blocking(script).expect("tables and the key");
    let alone = |rules: &[&str]| {
        let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
        database.rules_with("asked", &rules).expect("rules")
    };
    let hash = alone(&[]);
    let sample = alone(&["CREATE OR REPLACE RULE ids ON asked AS SAMPLE 50 PERCENT"]);
    (database, Oracle { hash, sample })
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn rules_do_what_they_say(
        rules in vec(rule(), 1..6),
        batches in vec(sent_batch(), 1..4),
        agent in option::of(0..3_usize),
    ) {
        let (database, oracle) = house();
        let sql = |(number, (does, when)): (usize, &(Does, When))| {
            format!("CREATE RULE r{number} ON events AS {}{}", does.sql(), when.sql())
        };
        let statements: Vec<String> = rules.iter().enumerate().map(sql).collect();
        let set = database.rules_with("events", &statements).expect("rules");
        let agent = agent.map(|agent| AGENTS[agent]).filter(|agent| !agent.is_empty());
        let mut counts = Counts::new();
        for (sent, is_stored) in &batches {
            let mut new_counts = counts.clone();
            let expected = reference(&rules, sent, agent, &oracle, &mut new_counts);
            let Cleaned { batch: cleaned, outcome } = set.apply(batch(sent), agent).expect("applied");
            let kept: Vec<Sent> = events(&cleaned);
            let wanted: Vec<Sent> = expected.kept.iter().map(|(_, event)| as_texts(event)).collect();
            prop_assert_eq!(kept, wanted, "{:?}", statements);
            prop_assert_eq!(&outcome.rows, &expected.kept.iter().map(|(row, _)| *row).collect::<Vec<_>>());
            let rejected: Vec<usize> = outcome.rejected.iter().map(|rejected| rejected.row).collect();
            prop_assert_eq!(rejected, expected.rejected);
            prop_assert_eq!(outcome.dropped, expected.dropped);
            let mut counted = BTreeMap::new();
            for count in &outcome.counts {
                *counted.entry(format!("{} {}", count.rule, count.action)).or_insert(0) += count.events;
            }
            prop_assert_eq!(counted, expected.counts);
            // What was applied can be stored.
            if *is_stored {
                database.ingest("events", cleaned).expect("stored");
                outcome.taken.keep();
                counts = new_counts;
            }
        }
    }
}
