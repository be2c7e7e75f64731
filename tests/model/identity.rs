//! Every answer of a table with aliases is that of a plain table that has each event under the id of its person: a model
//! replays the history, and what it arrives at is put into a table that knows no alias. The operators themselves are
//! compared with their own models elsewhere.

use crate::case::config;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use trodden_engine::storage::MemoryStore;
use trodden_engine::{Engine, EngineOptions};
use trodden_query::{Database, LiveOptions, Options};

/// One event: id, minute, name, item, price.
type Row = (u8, i64, u8, u8, u8);

#[derive(Debug, Clone)]
enum Act {
    Insert(Vec<Row>),
    Import(Vec<Row>),
    Alias(u8, u8),
    Unalias(u8),
    Delete(u8),
    Flush,
    Optimize,
    Open,
    Ask(usize),
}

const IDS: u8 = 6;

/// Questions whose answers depend on whose an event is, on the order of equal times, or on what is kept between statements.
const QUESTIONS: [&str; 22] = [
    "SELECT user_id, count(*) FROM events GROUP BY user_id ORDER BY 1",
    "SELECT user_id, ts, event, item, price FROM events ORDER BY 1, 2, 3, 4, 5",
    "SELECT count(*), count(DISTINCT user_id), min(ts), max(price) FROM events WHERE event <> 'x'",
    "SELECT * FROM FUNNEL(events, steps => ['x', 'y', 'z'])",
    "SELECT * FROM FUNNEL(events, steps => ['x', 'y', 'z'], ties => 'arrival', within => '50 minutes')",
    "SELECT * FROM FUNNEL(events, steps => ['x', 'y'], order => 'strict', ties => 'arrival', emit => 'users') ORDER BY 1",
    "SELECT * FROM FUNNEL(events, steps => ['x', 'y', 'x'], count => 'attempts', by => item)",
    "SELECT * FROM FUNNEL(events, steps => ['y', 'x'], order => 'any', by => item, attribution => 'last', ties => 'arrival')",
    "SELECT * FROM RETENTION(events, periods => 3)",
    "SELECT * FROM RETENTION(events, start => 'x', return => 'y', periods => 3, by => item)",
    "SELECT * FROM RETENTION(events, start => 'x', periods => 3, emit => 'users') ORDER BY 1, 2",
    "SELECT * FROM RETENTION(events, start => 'x', period => INTERVAL '1' DAY, periods => 3, windows => 'rolling')",
    "SELECT * FROM PATH(events, session => NULL, steps => 20)",
    "SELECT * FROM PATH(events, node => item, session => '40 minutes', emit => 'edges')",
    "SELECT * FROM SESSIONS(events, session => '30 minutes', emit => 'sessions') ORDER BY 1, 2",
    "SELECT * FROM LIFECYCLE(events, period => INTERVAL '1' DAY)",
    "SELECT * FROM STICKINESS(events)",
    "SELECT * FROM RFM(events, value => price, emit => 'users') ORDER BY 1",
    "SELECT item, score FROM RECOMMEND(events, item => item, for_user => 'b', using => 'item_knn', seen => 'include') ORDER BY 1",
    "SELECT item, score FROM RECOMMEND(events, item => item, for_item => 'i1', using => 'sequence') ORDER BY 1",
    "SELECT item, score FROM RECOMMEND(events, item => item, for_items => ['i0', 'i2'], candidates => price > 2) ORDER BY 1",
    "SELECT * FROM RECOMMEND(events, item => item) ORDER BY user_id, rank",
];

fn row() -> impl Strategy<Value = Row> {
    // Few minutes, so that many events have the same time; some a day later.
    let minute = prop_oneof![4 => 0..12_i64, 1 => (0..6_i64).prop_map(|n| n * 1440)];
    (0..IDS, minute, 0..3_u8, 0..4_u8, 0..5_u8)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => vec(row(), 1..7).prop_map(Act::Insert),
        1 => vec(row(), 1..7).prop_map(Act::Import),
        5 => (0..IDS, 0..IDS).prop_map(|(source, target)| Act::Alias(source, target)),
        2 => (0..IDS).prop_map(Act::Unalias),
        1 => (0..IDS).prop_map(Act::Delete),
        1 => Just(Act::Flush),
        1 => Just(Act::Optimize),
        1 => Just(Act::Open),
        8 => (0..QUESTIONS.len()).prop_map(Act::Ask),
    ]
}

