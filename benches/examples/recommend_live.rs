//! How long a list for one user takes while events arrive, and how soon an event is in the next list.
//!
//! ```text
//! recommend_live DATABASE [QUESTIONS [EVENTS_PER_S [WARM_S [ALGORITHM,…]]]]
//! ```
//!
//! For `WARM_S` seconds it asks without measuring, and again for a sixth of that before each algorithm: what neighbours are
//! made of is found beside the first questions.
//!
//! The database is written to, so give a copy. Its table is `ev` with a column `product_id`, as the comparison with other
//! systems loads it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use trodden_engine::ingest::EventBatch;
use trodden_query::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use trodden_query::{Database, Options, QueryOptions, ScalarValue, Statement};

type Failure = Box<dyn std::error::Error>;

/// Events of one batch of the writer.
const BATCH: usize = 100;
/// 2030-01-01: after all events of the generated data, so that what is written is the newest.
const AFTER_US: i64 = 1_893_456_000_000_000;
const ALGORITHMS: &str = "item_knn,session_knn,sequence,popular,repurchase,blend";

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("recommend_live DATABASE [QUESTIONS [EVENTS_PER_S [WARM_S [ALGORITHM,…]]]]")?;
    let questions: usize = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let events_per_s: u64 = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let warm = Duration::from_secs(arguments.next().map_or(Ok(0), |text| text.parse())?);
    let algorithms = arguments.next().unwrap_or_else(|| ALGORITHMS.into());
    let algorithms: Vec<&str> = algorithms.split(',').collect();
    let opened = Instant::now();
    let database = Database::open_with(&path, Options::default())?;
    let users =
        texts(&database, "SELECT DISTINCT user_id FROM ev WHERE product_id IS NOT NULL ORDER BY user_id LIMIT 20000")?;
    println!("opened in {:.0} ms", 1e3 * opened.elapsed().as_secs_f64());
    let statement = |using: &str| -> Result<Statement, Failure> {
        let weights = "WEIGHTS(purchase => 5, add_to_cart => 3, product_view => 1)";
        let call =
            format!("RECOMMEND(ev, item => product_id, for_user => $1, using => '{using}', weights => {weights})");
        Ok(database.parse(&format!("SELECT * FROM {call}"))?.remove(0))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ask = |statement: &Statement, user: &str| -> Result<(Vec<i64>, f64), Failure> {
        let begun = Instant::now();
        let parameters = vec![ScalarValue::Utf8(Some(user.into()))];
        let options = QueryOptions { parameters, ..QueryOptions::default() };
        let batches = runtime.block_on(async { database.run(statement, options).await?.collect().await })?;
        let took_ms = 1e3 * begun.elapsed().as_secs_f64();
        let items = batches.iter().filter_map(|batch| batch.column_by_name("item"));
        let items = items
            .flat_map(|items| items.as_primitive::<trodden_query::arrow::datatypes::Int64Type>().values().to_vec());
        Ok((items.collect(), took_ms))
    };
    let (_, first_ms) = ask(&statement("item_knn")?, &users[0])?;
    println!("first question {first_ms:.0} ms");
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| -> Result<(), Failure> {
        let writer = scope.spawn(|| write(&database, &users, events_per_s, &stop, &written));
        let measured = warm_up(warm, &users, &statement("item_knn")?, &ask)
            .and_then(|()| measure((&users, questions), warm / 6, &algorithms, &statement, &ask))
            .and_then(|()| fresh(&database, &users, &statement("item_knn")?, &ask));
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "the writer panicked")?.map_err(|error| error.to_string())?;
        measured
    })?;
    println!("written meanwhile: {} events", written.load(Ordering::Relaxed));
    println!("{}", database.query_blocking("SHOW RECOMMENDERS")?);
    Ok(())
}

type Ask<'a> = dyn Fn(&Statement, &str) -> Result<(Vec<i64>, f64), Failure> + 'a;

