//! A list from the state that is kept between statements is the list that reading all events gives, whatever came between:
//! events that arrive late or early, deleted users, flushes, compactions, openings, a statement older than the last one.

use crate::case::config;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use trodden_engine::{Engine, EngineOptions, storage::MemoryStore};
use trodden_query::{Database, LiveOptions, Options, QueryOptions, QueryResult};

/// One thing that happens to a table.
#[derive(Debug, Clone)]
enum Act {
    /// User, time in minutes, event, item, whether it is in stock.
    Append(Vec<(u8, i64, u8, u8, bool)>),
    Delete(u8),
    Flush,
    Compact,
    /// Hide what is older than so many minutes.
    Retain(i64),
    Open,
    Ask(usize),
    /// Ask, and read the answer after the next act and the question of the same number that follows it.
    AskLate(usize, Vec<(u8, i64, u8, u8, bool)>),
}

const QUESTIONS: [&str; 16] = [
    "for_user => 'u1', using => 'item_knn', weights => WEIGHTS(buy => 5, view => 1)",
    "for_user => 'u1', using => 'sequence', seen => 'include'",
    "for_user => 'u2', using => 'session_knn', seen => 'include', top => 3",
    "for_user => 'u1', using => 'repurchase', weights => WEIGHTS(buy => 2)",
    "for_user => 'u2', using => 'popular', weights => WEIGHTS(buy => 5, view => 1), half_life => '20 minutes'",
    "for_user => 'u3', using => 'trending'",
    "for_user => 'u2', using => 'blend', window => '30 minutes'",
    "for_user => 'nobody', weights => WEIGHTS(view => 1), seen => ['buy']",
    "for_item => 'i1', similarity => 'jaccard'",
    "for_item => 'i2', similarity => 'bm25', candidates => stock",
    "for_item => 'i1', using => 'rp3beta', as_of => TIMESTAMP '2026-01-01 00:40:00'",
    "for_items => ['i1', 'i3'], using => 'ease', candidates => stock",
    "for_items => ['i0', 'i9'], using => 'als', seen => 'include'",
    "for_user => 'u1', candidates => stock, as_of => TIMESTAMP '2026-01-01 00:30:00'",
    "emit => 'items', similarity => 'overlap', weights => WEIGHTS(buy => 1)",
    "emit => 'items', candidates => stock, top => 3",
];

fn event() -> impl Strategy<Value = (u8, i64, u8, u8, bool)> {
    (0..5_u8, 0..90_i64, 0..3_u8, 0..6_u8, prop::bool::weighted(0.7))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => vec(event(), 1..6).prop_map(Act::Append),
        1 => (0..5_u8).prop_map(Act::Delete),
        1 => Just(Act::Flush),
        1 => Just(Act::Compact),
        1 => (30..120_i64).prop_map(Act::Retain),
        1 => Just(Act::Open),
        6 => (0..QUESTIONS.len()).prop_map(Act::Ask),
        2 => (0..QUESTIONS.len(), vec(event(), 1..4)).prop_map(|(question, events)| Act::AskLate(question, events)),
    ]
}

/// 2026-01-01 00:00:00 UTC.
const START_US: i64 = 1_767_225_600_000_000;

/// A database, and the store below, to open it again.
struct Opened {
    store: Arc<MemoryStore>,
    live_limit_bytes: usize,
    database: Option<Database>,
}

impl Opened {
    fn new(live_limit_bytes: usize) -> Self {
        let mut opened = Self { store: Arc::default(), live_limit_bytes, database: None };
        opened.open();
        opened.sql("CREATE TABLE events (item TEXT, stock BOOLEAN) WITH (shards = 2)");
        opened
    }

    fn open(&mut self) {
        self.database = None;
        let store = Arc::clone(&self.store);
        let engine = Engine::open_store(store, EngineOptions::default()).expect("it opens");
        // A model that takes long would else be an older one.
        let live = LiveOptions { limit_bytes: self.live_limit_bytes, refresh_after: Duration::ZERO };
        let options = Options { threads: 2, live, ..Options::default() };
        self.database = Some(Database::of_engine(engine, options));
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open")
    }

    fn sql(&self, sql: &str) -> String {
        match self.database().query_blocking(sql) {
            Ok(answer) => answer.to_string(),
            Err(error) => panic!("{sql}\n{error}"),
        }
    }

    fn append(&self, events: &[(u8, i64, u8, u8, bool)]) {
        let row = |&(user, minute, event, item, stock): &(u8, i64, u8, u8, bool)| {
            let ts = START_US + minute * 60_000_000;
            let event = ["view", "buy", "home"][usize::from(event)];
            let item = if item == 5 { "NULL".to_string() } else { format!("'i{item}'") };
            format!("('u{user}', to_timestamp_micros({ts}), '{event}', {item}, {stock})")
        };
        let rows: Vec<String> = events.iter().map(row).collect();
        self.sql(&format!("INSERT INTO events (user_id, ts, event, item, stock) VALUES {}", rows.join(", ")));
    }

    fn ask(&self, question: usize) -> String {
        self.sql(&text(question))
    }

    /// A question that was begun, so that its snapshot is taken.
    fn begin(&self, runtime: &tokio::runtime::Runtime, question: usize) -> QueryResult {
        let statements = self.database().parse(&text(question)).expect("it is a statement");
        runtime.block_on(self.database().run(&statements[0], QueryOptions::default())).expect("it begins")
    }
}

fn text(question: usize) -> String {
    format!("SELECT * FROM RECOMMEND(events, item => item, {})", QUESTIONS[question])
}

fn finish(runtime: &tokio::runtime::Runtime, result: QueryResult) -> String {
    let batches = runtime.block_on(result.collect()).expect("it ends");
    trodden_query::arrow::util::pretty::pretty_format_batches(&batches).expect("it can be shown").to_string()
}

fn happens(opened: &mut Opened, act: &Act, runtime: &tokio::runtime::Runtime) -> Option<String> {
    match act {
        Act::Append(events) => opened.append(events),
        Act::Delete(user) => drop(opened.sql(&format!("DELETE FROM events WHERE user_id = 'u{user}'"))),
        Act::Flush => opened.database().engine().table("events").expect("it is there").flush().expect("it flushes"),
        Act::Compact => drop(opened.sql("OPTIMIZE TABLE events")),
        Act::Retain(minutes) => {
            let table = opened.database().engine().table("events").expect("it is there");
            table.set_retention(Some(minutes * 60_000_000)).expect("it is set");
            table.enforce_retention(START_US + 100 * 60_000_000).expect("it is enforced");
        }
        Act::Open => opened.open(),
        Act::Ask(question) => return Some(opened.ask(*question)),
        Act::AskLate(question, events) => {
            let early = opened.begin(runtime, *question);
            opened.append(events);
            let late = opened.ask(*question);
            return Some(format!("{late}\n{}", finish(runtime, early)));
        }
    }
    None
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn kept_state_answers_as_reading_does(first in vec(event(), 0..30), acts in vec(act(), 1..16)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (mut kept, mut read) = (Opened::new(1 << 30), Opened::new(0));
        if !first.is_empty() {
            kept.append(&first);
            read.append(&first);
        }
        for act in &acts {
            let found = happens(&mut kept, act, &runtime);
            prop_assert_eq!(found, happens(&mut read, act, &runtime), "{:?}", act);
        }
    }
}
