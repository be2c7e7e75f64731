//! The same rows give the same answer: with any number of threads, in memory, in many segments or in one. Few distinct
//! seconds make most events tie, and doubles come as -0.0, 0.0 and NaN.

use crate::path_layouts;
use crate::support::{TestDatabase, rows};
use std::path::Path;
use trodden_query::engine::segment::TextBlock;
use trodden_query::{Database, Options};

const PIECES: u32 = 48;
/// After which of eight pieces there is a flush: segments of 1, 1, 1 and 5 pieces are so different in size that a flush
/// merges none of them, up to as many as a table has at most.
const FLUSHED: [u32; 4] = [0, 1, 2, 7];
const SEGMENTS: usize = 24;
const SHARDS: usize = 3;
/// The same answer is promised for one segment and for this many.
const SEGMENTS_AT_LEAST: usize = 50;
const USERS: u32 = 12;

/// The rows of one `INSERT`: every user does something in every piece.
fn piece(piece: u32) -> String {
    let row = |user: u32| {
        // A fixed sequence without a pattern that the shape of the test could hide.
        let dice = |sides: u32, salt: u32| (piece * 7_919 + user * 104_729 + salt * 1_299_709) / 13 % 1_009 % sides;
        let name = ["a", "b", "c", "d"][dice(4, 1) as usize];
        let colour = ["'k0'", "'k1'", "NULL"][dice(3, 2) as usize];
        let price = ["CAST('-0.0' AS DOUBLE)", "0.0", "1.5", "CAST('NaN' AS DOUBLE)", "NULL"][dice(5, 3) as usize];
        let (second, size, seq) = (dice(3, 4), dice(4, 5), piece * USERS + user);
        format!("('u{user}', '2026-01-01 00:00:0{second}', '{name}', 'id{seq}', {colour}, {size}, {price}, {seq})")
    };
    let rows: Vec<String> = (0..USERS).map(row).collect();
    format!("INSERT INTO events (user_id, ts, event, event_id, colour, size, price, seq) VALUES {}", rows.join(", "))
}

pub(crate) fn open(path: &Path, threads: usize) -> Database {
    Database::open_with(path, Options { threads, ..Options::default() }).expect("it opens")
}

pub(crate) fn fill(path: &Path, flush: bool) {
    let database = open(path, 2);
    let columns = "colour TEXT, size BIGINT, price DOUBLE, seq BIGINT";
    let create = format!("CREATE TABLE events ({columns}) WITH (shards = {SHARDS})");
    database.query_blocking(&create).expect("a table");
    for number in 0..PIECES {
        database.query_blocking(&piece(number)).expect("rows");
        if flush && FLUSHED.contains(&(number % 8)) {
            database.query_blocking("FLUSH events").expect("flushed");
        }
    }
    if flush {
        let snapshot = database.engine().table("events").expect("it is there").snapshot();
        let segments: Vec<usize> = snapshot.shards.iter().map(|shard| shard.segments.len()).collect();
        assert_eq!(segments, [SEGMENTS; SHARDS]);
        assert!(segments.iter().sum::<usize>() >= SEGMENTS_AT_LEAST, "{segments:?}");
    }
}

const STEPS: &str = "steps => ['a', 'b', 'c']";

const RETENTIONS: [&str; 6] = [
    "periods => 1",
    "start => 'a', return => 'b', periods => 1, by => colour",
    "start => 'a', return => price > 0, periods => 1, by => (colour, price)",
    "start => ['a', 'b'], return => ['b', 'c'], periods => 0, cohort => 'every', min_count => 2, by => size",
    "start => 'a', windows => 'rolling', periods => 1, by => colour, emit => 'users'",
    "start => 'c', emit => 'users', by => upper(colour), periods => 0",
];

/// The ready-made analyses.
const ANALYSES: [(&str, &str); 16] = [
    ("LIFECYCLE", "on => 'a', by => colour"),
    ("LIFECYCLE", "by => (colour, price)"),
    ("LIFECYCLE", "on => price > 0, by => upper(colour), period => 'week', emit => 'users'"),
    ("LIFECYCLE", "on => ['a', 'b'], emit => 'users', by => size"),
    ("STICKINESS", "on => 'a', by => colour"),
    ("STICKINESS", "within => 'week', by => (price, size)"),
    ("STICKINESS", "emit => 'active', by => upper(colour)"),
    ("STICKINESS", "emit => 'users', by => colour, on => size > 0"),
    ("RFM", "value => price, on => ['a', 'b'], by => colour"),
    ("RFM", "value => size, emit => 'users', by => upper(colour)"),
    (
        "RFM",
        "value => size * 0.1, scores => 3, bounds => BOUNDS(frequency => [20, 30]), emit => 'cells', by => (size, price)",
    ),
    ("SESSIONS", "by => upper(colour)"),
    ("SESSIONS", "session => colour, by => price, bucket => '1 second'"),
    ("SESSIONS", "session => colour, node => size, emit => 'sessions', by => price"),
    ("SESSIONS", "session => size, node => price, emit => 'stops', by => upper(colour)"),
    ("SESSIONS", "session => '1 second', emit => 'users', by => (colour, size), exclude => 'a'"),
];

