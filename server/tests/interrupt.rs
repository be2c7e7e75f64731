//! Ctrl-C: what runs ends soon, in good order, with an exit code of its own.

mod common;

use common::{ENDLESS, Place, Run};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longest time between Ctrl-C and the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Interrupts a child and waits for its end.
#[track_caller]
fn interrupted(mut child: Child) -> Run {
    let began = Instant::now();
    Place::interrupt(&child);
    let code = common::wait_for(|| child.try_wait().expect("a child")).code().unwrap_or(-1);
    assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
    let (mut out, mut err) = (String::new(), String::new());
    let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out));
    child.stderr.take().expect("standard error").read_to_string(&mut err).expect("UTF-8");
    Run { code, out, err }
}

/// Runs `statement` on `place`, interrupts it while it runs, and checks how it ends.
#[track_caller]
fn interrupts(place: &Place, statement: &str) {
    let script = format!("SELECT 1 AS one; {statement}");
    let mut child = place.command(&["sql", "--db", "db", "--format", "csv", "-c", &script]).spawn().expect("a child");
    let mut out = BufReader::new(child.stdout.take().expect("standard output"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "one\n");
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    // So that it is well under way.
    let _ = never.recv_timeout(Duration::from_millis(400));
    interrupted(child).fails(130, &["cancelled"]);
    let names = fs::read_dir(place.path("")).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.starts_with("out.csv") && !name.ends_with("unfinished")), "{left:?}");
}

const ROWS: &str = "generate_series(1, 10000000) AS a(x), generate_series(1, 10000000) AS b(y)";

