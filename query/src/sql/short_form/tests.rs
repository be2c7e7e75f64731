//! The short form, rewritten: token by token what it should become, and what is left alone.

use super::*;
use crate::sql::script::split;

fn expanded(sql: &str) -> Result<String> {
    let tokens = expand(split(sql)?.remove(0).tokens)?;
    Ok(tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" "))
}

#[test]
fn every_clause_has_its_argument() {
    let sql = "FUNNEL product_view AS viewed -> add_to_cart(price > 10) AS carted -> 'pur chase' \
               WITHIN 7 DAYS BY country, device WITH (ties => 'arrival') FROM events WHERE device = 'ios'";
    let expected = "SELECT * FROM FUNNEL ( ( SELECT * FROM events WHERE device = 'ios' ) , STEPS ( \
         \"viewed\" => 'product_view' , \"carted\" => event = 'add_to_cart' AND ( price > 10 ) , \
         \"pur chase\" => 'pur chase' ) , within => INTERVAL '7 days' , by => ( country , device ) , \
         ties => 'arrival' )";
    assert_eq!(expanded(sql).unwrap(), expected);
}

#[test]
fn bare_table_and_repeated_events() {
    let expected = "EXPLAIN SELECT * FROM FUNNEL ( events , STEPS ( \"a\" => 'a' , \"a_2\" => 'a' ) )";
    assert_eq!(expanded("EXPLAIN FUNNEL a -> a FROM events").unwrap(), expected);
}

#[test]
fn the_operator_itself_is_left_alone() {
    let sql = "SELECT * FROM FUNNEL ( events , steps => [ 'a' ] ) AS funnel";
    assert_eq!(expanded(sql).unwrap(), sql);
    assert_eq!(expanded("SELECT funnel FROM funnel f").unwrap(), "SELECT funnel FROM funnel f");
}

#[test]
fn what_orders_and_cuts_is_about_the_answer() {
    let expected = "SELECT * FROM FUNNEL ( ( SELECT * FROM events WHERE x > 1 ) , STEPS ( \"a\" => 'a' , \"b\" => 'b' ) ) \
                    ORDER BY users DESC LIMIT 5 OFFSET 1";
    let sql = "FUNNEL a -> b FROM events WHERE x > 1 ORDER BY users DESC LIMIT 5 OFFSET 1";
    assert_eq!(expanded(sql).unwrap(), expected);
    let expected = "SELECT * FROM FUNNEL ( events , STEPS ( \"a\" => 'a' ) ) LIMIT 5";
    assert_eq!(expanded("FUNNEL a FROM events LIMIT 5").unwrap(), expected);
    let refused = [
        ("FUNNEL a FROM t GROUP BY x", "GROUP has no place", 17),
        ("FUNNEL a FROM t WHERE b UNION SELECT 1", "UNION has no place", 25),
        ("FUNNEL a FROM t LIMIT 1 HAVING x", "HAVING has no place", 25),
        ("FUNNEL a FROM t WITHIN 7 DAYS", "WITHIN stands before FROM", 17),
    ];
    for (sql, message, column) in refused {
        let error = expanded(sql).unwrap_err();
        assert!(error.message().contains(message), "{sql}: {error}");
        assert_eq!(error.span().map(|span| span.column), Some(column), "{sql}");
    }
}

#[test]
fn the_column_that_names_the_event_is_asked() {
    let sql = "FUNNEL a(x > 1) -> b WITH (user => who, name => what) FROM t";
    let expected = "SELECT * FROM FUNNEL ( t , STEPS ( \"a\" => what = 'a' AND ( x > 1 ) , \"b\" => 'b' ) , \
                    user => who , name => what )";
    assert_eq!(expanded(sql).unwrap(), expected);
    let quoted = expanded("FUNNEL a(true) WITH (name => 'What', hold => (b, c)) FROM t").unwrap();
    assert!(quoted.contains("\"What\" = 'a' AND ( true )"), "{quoted}");
}