/// Asks without measuring.
fn warm_up(span: Duration, users: &[String], statement: &Statement, ask: &Ask<'_>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut question = 1 << 32;
    while begun.elapsed() < span {
        ask(statement, &users[random(question) as usize % users.len()])?;
        question += 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

fn measure(
    (users, questions): (&[String], usize),
    warm: Duration,
    algorithms: &[&str],
    statement: &dyn Fn(&str) -> Result<Statement, Failure>,
    ask: &Ask<'_>,
) -> Result<(), Failure> {
    for using in algorithms {
        let statement = statement(using)?;
        ask(&statement, &users[0])?;
        warm_up(warm, users, &statement, ask)?;
        let mut times_ms = Vec::with_capacity(questions);
        for question in 0..questions {
            times_ms.push(ask(&statement, &users[random(question as u64) as usize % users.len()])?.1);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        times_ms.sort_by(f64::total_cmp);
        let at = |part: f64| times_ms[((times_ms.len() - 1) as f64 * part) as usize];
        println!("{using}: p50 {:.2} p90 {:.2} p99 {:.2} max {:.2} ms", at(0.5), at(0.9), at(0.99), at(1.0));
    }
    Ok(())
}

/// A user buys the first item of the list: from the acknowledgement to the list without it.
fn fresh(database: &Database, users: &[String], statement: &Statement, ask: &Ask<'_>) -> Result<(), Failure> {
    let mut times_ms = Vec::new();
    for user in users.iter().step_by(200) {
        let (before, _) = ask(statement, user)?;
        database.ingest("ev", batch(&[(user.clone(), "purchase", before[0])]))?;
        let acknowledged = Instant::now();
        let (after, _) = ask(statement, user)?;
        times_ms.push(1e3 * acknowledged.elapsed().as_secs_f64());
        if after.contains(&before[0]) {
            return Err(format!("{user} is still recommended {} after buying it", before[0]).into());
        }
    }
    times_ms.sort_by(f64::total_cmp);
    println!(
        "an event is in the next list: {} of {0}, at most {:.2} ms after it",
        times_ms.len(),
        times_ms[times_ms.len() - 1]
    );
    Ok(())
}

/// Appends events at a steady rate.
fn write(
    database: &Database,
    users: &[String],
    events_per_s: u64,
    stop: &AtomicBool,
    written: &AtomicU64,
) -> Result<(), trodden_query::Error> {
    let begun = Instant::now();
    let mut batches = 0_u64;
    while events_per_s > 0 && !stop.load(Ordering::Relaxed) {
        let event = |number: u64| {
            let drawn = random(batches * BATCH as u64 + number);
            let name =
                ["product_view", "product_view", "product_view", "add_to_cart", "purchase"][(drawn % 5) as usize];
            (users[(drawn / 5) as usize % users.len()].clone(), name, (random(drawn) % 20_000) as i64)
        };
        database.ingest("ev", batch(&(0..BATCH as u64).map(event).collect::<Vec<_>>()))?;
        batches += 1;
        written.fetch_add(BATCH as u64, Ordering::Relaxed);
        let due = Duration::from_secs_f64((batches * BATCH as u64) as f64 / events_per_s as f64);
        std::thread::park_timeout(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

fn batch(events: &[(String, &str, i64)]) -> EventBatch {
    static NEWEST_US: AtomicI64 = AtomicI64::new(AFTER_US);
    // A millisecond for each batch.
    let now_us = NEWEST_US.fetch_add(1_000, Ordering::Relaxed);
    let products: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.2)));
    EventBatch {
        user_id: StringArray::from_iter_values(events.iter().map(|event| &event.0)),
        ts: Int64Array::from(vec![now_us; events.len()]),
        event: StringArray::from_iter_values(events.iter().map(|event| event.1)),
        event_id: None,
        properties: vec![("product_id".into(), products)],
    }
}

fn texts(database: &Database, sql: &str) -> Result<Vec<String>, Failure> {
    let answer = database.query_blocking(sql)?;
    let column = |batch: &trodden_query::arrow::array::RecordBatch| {
        let column =
            trodden_query::arrow::compute::cast(batch.column(0), &trodden_query::arrow::datatypes::DataType::Utf8);
        column.map(|column| column.as_string::<i32>().iter().flatten().map(String::from).collect::<Vec<_>>())
    };
    Ok(answer.batches.iter().map(column).collect::<Result<Vec<_>, _>>()?.concat())
}

/// SplitMix64: numbers that look random, the same in each run.
fn random(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
