//! The client in a program without async.
//!
//! ```sh
//! trodden serve --db shop &
//! cargo run --release --example blocking -- http://127.0.0.1:7701
//! ```

use std::error::Error;
use trodden_client::{ConnectOptions, Event, QueryOptions, WriterOptions, blocking};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7701".into());
    let options = ConnectOptions { token: std::env::var("TRODDEN_KEY").ok(), ..ConnectOptions::default() };
    let client = blocking::Client::connect(&url, options)?;

    let writer = client.writer("visits", WriterOptions::default())?;
    for day in 0..7_i64 {
        let noon = 1_767_268_800_000_000 + day * 86_400_000_000;
        writer.push(Event::new("ada", noon, "visit").id(format!("ada-{day}")).property("day", day))?;
    }
    writer.close()?;

    let options = QueryOptions { parameters: vec![3_i64.into()], ..QueryOptions::default() };
    let mut rows = 0;
    for batch in client.query_with("SELECT user_id, ts FROM visits WHERE day > $1", options)? {
        rows += batch?.num_rows();
    }
    println!("{rows} visits after the fourth day");
    Ok(())
}
