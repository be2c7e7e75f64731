//! Aliases: every answer that of the model, whatever happens in between; and nothing lost or halfway when the power goes
//! or a write fails.

mod compat;
mod model;

use crate::model::{digest_of, view};
use crate::power::{Image, images};
use crate::script::{create_with, options};
use model::{Identity, Step, expected, run_step, steps};
use std::sync::Arc;
use trodden_engine::error::ErrorKind;
use trodden_engine::log::{FaultyLogs, FileLogs, Logs, MemoryLogs};
use trodden_engine::storage::{FaultStore, LocalStore, MemoryStore, Store};
use trodden_engine::{Engine, EngineOptions, Table};

/// Flushes and joins where the script says so, and nowhere else: when joined histories are too many for memory depends on
/// what is still there of them, which a crash changes.
fn by_the_script() -> EngineOptions {
    EngineOptions { memtable_rows: 1 << 20, ..options() }
}

fn aliases_of(table: &Table) -> Vec<(String, String, bool)> {
    let aliases = table.aliases();
    aliases.iter().map(|alias| (alias.source.id.clone(), alias.target.id.clone(), alias.joined)).collect()
}

fn is_like(table: &Table, model: &Identity, what: &str) {
    assert_eq!(aliases_of(table), model.aliases(), "{what}");
    let found = view(&table.snapshot()).unwrap();
    let expected = model.view();
    for user in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(user), expected.get(user), "{what}: {user}");
    }
}

/// Scripts with openings in between, with and without limits that make the table flush and join by itself.
#[test]
fn every_answer_is_that_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..24 {
        let options = if seed % 2 == 0 { options() } else { by_the_script() };
        // On a disk the catalog is another one, too.
        let store: Arc<dyn Store> = match seed {
            20.. => Arc::new(LocalStore::create(&dir.path().join(seed.to_string())).unwrap()),
            _ => Arc::new(FaultStore::new()),
        };
        let (mut engine, mut table) = create_with(Arc::clone(&store), options.clone()).unwrap();
        let mut model = Identity::new();
        let steps = steps(300, 7000 + seed);
        let (mut joins, mut refusals) = (0, 0);
        for (at, step) in steps.iter().enumerate() {
            let what = format!("seed {seed}, step {at}, {step:?}");
            if at % 23 == 11 {
                drop((engine, table));
                engine = Engine::open_store(Arc::clone(&store), options.clone()).unwrap();
                table = engine.table("t").unwrap();
                is_like(&table, &model, &format!("{what}, opened before"));
            }
            let refused = run_step(&table, step).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(refused, model.run(step), "{what}");
            refusals += usize::from(refused.is_some());
            // The table may have joined what is much in memory: all of it, and after the step.
            if model.aliases().iter().zip(aliases_of(&table)).any(|(of_model, found)| !of_model.2 && found.2) {
                model.join();
                joins += 1;
            }
            is_like(&table, &model, &what);
            if at % 20 == 0 {
                assert_eq!(engine.check(), [], "{what}");
            }
        }
        assert!(refusals > 5, "seed {seed}: {refusals} refusals");
        assert!(seed % 2 == 1 || joins > 0, "seed {seed}: {joins} joins");
        assert_eq!(engine.check(), [], "seed {seed}");
    }
}

fn reopen(image: Image, done: usize, digests: &[u64], what: &str) -> (FaultStore, usize) {
    let store = FaultStore::from_image(image);
    let mut found = Vec::new();
    for opening in ["first", "second"] {
        let engine = Engine::open_store(Arc::new(store.clone()), by_the_script())
            .unwrap_or_else(|error| panic!("{what}, after {done} steps, {opening} opening: {error}"));
        found.push(digest_of(&engine.table("t").unwrap()).unwrap());
        assert_eq!(engine.check(), [], "{what}, after {done} steps, {opening} opening");
    }
    let allowed = &digests[done..digests.len().min(done + 2)];
    let place = allowed.iter().position(|digest| *digest == found[0]).filter(|_| found[0] == found[1]);
    let place = place.unwrap_or_else(|| panic!("{what}, after {done} steps: neither what was before, nor after"));
    (store, done + place)
}