fn name(id: u8) -> String {
    char::from(b'a' + id).to_string()
}

/// Events with the ids that they are stored under, in order of arrival, and aliases: source, target, joined.
#[derive(Debug, Default)]
struct Model {
    rows: Vec<Row>,
    aliases: Vec<(u8, u8, bool)>,
}

impl Model {
    fn end(&self, mut id: u8, joined_only: bool) -> u8 {
        while let Some(alias) = self.aliases.iter().find(|alias| alias.0 == id && (alias.2 || !joined_only)) {
            id = alias.1;
        }
        id
    }

    fn add(&mut self, rows: &[Row]) {
        let stored = rows.iter().map(|row| (self.end(row.0, true), row.1, row.2, row.3, row.4));
        let stored: Vec<Row> = stored.collect();
        self.rows.extend(stored);
    }

    /// Whether it may be.
    fn alias(&mut self, source: u8, target: u8) -> bool {
        let to = self.end(target, true);
        if let Some(alias) = self.aliases.iter().find(|alias| alias.0 == source) {
            return source != target && self.end(alias.1, true) == to;
        }
        let may = source != target && self.end(to, false) != source;
        if may {
            self.aliases.push((source, to, false));
        }
        may
    }

    fn unalias(&mut self, source: u8) -> bool {
        let may = self.aliases.iter().any(|alias| alias.0 == source && !alias.2);
        self.aliases.retain(|alias| !may || alias.0 != source);
        may
    }

    fn delete(&mut self, id: u8) -> bool {
        if self.aliases.iter().any(|alias| alias.0 == id) {
            return false;
        }
        let all: Vec<u8> = (0..IDS).filter(|&other| self.end(other, false) == id).collect();
        self.rows.retain(|row| !all.contains(&row.0));
        self.aliases.retain(|alias| !all.contains(&alias.0));
        true
    }

    /// The events under the ids of their persons: first those of aliases, in the order of these.
    fn joined(&self) -> Vec<Row> {
        let mut joined = Vec::new();
        for &(source, _, _) in self.aliases.iter().filter(|alias| !alias.2) {
            let person = self.end(source, false);
            joined
                .extend(self.rows.iter().filter(|row| row.0 == source).map(|row| (person, row.1, row.2, row.3, row.4)));
        }
        let is_pending = |id: u8| self.aliases.iter().any(|alias| alias.0 == id && !alias.2);
        joined.extend(self.rows.iter().filter(|row| !is_pending(row.0)));
        joined
    }

    fn join(&mut self) {
        self.rows = self.joined();
        self.aliases.iter_mut().for_each(|alias| alias.2 = true);
    }
}

fn insert(database: &Database, rows: &[Row]) {
    let text = |&(id, minute, event, item, price): &Row| {
        let ts = 1_767_225_600_000_000 + minute * 60_000_000;
        let item = if item == 3 { "NULL".into() } else { format!("'i{item}'") };
        let event = ["x", "y", "z"][usize::from(event)];
        format!("('{}', to_timestamp_micros({ts}), '{event}', {item}, {price})", name(id))
    };
    if !rows.is_empty() {
        let values: Vec<String> = rows.iter().map(text).collect();
        ask(database, &format!("INSERT INTO events (user_id, ts, event, item, price) VALUES {}", values.join(", ")));
    }
}

fn import(database: &Database, rows: &[Row]) {
    use trodden_engine::EventBatch;
    use trodden_query::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    let item = |row: &Row| (row.3 != 3).then(|| format!("i{}", row.3));
    let items: ArrayRef = Arc::new(rows.iter().map(item).collect::<StringArray>());
    let prices: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| f64::from(row.4))));
    let batch = EventBatch {
        user_id: StringArray::from_iter_values(rows.iter().map(|row| name(row.0))),
        ts: Int64Array::from_iter_values(rows.iter().map(|row| 1_767_225_600_000_000 + row.1 * 60_000_000)),
        event: StringArray::from_iter_values(rows.iter().map(|row| ["x", "y", "z"][usize::from(row.2)])),
        event_id: None,
        properties: vec![("item".into(), items), ("price".into(), prices)],
    };
    let table = database.engine().table("events").unwrap();
    let import = table.begin_import(&[]).unwrap();
    import.push(0, batch).unwrap();
    import.commit().unwrap();
}