#[test]
fn a_query_ends() {
    let place = Place::with_events();
    interrupts(&place, ENDLESS);
    interrupts(&place, &format!("EXPLAIN ANALYZE {ENDLESS}"));
    interrupts(&place, &format!("SELECT x FROM {ROWS} WHERE x + y < 0"));
    interrupts(&place, "SELECT max(x) FROM generate_series(1, 9000000000000000000) AS a(x)");
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn a_funnel_over_any_rows_ends() {
    let place = Place::with_events();
    let rows = format!("SELECT 'u' AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'view' AS event FROM {ROWS}");
    interrupts(
        &place,
        &format!("WITH r AS ({rows} WHERE x + y < 0) SELECT * FROM FUNNEL(r, steps => ['view', 'cart'])"),
    );
}

#[test]
fn a_statement_that_writes_ends_and_leaves_nothing() {
    let place = Place::with_events();
    let events = format!("SELECT 'u' AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'view' AS event FROM {ROWS}");
    interrupts(&place, &format!("INSERT INTO events (user_id, ts, event) {events} WHERE x + y < 0"));
    let join = "(SELECT 1 AS k, x FROM generate_series(1, 10000000) AS a(x)) a \
        JOIN (SELECT 1 AS k, y FROM generate_series(1, 10000000) AS b(y)) b ON a.k = b.k AND a.x + b.y < 0";
    let events_of_join = "SELECT 'u' AS user_id, TIMESTAMP '2026-01-01 00:00:00' AS ts, 'view' AS event";
    interrupts(&place, &format!("INSERT INTO events (user_id, ts, event) {events_of_join} FROM {join}"));
    interrupts(&place, &format!("CREATE TABLE copy AS {events} WHERE x + y < 0"));
    interrupts(&place, &format!("COPY (SELECT x, y FROM {ROWS}) TO 'out.csv'"));
    assert_eq!(place.rows("SHOW TABLES").len(), 1);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    place.trodden(&["check", "--db", "db"]).succeeds();
}

#[test]
fn the_file_of_answers_stays_as_it_was() {
    let place = Place::with_events();
    let file = place.file("answer.csv", "before");
    let script = format!("SELECT 1 AS one; {ENDLESS}");
    let child = place.command(&["sql", "--db", "db", "--format", "csv", "-c", &script, "-o", &file]).spawn();
    let child = child.expect("a child");
    common::wait_for(|| {
        fs::read_dir(place.path("")).expect("a directory").find_map(|entry| {
            entry.expect("an entry").file_name().to_string_lossy().ends_with(".unfinished").then_some(())
        })
    });
    interrupted(child).fails(130, &["cancelled"]);
    assert_eq!(fs::read_to_string(&file).expect("the file"), "before");
    let left = fs::read_dir(place.path("")).expect("a directory").count();
    assert_eq!(left, 3, "more than the database and the two files is left");
}

/// A file that takes a while to import.
fn large(place: &Place) -> String {
    place.trodden(&["generate", "--events", "400000", "--output", "large.csv"]).succeeds();
    place.path("large.csv").display().to_string()
}

#[test]
fn an_import_ends_and_leaves_neither_table_nor_file() {
    let place = Place::new();
    let file = large(&place);
    let arguments = ["import", "--db", "db", "--table", "events", &file, "--threads", "1"];
    let child = place.command(&arguments).spawn().expect("a child");
    common::wait_for(|| place.path("db/tables/1").exists().then_some(()));
    interrupted(child).fails(130, &["cancelled", "nothing was stored"]);
    assert!(!place.path("db").exists(), "the database that was made for it is left");
    // Where there was a database before, it stays as it was.
    place.sql("CREATE TABLE other (n BIGINT)", &["--create"]).succeeds();
    let child = place.command(&arguments).spawn().expect("a child");
    common::wait_for(|| place.path("db/tables/2").exists().then_some(()));
    interrupted(child).fails(130, &["cancelled", "nothing was stored"]);
    assert_eq!(place.rows("SHOW TABLES").len(), 1);
    assert!(place.database_files("segment-").is_empty() && place.database_files("unfinished").is_empty());
    place.trodden(&["check", "--db", "db"]).succeeds();
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let place = Place::with_events();
    // A reader that does not read: the process waits for it, whatever it is asked.
    let statement = "SELECT x FROM generate_series(1, 9000000000000) AS a(x)";
    let mut child = place.command(&["sql", "--db", "db", "--format", "csv", "-c", statement]).spawn().expect("a child");
    let out = child.stdout.take().expect("standard output");
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(700));
    Place::interrupt(&child);
    let _ = never.recv_timeout(Duration::from_millis(300));
    assert!(child.try_wait().expect("a child").is_none(), "the first one was enough, so this test tells nothing");
    Place::interrupt(&child);
    let code = common::wait_for(|| child.try_wait().expect("a child")).code();
    drop(out);
    assert_eq!(code, Some(130));
    place.trodden(&["check", "--db", "db"]).succeeds();
}

#[test]
fn a_copy_from_ends_and_adds_nothing() {
    let place = Place::with_events();
    let file = large(&place);
    let before = place.database_files("segment-").len();
    let script = format!("SELECT 1 AS one; COPY events FROM '{file}'");
    let mut child = place
        .command(&["sql", "--db", "db", "--format", "csv", "--threads", "1", "-c", &script])
        .spawn()
        .expect("a child");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(200));
    interrupted(child).fails(130, &["cancelled"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    assert_eq!(place.database_files("segment-").len(), before);
}

#[test]
fn an_import_that_waits_for_standard_input_ends() {
    let place = Place::new();
    fs::create_dir(place.path("tmp")).expect("a directory");
    let spooled = || fs::read_dir(place.path("tmp")).expect("a directory").count();
    let mut command = place.command(&["import", "--db", "db", "--table", "events", "-"]);
    let child = command.env("TMPDIR", place.path("tmp")).stdin(Stdio::piped()).spawn().expect("a child");
    common::wait_for(|| (spooled() == 1).then_some(()));
    interrupted(child).fails(130, &["cancelled"]);
    assert_eq!(spooled(), 0, "a temporary file is left");
    assert!(!place.path("db").exists());
}
