//! SEGMENT: what answers it, its limits, and mistakes in it, each told with its kind, its message, its way out and its place.

use crate::mistakes::{Case, check};
use crate::support::{TestDatabase, rows};
use trodden_query::ErrorKind::{InvalidInput, NotFound, ResourceLimit, Unsupported};

fn shop() -> TestDatabase {
    let test = TestDatabase::in_memory();
    test.run(
        "CREATE TABLE events (country TEXT, price DOUBLE) WITH (shards = 1);
         INSERT INTO events (user_id, ts, event, country, price) VALUES
           ('ann', '2026-03-01 10:00:00', 'view', 'DE', NULL), ('ann', '2026-03-01 11:00:00', 'buy', 'DE', 9.5),
           ('bob', '2026-03-02 10:00:00', 'view', 'FR', NULL), ('cid', '2026-04-01 10:00:00', 'open', 'FR', NULL),
           ('cid', '2026-04-02 10:00:00', 'buy', 'FR', 1);
         FLUSH events",
    )
    .expect("a table");
    test
}

fn plan(test: &TestDatabase, sql: &str) -> String {
    let answer = test.run(&format!("EXPLAIN {sql}")).unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows(&answer.batches).into_iter().map(|row| row[1].trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_segment_says_what_answers_it() {
    let test = shop();
    let bitmaps = [
        "events, where => DID('buy') AND NOT DID('open')",
        "events, where => DID(country = 'DE') OR DID(event = 'buy' AND country = 'FR')",
        "events, where => DID('buy', since => TIMESTAMP '2026-03-02', until => TIMESTAMP '2026-04-01')",
        "events, where => DID('buy', at_least => 2) OR DID(['buy', 'view'], days_at_least => 3)",
        "(SELECT * FROM events WHERE ts >= '2026-03-02'), where => DID('buy')",
        "events, segments => SEGMENTS(a => DID('buy'), b => DID_NOT(country = 'DE')), emit => 'overlap'",
    ];
    for arguments in bitmaps {
        let plan = plan(&test, &format!("SELECT * FROM SEGMENT({arguments})"));
        assert!(plan.contains("answered by bitmaps"), "{arguments}: {plan}");
    }
    let scans = [
        ("events, where => DID(price > 5)", "do not say all of what was done", "3 of 3 users read"),
        ("events, where => DID('view') AND DID(price > 5)", "do not say all", "2 of 3 users read"),
        ("events, where => DID('open') AND DID(price > 5)", "do not say all", "1 of 3 users read"),
        (
            "events, where => DID('buy', since => TIMESTAMP '2026-03-01 10:30:00')",
            "do not say all",
            "1 of 3 users read",
        ),
        (
            "(SELECT * FROM events WHERE price > 0), where => DID('buy')",
            "who has an event in the input",
            "of 3 users read",
        ),
    ];
    for (arguments, why, how_many) in scans {
        let plan = plan(&test, &format!("SELECT * FROM SEGMENT({arguments})"));
        assert!(plan.contains("answered by a scan, since") && plan.contains(why), "{arguments}: {plan}");
        assert!(plan.contains(how_many), "{arguments}: {plan}");
    }
}

#[test]
fn the_plan_shows_the_expression() {
    let sql = "SELECT users FROM SEGMENT(events, where => DID('buy', at_least => 2, within => INTERVAL '30' DAY)
                 AND (DID_NOT(price > 5) OR NOT (DID(country = 'DE') AND DID())), as_of => '2026-04-01')";
    insta::assert_snapshot!(plan(&shop(), sql));
}

/// A plan is kept from one statement to the next only where it does not depend on the moment.
#[test]
fn within_counts_back_from_each_statement() {
    let test = shop();
    let sql = "SELECT users FROM SEGMENT(events, where => DID(within => INTERVAL '1' HOUR))";
    assert_eq!(rows(&test.run(sql).unwrap().batches), [["0"]]);
    test.run("INSERT INTO events (user_id, ts, event) VALUES ('dan', now() - INTERVAL '1' SECOND, 'view')").unwrap();
    assert_eq!(rows(&test.run(sql).unwrap().batches), [["1"]]);
}

#[test]
fn a_long_expression_is_not_deep() {
    let test = shop();
    let parts: Vec<String> = (0..1_000).map(|at| format!("DID('buy', at_least => {})", at % 3 + 1)).collect();
    let ask = |word: &str| format!("SELECT users FROM SEGMENT(events, where => {})", parts.join(word));
    assert_eq!(rows(&test.run(&ask(" OR ")).unwrap().batches), [["2"]]);
    assert_eq!(rows(&test.run(&ask(" AND ")).unwrap().batches), [["0"]]);
}

#[test]
fn conditions_have_a_limit() {
    let test = shop();
    let ask = |count: usize| {
        let parts: Vec<String> = (0..count).map(|at| format!("DID(price > {at})")).collect();
        format!("SELECT users FROM SEGMENT(events, where => {})", parts.join(" OR "))
    };
    assert_eq!(rows(&test.run(&ask(64)).unwrap().batches), [["2"]]);
    let error = test.run(&ask(65)).unwrap_err();
    assert_eq!(error.kind(), ResourceLimit);
    assert!(error.message().contains("at most 64 different conditions") && error.span().is_some(), "{error}");
}

#[test]
fn mistakes_in_segment() {
    check(SEGMENT);
}

const SEGMENT: &[Case] = &[
    ("SELECT * FROM SEGMENT(events)", InvalidInput, "needs where", "DID('purchase')", 15),
    (
        "SELECT * FROM SEGMENT(events, wher => DID('a'))",
        InvalidInput,
        "no argument 'wher'",
        "did you mean 'where'?",
        31,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => 'purchase')",
        InvalidInput,
        "not of names of events",
        "DID('purchase')",
        40,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => country = 'DE')",
        InvalidInput,
        "'country' is a column of events",
        "write DID(country = 'DE')",
        40,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a') AND cuntry = 'DE')",
        NotFound,
        "nothing is called 'cuntry'",
        "did you mean DID(country",
        53,
    ),
    ("SELECT * FROM SEGMENT(events, where => 1 + 1)", InvalidInput, "says nothing of a user", "DID('purchase'", 40),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a') = true)",
        InvalidInput,
        "DID and TAG stand alone",
        "DID('purchase'",
        40,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a', 'b'))", InvalidInput, "takes one condition", "AND or OR", 49),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', at_lest => 2))",
        InvalidInput,
        "DID has no argument 'at_lest'",
        "did you mean 'at_least'?",
        49,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID_NOT('a', since => '2026-01-01', since => '2026-01-02'))",
        InvalidInput,
        "'since' of DID_NOT is given twice",
        "leave one",
        76,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID(price))", InvalidInput, "a condition is true or false", "", 44),
    ("SELECT * FROM SEGMENT(events, where => DID(prise > 1))", NotFound, "'prise'", "'price'", 44),
    (
        "SELECT * FROM SEGMENT(events, where => DID(sum(price) > 1))",
        Unsupported,
        "an aggregate function such as sum needs many",
        "in a subquery first",
        44,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', at_least => -1))",
        InvalidInput,
        "whole number from 0",
        "at_least => 2",
        49,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', at_least => 3, at_most => 2))",
        InvalidInput,
        "at least 3 and at most 2",
        "at_least is 1",
        64,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a', at_most => 0))", InvalidInput, "at most 0", "DID_NOT", 49),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', at_least => 1, exactly => 2))",
        InvalidInput,
        "exactly stands alone",
        "leave at_least",
        64,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a', days_at_least => 0))", InvalidInput, "1 or more", "leave it", 49),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', within => '0 days'))",
        InvalidInput,
        "longer than zero",
        "30",
        49,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a', within => 5))", InvalidInput, "a span of time", "INTERVAL", 49),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a', since => '2026-02-01', until => '2026-02-01'))",
        InvalidInput,
        "until does not come after since",
        "March",
        72,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a', since => price))", InvalidInput, "must be a constant", "", 49),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), as_of => 5)",
        InvalidInput,
        "as_of needs a time",
        "TIMESTAMP",
        50,
    ),
    ("SELECT * FROM SEGMENT(events, where => DID('a'), time_zone => 'Mars')", InvalidInput, "no time zone", "IANA", 50),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), emit => 'user')",
        InvalidInput,
        "emit cannot be 'user'",
        "'users'",
        50,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), emit => 'overlap')",
        InvalidInput,
        "needs segments",
        "SEGMENTS(",
        15,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), segments => SEGMENTS(b => DID('b')))",
        InvalidInput,
        "segments says nothing to emit => 'count'",
        "'overlap'",
        50,
    ),
    (
        "SELECT * FROM SEGMENT(events, segments => [DID('a')], emit => 'overlap')",
        InvalidInput,
        "given as SEGMENTS(",
        "buyers =>",
        31,
    ),
    (
        "SELECT * FROM SEGMENT(events, segments => SEGMENTS(DID('a')), emit => 'overlap')",
        InvalidInput,
        "needs a name",
        "buyers =>",
        31,
    ),
    (
        "SELECT * FROM SEGMENT(events, segments => SEGMENTS(a => DID('a'), a => DID('b')), emit => 'overlap')",
        InvalidInput,
        "'a' is given twice",
        "",
        67,
    ),
];

