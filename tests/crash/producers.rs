//! Numbered batches across power cuts, crashes and failures: a producer that sends again what was not acknowledged has each
//! event stored once, whatever the table remembers, and none is missing.

use arrow_array::{Int64Array, StringArray};
use std::sync::Arc;
use trodden_engine::error::Result;
use trodden_engine::producers::Mark;
use trodden_engine::storage::FaultStore;
use trodden_engine::table::{Appended, PendingAppend, Produced};
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

fn queued(table: &Table, sequence: u64) -> PendingAppend {
    let mark = Mark { producer: "p".into(), sequence, previous: sequence - 1 };
    table.queue(&batch("p", sequence), Some(&mark)).unwrap()
}

#[test]
fn batches_that_wait_together_are_durable_by_one_sync_and_only_then_seen() {
    let store = FaultStore::new();
    let engine = create(&store);
    let table = engine.table("t").unwrap();
    let stored = Produced::Stored(Appended { accepted: 3, duplicates: 0 });
    // The first one also makes the file of the log.
    assert_eq!(queued(&table, 1).wait().unwrap(), stored);
    let before = store.syncs();
    let [second, third, fourth] = [2, 3, 4].map(|sequence| queued(&table, sequence));
    assert_eq!((store.syncs(), table.snapshot().rows()), (before, 3), "nothing is done before somebody waits");
    assert_eq!(third.wait().unwrap(), stored);
    assert_eq!((store.syncs(), table.snapshot().rows()), (before + 1, 12));
    let durable = || open(FaultStore::from_image(store.durable_image())).table("t").unwrap().snapshot().rows();
    assert_eq!(durable(), 12);
    assert_eq!((fourth.wait().unwrap(), second.wait().unwrap()), (stored, stored));
    assert_eq!(store.syncs(), before + 1);
    // Sent again while it is queued: it waits for the first one to be durable.
    let (fifth, again) = (queued(&table, 5), queued(&table, 5));
    assert_eq!(again.wait().unwrap(), Produced::Repeated);
    assert_eq!(durable(), 15);
    assert_eq!(fifth.wait().unwrap(), stored);
}

#[test]
fn batches_that_wait_for_a_sync_that_fails_are_all_told() {
    let store = FaultStore::new();
    let engine = create(&store);
    let table = engine.table("t").unwrap();
    queued(&table, 1).wait().unwrap();
    let [second, third] = [2, 3].map(|sequence| queued(&table, sequence));
    store.fail_sync(store.syncs() + 1);
    assert!(third.wait().is_err());
    assert!(second.wait().is_err());
    assert_eq!(table.snapshot().rows(), 3);
    let durable = open(FaultStore::from_image(store.durable_image()));
    let table = durable.table("t").unwrap();
    for sequence in [2, 3] {
        queued(&table, sequence).wait().unwrap();
    }
    assert_eq!(names(&table), ["p1", "p1", "p1", "p2", "p2", "p2", "p3", "p3", "p3"]);
}

#[test]
fn a_batch_that_nobody_waited_for_is_whole_or_absent_and_can_be_sent_again() {
    let store = FaultStore::new();
    let engine = create(&store);
    let table = engine.table("t").unwrap();
    queued(&table, 1).wait().unwrap();
    let _ = queued(&table, 2);
    drop((table, engine));
    let again = open(FaultStore::from_image(store.written_image()));
    let table = again.table("t").unwrap();
    assert_eq!(table.snapshot().rows(), 3);
    queued(&table, 2).wait().unwrap();
    let _ = queued(&table, 3);
    queued(&table, 4).wait().unwrap();
    assert_eq!(table.snapshot().rows(), 12, "who waits for the next one waits for it, too");
}