#[test]
fn aliases_survive_whenever_the_power_goes() {
    const STEPS: usize = 10;
    let steps = steps(260, 99);
    let digests = expected(&steps);
    let store = FaultStore::new();
    let (_engine, table) = create_with(Arc::new(store.clone()), by_the_script()).unwrap();
    let (mut moments, mut images_seen) = (0, 0);
    for (done, step) in steps.iter().enumerate() {
        store.record_history();
        run_step(&table, step).unwrap_or_else(|error| panic!("step {done}, {step:?}: {error}"));
        assert_eq!(digest_of(&table).unwrap(), digests[done + 1], "step {done}, {step:?}");
        for moment in store.take_history() {
            moments += 1;
            let mut seen: Vec<Image> = Vec::new();
            for (what, image) in images(&moment, moments) {
                if seen.contains(&image) {
                    continue;
                }
                seen.push(image.clone());
                images_seen += 1;
                let what = format!("{what} in {step:?}");
                let (store, from) = reopen(image, done, &digests, &what);
                if images_seen % 5 > 0 || was_it_done(step, &digests[done..done + 2]) {
                    continue;
                }
                let engine = Engine::open_store(Arc::new(store), by_the_script()).unwrap();
                let table = engine.table("t").unwrap();
                for (at, step) in steps.iter().enumerate().skip(from).take(STEPS) {
                    run_step(&table, step).unwrap_or_else(|error| panic!("{what}, then {at}, {step:?}: {error}"));
                    assert_eq!(digest_of(&table).unwrap(), digests[at + 1], "{what}, from {from}, {at}, {step:?}");
                }
                assert_eq!(engine.check(), [], "{what}");
            }
        }
    }
    assert!(moments > 250, "the script syncs often, here {moments} times");
}

/// Whether nobody can see if a step was done that cannot be done twice.
fn was_it_done(step: &Step, digests: &[u64]) -> bool {
    digests[0] == digests[1] && matches!(step, Step::Plain(crate::script::Operation::Import { .. }))
}

fn with(logs: &FaultyLogs) -> EngineOptions {
    EngineOptions { logs: Arc::new(logs.clone()), ..by_the_script() }
}

/// Run the script with the `n`-th append of the log failing, before or after it is written; open again and do the rest.
fn fail_and_go_on(inner: Arc<dyn Logs>, steps: &[Step], digests: &[u64], n: u64, is_written: bool) {
    let what = format!("append {n} of {inner:?} fails, written: {is_written}");
    let (store, logs) = (MemoryStore::new(), FaultyLogs::new(inner));
    let (engine, table) = create_with(Arc::new(store.clone()), with(&logs)).unwrap();
    if is_written {
        logs.fail_sync(n)
    } else {
        logs.fail_append(n)
    }
    let failed = steps.iter().enumerate().find_map(|(at, step)| Some((at, step, run_step(&table, step).err()?)));
    let (done, step, error) = failed.unwrap_or_else(|| panic!("{what}: nothing failed"));
    assert_eq!(error.kind(), ErrorKind::Io, "{what}: {error}");
    assert_eq!(digest_of(&table).unwrap(), digests[done], "{what}: {step:?} is not acknowledged, so nobody sees it");
    assert_eq!(table.alias("a", "b").unwrap_err().kind(), ErrorKind::Poisoned, "{what}");
    drop((engine, table));
    let engine = Engine::open_store(Arc::new(store), with(&logs)).unwrap();
    let table = engine.table("t").unwrap();
    let done = done + usize::from(is_written);
    assert_eq!(digest_of(&table).unwrap(), digests[done], "{what}, {step:?}, opened again");
    for (at, step) in steps.iter().enumerate().skip(done) {
        run_step(&table, step).unwrap_or_else(|error| panic!("{what}: {at}, {step:?}: {error}"));
    }
    assert_eq!(digest_of(&table).unwrap(), digests[steps.len()], "{what}, at the end");
    assert_eq!(engine.check(), [], "{what}, at the end");
}

