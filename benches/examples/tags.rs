//! What tags cost: hundreds of them over millions of users, and over events.
//!
//! ```text
//! tags users DIRECTORY [TAGS [USERS]]     users of an event each, tags of random users; a process that is killed in a refresh
//! tags events DATABASE [TAGS]             tags of conditions on the events of table `ev`; the database is written to
//! ```
//!
//! `DATABASE` has a table `ev` with the columns of the comparison with other systems; give a copy.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use trodden_engine::ingest::EventBatch;
use trodden_engine::members::Members;
use trodden_engine::table::Table;
use trodden_engine::tags::{Over, TagChange, TagInfo, TagMembers};
use trodden_engine::{Engine, EngineOptions};
use trodden_query::arrow::array::{AsArray, Int64Array, StringArray};
use trodden_query::arrow::datatypes::Int64Type;
use trodden_query::{Database, Options};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "tags users DIRECTORY [TAGS [USERS]] | tags events DATABASE [TAGS]";
/// Events that are stored at once.
const IDS: usize = 200_000;
/// Of each question.
const RUNS: usize = 9;
/// Tags that are written at once.
const AT_ONCE: usize = 32;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["users", directory, ..] => users(directory, number(2, 500)?, number(3, 10_000_000)?),
        ["refresh", directory, ..] => refresh_for_ever(directory),
        ["events", database, ..] => events(database, number(2, 300)?),
        _ => Err(USAGE.into()),
    }
}

/// The members of tag `number`: one user in 2, 4, 8, … 1,024, at random.
fn members(table: &Table, number: usize, turn: u64) -> Members {
    let shards = table.snapshot().shards.iter().map(|shard| shard.next_ordinal).collect::<Vec<_>>();
    let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ turn;
    let one_in = 2_u64 << (number % 10);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut places = Vec::new();
    for (shard, next) in shards.iter().enumerate() {
        places.extend((0..*next).filter(|_| random() % one_in == 0).map(|ordinal| (shard, ordinal)));
    }
    Members::of_places(shards.len(), places)
}

fn change(table: &Table, number: usize, turn: u64) -> TagChange {
    let info = TagInfo {
        name: format!("tag {number}"),
        definition: "FROM (random users)".into(),
        basis: String::new(),
        every_us: None,
        // Which turn it was: what a refresh that was cut off must not mix.
        refreshed_at_us: i64::try_from(turn).unwrap_or(0),
        position: 0,
        arrivals: Vec::new(),
        hidden_before_us: 0,
        cost_ms: 0,
        incremental: false,
    };
    let info = info.as_of(&table.snapshot());
    TagChange::Set { info, members: TagMembers::Plain(members(table, number, turn)), over: Over::Anything }
}

/// Set all tags; seconds that the engine took, without those in which members were drawn.
fn set_all(table: &Table, tags: usize, turn: u64) -> Result<f64, Failure> {
    let mut took = 0.0;
    let numbers: Vec<usize> = (0..tags).collect();
    for some in numbers.chunks(AT_ONCE) {
        let changes = some.iter().map(|&number| change(table, number, turn)).collect();
        let begun = Instant::now();
        table.change_tags(changes)?;
        took += begun.elapsed().as_secs_f64();
    }
    Ok(took)
}

