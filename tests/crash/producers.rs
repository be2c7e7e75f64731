//! Numbered batches across power cuts, crashes and failures: a producer that sends again what was not acknowledged has each
//! event stored once, whatever the table remembers, and none is missing.

use arrow_array::{Int64Array, StringArray};
use std::sync::Arc;
use trodden_engine::error::Result;
use trodden_engine::producers::Mark;
use trodden_engine::storage::FaultStore;
use trodden_engine::table::Produced;
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, EngineOptions, EventBatch, Table};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A producer sends its next batch.
    Send(&'static str),
    /// A producer sends its last batch again.
    Again(&'static str),
    /// A producer sends a batch all of whose events are there already.
    Known(&'static str),
    Flush,
    Compact,
}

const SCRIPT: [Step; 12] = [
    Step::Send("p"),
    Step::Send("q"),
    Step::Again("p"),
    Step::Send("p"),
    Step::Flush,
    Step::Again("p"),
    Step::Send("p"),
    Step::Known("q"),
    Step::Send("q"),
    Step::Flush,
    Step::Compact,
    Step::Send("q"),
];

fn open(store: FaultStore) -> Engine {
    let options = EngineOptions { threads: 1, ..EngineOptions::default() };
    Engine::open_store(Arc::new(store), options).unwrap()
}

fn create(store: &FaultStore) -> Engine {
    let engine = open(store.clone());
    let table_options = TableOptions { shards: 2, ..TableOptions::default() };
    engine.create_table("t", Schema::default(), table_options).unwrap();
    engine
}

/// Three users do something; only ids tell one event from another.
fn batch(producer: &str, sequence: u64) -> EventBatch {
    let users = ["ann", "bob", "cid"];
    EventBatch {
        user_id: StringArray::from(users.to_vec()),
        ts: Int64Array::from(vec![i64::try_from(sequence).unwrap(); users.len()]),
        event: StringArray::from(vec![format!("{producer}{sequence}"); users.len()]),
        event_id: None,
        properties: Vec::new(),
    }
}

/// Batches of a producer that were sent up to a step, `Known` included.
fn sent(steps: &[Step], producer: &str) -> u64 {
    let of = |step: &&Step| matches!(step, Step::Send(who) | Step::Known(who) if *who == producer);
    steps.iter().filter(of).count() as u64
}

fn run(table: &Table, at: usize) -> Result<()> {
    let step = SCRIPT[at];
    let append = |producer: &str, sequence: u64, batch: &EventBatch| {
        let mark = Mark { producer: producer.into(), sequence, previous: sequence - 1 };
        table.append_from(batch, &mark)
    };
    match step {
        Step::Send(producer) => {
            let sequence = sent(&SCRIPT[..at], producer) + 1;
            append(producer, sequence, &batch(producer, sequence)).map(drop)
        }
        Step::Again(producer) => {
            let sequence = sent(&SCRIPT[..at], producer);
            append(producer, sequence, &batch(producer, sequence))
                .map(|produced| assert_eq!(produced, Produced::Repeated))
        }
        Step::Known(producer) => {
            // The same event under the same id, and nothing new: the number counts all the same.
            let known = || EventBatch {
                user_id: StringArray::from(vec!["ann"]),
                ts: Int64Array::from(vec![1]),
                event: StringArray::from(vec!["known"]),
                event_id: Some(StringArray::from(vec!["id"])),
                properties: Vec::new(),
            };
            table.append(known())?;
            append(producer, sent(&SCRIPT[..at], producer) + 1, &known()).map(drop)
        }
        Step::Flush => table.flush(),
        Step::Compact => table.compact(true),
    }
}

/// Names of the stored events, sorted, one a user.
fn names(table: &Table) -> Vec<String> {
    let snapshot = table.snapshot();
    let mut names = Vec::new();
    for live in snapshot.shards.iter().flat_map(|shard| &shard.segments) {
        for block in 0..live.segment.blocks().len() {
            let block = live.segment.block(block);
            let events = block.text("event").unwrap();
            names.extend((0..block.rows()).filter_map(|row| events.get(row).map(String::from)));
        }
    }
    names.sort();
    names
}

fn expected(steps: usize) -> Vec<String> {
    let mut names = Vec::new();
    for (at, step) in SCRIPT[..steps].iter().enumerate() {
        match step {
            Step::Send(producer) => {
                let name = format!("{producer}{}", sent(&SCRIPT[..at], producer) + 1);
                names.extend(vec![name; 3]);
            }
            Step::Known(_) => names.push("known".into()),
            Step::Again(_) | Step::Flush | Step::Compact => {}
        }
    }
    names.sort();
    names
}

/// What a producer does that had no answer to its last batch: it sends it again, and goes on. The end is as if nothing had
/// happened.
fn go_on(engine: &Engine, at: usize, what: &str) {
    let table = engine.table("t").unwrap();
    (at..SCRIPT.len()).for_each(|step| run(&table, step).unwrap_or_else(|error| panic!("{what}: {error}")));
    assert_eq!(names(&table), expected(SCRIPT.len()), "{what}");
    assert_eq!(engine.check(), [], "{what}");
    let gap = Mark { producer: "p".into(), sequence: 9, previous: 8 };
    assert_eq!(table.append_from(&batch("p", 9), &gap).unwrap(), Produced::Gap { last: 3 }, "{what}");
}

#[test]
fn a_producer_that_sends_again_after_a_crash_has_each_event_stored_once() {
    let store = FaultStore::new();
    let engine = create(&store);
    let table = engine.table("t").unwrap();
    for (at, step) in SCRIPT.iter().enumerate() {
        store.record_history();
        run(&table, at).unwrap();
        for (n, moment) in store.take_history().into_iter().enumerate() {
            for (image, how) in [(moment.durable, "power cut"), (moment.written, "crash")] {
                let what = format!("{step:?} ({at}), {how} {n}");
                go_on(&open(FaultStore::from_image(image)), at, &what);
            }
        }
        assert_eq!(names(&table), expected(at + 1));
        let what = format!("after {step:?} ({at})");
        go_on(&open(FaultStore::from_image(store.durable_image())), at + 1, &what);
    }
}

#[test]
fn a_producer_that_sends_again_after_a_failure_has_each_event_stored_once() {
    for (at, step) in SCRIPT.iter().enumerate() {
        for n in 1..20 {
            for syncs in [false, true] {
                let store = FaultStore::new();
                let engine = create(&store);
                let table = engine.table("t").unwrap();
                (0..at).for_each(|before| run(&table, before).unwrap());
                match syncs {
                    true => store.fail_sync(store.syncs() + n),
                    false => store.fail_write(store.writes() + n),
                }
                let done = run(&table, at);
                drop((table, engine));
                let what = format!("{step:?} ({at}), {} {n} fails", if syncs { "sync" } else { "write" });
                let next = if done.is_ok() { at + 1 } else { at };
                go_on(&open(FaultStore::from_image(store.durable_image())), next, &what);
            }
        }
    }
}
