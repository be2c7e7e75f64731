//! Rules at the doors of a server, and what `trodden rules test` says of them.

#[path = "common/server.rs"]
mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use tempfile::TempDir;
use trodden_client::{Client, Event, WriterOptions};

const NOON: i64 = 1_767_268_800_000_000;

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(address: &str, agent: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: {agent}\r\n");
    http(address, &format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_applies_them_once_and_counts() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    for sql in [
        "CREATE TABLE events (plan TEXT)",
        "CREATE RULE bots ON events AS DROP BOTS",
        "CREATE RULE old ON events AS REJECT 'too old' WHERE ts < '2020-01-01'",
        "CREATE RULE test ON events AS SAMPLE 0.000001 PERCENT WHERE plan = 'test'",
        "CREATE RULE phone ON events AS MASK phone",
    ] {
        client.query(sql).await.unwrap().collect().await.unwrap();
    }
    let writer = client.writer("events", WriterOptions::default()).unwrap();
    writer.push(Event::new("ann", NOON, "view").property("phone", "+49 170 1234589")).await.unwrap();
    writer.push(Event::new("ann", 0, "view")).await.unwrap();
    writer.flush().await.unwrap();
    // A batch of which nothing is left is acknowledged all the same.
    for _ in 0..2 {
        writer.push(Event::new("bob", NOON, "view").property("plan", "test")).await.unwrap();
        writer.flush().await.unwrap();
    }
    let [rejected] = writer.take_rejected().try_into().expect("one was rejected");
    assert_eq!((rejected.event, rejected.reason.as_str()), (Event::new("ann", 0, "view"), "too old"));
    let written = writer.close().await.unwrap();
    assert_eq!((written.accepted, written.dropped, written.rejected, written.refused), (1, 2, 1, 0));
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 1);

    let body = r#"[{"user_id":"cid","event":"view","phone":"12345678"},{"user_id":"cid","event":"view","ts":"2001-01-01"},
        {"user_id":"cid","event":"view","plan":"test"}]"#;
    let answer = post(&server.http, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", body);
    assert!(answer.contains(r#""accepted":1"#) && answer.contains(r#""dropped":1"#), "{answer}");
    assert!(answer.contains("too old"), "{answer}");
    let answer = post(&server.http, "Googlebot/2.1", body);
    assert!(answer.contains(r#""accepted":0"#) && answer.contains(r#""dropped":3"#), "{answer}");
    assert_eq!(number(&client, "SELECT count(*) FROM events WHERE phone LIKE '******__'").await, 2);
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 2);

    let metrics = http(&server.http, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for (rule, action, events) in
        [("bots", "drop", 3), ("old", "reject", 2), ("test", "sample", 3), ("phone", "mask", 2)]
    {
        let line = metrics.lines().find(|line| line.starts_with("trodden_rule_events_total") && line.contains(rule));
        let line = line.unwrap_or_else(|| panic!("{rule} in {metrics}"));
        assert!(line.contains(&format!("action=\"{action}\"")) && line.ends_with(&format!(" {events}")), "{line}");
    }
    assert!(metrics.contains(r#"trodden_ingest_rejected_total{door="grpc",reason="rule"} 1"#), "{metrics}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_test_shows_what_they_would_do_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (db, file) = (folder.path().join("db"), folder.path().join("e.csv"));
    let rows = "user_id,ts,event,phone,plan\nann,2026-01-01,view,+49 170 1234589,a\nbob,2026-01-02,view,,a\n\
                cid,2019-01-01,view,1,b\n";
    std::fs::write(&file, rows).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trodden")).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (db, file) = (db.to_str().unwrap(), file.to_str().unwrap());
    let made =
        run(&["sql", "--db", db, "--create", "-c", "CREATE TABLE events; CREATE RULE m ON events AS MASK phone"]);
    assert!(made.0, "{made:?}");
    let old = "CREATE RULE old ON events AS REJECT WHERE ts < '2020-01-01'";
    let (is_ok, out, error) = run(&["rules", "test", "--db", db, "--table", "events", "--rule", old, file]);
    assert!(is_ok, "{out}{error}");
    assert!(out.contains("3 events: 2 would be stored, 0 dropped, 1 rejected"), "{out}");
    assert!(out.contains("+49 170 1234589") && out.contains("******89"), "{out}");
    assert!(out.contains("+ rejected: rejected by rule 'old'"), "{out}");
    assert!(!out.contains("bob"), "what stays as it is is not shown: {out}");
    let (_, out, _) = run(&["sql", "--db", db, "-c", "SHOW RULES; SELECT count(*) FROM events", "--format", "csv"]);
    assert!(!out.contains("old") && out.trim_end().ends_with('0'), "{out}");
    let (is_ok, _, error) = run(&["rules", "test", "--db", db, "--table", "events", "--rule", "MASK phone", file]);
    assert!(!is_ok && !error.is_empty(), "{error}");
}
