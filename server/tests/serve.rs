//! The server as its clients find it: events, statements, keys, TLS, stopping and being killed.

#[path = "common/server.rs"]
mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use trodden_client::{BackupPiece, CallErrorKind, Client, ConnectOptions, Event, QueryOptions, Value, WriterOptions};

const NOON: i64 = 1_767_268_800_000_000;

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn trodden(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trodden")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_next_query_and_stays() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    let writer = client.writer("events", WriterOptions::default()).unwrap();
    for at in 0..1_000 {
        let event = Event::new(format!("u{}", at % 10), NOON + at, "view").property("page", at).property("price", 0.5);
        writer.push(event.property("ok", at % 2 == 0).property("seen", Value::Timestamp(NOON))).await.unwrap();
        if at % 250 == 0 {
            let written = writer.flush().await.unwrap();
            assert_eq!(written.accepted, at.unsigned_abs() + 1);
            assert_eq!(number(&client, "SELECT count(*) FROM events").await, at + 1);
        }
    }
    assert_eq!(writer.close().await.unwrap().accepted, 1_000);
    assert_eq!(number(&client, "SELECT sum(page) FROM events WHERE ok").await, 249_500);
    let types = "SELECT count(*) FROM events WHERE price = 0.5 AND seen = TIMESTAMP '2026-01-01T12:00:00Z'";
    assert_eq!(number(&client, types).await, 1_000);
    assert_eq!(server.stop(), Some(0));

    let server = Server::start(folder.path(), &[]);
    assert_eq!(number(&server.client().await, "SELECT count(*) FROM events").await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_has_each_event_once() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let address = server.grpc.clone();
    let options = WriterOptions { batch_events: 20, linger: Duration::from_millis(1), ..WriterOptions::default() };
    let writer = server.client().await.writer("events", options).unwrap();
    for at in 0..6_000_i64 {
        writer.push(Event::new(format!("u{}", at % 7), NOON + at, "e").property("n", at)).await.unwrap();
        if at % 1_000 == 999 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            server.kill();
            server = Server::start_at(folder.path(), &address, &[]);
        }
    }
    writer.flush().await.unwrap();
    assert!(writer.written().reconnects > 0);
    let client = server.client().await;
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 6_000);
    assert_eq!(number(&client, "SELECT count(DISTINCT n) FROM events").await, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_stored_is_given_back_and_the_others_are_stored() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    client.query("CREATE TABLE events (price DOUBLE) WITH (strict = true)").await.unwrap();
    let options = WriterOptions { batch_events: 10, ..WriterOptions::default() };
    let writer = client.writer("events", options).unwrap();
    for at in 0..100 {
        let event = Event::new("u", NOON + at, "e");
        let event = if at / 10 == 4 { event.property("colour", "red") } else { event.property("price", 1.5) };
        writer.push(event).await.unwrap();
    }
    let written = writer.flush().await.unwrap();
    assert_eq!((written.accepted, written.refused), (90, 10));
    let refused = writer.take_refused();
    assert_eq!(refused[0].batch.events.len(), 10);
    assert!(refused[0].problem.message.contains("colour"), "{:?}", refused[0].problem);
    assert_eq!(number(&client, "SELECT count(*) FROM events").await, 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_kind_place_and_way_out() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    client.query("CREATE TABLE events (price DOUBLE)").await.unwrap();
    let sql = "SELECT 'ä',\n  prise FROM events";
    let error = client.query(sql).await.unwrap_err();
    let span = error.span().expect("it has a place");
    assert_eq!(&sql[span.start as usize..span.end as usize], "prise");
    assert!(error.hint().unwrap_or_default().contains("price"), "{error:?}");
    assert_eq!(client.query("SELECT * FROM evnts").await.unwrap_err().kind(), CallErrorKind::NotFound);
    assert_eq!(client.query("SELECT").await.unwrap_err().kind(), CallErrorKind::Invalid);
    let two = client.query("SELECT 1; SELECT 2").await.unwrap_err();
    assert!(two.message().contains("2 statements"), "{two}");
    let options = QueryOptions { parameters: vec![Value::BigInt(2), "x".into()], ..QueryOptions::default() };
    let answer = client.query_with("SELECT $1 + 1 AS n, $2 AS t", options).await.unwrap().collect().await.unwrap();
    assert_eq!(answer[0].column(0).as_primitive::<Int64Type>().value(0), 3);
    let options = QueryOptions { memory_limit_bytes: Some(1 << 20), ..QueryOptions::default() };
    let large = "SELECT count(*) FROM (SELECT DISTINCT a.value * 1000 + b.value FROM range(1000) a, range(1000) b)";
    let failed = match client.query_with(large, options).await {
        Ok(answer) => answer.collect().await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(failed.unwrap_err().kind(), CallErrorKind::ResourceLimit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_run_with_other_values_each_time() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    let prepared = client.prepare("SELECT $1 + 1 AS next").await.unwrap();
    assert_eq!((prepared.schema.field(0).name().as_str(), prepared.is_query), ("next", true));
    assert_eq!(prepared.parameter_types.len(), 1);
    for at in 0..5 {
        let rows = prepared.query(vec![Value::BigInt(at)]).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), at + 1);
    }
    prepared.close().await.unwrap();
    assert_eq!(client.prepare("SELECT nothing FROM nowhere").await.unwrap_err().kind(), CallErrorKind::NotFound);
    assert!(!client.prepare("CREATE TABLE t (price DOUBLE)").await.unwrap().is_query);
    assert!(client.tables().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_let_in_for_what_they_are_for() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().to_str().unwrap();
    let make = |arguments: &[&str]| {
        let (success, token, error) = trodden(&[&["keys", "create", "--db", db], arguments].concat());
        assert!(success, "{error}");
        token.trim().to_owned()
    };
    let admin = make(&["--role", "admin"]);
    let read = make(&["--role", "read", "--name", "bi"]);
    let write = make(&["--role", "write", "--table", "shop"]);
    let server = Server::start(folder.path(), &["--require-keys"]);
    for wrong in [None, Some("guess"), Some("trodden_admin_000000000000_00")] {
        assert_eq!(server.client_with(wrong).await.unwrap_err().kind(), CallErrorKind::Unauthenticated);
    }
    let admin = server.client_with(Some(&admin)).await.unwrap();
    let writer = server.client_with(Some(&write)).await.unwrap();
    let reader = server.client_with(Some(&read)).await.unwrap();
    let events = writer.writer("shop", WriterOptions::default()).unwrap();
    events.push(Event::new("u", NOON, "e")).await.unwrap();
    assert_eq!(events.flush().await.unwrap().accepted, 1);
    let elsewhere = writer.writer("other", WriterOptions::default()).unwrap();
    elsewhere.push(Event::new("u", NOON, "e")).await.unwrap();
    assert_eq!(elsewhere.flush().await.unwrap_err().kind(), CallErrorKind::Denied);
    assert_eq!(number(&reader, "SELECT count(*) FROM shop").await, 1);
    assert_eq!(reader.query("DROP TABLE shop").await.unwrap_err().kind(), CallErrorKind::Denied);
    assert_eq!(writer.query("SELECT 1").await.unwrap_err().kind(), CallErrorKind::Denied);
    assert_eq!(reader.keys().await.unwrap_err().kind(), CallErrorKind::Denied);
    let keys = admin.keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.role.as_str()).collect::<Vec<_>>(), ["admin", "read", "write"]);
    admin.revoke_key(&keys[1].id).await.unwrap();
    assert_eq!(reader.query("SELECT 1").await.unwrap_err().kind(), CallErrorKind::Unauthenticated);
    let made = admin.create_key("read", None, "again").await.unwrap();
    let again = server.client_with(Some(&made.token)).await.unwrap();
    assert_eq!(number(&again, "SELECT count(*) FROM shop").await, 1);
    let metrics = get(&server.http, "/metrics");
    assert!(metrics.contains("trodden_access_denied_total"), "{metrics}");
}