/// A shop with tags and profiles, and a table without.
fn shop_with_users() -> TestDatabase {
    let test = shop();
    test.run(
        "CREATE TAG vip ON events FROM ('ann', 'cid');
         CREATE TAG tier ON events AS (
           SELECT user_id, value FROM (VALUES ('ann', 'gold'), ('bob', 'tin')) AS t (user_id, value));
         UPSERT INTO events_users (user_id, ts, plan, country) VALUES
           ('ann', '2026-03-01', 'pro', 'AT'), ('bob', '2026-03-01', 'free', NULL);
         CREATE TABLE plain WITH (shards = 1);
         INSERT INTO plain (user_id, ts, event) VALUES ('ann', '2026-03-01', 'a')",
    )
    .expect("tags and profiles");
    test
}

/// Tags and profiles are known from bitmaps, and say so; over rows they are the same.
#[test]
fn users_of_tags_and_profiles_are_not_read() {
    let test = shop_with_users();
    let shown =
        plan(&test, "SELECT * FROM SEGMENT(events, where => TAG('tier', 'gold') OR NOT (plan = 'pro' AND TAG('vip')))");
    assert!(shown.contains("answered by bitmaps"), "{shown}");
    assert!(shown.contains("where=TAG('tier', 'gold') OR (plan != Utf8View(\"pro\") OR NOT TAG('vip'))"), "{shown}");
    let cases = [
        ("TAG('vip') AND DID('buy')", "ann cid"),
        ("TAG('vip') AND country = 'AT'", "ann"),
        ("NOT country = 'AT'", ""),
        ("country IS DISTINCT FROM 'AT'", "bob cid"),
        ("NOT TAG('tier') AND NOT (plan = 'x' AND DID('view'))", "cid"),
        ("plan LIKE 'p%' OR updated_at > now()", "ann"),
        ("TAG('events.vip') AND NOT TAG('tier', 'gold')", "cid"),
    ];
    let other =
        "(SELECT user_id, ts, event, country FROM plain UNION ALL SELECT user_id, ts, event, country FROM events)";
    for (expression, users) in cases {
        for input in ["events", "(SELECT * FROM events ORDER BY ts)", "(SELECT * FROM events WHERE length(event) > 0)"]
        {
            let answer =
                test.run(&format!("SELECT * FROM SEGMENT({input}, where => {expression}, emit => 'users')")).unwrap();
            let found: Vec<String> = rows(&answer.batches).into_iter().flatten().collect();
            assert_eq!(found.join(" "), users, "{expression} over {input}");
        }
    }
    // Ids decide where the users are those of another table.
    let other = other.replace(", country", "");
    for input in ["plain", other.as_str()] {
        let sql = format!("SELECT user_id FROM SEGMENT({input}, where => TAG('events.vip'), emit => 'users') LIMIT 1");
        assert_eq!(rows(&test.run(&sql).unwrap().batches), [["ann"]], "{input}");
    }
}

