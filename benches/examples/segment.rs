//! Batches of Segment's protocol over HTTP: how many events a second the server acknowledges, and how long that takes.
//!
//! ```sh
//! trodden serve --db DIR &
//! cargo run --release --example segment -- 127.0.0.1:7700 EVENTS CONNECTIONS EVENTS_A_BATCH
//! ```
//!
//! Each connection sends a batch, waits for its acknowledgement, and sends the next. The batches are made before the time is taken.

#![allow(clippy::print_stdout, reason = "it reports on standard output")]

use std::error::Error;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, events, connections, batch] = arguments.as_slice() else {
        return Err("usage: segment ADDRESS EVENTS CONNECTIONS EVENTS_A_BATCH".into());
    };
    let (events, connections, batch): (u64, u64, u64) = (events.parse()?, connections.parse()?, batch.parse()?);
    let batches = events / connections / batch;
    let bodies: Vec<Vec<Vec<u8>>> =
        (0..connections).map(|at| (0..batches).map(|round| request(at, round, batch)).collect()).collect();
    let began = Instant::now();
    let tasks: Vec<_> = bodies.into_iter().map(|bodies| tokio::spawn(send(address.clone(), bodies))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    let sent = batches * connections * batch;
    println!(
        "{sent} events in {seconds:.2} s: {:.0} a second; acknowledged in {:.1} ms (p50), {:.1} ms (p99)",
        sent as f64 / seconds,
        at(50),
        at(99)
    );
    Ok(())
}

/// A request with a batch, as the SDK for Python sends it.
fn request(connection: u64, round: u64, events: u64) -> Vec<u8> {
    let message = |at: u64| {
        let number = (connection * 7_919 + round * 104_729 + at) % 10_000;
        format!(
            r#"{{"integrations":{{}},"timestamp":"2026-01-01T12:00:{:02}.{:03}Z","properties":{{"price":{},"country":"DE","page":{}}},"type":"track","event":"purchase","messageId":"{connection}-{round}-{at}","anonymousId":null,"context":{{"library":{{"name":"analytics-python","version":"2.4.0"}}}},"userId":"user-{number}"}}"#,
            round % 60,
            at % 1000,
            number as f64 / 100.0,
            at % 50
        )
    };
    let body = format!(
        r#"{{"batch":[{}],"sentAt":"2026-01-01T12:01:00Z"}}"#,
        (0..events).map(message).collect::<Vec<_>>().join(",")
    );
    let head = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a2V5Og==\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

async fn send(address: String, requests: Vec<Vec<u8>>) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut answer) = (Vec::with_capacity(requests.len()), vec![0; 4096]);
    for request in requests {
        let began = Instant::now();
        stream.write_all(&request).await?;
        // Answers are small, and each is waited for.
        let count = stream.read(&mut answer).await?;
        if !answer[..count].starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer[..count]).into_owned().into());
        }
        times.push(began.elapsed());
    }
    Ok(times)
}
