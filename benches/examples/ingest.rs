//! Events over the wire: how many a second the server acknowledges, and how long that takes.
//!
//! ```sh
//! trodden serve --db DIR &
//! cargo run --release --example ingest -- http://127.0.0.1:7701 EVENTS WRITERS [BATCH_EVENTS BATCHES_UNDER_WAY]
//! ```
//!
//! The events are those of a shop: ten thousand users, five kinds of events, four properties. Each is acknowledged when it is on
//! disk.

#![allow(clippy::print_stdout, reason = "it reports on standard output")]

use std::error::Error;
use std::time::Instant;
use trodden_client::{Client, ConnectOptions, Event, WriterOptions};

/// 2026-01-01T00:00:00Z, in microseconds since 1970.
const START_US: i64 = 1_767_225_600_000_000;
const KINDS: [&str; 5] = ["view", "search", "cart", "checkout", "purchase"];
const COUNTRIES: [&str; 4] = ["DE", "FR", "US", "JP"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, events, writers, more @ ..] = arguments.as_slice() else {
        return Err("usage: ingest URL EVENTS WRITERS [BATCH_EVENTS BATCHES_UNDER_WAY]".into());
    };
    let (events, writers): (i64, i64) = (events.parse()?, writers.parse()?);
    let mut options = WriterOptions::default();
    if let [batch_events, batches_under_way] = more {
        (options.batch_events, options.batches_under_way) = (batch_events.parse()?, batches_under_way.parse()?);
    }
    let began = Instant::now();
    let tasks: Vec<_> =
        (0..writers).map(|at| tokio::spawn(write(url.clone(), options.clone(), at, events / writers))).collect();
    for task in tasks {
        let line = task.await?.map_err(|error| error.to_string())?;
        println!("{line}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{events} events in {seconds:.2} s: {:.0} a second", events as f64 / seconds);
    Ok(())
}

async fn write(
    url: String,
    options: WriterOptions,
    writer: i64,
    events: i64,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let client = Client::connect(&url, ConnectOptions::default()).await?;
    let sender = client.writer("ingest", options)?;
    for at in 0..events {
        let pick = (at * 7_919 + writer * 104_729) % 10_000;
        let event = Event::new(format!("user-{pick}"), START_US + at * 1_000, KINDS[(pick % 5) as usize])
            .property("price", pick as f64 / 100.0)
            .property("country", COUNTRIES[(at % 4) as usize])
            .property("page", at % 50)
            .property("mobile", at % 3 == 0);
        sender.push(event).await?;
    }
    let written = sender.flush().await?;
    let latency = sender.latency();
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(format!(
        "writer {writer}: {} events in {} batches, acknowledged in {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most",
        written.accepted,
        latency.batches,
        ms(latency.p50),
        ms(latency.p99),
        ms(latency.max)
    ))
}