#[test]
fn an_alias_of_which_the_log_failed_is_not_seen() {
    let steps = steps(70, 5);
    let digests = expected(&steps);
    let counted = FaultyLogs::new(Arc::new(FileLogs));
    let (_engine, table) = create_with(Arc::new(MemoryStore::new()), with(&counted)).unwrap();
    for step in &steps {
        run_step(&table, step).unwrap();
    }
    assert!(counted.appends() > 20, "{} appends", counted.appends());
    for n in 1..=counted.appends() {
        for is_written in [false, true] {
            fail_and_go_on(Arc::new(FileLogs), &steps, &digests, n, is_written);
            fail_and_go_on(Arc::new(MemoryLogs::new()), &steps, &digests, n, is_written);
        }
    }
}

/// Writes and syncs fail once each: in a flush, a compaction and a join, too.
#[test]
fn what_fails_leaves_no_half_join() {
    let steps = steps(90, 6);
    let digests = expected(&steps);
    let (writes, syncs) = {
        let store = FaultStore::new();
        let (_engine, table) = create_with(Arc::new(store.clone()), by_the_script()).unwrap();
        for step in &steps {
            run_step(&table, step).unwrap();
        }
        (store.writes(), store.syncs())
    };
    // A segment is written in many pieces.
    let sampled = (1..=writes).filter(|write| *write < 100 || write % 19 == 0).map(|write| (write, true));
    for (n, is_write) in sampled.chain((1..=syncs).map(|sync| (sync, false))) {
        let store = FaultStore::new();
        if is_write {
            store.fail_write(n)
        } else {
            store.fail_sync(n)
        }
        let what = format!("{} {n} fails", if is_write { "write" } else { "sync" });
        let Ok((engine, table)) = create_with(Arc::new(store.clone()), by_the_script()) else { continue };
        let failed = steps.iter().enumerate().find_map(|(at, step)| run_step(&table, step).is_err().then_some(at));
        let done = failed.unwrap_or(steps.len());
        drop((engine, table));
        for image in [store.written_image(), store.durable_image()] {
            reopen(image, done, &digests, &what);
        }
    }
}

/// Where an event goes is decided when it is its turn, not when it was looked at.
#[test]
fn appends_go_on_while_histories_are_joined() {
    const THREADS: usize = 3;
    const EVENTS: usize = 150;
    let store = FaultStore::new();
    let (engine, table) = create_with(Arc::new(store.clone()), options()).unwrap();
    let event = |thread: usize, n: usize| crate::model::Event {
        user: format!("id {}", n % 6),
        ts: 1_700_000_000_000_000 + (thread * EVENTS + n) as i64,
        name: "x".into(),
        id: Some(format!("{thread} {n}")),
        properties: Vec::new(),
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let table = &table;
            scope.spawn(move || {
                for n in 0..EVENTS {
                    table.append(crate::model::batch(&[event(thread, n)])).unwrap();
                }
            });
        }
        for source in 1..6 {
            table.alias(&format!("id {source}"), &format!("id {}", source - 1)).unwrap();
            table.compact(true).unwrap();
        }
    });
    let is_whole = |table: &Table| {
        let found = view(&table.snapshot()).unwrap();
        let sizes: Vec<_> = found.iter().map(|(user, rows)| (user.as_str(), rows.len())).collect();
        assert_eq!(sizes, [("id 0", THREADS * EVENTS)]);
    };
    is_whole(&table);
    // Event ids are known under the person, whatever id they came under.
    let again = table.append(crate::model::batch(&[event(0, 5), event(2, 8)])).unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, 2));
    assert_eq!(engine.check(), []);
    drop((engine, table));
    let engine = Engine::open_store(Arc::new(store), options()).unwrap();
    is_whole(&engine.table("t").unwrap());
    assert_eq!(engine.check(), []);
}