const RECOMMENDS: [&str; 5] = [
    "item => colour, using => 'popular', weights => WEIGHTS(a => 2, b => 1), seen => 'include'",
    "item => size, for_user => 'u3', seen => 'include', using => 'sequence'",
    "item => size, for_item => 2, similarity => 'cosine', candidates => price > 0",
    "item => price, for_items => [1.5, 0.0], using => 'rp3beta', seen => 'include'",
    "item => upper(colour), using => 'repurchase', half_life => '1 second'",
];

/// What every layout answers in the same way.
fn questions() -> Vec<String> {
    of_every_way().into_iter().chain(path_layouts::questions()).collect()
}

/// Funnels, retentions and recommendations of every way: the table itself, its rows in order of arrival, rows with an
/// order of their own, rows without.
fn of_every_way() -> Vec<String> {
    let arguments = [
        "ties => 'arrival', by => colour",
        "ties => 'arrival', by => colour, attribution => 2",
        "ties => 'arrival', by => date_trunc('day', ts)",
        "by => (date_part('second', ts), colour), attribution => 'last'",
        "ties => 'arrival', hold => upper(colour)",
        "hold => (colour, size), by => event_id",
        "emit => 'users', by => colour",
        "emit => 'users', count => 'attempts', hold => upper(colour), ties => 'arrival'",
        "emit => 'users', by => ts, order => 'strict'",
        "by => price",
        "by => price * -1",
        "by => CAST(price AS TEXT), attribution => 3",
        "by => CAST(price AS TEXT) || CAST(date_part('day', ts) AS TEXT)",
        "hold => price, ties => 'arrival'",
        "hold => price * 2, ties => 'arrival', emit => 'users'",
        "by => coalesce(colour, 'none'), attribution => 3",
        "ties => 'increase', bucket => '1 second', step_within => '1 second'",
        "exclude => EXCLUDE(size = 0 AND colour IS NULL, after => 1, before => 2), ties => 'arrival', by => size",
    ];
    let inputs = [
        "events",
        "(SELECT * FROM events WHERE size > 0)",
        "(SELECT * FROM events LIMIT 1000000)",
        "(SELECT * FROM events ORDER BY seq)",
        "(SELECT * FROM events ORDER BY size DESC, colour NULLS FIRST)",
        "(SELECT e.* FROM events e JOIN (SELECT DISTINCT user_id FROM events WHERE size = 3) s ON e.user_id = s.user_id)",
        "(SELECT * FROM events WHERE size = 1 UNION ALL SELECT * FROM events WHERE size <> 1)",
    ];
    let funnel = |arguments: &&str| format!("{STEPS}, {arguments}");
    let funnels = arguments.iter().map(funnel).map(|arguments| ("FUNNEL", arguments));
    let calls = funnels.chain(RETENTIONS.iter().map(|arguments| ("RETENTION", arguments.to_string())));
    let calls = calls.chain(ANALYSES.map(|(operator, arguments)| (operator, arguments.to_string())));
    let calls: Vec<_> = calls.chain(RECOMMENDS.iter().map(|arguments| ("RECOMMEND", arguments.to_string()))).collect();
    let of_input = |input: &str| {
        let call = |(operator, arguments): &(&str, String)| format!("SELECT * FROM {operator}({input}, {arguments})");
        calls.iter().map(call).collect::<Vec<_>>()
    };
    inputs.iter().flat_map(|input| of_input(input)).collect()
}

type Answers = Vec<Vec<Vec<String>>>;

fn answers(path: &Path, threads: usize) -> Answers {
    let database = open(path, threads);
    let answer = |sql: String| rows(&database.query_blocking(&sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).batches);
    questions().into_iter().map(answer).collect()
}

fn assert_same(found: &Answers, expected: &Answers, what: &str) {
    for ((found, expected), question) in found.iter().zip(expected).zip(questions()) {
        assert_eq!(found, expected, "{what}: {question}");
    }
}

