//! `trodden import --url`: the same files and flags as with `--db`, stored by a server.

mod common;
#[path = "common/server.rs"]
mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use common::{EVENTS_CSV, Place};
use server::Server;
use std::fmt::Write;
use std::time::Duration;
use trodden_client::{CallErrorKind, Client, Event, WriterOptions, wire};

const NOON: i64 = 1_767_268_800_000_000;

/// An admin key, or what else is asked for.
fn key(place: &Place, role: &str) -> String {
    let run = place.trodden(&["keys", "create", "--db", "db", "--role", role]).succeeds();
    run.out.trim().to_owned()
}

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Enough rows for many batches; a late price is no whole number, and later still one is no number at all.
fn many_rows(rows: usize) -> String {
    let mut text = String::from("user_id,ts,event,event_id,price,note\n");
    for row in 0..rows {
        let price = match row {
            _ if row == rows - 100 => "12.5".to_owned(),
            _ if row % 7 == 0 => String::new(),
            _ => (row % 90).to_string(),
        };
        // Every eleventh has the id of the one before it, and the same user.
        let id = if row % 11 == 10 { row - 1 } else { row };
        let ts = NOON / 1_000_000 + row as i64;
        let user = (row / 11) % 997;
        writeln!(text, "u{user},{ts},e{},id{id},{price},\"näher, {row}\"", row % 5).unwrap();
    }
    text
}