/// A plan that is kept sees tags and profiles as they are when it is run.
#[test]
fn tags_and_profiles_are_those_of_the_statement() {
    let test = shop_with_users();
    let count = |sql: &str| rows(&test.run(sql).unwrap().batches);
    let (tagged, pro) = (
        "SELECT users FROM SEGMENT(events, where => TAG('vip'))",
        "SELECT users FROM SEGMENT(events, where => plan = 'pro')",
    );
    let all = "SELECT segment FROM SEGMENT(events, tags => '*', where => true, emit => 'lift') ORDER BY 1";
    assert_eq!((count(tagged), count(pro)), (vec![vec!["2".to_string()]], vec![vec!["1".into()]]));
    assert_eq!(count(all), [["tier"], ["vip"]]);
    test.run(
        "DROP TAG vip ON events; CREATE TAG vip ON events FROM ('bob'); CREATE TAG new ON events FROM ('cid');
         UPSERT INTO events_users (user_id, plan) VALUES ('bob', 'pro'), ('cid', 'pro')",
    )
    .unwrap();
    assert_eq!((count(tagged), count(pro)), (vec![vec!["1".to_string()]], vec![vec!["3".into()]]));
    assert_eq!(count(all), [["new"], ["tier"], ["vip"]]);
}

#[test]
fn mistakes_in_tags_and_profiles() {
    let test = shop_with_users();
    let cases = [
        ("where => TAG('vpi')", NotFound, "table 'events' has no tag 'vpi'", "did you mean 'vip'?", 44),
        ("where => TAG()", InvalidInput, "TAG takes the name of a tag", "TAG('tier', 'gold')", 40),
        ("where => TAG('vip', 'x', 'y')", InvalidInput, "TAG takes the name of a tag", "TAG('tier', 'gold')", 40),
        ("where => TAG(vip)", InvalidInput, "TAG takes the name of a tag", "write TAG('vip')", 44),
        ("where => TAG('vip', 'x')", InvalidInput, "tag 'vip' has no values", "HAS_TAG(user_id, 'vip')", 44),
        ("where => DID('buy') AND plna = 'pro'", NotFound, "nothing is called 'plna'", "did you mean plan?", 55),
        ("where => price > 2", InvalidInput, "'price' is a column of events", "write DID(price > 2)", 40),
        ("where => plan", InvalidInput, "a condition is true or false", "", 40),
        ("where => user_id = 'ann'", InvalidInput, "'user_id' is a column of events", "write DID(user_id = 'ann')", 40),
        ("where => TAG('vip') = true", InvalidInput, "stand alone", "TAG('vip')", 40),
        (
            "where => plan = 'a', as_of => '2026-03-01'",
            InvalidInput,
            "keeps the last value",
            "profile_history = true",
            40,
        ),
        ("tags => ['vip', 'x'], emit => 'overlap'", NotFound, "no tag 'x'", "its tags are", 47),
        ("tags => ['vip', 'vip'], emit => 'overlap'", InvalidInput, "'vip' is given twice", "", 47),
        ("tags => vip, emit => 'overlap'", InvalidInput, "tags are named by texts", "tags => '*'", 31),
        ("where => DID('a'), tags => ['vip']", InvalidInput, "tags says nothing to emit => 'count'", "'overlap'", 50),
    ];
    for (arguments, kind, message, hint, column) in cases {
        let sql = format!("SELECT * FROM SEGMENT(events, {arguments})");
        let error = test.run(&sql).expect_err(&sql);
        let place = error.span().map(|span| span.column);
        assert_eq!((error.kind(), place), (kind, Some(column)), "{sql}: {error}");
        assert!(error.message().contains(message), "{sql}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{sql}: {error}");
    }
    for part in ["TAG('vip')", "plan = 'pro'"] {
        let sql = format!("SELECT * FROM SEGMENT((SELECT price AS user_id, ts, event FROM events), where => {part})");
        let error = test.run(&sql).unwrap_err();
        assert!(error.message().contains("whose ids are TEXT, not Float64") && error.span().is_some(), "{error}");
    }
    let error = test.run("SELECT * FROM SEGMENT(plain, tags => '*', emit => 'overlap')").unwrap_err();
    assert!(error.message().contains("table 'plain' has no tags") && error.span().is_some(), "{error}");
}

