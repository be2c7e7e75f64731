//! A real process that is killed while it writes, again and again, to one directory.

use crate::model::{Event, batch, view};
use crate::script::options;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, Table};

/// Tells the child, which is this test program again, where to write and from which number on.
const CHILD: &str = "TRODDEN_TEST_CHILD";
const WRITERS: u64 = 2;
const ROUNDS: u64 = 12;

fn open(path: &Path) -> (Engine, Arc<Table>) {
    let engine = Engine::open(path, options()).unwrap();
    let table = engine.table("t").or_else(|_| {
        engine.create_table("t", Schema::default(), TableOptions { shards: 2, ..TableOptions::default() })
    });
    (engine, table.unwrap())
}

/// An event that is told apart by its name, and has no id that could hide that it is there twice.
fn event(writer: u64, n: u64) -> Event {
    Event {
        user: format!("user {}", n % 50),
        ts: 1_700_000_000_000_000 + n as i64,
        name: format!("{writer}/{n}"),
        id: None,
        properties: Vec::new(),
    }
}

/// In the child: append without end, and say of each event when it is acknowledged. In the tests as such: nothing.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (first, path) = told.split_once(' ').expect("a number and a path");
    let first: u64 = first.parse().expect("a number");
    let (_engine, table) = open(Path::new(path));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let table = &table;
            scope.spawn(move || {
                for n in first.. {
                    table.append(batch(&[event(writer, n)])).expect("appended");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {writer}/{n}").and_then(|()| out.flush()).expect("told");
                }
            });
        }
    });
}

/// Let the child write, and kill it `delay` after its first word; the names of the acknowledged events.
fn acknowledged(path: &Path, first: u64, delay: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads", "1"])
        .env(CHILD, format!("{first} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (send, lines): (_, Receiver<String>) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        // A last line may be cut in half: then its event was not told of.
        for line in out.split(b'\n').map_while(Result::ok) {
            if let Some(name) = String::from_utf8_lossy(&line).split("acknowledged ").nth(1) {
                let _ = send.send(name.to_string());
            }
        }
    });
    let mut names = vec![lines.recv_timeout(Duration::from_secs(60)).expect("the child writes")];
    let (_never, quiet) = channel::<()>();
    assert_eq!(quiet.recv_timeout(delay), Err(RecvTimeoutError::Timeout));
    // On Unix this is the signal that no process can catch.
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    names.extend(lines.iter());
    names
}

#[test]
fn a_killed_process_loses_nothing_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = 0;
    let mut all: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        // Sometimes at once, sometimes after several flushes.
        let delay = Duration::from_millis([0, 3, 11, 60, 150, 300][round as usize % 6] + round);
        all.extend(acknowledged(dir.path(), first, delay));
        let (engine, table) = open(dir.path());
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for rows in view(&table.snapshot()).unwrap().values() {
            rows.iter().for_each(|row| *seen.entry(row.1.clone()).or_default() += 1);
        }
        let lost: Vec<&String> = all.iter().filter(|name| !seen.contains_key(*name)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "round {round}: there twice: {twice:?}");
        // Each writer has at most one event that it was not told of.
        let untold = seen.len() - all.len();
        assert!(untold as u64 <= WRITERS * (round + 1), "round {round}: {untold} events nobody was told of");
        assert_eq!(engine.check(), [], "round {round}");
        let number = |name: &String| name.split('/').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap();
        first = seen.keys().map(number).max().unwrap() + 1;
    }
    // A slow disk makes few in so short a time, but always one before it is killed.
    assert!(all.len() as u64 >= ROUNDS, "only {} events", all.len());
}
