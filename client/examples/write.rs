//! Sends events, and asks for a funnel over them.
//!
//! ```sh
//! trodden serve --db shop &
//! cargo run --release --example write -- http://127.0.0.1:7701
//! ```

use std::error::Error;
use trodden_client::arrow_array::cast::AsArray;
use trodden_client::arrow_array::types::Int64Type;
use trodden_client::{Client, ConnectOptions, Event, WriterOptions};

/// 2026-01-01T00:00:00Z, in microseconds since 1970.
const NEW_YEAR: i64 = 1_767_225_600_000_000;
/// Microseconds of a minute.
const MINUTE: i64 = 60_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7701".into());
    let options = ConnectOptions { token: std::env::var("TRODDEN_KEY").ok(), ..ConnectOptions::default() };
    let client = Client::connect(&url, options).await?;

    // Waits only when 64 MiB of events are under way; `try_push` never does.
    let writer = client.writer("shop", WriterOptions::default())?;
    for user in 0..1_000_i64 {
        let at = NEW_YEAR + user * MINUTE;
        writer.push(Event::new(format!("user-{user}"), at, "view").property("page", "/sofa")).await?;
        if user % 4 == 0 {
            let bought = Event::new(format!("user-{user}"), at + MINUTE, "purchase");
            // An id of our own: if this program sends it twice, it counts once.
            writer.push(bought.id(format!("order-{user}")).property("price", 499.0)).await?;
        }
    }
    let written = writer.close().await?;
    println!("stored {} events, {} were there already", written.accepted, written.duplicates);

    let mut answer = client.query("FUNNEL view -> purchase WITHIN 7 DAYS FROM shop").await?;
    while let Some(batch) = answer.next().await? {
        let (Some(steps), Some(users)) = (batch.column_by_name("step_name"), batch.column_by_name("users")) else {
            continue;
        };
        let (steps, users) = (steps.as_string::<i32>(), users.as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            println!("{:>10}  {} users", steps.value(row), users.value(row));
        }
    }
    Ok(())
}