#[test]
fn mistakes_in_among() {
    check(AMONG);
}

const AMONG: &[Case] = &[
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], amonk => DID('a'))",
        InvalidInput,
        "no argument 'amonk'",
        "'among'",
        46,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], among => 'a')",
        InvalidInput,
        "not of names of events",
        "DID('a')",
        55,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], among => DID('a') AND country = 'DE')",
        InvalidInput,
        "'country' is a column of events",
        "write DID(country = 'DE')",
        68,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], among => SEGMENT(where => DID('a'), emit => 'users'))",
        InvalidInput,
        "among takes the users of a segment",
        "leave emit away",
        82,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], among => SEGMENT(evnets, where => DID('a')))",
        NotFound,
        "'evnets'",
        "'events'",
        63,
    ),
    (
        "SELECT * FROM FUNNEL(events, steps => ['a'], among => SEGMENT())",
        InvalidInput,
        "needs where",
        "DID('purchase')",
        46,
    ),
    (
        "SELECT * FROM SEGMENT(events, where => DID('a'), among => DID('b'))",
        InvalidInput,
        "no argument 'among'",
        "where",
        50,
    ),
];

/// The users of a segment are chosen by bitmaps, and the plan says how they are found.
#[test]
fn among_is_a_choice_of_users() {
    let test = shop();
    let funnel = "FUNNEL(events, steps => ['view', 'buy'], among => DID(country = 'DE'))";
    let shown = plan(&test, &format!("SELECT * FROM {funnel}"));
    assert!(
        shown.contains("among=[where=DID(events.country = Utf8View(\"DE\")), emit=users, answered by bitmaps]"),
        "{shown}"
    );
    assert!(shown.contains("FunnelScan") && !shown.contains("Join") || shown.contains("LeftSemi Join"), "{shown}");
    let physical = shown.split("FunnelScan").nth(1).unwrap_or_default();
    assert!(!physical.is_empty() && !physical.contains("HashJoin"), "{shown}");
}