#[test]
fn a_column_or_table_called_funnel_is_left_alone() {
    for sql in [
        "CREATE TABLE t ( funnel TEXT , n BIGINT )",
        "CREATE TABLE t ( funnel VARCHAR ( 10 ) )",
        "SELECT * FROM t WHERE ( funnel IS NULL )",
        "SELECT * FROM t WHERE ( funnel IS DISTINCT FROM n )",
        "SELECT substring ( funnel FROM 2 ) FROM t",
        "SELECT ( funnel IN ( 'a' ) ) FROM t",
        "PREPARE q AS SELECT n AS funnel FROM t",
        "CREATE VIEW v AS SELECT * FROM t AS funnel GROUP BY n UNION SELECT 1 FROM t",
    ] {
        assert_eq!(expanded(sql).unwrap(), sql);
    }
    for sql in [
        "CREATE VIEW v AS FUNNEL a FROM t",
        "SELECT 1 FROM (FUNNEL a FROM t)",
        "SELECT 1 FROM (FUNNEL a(x) AS y FROM t)",
    ] {
        assert!(expanded(sql).unwrap().contains("STEPS"), "{sql}");
    }
}

#[test]
fn mistakes_are_named_at_their_place() {
    let error = expanded("FUNNEL a -> b WITHIN 7 MOONS FROM events").unwrap_err();
    assert!(error.message().contains("expected a unit such as DAYS"), "{error}");
    assert_eq!(error.span().map(|span| span.column), Some(24));
    assert!(expanded("FUNNEL a -> FROM").unwrap_err().message().contains("expected"));
    assert!(expanded("FUNNEL a").unwrap_err().message().contains("found the end"));
    assert!(expanded("FUNNEL").unwrap_err().message().contains("a step"));
    assert!(expanded("FUNNEL a WITHIN 1 day WITHIN 2 days FROM t").unwrap_err().message().contains("twice"));
}

#[test]
fn a_path_has_its_ends() {
    let of = |arguments: &str| format!("SELECT * FROM PATH ( {arguments} )");
    for (sql, expected) in [
        ("PATH FROM events", of("events")),
        ("PATH TO purchase STEPS 5 FROM events", of("events , end => 'purchase' , steps => 5")),
        ("PATH FROM signup FROM events", of("events , start => 'signup'")),
        ("PATH STEPS $1 FROM events", of("events , steps => $1")),
        (
            "PATH FROM 'sign up' TO buy(price > 1) BY a, b WITH (anchor => 'each') FROM t WHERE x IS DISTINCT FROM y LIMIT 5",
            of("( SELECT * FROM t WHERE x IS DISTINCT FROM y ) , start => 'sign up' , \
                end => event = 'buy' AND ( price > 1 ) , by => ( a , b ) , anchor => 'each'")
                + " LIMIT 5",
        ),
        (
            "PATH FROM a(x) WITH (name => what, user => who) FROM t",
            of("t , start => what = 'a' AND ( x ) , name => what , user => who"),
        ),
        ("SELECT 1 FROM (PATH TO a FROM t)", "SELECT 1 FROM ( SELECT * FROM PATH ( t , end => 'a' ) )".into()),
        ("CREATE VIEW v AS PATH TO a FROM t", "CREATE VIEW v AS SELECT * FROM PATH ( t , end => 'a' )".into()),
        ("EXPLAIN PATH FROM events", "EXPLAIN ".to_string() + &of("events")),
    ] {
        assert_eq!(expanded(sql).unwrap(), expected, "{sql}");
    }
}

#[test]
fn a_column_or_table_called_path_is_left_alone() {
    for sql in [
        "SELECT path FROM path",
        "SELECT substring ( path FROM 2 ) FROM t",
        "SELECT trim ( path FROM x ) , ( path ) FROM t",
        "SELECT * FROM PATH ( events , steps => 5 ) AS path",
        "CREATE TABLE t ( path TEXT , n BIGINT )",
    ] {
        assert_eq!(expanded(sql).unwrap(), sql);
    }
}

#[test]
fn mistakes_in_a_path_are_named_at_their_place() {
    for (sql, message, column) in [
        ("PATH TO FROM events", "found 'events'", 14),
        ("PATH TO a TO b FROM events", "TO stands twice in the short PATH", 11),
        ("PATH FROM a FROM b FROM events", "FROM stands twice", 13),
        ("PATH STEPS FROM events", "something after this word", 12),
        ("PATH TO a FROM events STEPS 5", "STEPS stands before FROM in the short PATH", 23),
        ("PATH TO a FROM events GROUP BY x", "GROUP has no place", 23),
        ("PATH TO a WITH b FROM events", "'(' after WITH", 16),
        ("PATH TO a", "STEPS, BY, WITH or FROM", 9),
    ] {
        let error = expanded(sql).unwrap_err();
        assert!(error.message().contains(message), "{sql}: {error}");
        assert_eq!(error.span().map(|span| span.column), Some(column), "{sql}");
    }
}