fn open(store: &Arc<MemoryStore>) -> Database {
    let engine = Engine::open_store(Arc::clone(store) as _, EngineOptions::default()).expect("it opens");
    // Models that take long to learn would answer as of before for a while.
    let live = LiveOptions { refresh_after: Duration::ZERO, ..LiveOptions::default() };
    Database::of_engine(engine, Options { threads: 2, live, ..Options::default() })
}

fn create(database: &Database) {
    ask(database, "CREATE TABLE events (item TEXT, price DOUBLE) WITH (shards = 3)");
}

fn ask(database: &Database, sql: &str) -> String {
    match database.query_blocking(sql) {
        Ok(answer) => answer.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Whether a statement is done; it must not fail for another reason than a refusal.
fn is_done(database: &Database, sql: &str) -> bool {
    match database.query_blocking(sql) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.span().is_some(), "{sql}: {error} has no place");
            assert!(error.hint().is_some(), "{sql}: {error} names no way out");
            false
        }
    }
}

fn replay(acts: &[Act]) -> Result<(), TestCaseError> {
    let store: Arc<MemoryStore> = Arc::default();
    let mut database = Some(open(&store));
    let mut model = Model::default();
    create(database.as_ref().unwrap());
    // At the end everything is asked.
    let all: Vec<Act> = acts.iter().cloned().chain((0..QUESTIONS.len()).map(Act::Ask)).collect();
    let mut plain: Option<Database> = None;
    for act in &all {
        let now = database.as_ref().unwrap();
        match act {
            Act::Insert(rows) => {
                insert(now, rows);
                model.add(rows);
            }
            Act::Import(rows) => {
                import(now, rows);
                model.add(rows);
            }
            Act::Alias(source, target) => {
                let sql = format!("ALIAS '{}' TO '{}' ON events", name(*source), name(*target));
                prop_assert_eq!(is_done(now, &sql), model.alias(*source, *target), "{}", sql);
            }
            Act::Unalias(source) => {
                let sql = format!("UNALIAS '{}' ON events", name(*source));
                prop_assert_eq!(is_done(now, &sql), model.unalias(*source), "{}", sql);
            }
            Act::Delete(id) => {
                let sql = format!("DELETE FROM events WHERE user_id = '{}'", name(*id));
                prop_assert_eq!(is_done(now, &sql), model.delete(*id), "{}", sql);
            }
            Act::Flush => drop(ask(now, "FLUSH events")),
            Act::Optimize => {
                ask(now, "OPTIMIZE TABLE events");
                model.join();
            }
            Act::Open => {
                // The last handle gives the store free.
                drop(database.take());
                database = Some(open(&store));
            }
            Act::Ask(number) => {
                let plain = plain.get_or_insert_with(|| {
                    let plain = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
                    create(&plain);
                    insert(&plain, &model.joined());
                    plain
                });
                let sql = QUESTIONS[*number];
                // The plain table knows a person by one id only.
                let of_person = sql.replace("'b'", &format!("'{}'", name(model.end(1, false))));
                prop_assert_eq!(ask(now, sql), ask(plain, &of_person), "{}", sql);
                continue;
            }
        }
        plain = None;
    }
    prop_assert_eq!(database.unwrap().engine().check(), []);
    Ok(())
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn aliases_answer_as_one_table_of_persons(acts in vec(act(), 4..26)) {
        replay(&acts)?;
    }
}

/// The questions must all be answered: two errors are equal, too.
#[test]
fn every_question_has_an_answer() {
    let database = Database::in_memory(Options::default()).unwrap();
    create(&database);
    insert(&database, &[(1, 0, 0, 0, 1), (1, 1, 1, 1, 3), (2, 1, 0, 2, 4), (2, 3, 2, 0, 2)]);
    for sql in QUESTIONS {
        assert!(ask(&database, sql).contains('+'), "{sql}: {}", ask(&database, sql));
    }
}