fn certificate(folder: &Path) -> (String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    (folder.join("certificate.pem").display().to_string(), made.cert.pem().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_those_who_trust_the_certificate() {
    let (folder, keys) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (path, pem) = certificate(keys.path());
    let key = keys.path().join("key.pem").display().to_string();
    let server = Server::start(folder.path(), &["--tls-certificate", &path, "--tls-key", &key]);
    let port = server.grpc.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let trusting = ConnectOptions { authority_pem: Some(pem), ..ConnectOptions::default() };
    let client = Client::connect(&url, trusting).await.unwrap();
    client.query("CREATE TABLE events (price DOUBLE)").await.unwrap();
    let (_, other) = certificate(TempDir::new().unwrap().path());
    let distrusting = ConnectOptions { authority_pem: Some(other), ..ConnectOptions::default() };
    assert_eq!(Client::connect(&url, distrusting).await.unwrap_err().kind(), CallErrorKind::Unreachable);
    let plain = Client::connect(&format!("http://localhost:{port}"), ConnectOptions::default()).await;
    assert_eq!(plain.unwrap_err().kind(), CallErrorKind::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_it_is() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    assert!(get(&server.http, "/health").starts_with("HTTP/1.1 200"));
    assert!(get(&server.http, "/ready").starts_with("HTTP/1.1 200"));
    assert!(get(&server.http, "/no/such/path").starts_with("HTTP/1.1 404"));
    let client = server.client().await;
    client.query("CREATE TABLE events (price DOUBLE)").await.unwrap();
    assert_eq!(client.status().await.unwrap().tables, 1);
    let tables = client.tables().await.unwrap();
    let columns: Vec<&str> = tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["user_id", "ts", "event", "event_id", "price"]);
    client.compact(None).await.unwrap();
    assert_eq!(client.compact(Some("evnts")).await.unwrap_err().kind(), CallErrorKind::NotFound);
    let metrics = get(&server.http, "/metrics");
    for part in
        ["# HELP trodden_queries_total ", "# TYPE trodden_query_seconds histogram", "trodden_build_info{version="]
    {
        assert!(metrics.contains(part), "{part} is not in\n{metrics}");
    }
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect_lazy();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest::default();
    assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_with_the_client_that_asked() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    let endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.value + b.value < 0";
    let asked = tokio::time::timeout(Duration::from_millis(300), async {
        client.query(endless).await.unwrap().collect().await.unwrap()
    });
    assert!(asked.await.is_err(), "it was meant to take for ever");
    for _ in 0..200 {
        if get(&server.http, "/metrics").contains("trodden_queries_running{door=\"grpc\"} 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the statement still runs:\n{}", get(&server.http, "/metrics"));
}

#[test]
fn a_server_that_others_could_reach_needs_tls_and_keys() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().to_str().unwrap();
    let (success, _, error) = trodden(&["serve", "--db", db, "--http-listen", "0.0.0.0:0"]);
    assert!(!success && error.contains("http.listen") && error.contains("tls.certificate"), "{error}");
    let (success, _, error) = trodden(&["config", "check", "--db", db, "--grpc-listen", "0.0.0.0:0"]);
    assert!(!success && error.contains("grpc.listen"), "{error}");
    let (success, out, _) = trodden(&["config", "check", "--db", db]);
    assert!(success && out.contains("sound"), "{out}");
    let (_, default, _) = trodden(&["config", "default"]);
    std::fs::write(folder.path().join("c.toml"), default.replace("path = \"\"", "path = \"x\"")).unwrap();
    let file = folder.path().join("c.toml").display().to_string();
    assert!(trodden(&["config", "check", "--config", &file]).0);
    let (success, _, error) = trodden(&["config", "check", "--config", "/no/such/file"]);
    assert!(!success && error.contains("/no/such/file"), "{error}");
}

/// The number of events in the database in a directory, which no process has open.
fn counted(db: &str) -> i64 {
    let (success, out, error) = trodden(&["sql", "--db", db, "-c", "SELECT count(*) FROM events", "--format", "csv"]);
    assert!(success, "{error}");
    out.lines().last().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("no number: {out}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_while_clients_write() {
    let (folder, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(folder.path(), &[]);
    let url = format!("http://{}", server.grpc);
    let options = WriterOptions { batch_events: 20, linger: Duration::from_millis(1), ..WriterOptions::default() };
    let writer = Arc::new(server.client().await.writer("events", options).unwrap());
    let (sent, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let writing = tokio::spawn({
        let (writer, sent, over) = (Arc::clone(&writer), Arc::clone(&sent), Arc::clone(&over));
        async move {
            while !over.load(Ordering::SeqCst) {
                let at = sent.fetch_add(1, Ordering::SeqCst);
                writer.push(Event::new(format!("u{}", at % 100), NOON + at, "view").property("n", at)).await.unwrap();
                if at % 50 == 0 {
                    // So that the copies are soon looked at.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    });
    while writer.written().accepted < 1_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..3 {
        let target = copies.path().join(number.to_string()).display().to_string();
        let acknowledged = i64::try_from(writer.written().accepted).unwrap();
        let (to, from) = (target.clone(), url.clone());
        let backup = move || trodden(&["backup", &to, "--url", &from]);
        let (success, out, error) = tokio::task::spawn_blocking(backup).await.unwrap();
        let sent = sent.load(Ordering::SeqCst);
        assert!(success && out.contains("1 table copied to") && out.contains("trodden check --db"), "{out}{error}");
        let (sound, found, _) = trodden(&["check", "--db", &target]);
        assert!(sound, "{found}");
        let copied = counted(&target);
        assert!((acknowledged..=sent).contains(&copied), "{copied} of {acknowledged} to {sent}");
        let (again, _, error) = trodden(&["backup", &target, "--url", &url]);
        assert!(!again && error.contains("not empty"), "{error}");
        assert_eq!(counted(&target), copied);
    }
    over.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    Arc::into_inner(writer).unwrap().close().await.unwrap();
    let written = number(&server.client().await, "SELECT count(*) FROM events").await;
    assert_eq!(written, sent.load(Ordering::SeqCst));
    assert!(get(&server.http, "/metrics").contains("trodden_backups_total{outcome=\"ok\"} 3"));
    assert_eq!(server.stop(), Some(0));
    let (db, target) = (folder.path().display().to_string(), copies.path().join("last").display().to_string());
    let (success, out, error) = trodden(&["backup", &target, "--db", &db]);
    assert!(success && out.contains("1 table copied to"), "{out}{error}");
    assert_eq!(counted(&target), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_needs_an_admin_key_and_ends_with_its_client() {
    let (folder, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let db = folder.path().to_str().unwrap();
    let make = |role: &str| trodden(&["keys", "create", "--db", db, "--role", role]).1.trim().to_owned();
    // More than is on its way to a client that does not read.
    let (made, _, error) = trodden(&["generate", "--db", db, "--table", "events", "--events", "1000000"]);
    assert!(made, "{error}");
    let [admin, read, write] = ["admin", "read", "write"].map(make);
    let server = Server::start(folder.path(), &["--require-keys"]);
    let (url, target) = (format!("http://{}", server.grpc), copies.path().join("copy").display().to_string());
    for key in [&read, &write] {
        let client = server.client_with(Some(key)).await.unwrap();
        assert_eq!(client.backup().await.unwrap_err().kind(), CallErrorKind::Denied);
        let (success, _, error) = trodden(&["backup", &target, "--url", &url, "--key", key]);
        assert!(!success && error.contains("admin"), "{error}");
    }
    let (success, _, error) = trodden(&["backup", &target, "--url", &url, "--key", &admin]);
    assert!(success, "{error}");
    assert_eq!(counted(&target), 1_000_000);

    let client = server.client_with(Some(&admin)).await.unwrap();
    let mut backup = client.backup().await.unwrap();
    assert_eq!(backup.tables(), 1);
    assert!(backup.moment_us() > NOON && backup.bytes() > 8 << 20, "{} bytes", backup.bytes());
    assert!(matches!(backup.next().await.unwrap(), Some(BackupPiece::File { .. })));
    drop(backup);
    for _ in 0..200 {
        if get(&server.http, "/metrics").contains("trodden_backups_total{outcome=\"cancelled\"} 1") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the backup goes on:\n{}", get(&server.http, "/metrics"));
}
