//! Profiles of many users: updates a second, memory of what is kept, and how long a condition takes.
//!
//! `cargo run --release --locked --workspace --example profiles -- DIRECTORY USERS`. The directory must not have a database.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use trodden_query::arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use trodden_query::engine::predicate::{ColumnRef, CompareOp, Predicate};
use trodden_query::engine::profiles::{ProfileBatch, ProfileColumn, ProfileScan};
use trodden_query::engine::types::{Schema, TableOptions, Value};
use trodden_query::engine::{Engine, EngineOptions, Table};

/// Updates of a batch that is appended.
const BATCH: usize = 10_000;
/// Updates of a batch that is imported.
const IMPORT_BATCH: usize = 100_000;
const REPEATS: usize = 21;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(users)) = (args.next(), args.next()) else {
        return Err("give a directory and a number of users".into());
    };
    let users: usize = users.parse()?;
    let engine = Engine::open(Path::new(&directory), EngineOptions::default())?;
    let table = engine.create_table("events", Schema::default(), TableOptions::default())?;
    engine.profiles(&table)?;
    import(&table, users)?;
    let begun = Instant::now();
    let batches = 20;
    for batch in 0..batches {
        table.upsert(updates((0..BATCH).map(|row| (batch * BATCH + row) * 7 % users), 2))?;
    }
    report("updates of users who are known, a second", (batches * BATCH) as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    for user in 0..200 {
        table.upsert(updates(std::iter::once(user), 3))?;
    }
    report("one update and its acknowledgement, ms", begun.elapsed().as_secs_f64() * 1e3 / 200.0);
    let begun = Instant::now();
    table.flush()?;
    report("flush, s", begun.elapsed().as_secs_f64());
    ask(&table)?;
    read(&table)
}

fn report(what: &str, value: f64) {
    println!("{what}\t{value:.3}");
}

/// Profiles by a bulk import.
fn import(table: &Table, users: usize) -> Outcome<()> {
    let profiles = table.profiles().ok_or("no profiles")?;
    let begun = Instant::now();
    let import = profiles.table().begin_import(&[])?;
    for (number, start) in (0..users).step_by(IMPORT_BATCH).enumerate() {
        let batch = updates(start..(start + IMPORT_BATCH).min(users), 1).into_events()?;
        table.introduce_users(&batch.user_id)?;
        import.push(number as u64, batch)?;
    }
    import.commit()?;
    report("profiles by a bulk import, a second", users as f64 / begun.elapsed().as_secs_f64());
    report("bytes on disk a profile", profiles.table().size_on_disk()? as f64 / users as f64);
    Ok(())
}

fn updates(users: impl Iterator<Item = usize>, ts: i64) -> ProfileBatch {
    let users: Vec<usize> = users.collect();
    let mixed: Vec<u64> = users.iter().map(|&user| mix(user as u64 + ts as u64)).collect();
    let texts = |text: &dyn Fn(usize, u64) -> String| -> ArrayRef {
        Arc::new(users.iter().zip(&mixed).map(|(user, mixed)| Some(text(*user, *mixed))).collect::<StringArray>())
    };
    let countries = ["DE", "FR", "US", "GB", "JP", "BR", "IN", "CN", "ES", "IT", "NL", "SE", "PL", "MX", "CA", "AU"];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("plan", texts(&|_, mixed| ["free", "free", "free", "team", "pro"][(mixed % 5) as usize].into())),
        ("country", texts(&|_, mixed| countries[(mixed >> 8) as usize % countries.len()].into())),
        ("age", Arc::new(mixed.iter().map(|mixed| Some(18 + (mixed >> 16) as i64 % 60)).collect::<Int64Array>())),
        ("score", Arc::new(mixed.iter().map(|mixed| Some((mixed >> 24) as i64 % 1_000_000)).collect::<Int64Array>())),
        ("vip", Arc::new(mixed.iter().map(|mixed| Some((mixed >> 32) % 50 == 0)).collect::<BooleanArray>())),
        ("email", texts(&|user, _| format!("user{user}@example.com"))),
    ];
    ProfileBatch {
        user_id: users.iter().map(|user| Some(format!("user-{user}"))).collect(),
        ts: Int64Array::from(vec![ts; users.len()]),
        event_id: None,
        columns: columns
            .into_iter()
            .map(|(name, values)| ProfileColumn { name: name.into(), values, sets: None })
            .collect(),
    }
}

/// Numbers that look random and are the same every time.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 3
}

fn ask(table: &Table) -> Outcome<()> {
    let text = |column: &str, value: &str| Predicate::Compare {
        column: ColumnRef::Property(column.into()),
        op: CompareOp::Eq,
        value: Value::Text(value.into()),
    };
    let number = |column: &str, op, value| Predicate::Compare {
        column: ColumnRef::Property(column.into()),
        op,
        value: Value::BigInt(value),
    };
    let pro_in_germany = || text("plan", "pro").and(text("country", "DE"));
    let questions = [
        ("plan = 'pro' AND country = 'DE'", pro_in_germany()),
        ("NOT (plan = 'pro' AND country = 'DE')", Predicate::Not(Box::new(pro_in_germany()))),
        ("age < 30", number("age", CompareOp::Lt, 30)),
        ("score >= 900000", number("score", CompareOp::GtEq, 900_000)),
        ("email = 'user4711@example.com'", text("email", "user4711@example.com")),
    ];
    for (words, condition) in questions {
        let (events, profiles) = (table.snapshot(), table.profiles().ok_or("no profiles")?);
        let snapshot = profiles.snapshot();
        let begun = Instant::now();
        let users = snapshot.members_where(&events, &condition)?.len();
        report(&format!("{words}: first time, ms ({users} users)"), begun.elapsed().as_secs_f64() * 1e3);
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let begun = Instant::now();
            snapshot.members_where(&events, &condition)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        report(&format!("{words}: again, ms"), times[REPEATS / 2]);
        report("kept, MB", profiles.memory_bytes() as f64 / 1e6);
    }
    let mut times = Vec::new();
    for user in 0..REPEATS {
        table.upsert(updates(std::iter::once(user), 4))?;
        let (events, snapshot) = (table.snapshot(), table.profiles().ok_or("no profiles")?.snapshot());
        let begun = Instant::now();
        snapshot.members_where(&events, &pro_in_germany())?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    report("plan and country after an update each time, ms", times[REPEATS / 2]);
    Ok(())
}

fn read(table: &Table) -> Outcome<()> {
    let profiles = table.profiles().ok_or("no profiles")?;
    profiles.forget_kept();
    let snapshot = profiles.snapshot();
    let columns = ["user_id", "plan", "country", "updated_at"].map(String::from).to_vec();
    let scan = ProfileScan { columns: columns.clone(), ..ProfileScan::default() };
    let (begun, mut rows) = (Instant::now(), 0);
    for shard in 0..snapshot.shards() {
        snapshot.read(shard, &scan, &mut |batch| {
            rows += batch.num_rows();
            Ok(true)
        })?;
    }
    report(&format!("four columns of {rows} profiles by one thread, s"), begun.elapsed().as_secs_f64());
    let one = ProfileScan { columns, users: Some(vec!["user-4711".into()]), ..ProfileScan::default() };
    let begun = Instant::now();
    for shard in 0..snapshot.shards() {
        snapshot.read(shard, &one, &mut |_| Ok(true))?;
    }
    report("one profile, ms", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