#[test]
fn threads_and_segments_do_not_change_an_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let (memory, segments) = (directory.path().join("memory"), directory.path().join("segments"));
    fill(&memory, false);
    fill(&segments, true);
    let expected = answers(&memory, 1);
    // A path of one stop has no transition.
    let may_be_empty =
        |question: &str| question.contains("emit => 'transitions'") || question.contains("emit => 'edges'");
    let empty = expected.iter().zip(questions()).filter(|(rows, question)| rows.is_empty() && !may_be_empty(question));
    let empty: Vec<String> = empty.map(|(_, question)| question).collect();
    assert_eq!(empty, Vec::<String>::new(), "questions without an answer prove nothing");
    for threads in [2, 8] {
        assert_same(&answers(&memory, threads), &expected, &format!("in memory, {threads} threads"));
    }
    for threads in [1, 2, 8] {
        assert_same(&answers(&segments, threads), &expected, &format!("many segments, {threads} threads"));
    }
    open(&segments, 2).query_blocking("OPTIMIZE TABLE events").expect("merged");
    for threads in [1, 2, 8] {
        assert_same(&answers(&segments, threads), &expected, &format!("one segment, {threads} threads"));
    }
}

/// Funnels of `table`, each with the columns that its `by` argument gives.
fn counted(table: &'static str) -> impl Iterator<Item = (String, &'static str)> {
    let by = [
        ("", "0"),
        (", by => colour", "colour"),
        (", by => plan", "plan"),
        (", by => (plan, size)", "plan, size"),
        (", by => plan, attribution => 2", "plan"),
        (", by => upper(plan)", "\"upper(plan)\""),
        (", by => tier", "tier"),
        (", by => tier, attribution => 2", "tier"),
        (", by => tier, attribution => 'last'", "tier"),
    ];
    let is_known = move |by: &str| table == "people" || !(by.contains("plan") || by.contains("tier"));
    let by = by.into_iter().filter(move |(by, _)| is_known(by));
    by.flat_map(move |(by, columns)| {
        let steps = ["steps => ['a', 'b', 'c']", "STEPS(x => event IN ('a', 'b'), y => event <> 'c', z => size > 1)"];
        let limits = ["", ", within => '2 seconds'", ", within => '40 seconds'"];
        let ties = ["any", "arrival", "increase"];
        let calls = steps.into_iter().flat_map(move |steps| limits.map(|limit| (steps, limit))).flat_map(
            move |(steps, limit)| ties.map(|ties| format!("FUNNEL({table}, {steps}, ties => '{ties}'{limit}{by})")),
        );
        calls.map(move |call| (call, columns))
    })
}

/// Whether every block of `people` stores one value of `column` for each user, so that it is read once a user.
fn is_read_per_user(database: &Database, column: &str) -> bool {
    let snapshot = database.engine().table("people").expect("it is there").snapshot();
    let mut blocks = snapshot.shards.iter().flat_map(|shard| &shard.segments).flat_map(|live| {
        let segment = &live.segment;
        (0..segment.blocks().len()).map(|block| segment.block(block).text(column).expect("a column of texts"))
    });
    blocks.all(|block| matches!(block, TextBlock::Dict(texts) if texts.is_per_user()))
}

/// Who asks for counts alone gets them without the chosen chains being looked for: they are those of the whole answer.
#[test]
fn counts_alone_are_those_of_the_whole_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), true);
    let database = open(directory.path(), 2);
    let ask = |sql: &str| rows(&database.query_blocking(sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).batches);
    // Properties that are the same for all events of a user, one of them NULL for some users, beside those that are not.
    ask("CREATE TABLE people (plan TEXT, tier TEXT, colour TEXT, size BIGINT) WITH (shards = 2);
        INSERT INTO people (user_id, ts, event, plan, tier, colour, size)
        SELECT user_id, to_timestamp_seconds(1767225600 + seq), event,
            CASE WHEN user_id < 'u4' THEN 'free' WHEN user_id < 'u8' THEN 'pro' END,
            CASE WHEN user_id < 'u4' THEN 'free' WHEN user_id < 'u8' THEN 'pro' ELSE 'team' END, colour, size
        FROM events;
        FLUSH people");
    assert!(is_read_per_user(&database, "tier"), "the shorter way with groups is not taken");
    let calls: Vec<_> = counted("events").chain(counted("people")).collect();
    assert_eq!(calls.len(), 18 * (2 + 9));
    for (call, by) in calls {
        let counts = ask(&format!("SELECT {by}, step, users, dropped, conversion FROM {call}"));
        let whole = format!("SELECT {by}, step, users, dropped, conversion, median_seconds, p90_seconds FROM {call}");
        let cut: Vec<_> = ask(&whole).iter().map(|row| row[..row.len() - 2].to_vec()).collect();
        assert_eq!(counts, cut, "{call}");
        assert!(!counts.is_empty());
    }
    let plan = ask("EXPLAIN SELECT users AS n, step FROM FUNNEL(events, steps => ['a', 'b'])");
    assert!(format!("{plan:?}").contains("columns=[n, step]"), "{plan:?}");
    assert_eq!(ask("SELECT count(*) FROM FUNNEL(events, steps => ['a', 'b'])"), [["2"]]);
}