fn users(directory: &str, tags: usize, users: usize) -> Result<(), Failure> {
    let database = Database::open_with(directory, Options::default())?;
    database.query_blocking("CREATE TABLE t")?;
    let begun = Instant::now();
    for first in (0..users).step_by(IDS) {
        let rows = first..users.min(first + IDS);
        database.ingest(
            "t",
            EventBatch {
                user_id: StringArray::from_iter_values(rows.clone().map(|user| format!("user{user:08}"))),
                ts: Int64Array::from_iter_values(rows.clone().map(|row| 1_767_225_600_000_000 + row as i64)),
                event: StringArray::from_iter_values(rows.map(|_| "open")),
                event_id: None,
                properties: Vec::new(),
            },
        )?;
    }
    database.query_blocking("OPTIMIZE TABLE t")?;
    println!("{users} users with an event each in {:.1} s", begun.elapsed().as_secs_f64());
    let table = database.engine().table("t")?;
    println!("{tags} tags made in {:.1} s", set_all(&table, tags, 1)?);
    println!("{tags} tags replaced in {:.1} s", set_all(&table, tags, 2)?);
    let (bytes, members) = sizes(&table)?;
    println!(
        "{bytes} bytes for {members} memberships: {:.3} bytes a membership, {:.4} a user and tag",
        bytes as f64 / members as f64,
        bytes as f64 / (users * tags) as f64
    );
    compared(&database, tags)?;
    drop((table, database));
    killed_in_a_refresh(directory, tags)
}

/// Tags beside each other in SQL.
fn compared(database: &Database, tags: usize) -> Result<(), Failure> {
    for count in [2, 20, 50].into_iter().filter(|count| *count <= tags) {
        let names: Vec<String> = (0..count).map(|number| format!("'tag {number}'")).collect();
        let of = format!("SEGMENT(t, tags => [{}], emit => 'overlap')", names.join(", "));
        timed(database, &format!("overlap of {count} tags"), &format!("SELECT sum(users) FROM {of}"))?;
    }
    let both = "SEGMENT(t, where => TAG('tag 0') AND NOT TAG('tag 1'))";
    timed(database, "users of one tag and not of another", &format!("SELECT users FROM {both}"))?;
    let lift = "SEGMENT(t, where => TAG('tag 3'), tags => '*', emit => 'lift')";
    timed(database, &format!("lift of {tags} tags inside one"), &format!("SELECT sum(users_inside) FROM {lift}"))
}

/// The first run, which reads the tags, and the median of those after it.
fn timed(database: &Database, what: &str, sql: &str) -> Result<(), Failure> {
    let mut took = Vec::new();
    for _ in 0..=RUNS {
        let begun = Instant::now();
        database.query_blocking(sql)?;
        took.push(1e3 * begun.elapsed().as_secs_f64());
    }
    let first = took.remove(0);
    took.sort_by(f64::total_cmp);
    println!("{what}: {:.2} ms ({first:.1} the first time)", took[RUNS / 2]);
    Ok(())
}

fn sizes(table: &Table) -> Result<(u64, u64), Failure> {
    let (mut bytes, mut members) = (0, 0);
    for tag in table.snapshot().tags().iter() {
        bytes += tag.bytes();
        members += tag.len()?;
    }
    Ok((bytes, members))
}

