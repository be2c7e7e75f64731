//! trodden in a program of its own: open a database, put events in, ask a funnel.
//!
//! `cargo run --release --example embedded [DIRECTORY]` keeps the database in DIRECTORY, else in memory.

use trodden_query::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use trodden_query::engine::ingest::EventBatch;
use trodden_query::{Database, Options};

const MINUTE_US: i64 = 60_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = match std::env::args().nth(1) {
        Some(directory) => Database::open(directory)?,
        None => Database::in_memory(Options::default())?,
    };
    database.query_blocking("CREATE TABLE IF NOT EXISTS events (price DOUBLE)")?;

    // Three visitors look at something; two put it into the cart, one buys.
    let start_us = 1_772_000_000_000_000;
    let rows = [
        ("ann", 0, "product_view", None),
        ("ann", 3, "add_to_cart", Some(12.5)),
        ("ann", 9, "purchase", Some(12.5)),
        ("bob", 1, "product_view", None),
        ("bob", 2, "add_to_cart", Some(99.0)),
        ("cid", 5, "product_view", None),
    ];
    let price: ArrayRef = std::sync::Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>());
    let batch = EventBatch {
        user_id: StringArray::from_iter_values(rows.iter().map(|row| row.0)),
        ts: Int64Array::from_iter_values(rows.iter().map(|row| start_us + row.1 * MINUTE_US)),
        event: StringArray::from_iter_values(rows.iter().map(|row| row.2)),
        // The same id is stored once: running this again on the same directory adds nothing.
        event_id: Some(StringArray::from_iter_values((0..rows.len()).map(|row| format!("example-{row}")))),
        properties: vec![("price".to_string(), price)],
    };
    // Durable when this returns.
    let appended = database.ingest("events", batch)?;
    println!("{} events added, {} were there already", appended.accepted, appended.duplicates);

    let answer = database.query_blocking(
        "SELECT step_name, users, conversion, median_seconds
         FROM FUNNEL(events, steps => ['product_view', 'add_to_cart', 'purchase'], within => INTERVAL '1' DAY)",
    )?;
    println!("{answer}");
    answer.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    Ok(())
}