/// Pairs of calls that ask the same in other words, of which the second cannot be answered by the table itself.
#[test]
fn all_ways_agree() {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), true);
    let pairs = [
        ("ties => 'arrival', hold => colour", "ties => 'arrival', hold => upper(colour)"),
        ("ties => 'arrival', hold => price, emit => 'users'", "ties => 'arrival', hold => price + 1, emit => 'users'"),
        (
            "by => CAST(price AS TEXT)",
            "by => substr(CAST(price AS TEXT) || CAST(ts AS TEXT), 1, length(CAST(price AS TEXT)))",
        ),
        ("by => 'x', attribution => 3", "by => substr('x' || CAST(ts AS TEXT), 1, 1), attribution => 3"),
        (
            "by => coalesce(colour, 'none'), attribution => 2, ties => 'arrival'",
            "by => substr(coalesce(colour, 'none') || CAST(ts AS TEXT), 1, CASE WHEN colour IS NULL THEN 4 ELSE 2 END), attribution => 2, ties => 'arrival'",
        ),
    ];
    for threads in [1, 3] {
        let database = open(directory.path(), threads);
        let answer = |sql: &str| rows(&database.query_blocking(sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).batches);
        for (direct, by_rows) in pairs {
            let direct = format!("SELECT * FROM FUNNEL(events, {STEPS}, {direct})");
            let by_rows = format!("SELECT * FROM FUNNEL(events, {STEPS}, {by_rows})");
            let plan = |sql: &str| answer(&format!("EXPLAIN {sql}")).concat().join("\n");
            assert!(plan(&direct).contains("FunnelScan"), "{direct}");
            assert!(plan(&by_rows).contains("ties of time by arrival"), "{by_rows}");
            assert_eq!(answer(&direct), answer(&by_rows), "{direct}\n{by_rows}");
        }
    }
}

/// One user, and two events of one moment that arrived as b, a.
fn tie(threads: usize) -> TestDatabase {
    let test = TestDatabase::in_memory_with(Options { threads, ..Options::default() });
    test.run(
        "CREATE TABLE events (seq BIGINT);
         INSERT INTO events (user_id, ts, event, seq) VALUES ('u', '2026-01-01', 'b', 1);
         INSERT INTO events (user_id, ts, event, seq) VALUES ('u', '2026-01-01', 'a', 2);
         CREATE VIEW latest AS SELECT user_id, ts, event FROM events ORDER BY seq DESC",
    )
    .expect("two events");
    test
}

#[test]
fn arrival_counts_whatever_the_funnel_computes() {
    for threads in [1, 2, 8] {
        let test = tie(threads);
        for arguments in
            ["by => 1", "by => date_trunc('day', ts)", "hold => upper('x')", "by => coalesce(event_id, 'none')"]
        {
            let sql = format!(
                "SELECT users FROM FUNNEL(events, steps => ['a', 'b'], ties => 'arrival', {arguments}) ORDER BY step"
            );
            assert_eq!(test.rows(&sql).concat(), ["1", "0"], "{threads} threads: {arguments}");
        }
        // More conditions than one scan tells apart.
        let steps: Vec<String> = (0..60).map(|i| format!("'s{i}'")).collect();
        let excludes: Vec<String> = (0..8).map(|i| format!("EXCLUDE('x{i}')")).collect();
        let (steps, excludes) = (steps.join(", "), excludes.join(", "));
        let sql = format!(
            "SELECT sum(users) FROM FUNNEL(events, steps => ['a', 'b', {steps}], ties => 'arrival', exclude => [{excludes}])"
        );
        assert_eq!(test.rows(&sql).concat(), ["1"], "{threads} threads");
    }
}