/// Kill a process while it refreshes, then look at what it left.
fn killed_in_a_refresh(directory: &str, tags: usize) -> Result<(), Failure> {
    let mut child =
        Command::new(std::env::current_exe()?).args(["refresh", directory]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    for _ in 0..3 {
        lines.next().ok_or("the refresh ended")??;
    }
    child.kill()?;
    child.wait()?;
    let begun = Instant::now();
    let engine = Engine::open(directory.as_ref(), EngineOptions::default())?;
    println!("killed in a refresh; opened again in {:.2} s", begun.elapsed().as_secs_f64());
    let table = engine.table("t")?;
    let snapshot = table.snapshot();
    let found = snapshot.tags();
    let mut by_turn = std::collections::BTreeMap::new();
    for number in 0..tags {
        let tag = found.get(&format!("tag {number}")).ok_or("a tag is gone")?;
        let turn = tag.info().refreshed_at_us.unsigned_abs();
        *by_turn.entry(turn).or_insert(0) += 1;
        if number % 25 == 0 && tag.users(None)? != members(&table, number, turn) {
            return Err(format!("tag {number} is neither the old nor the new one").into());
        }
    }
    println!("tags by turn of their refresh: {by_turn:?}; findings of a check: {:?}", engine.check());
    Ok(())
}

/// Refresh tag after tag until somebody ends the process; a line for each batch.
fn refresh_for_ever(directory: &str) -> Result<(), Failure> {
    let engine = Engine::open(directory.as_ref(), EngineOptions::default())?;
    let table: Arc<Table> = engine.table("t")?;
    let count = table.snapshot().tags().names().count();
    for turn in 3.. {
        for number in (0..count).step_by(4) {
            let some = (number..count.min(number + 4)).map(|number| change(&table, number, turn)).collect();
            table.change_tags(some)?;
            println!("{number}");
        }
    }
    Ok(())
}

/// The definition of tag `number`.
fn definition(number: usize) -> String {
    let events =
        ["app_open", "product_view", "add_to_cart", "checkout", "purchase", "signup", "coupon_apply", "refund"];
    let event = events[number % events.len()];
    let of_country = format!("country = 'C{:02}'", number / 8 % 30);
    let condition = match number / 8 % 4 {
        0 => format!("event = '{event}' AND {of_country}"),
        1 => format!("event = '{event}' AND price > {}", number % 90),
        2 => format!("event = '{event}' AND ts >= '2026-01-01' AND {of_country}"),
        _ => format!("event = '{event}' AND category = {}", number % 40),
    };
    format!("SELECT DISTINCT user_id FROM ev WHERE {condition}")
}

fn events(path: &str, tags: usize) -> Result<(), Failure> {
    let database = Database::open_with(path, Options::default())?;
    let sql = |sql: &str| -> Result<trodden_query::Answer, Failure> { Ok(database.query_blocking(sql)?) };
    let begun = Instant::now();
    for number in 0..tags {
        sql(&format!("CREATE OR REPLACE TAG tag_{number} ON ev AS ({})", definition(number)))?;
    }
    println!("{tags} tags made in {:.2} s", begun.elapsed().as_secs_f64());
    let refresh = |what: &str| -> Result<(), Failure> {
        let begun = Instant::now();
        let answer = sql("REFRESH TAGS ON ev")?;
        let took = begun.elapsed().as_secs_f64();
        let incremental: usize = answer.batches.iter().map(|batch| batch.column(4).as_boolean().true_count()).sum();
        println!("{what}: {tags} tags refreshed in {took:.2} s, {incremental} of them incrementally");
        Ok(())
    };
    refresh("nothing new")?;
    append(&database, 10_000)?;
    refresh("10,000 events more")?;
    // Conditions that depend on the moment are asked of all events each time.
    for number in 0..tags {
        let query = definition(number).replace("WHERE", "WHERE ts < now() AND");
        sql(&format!("CREATE OR REPLACE TAG tag_{number} ON ev AS ({query})"))?;
    }
    refresh("conditions that look at the clock")?;
    let answer = sql("SELECT count(*) FROM ev WHERE HAS_TAG(user_id, 'tag_0') AND NOT HAS_TAG(user_id, 'tag_9')")?;
    println!(
        "events of one tag and not of another: {:?}",
        answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
    );
    let table = database.engine().table("ev")?;
    let (bytes, members) = sizes(&table)?;
    println!("{bytes} bytes for {members} memberships: {:.3} bytes each", bytes as f64 / members.max(1) as f64);
    Ok(())
}

fn append(database: &Database, events: usize) -> Result<(), Failure> {
    let ids = database.query_blocking("SELECT DISTINCT user_id FROM ev LIMIT 1000")?;
    let ids = ids.batches[0].column(0).as_string_view().iter().flatten().map(String::from).collect::<Vec<_>>();
    let rows = 0..events;
    database.ingest(
        "ev",
        EventBatch {
            user_id: StringArray::from_iter_values(rows.clone().map(|row| &ids[row % ids.len()])),
            // 2030-01-01
            ts: Int64Array::from_iter_values(rows.clone().map(|row| 1_893_456_000_000_000 + row as i64)),
            event: StringArray::from_iter_values(rows.map(|row| if row % 2 == 0 { "purchase" } else { "app_open" })),
            event_id: None,
            properties: Vec::new(),
        },
    )?;
    Ok(())
}