/// Imports the files here and at a server, with the same flags, and compares what both have and say.
fn both(files: &[&str], flags: &[&str]) {
    let place = Place::new();
    let server = Server::start(&place.path("served"), &[]);
    let url = format!("http://{}", server.grpc);
    let files: Vec<String> =
        files.iter().enumerate().map(|(at, text)| place.file(&format!("{at}.csv"), text)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let import = |where_to: &[&str]| {
        let run = place.trodden(&[&["import", "--table", "t"], where_to, flags, &files].concat()).succeeds();
        // Times and sizes are not the same twice.
        let is_stable = |line: &&str| !line.contains(" in ") && !line.contains("takes") && !line.contains("segment");
        run.out.lines().filter(is_stable).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(import(&["--db", "db"]), import(&["--url", &url]));
    for sql in ["SELECT * FROM t ORDER BY user_id, ts, event, event_id", "DESCRIBE t"] {
        let ask = |where_to: &[&str]| {
            place.trodden(&[&["sql", "-c", sql, "--format", "csv"], where_to].concat()).succeeds().out
        };
        let here = ask(&["--db", "db"]);
        assert!(here.lines().count() > 2, "{here}");
        assert!(here == ask(&["--url", &url]), "{sql} differs");
    }
    let again = place.trodden(&[&["import", "--table", "t", "--url", &url], flags, &files].concat()).succeeds();
    assert!(again.out.contains("already imported"), "{}", again.out);
    drop(server);
    place.trodden(&["check", "--db", "served"]).succeeds();
}

#[test]
fn a_server_has_after_an_import_what_a_directory_has() {
    both(&[EVENTS_CSV], &[]);
    both(&[EVENTS_CSV, &many_rows(500)], &["--exclude", "note", "--shards", "3", "--table-time-zone", "Europe/Berlin"]);
}

#[test]
fn a_late_value_of_another_type_widens_as_it_does_in_a_directory() {
    both(&[&many_rows(120_000)], &["--threads", "2"]);
}

#[test]
fn nothing_is_stored_of_a_file_that_is_refused() {
    let place = Place::new();
    let server = Server::start(&place.path("db"), &[]);
    let url = format!("http://{}", server.grpc);
    let bad = place.file("bad.csv", format!("{EVENTS_CSV}e,never,view,1,DE\n"));
    place.trodden(&["import", "--url", &url, "--table", "t", &bad]).fails(1, &["rejected"]);
    let tables = place.trodden(&["sql", "--url", &url, "-c", "SHOW TABLES", "--format", "csv"]).succeeds();
    assert!(!tables.out.contains('t') || !tables.out.lines().any(|line| line.starts_with("t,")), "{}", tables.out);
    let good = place.file("good.csv", EVENTS_CSV);
    let dry = place.trodden(&["import", "--url", &url, "--table", "t", &good, "--dry-run"]).succeeds();
    assert!(dry.out.contains("would import") && dry.out.contains("7 events"), "{}", dry.out);
    place.trodden(&["sql", "--url", &url, "-c", "SELECT count(*) FROM t"]).fails(1, &["no table"]);
    place.trodden(&["import", "--url", &url, "--table", "t", &good]).succeeds();
    place
        .trodden(&["import", "--url", &url, "--table", "t", &bad, "--shards", "3"])
        .fails(2, &["--shards 3", "8 shards"]);
    let strict = ["import", "--url", &url, "--table", "s", &good, "--strict"];
    place.trodden(&strict).succeeds();
    let other = place.file("other.csv", "user_id,ts,event,colour\na,2026-01-01T10:00:00Z,view,red\n");
    place.trodden(&["import", "--url", &url, "--table", "s", &other]).fails(1, &["colour"]);
}

#[test]
fn keys_that_are_not_for_everything_import_nothing() {
    let place = Place::with_events();
    let (admin, write, read) = (key(&place, "admin"), key(&place, "write"), key(&place, "read"));
    let server = Server::start(&place.path("db"), &["--require-keys"]);
    let url = format!("http://{}", server.grpc);
    let file = place.file("more.csv", EVENTS_CSV.replace("2026-01-0", "2026-02-0"));
    for denied in [&write, &read] {
        place.trodden(&["import", "--url", &url, "--key", denied, "--table", "events", &file]).fails(1, &["admin"]);
    }
    place.trodden(&["import", "--url", &url, "--key", &admin, "--table", "events", &file]).succeeds();
    let count = ["sql", "--url", &url, "--key", &read, "-c", "SELECT count(*) FROM events", "--format", "csv"];
    assert!(place.trodden(&count).succeeds().out.contains("14"));
}

/// A batch of one event, as the protocol has it.
fn one(user: &str) -> Vec<u8> {
    use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
    let text = |value: &str| std::sync::Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let ts = TimestampMicrosecondArray::from(vec![NOON]).with_timezone("UTC");
    let columns = [("user_id", text(user)), ("ts", std::sync::Arc::new(ts)), ("event", text("e"))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn begin(table: &str, fingerprint: u128) -> wire::BeginImport {
    let fingerprints = vec![fingerprint.to_be_bytes().to_vec()];
    wire::BeginImport { table: table.into(), new_table: None, fingerprints }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_takes_other_events_while_files_are_sent() {
    let place = Place::new();
    let server = Server::start(&place.path("db"), &[]);
    let client = server.client().await;
    let import = client.import(begin("events", 1));
    import.push(1, &one("a")).await.unwrap();
    let writer = client.writer("events", WriterOptions::default()).unwrap();
    writer.push(Event::new("b", NOON, "e")).await.unwrap();
    assert_eq!(writer.flush().await.unwrap().accepted, 1);
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 1, "the import is not seen before its commit");
    import.push(0, &one("c")).await.unwrap();
    assert_eq!(import.commit(2).await.unwrap().accepted, 2);
    assert_eq!(number(&client, "SELECT count(DISTINCT user_id) FROM events").await, 3);
    // The same files by another client, which asked before they were there.
    let late = client.import(begin("events", 1));
    let refused = match late.push(0, &one("a")).await {
        Ok(()) => late.commit(1).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(refused.unwrap_err().kind(), CallErrorKind::AlreadyExists);
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_breaks_off_leaves_nothing() {
    let place = Place::new();
    let server = Server::start(&place.path("db"), &[]);
    let client = server.client().await;
    let import = client.import(begin("events", 1));
    import.push(0, &one("a")).await.unwrap();
    drop(import);
    let wrong_count = client.import(begin("events", 1));
    wrong_count.push(0, &one("a")).await.unwrap();
    assert_eq!(wrong_count.commit(2).await.unwrap_err().kind(), CallErrorKind::Invalid);
    let gap = client.import(begin("events", 1));
    gap.push(1, &one("a")).await.unwrap();
    assert!(gap.commit(1).await.unwrap_err().message().contains("batch 0 was not sent"));
    let rubbish = client.import(begin("events", 1));
    rubbish.push(0, b"no batch").await.unwrap();
    assert!(rubbish.commit(1).await.unwrap_err().message().contains("batch 0"));
    let nameless = client.import(begin("no such name!\u{0}", 1)).commit(0).await.unwrap_err();
    assert_eq!(nameless.kind(), CallErrorKind::Invalid, "{nameless}");
    assert!(client.tables().await.unwrap().is_empty());
    // Large enough to be on disk when the server is killed.
    let import = client.import(begin("events", 1));
    let large = vec![0; 4 << 20];
    import.push(0, &large).await.unwrap();
    server.kill();
    assert_eq!(import.commit(1).await.unwrap_err().kind(), CallErrorKind::Unreachable);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let kept: u64 = place.database_image().values().map(|bytes| bytes.len() as u64).sum();
    assert!(kept < 1 << 20, "{kept} bytes are left");
    let server = Server::start(&place.path("db"), &[]);
    assert!(server.client().await.tables().await.unwrap().is_empty());
}