#[test]
fn an_input_with_an_order_keeps_it() {
    for threads in [1, 2, 8] {
        let test = tie(threads);
        let level = |input: &str| {
            let sql = format!("SELECT sum(users) FROM FUNNEL({input}, steps => ['a', 'b'], ties => 'arrival')");
            test.rows(&sql).concat().concat()
        };
        for input in [
            "(SELECT * FROM events ORDER BY seq DESC)",
            "(SELECT user_id, ts, event FROM events ORDER BY seq DESC)",
            "(SELECT * FROM (SELECT * FROM events ORDER BY -seq) AS t WHERE event <> 'x')",
            "(SELECT * FROM events ORDER BY seq DESC LIMIT 5)",
            "(SELECT * FROM events ORDER BY CASE WHEN seq > 1 THEN seq END NULLS LAST)",
            "latest",
            "(SELECT user_id, ts, event FROM latest WHERE event IN ('a', 'b'))",
        ] {
            assert_eq!(level(input), "2", "{threads} threads: {input}");
        }
        for input in [
            "(SELECT * FROM events ORDER BY seq)",
            "(SELECT * FROM events ORDER BY seq LIMIT 5)",
            "(SELECT * FROM events ORDER BY CASE WHEN seq > 1 THEN seq END NULLS FIRST)",
        ] {
            assert_eq!(level(input), "1", "{threads} threads: {input}");
        }
        let cte = "WITH o AS (SELECT * FROM events ORDER BY seq DESC)
                   SELECT sum(users) FROM FUNNEL(o, steps => ['a', 'b'], ties => 'arrival')";
        assert_eq!(test.rows(cte), [["2"]], "{threads} threads");
        let plan = test.rows(&format!("EXPLAIN {cte}")).concat().join("\n");
        assert!(plan.contains("ties of time by input order"), "{plan}");
    }
}

/// Users with more events than a block holds: one completes the funnel in the first block, one in the last, one not within
/// the limit, one never; and between them users with few events.
#[test]
fn users_of_many_blocks_are_counted_as_others_are() {
    let database = Database::in_memory(Options { threads: 2, ..Options::default() }).expect("a database");
    let run = |sql: &str| rows(&database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")).batches);
    run("CREATE TABLE heavy (plan TEXT, size BIGINT) WITH (shards = 1)");
    let users = [
        ("early", "CASE value WHEN 7 THEN 'b' WHEN 9 THEN 'c' WHEN 140000 THEN 'c' ELSE 'a' END"),
        ("few", "CASE value % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END"),
        ("late", "CASE value WHEN 139990 THEN 'b' WHEN 139999 THEN 'c' ELSE 'a' END"),
        ("apart", "CASE value WHEN 0 THEN 'a' WHEN 20 THEN 'b' WHEN 139999 THEN 'c' ELSE 'd' END"),
        ("never", "CASE WHEN value % 2 = 0 THEN 'b' ELSE 'd' END"),
        ("some", "CASE value % 3 WHEN 0 THEN 'b' WHEN 1 THEN 'a' ELSE 'd' END"),
    ];
    for (number, (user, event)) in users.iter().enumerate() {
        let last = if ["few", "some"].contains(user) { 4 } else { 139_999 };
        let plan = if number % 2 == 0 { "pro" } else { "free" };
        run(&format!(
            "INSERT INTO heavy (user_id, ts, event, plan, size)
             SELECT '{user}', to_timestamp_micros(1767225600000000 + value * 1000000), {event}, '{plan}', value % 5
             FROM generate_series(0, {last}) AS numbers(value)"
        ));
    }
    run("FLUSH heavy");
    database.engine().table("heavy").expect("it is there").compact(true).expect("compacted");
    let snapshot = database.engine().table("heavy").expect("it is there").snapshot();
    let segments = &snapshot.shards[0].segments;
    assert_eq!(segments.len(), 1);
    let alone = |user: u32| {
        segments[0].segment.blocks().iter().filter(|b| b.first_ordinal == user && b.last_ordinal == user).count()
    };
    assert!(alone(0) >= 2, "the first user fills whole blocks");
    let steps = "STEPS(a => event = 'a', b => event = 'b' AND size >= 0, c => event = 'c')";
    for arguments in
        ["within => INTERVAL '1' HOUR", "ties => 'increase'", "within => '1 hour', ties => 'arrival'", "by => plan"]
    {
        for columns in ["step, users", "*"] {
            let answer = |input: &str| run(&format!("SELECT {columns} FROM FUNNEL({input}, {steps}, {arguments})"));
            assert_eq!(answer("heavy"), answer("(SELECT * FROM heavy ORDER BY ts)"), "{arguments}, {columns}");
        }
        let answer = |input: &str| {
            run(&format!("SELECT * FROM FUNNEL({input}, {steps}, {arguments}, emit => 'users') ORDER BY 1"))
        };
        assert_eq!(answer("heavy"), answer("(SELECT * FROM heavy ORDER BY ts)"), "{arguments}");
    }
}
