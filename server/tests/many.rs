//! Many clients of all kinds at once, and clients that are slow, silent or rude: every event that was acknowledged is there once, and
//! the others go on.
//!
//! `TRODDEN_MANY_S` says for how many seconds; ten, unless told.

#[path = "common/server.rs"]
mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use trodden_client::{Client, Event, WriterOptions};

/// 2026-01-01T12:00:00Z, in microseconds since 1970.
const NOON: i64 = 1_767_268_800_000_000;
/// Clients that write over gRPC, that write over HTTP, and that ask.
const CLIENTS: (u64, u64, u64) = (96, 96, 64);
/// Clients that send a byte a second.
const SLOW: usize = 1_000;

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// A Segment batch of `events` events over a connection that stays open. Whether it was acknowledged.
async fn post(stream: &mut TcpStream, client: u64, round: u64, events: u64) -> bool {
    let message = |at: u64| {
        format!(
            r#"{{"type":"track","messageId":"h{client}-{round}-{at}","userId":"h{client}","event":"http",
                "timestamp":"2026-01-01T12:00:00Z","properties":{{"round":{round},"price":0.5}}}}"#
        )
    };
    let messages: Vec<String> = (0..events).map(message).collect();
    let body = format!(r#"{{"batch":[{}]}}"#, messages.join(","));
    let head = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a2V5Og==\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let answer = head_and_body(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    true
}

/// One answer, by its length.
async fn head_and_body(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            let length: usize = length.expect("it has a length").trim().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
    }
}

/// As many slow clients as this machine lets two processes have open files for.
fn slow_clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    SLOW.min(files.unwrap_or(SLOW).saturating_sub(200))
}

fn seconds() -> Duration {
    let told = std::env::var("TRODDEN_MANY_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(10))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_clients_were_told_is_stored_is_there_once() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let (end, sent) = (Instant::now() + seconds(), Arc::new(AtomicU64::new(0)));
    server.client().await.query("CREATE TABLE events (round BIGINT, price DOUBLE)").await.unwrap();
    let mut clients: JoinSet<(u64, u64)> = JoinSet::new();
    for at in 0..CLIENTS.0 {
        let (client, sent) = (server.client().await, Arc::clone(&sent));
        clients.spawn(async move {
            let options = WriterOptions { linger: Duration::from_millis(20), ..WriterOptions::default() };
            let writer = client.writer("events", options).unwrap();
            let mut pushed = 0;
            while Instant::now() < end {
                for _ in 0..50 {
                    writer.push(Event::new(format!("g{at}"), NOON, "grpc").property("price", 0.5)).await.unwrap();
                    pushed += 1;
                }
                assert_eq!(writer.flush().await.unwrap().accepted, pushed);
                sent.fetch_add(50, Ordering::Relaxed);
            }
            (pushed, 0)
        });
    }
    for at in 0..CLIENTS.1 {
        let (http, sent) = (server.http.clone(), Arc::clone(&sent));
        clients.spawn(async move {
            let mut stream = TcpStream::connect(http).await.unwrap();
            let mut rounds = 0;
            while Instant::now() < end {
                post(&mut stream, at, rounds, 20).await;
                // As an SDK does whose answer was lost.
                if rounds % 5 == 0 {
                    post(&mut stream, at, rounds, 20).await;
                }
                rounds += 1;
                sent.fetch_add(20, Ordering::Relaxed);
            }
            (0, rounds * 20)
        });
    }
    for _ in 0..CLIENTS.2 {
        let (client, sent) = (server.client().await, Arc::clone(&sent));
        clients.spawn(async move {
            let mut last = 0;
            while Instant::now() < end {
                let acknowledged = sent.load(Ordering::Relaxed);
                let found = number(&client, "SELECT count(*) FROM events").await.unsigned_abs();
                assert!(found >= acknowledged && found >= last, "{found} events, {acknowledged} acknowledged before");
                last = found;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (0, 0)
        });
    }
    let (mut grpc, mut http) = (0, 0);
    while let Some(counts) = clients.join_next().await {
        let counts = counts.unwrap();
        (grpc, http) = (grpc + counts.0, http + counts.1);
    }
    println!("{grpc} events over gRPC, {http} over HTTP");
    let client = server.client().await;
    let count = |event: &str| format!("SELECT count(*) FROM events WHERE event = '{event}'");
    assert_eq!(number(&client, &count("grpc")).await.unsigned_abs(), grpc);
    assert_eq!(number(&client, &count("http")).await.unsigned_abs(), http);
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    assert_eq!(number(&client, "SELECT count(*) FROM events").await.unsigned_abs(), grpc + http);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_silent_and_half_closed_clients_keep_nobody_waiting() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut slow = JoinSet::new();
    for at in 0..slow_clients() {
        let address = if at % 2 == 0 { server.http.clone() } else { server.grpc.clone() };
        let mut stream = TcpStream::connect(address).await.unwrap();
        slow.spawn(async move {
            let text: &[u8] = match at % 4 {
                0 => b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"batch\":[            ",
                2 => b"GET /v1/batch?and=so&on=without&an=end&of=this&line=for&a=long&time=to&come=yet HT",
                _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0                                      ",
            };
            if at % 8 == 0 {
                // Says that it will send no more, and waits for an answer.
                let _ = stream.shutdown().await;
            }
            for byte in text {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let client = server.client().await;
    let writer = client.writer("events", WriterOptions::default()).unwrap();
    let mut stream = TcpStream::connect(&server.http).await.unwrap();
    for round in 0..20 {
        writer.push(Event::new("good", NOON, "grpc")).await.unwrap();
        writer.flush().await.unwrap();
        post(&mut stream, 0, round, 20).await;
        let found = number(&client, "SELECT count(*) FROM events").await.unsigned_abs();
        assert_eq!(found, (round + 1) * 21);
    }
    slow.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_many_megabytes_is_stored_and_a_larger_one_refused() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client().await;
    let large = "x".repeat(1 << 20);
    let options = WriterOptions { batch_bytes: 48 << 20, linger: Duration::from_secs(5), ..WriterOptions::default() };
    let writer = client.writer("events", options).unwrap();
    for at in 0..40 {
        writer
            .push(Event::new("u", NOON + at, "large").property("text", format!("{at}{}", &large[10..])))
            .await
            .unwrap();
    }
    assert_eq!(writer.flush().await.unwrap().accepted, 40);
    assert_eq!(number(&client, "SELECT count(DISTINCT text) FROM events").await, 40);
    let mut stream = TcpStream::connect(&server.http).await.unwrap();
    let body = vec![b' '; 21 << 20];
    let head = format!("POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    post(&mut TcpStream::connect(&server.http).await.unwrap(), 0, 0, 1).await;
}
