//! `trodden import`: files, mappings, rejects, trials.

mod common;

use common::{EVENTS_CSV, Place};
use std::fs;

#[test]
fn a_summary_tells_what_was_done() {
    let place = Place::new();
    let file = place.file("events.csv", EVENTS_CSV);
    let run = place.trodden(&["import", "--db", "db", "--table", "events", &file]).succeeds();
    for word in ["7 events", "events/s", "price", "DOUBLE", "country", "TEXT", "on disk"] {
        assert!(run.out.contains(word), "'{word}' is missing in:\n{}", run.out);
    }
    assert_eq!(run.err, "", "no progress bar off a terminal");
}

#[test]
fn importing_twice_adds_nothing_twice() {
    let place = Place::with_events();
    let file = place.path("events.csv").display().to_string();
    let run = place.trodden(&["import", "--db", "db", "--table", "events", &file]).succeeds();
    assert!(run.out.contains("already imported"), "{}", run.out);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn columns_are_mapped_renamed_chosen_and_typed() {
    let place = Place::new();
    let text = "who;when;total;zip;note\n1;01/02/2026 10:00;3;01234;x\n2;03/02/2026 11:30;4;99999;y\n";
    let file = place.file("orders.csv", text);
    let arguments = [
        "import",
        "--db",
        "db",
        "--table",
        "orders",
        &file,
        "--user",
        "who",
        "--time",
        "when",
        "--event-value",
        "order",
        "--time-format",
        "%d/%m/%Y %H:%M",
        "--time-zone",
        "Europe/Berlin",
        "--type",
        "zip=TEXT",
        "--exclude",
        "note",
        "--rename",
        "total=amount",
        "--shards",
        "2",
        "--table-time-zone",
        "Europe/Berlin",
    ];
    place.trodden(&arguments).succeeds();
    let rows = place.rows("SELECT * FROM orders ORDER BY ts");
    assert_eq!(rows[0]["ts"], "2026-02-01T09:00:00Z");
    assert_eq!(rows[0]["event"], "order");
    assert_eq!(rows[0]["zip"], "01234");
    assert_eq!(rows[0]["amount"], 3);
    assert!(rows[0].get("note").is_none());
}

#[test]
fn rejected_rows_go_to_a_file_and_too_many_stop_the_import() {
    let place = Place::new();
    let file = place.file("events.csv", format!("{EVENTS_CSV},2026-01-01,view,,\nz,tomorrow,view,,\n"));
    let import = |more: &[&str]| place.trodden(&[&["import", "--db", "db", "--table", "events", &file], more].concat());
    import(&["--max-rejects", "1", "--rejects", "bad.jsonl"]).fails(1, &["rejected", "nothing was stored"]);
    assert!(place.trodden(&["sql", "--db", "db", "-c", "SELECT * FROM events"]).code == 1, "half of it is there");
    let run = import(&["--max-rejects", "2", "--rejects", "bad.jsonl"]).succeeds();
    assert!(run.out.contains("2 rows rejected"), "{}", run.out);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    let rejects = fs::read_to_string(place.path("bad.jsonl")).expect("the rejects");
    let lines: Vec<serde_json::Value> =
        rejects.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    assert_eq!(lines.iter().map(|line| line["line"].as_u64()).collect::<Vec<_>>(), [Some(9), Some(10)]);
    assert!(lines.iter().all(|line| line["reason"].as_str().is_some_and(|reason| !reason.is_empty())));
}

#[test]
fn a_trial_stores_nothing() {
    let place = Place::new();
    let file = place.file("events.csv", EVENTS_CSV);
    let run = place.trodden(&["import", "--db", "db", "--table", "events", &file, "--dry-run"]).succeeds();
    assert!(run.out.contains("would import 7 events"), "{}", run.out);
    assert!(!place.path("db").exists());
}

#[test]
fn json_lines_and_several_files_at_once() {
    let place = Place::new();
    place.file("1.jsonl", "{\"user_id\":\"a\",\"ts\":\"2026-01-01T00:00:00Z\",\"event\":\"view\"}\n");
    place.file("2.jsonl", "{\"user_id\":\"b\",\"ts\":1767225600000,\"event\":\"view\",\"n\":1}\n");
    place.trodden(&["import", "--db", "db", "--table", "events", "*.jsonl"]).succeeds();
    let rows = place.rows("SELECT user_id, ts, n FROM events ORDER BY user_id");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["ts"], "2026-01-01T00:00:00Z");
    assert_eq!(rows[1]["n"], 1);
}

/// An import with one option, and what is in the table afterwards.
struct Case {
    option: &'static [&'static str],
    /// Name and content of the file.
    file: (&'static str, &'static str),
    sql: &'static str,
    rows: serde_json::Value,
}

fn cases() -> Vec<Case> {
    use serde_json::json;
    let case = |option, file, sql, rows| Case { option, file, sql, rows };
    let ids = "user_id,ts,event,event_id\n\
        a,2026-01-01T00:00:00Z,view,1\na,2026-01-01T02:00:00Z,view,1\nb,2026-01-01T02:00:00Z,view,1\n";
    vec![
        case(
            &["--event", "what"],
            ("e.csv", "user_id,ts,what,event\na,2026-01-01,view,x\n"),
            "SELECT event, file_event FROM t",
            json!([{"event": "view", "file_event": "x"}]),
        ),
        case(
            &["--id", "key"],
            ("e.csv", "user_id,ts,event,key\na,2026-01-01,view,7\na,2026-01-01,view,7\na,2026-01-01,view,8\n"),
            "SELECT event_id FROM t ORDER BY event_id",
            json!([{"event_id": "7"}, {"event_id": "8"}]),
        ),
        case(
            &["--columns", "pri*,country"],
            ("e.csv", "user_id,ts,event,price,prime,country,note\na,2026-01-01,view,1.5,2,DE,x\n"),
            "SELECT * FROM t",
            json!([{"user_id": "a", "ts": "2026-01-01T00:00:00Z", "event": "view", "event_id": null,
                "price": 1.5, "prime": 2, "country": "DE"}]),
        ),
        case(
            &["--format", "tsv"],
            ("e.csv", "user_id\tts\tevent\tnote\na\t2026-01-01\tview\tx,y\n"),
            "SELECT event, note FROM t",
            json!([{"event": "view", "note": "x,y"}]),
        ),
        case(
            &["--compression", "none"],
            ("e.csv.gz", "user_id,ts,event\na,2026-01-01,view\n"),
            "SELECT user_id FROM t",
            json!([{"user_id": "a"}]),
        ),
        case(
            &["--delimiter", "|"],
            ("e.csv", "user_id|ts|event|a;b;c;d;e;f\na|2026-01-01|view|1;2\n"),
            "SELECT event, \"a;b;c;d;e;f\" AS x FROM t",
            json!([{"event": "view", "x": "1;2"}]),
        ),
        case(
            &["--no-header", "--user", "column_1", "--time", "column_2", "--event", "column_3"],
            ("e.csv", "a,2026-01-01,view,5\nb,2026-01-02,buy,6\n"),
            "SELECT user_id, event, column_4 FROM t ORDER BY user_id",
            json!([{"user_id": "a", "event": "view", "column_4": 5}, {"user_id": "b", "event": "buy", "column_4": 6}]),
        ),
        case(
            &["--null", "NA", "--null", "-"],
            ("e.csv", "user_id,ts,event,n\na,2026-01-01,view,NA\nb,2026-01-01,view,-\nc,2026-01-01,view,7\n"),
            "SELECT user_id, n FROM t ORDER BY user_id",
            json!([{"user_id": "a", "n": null}, {"user_id": "b", "n": null}, {"user_id": "c", "n": 7}]),
        ),
        case(
            &[],
            ("e.csv", ids),
            "SELECT user_id FROM t ORDER BY user_id",
            json!([{"user_id": "a"}, {"user_id": "b"}]),
        ),
        case(
            &["--dedup-window", "1 hour"],
            ("e.csv", ids),
            "SELECT user_id FROM t ORDER BY user_id",
            json!([{"user_id": "a"}, {"user_id": "a"}, {"user_id": "b"}]),
        ),
        case(
            &["--retention", "36500 days"],
            ("e.csv", "user_id,ts,event\na,1900-01-01,view\nb,2026-01-01,view\n"),
            "SELECT user_id FROM t",
            json!([{"user_id": "b"}]),
        ),
        case(
            &["--threads", "1"],
            ("e.csv", "user_id,ts,event\na,2026-01-01,view\nb,2026-01-01,view\n"),
            "SELECT user_id FROM t ORDER BY user_id",
            json!([{"user_id": "a"}, {"user_id": "b"}]),
        ),
        case(
            &["--strict"],
            ("e.csv", "user_id,ts,event,n,none\na,2026-01-01,view,1,\nb,2026-01-01,view,2,\n"),
            "SELECT user_id, n FROM t ORDER BY user_id",
            json!([{"user_id": "a", "n": 1}, {"user_id": "b", "n": 2}]),
        ),
    ]
}

#[test]
fn every_option_does_what_it_says() {
    for Case { option, file: (name, content), sql, rows } in cases() {
        let place = Place::new();
        let file = place.file(name, content);
        place.trodden(&[&["import", "--db", "db", "--table", "t", &file], option].concat()).succeeds();
        assert_eq!(serde_json::Value::from(place.rows(sql)), rows, "{option:?}");
    }
}

#[test]
fn a_table_has_as_many_shards_as_it_is_told() {
    for shards in ["1", "3"] {
        let place = Place::new();
        let rows = (0..200).map(|user| format!("user{user},2026-01-01,view\n"));
        let file = place.file("e.csv", format!("user_id,ts,event\n{}", rows.collect::<String>()));
        place.trodden(&["import", "--db", "db", "--table", "t", &file, "--shards", shards]).succeeds();
        assert_eq!(place.database_files("segment").len().to_string(), shards);
        assert_eq!(place.rows("SELECT count(*) AS n FROM t")[0]["n"], 200);
    }
}

#[test]
fn a_strict_table_keeps_the_columns_of_its_first_import() {
    let place = Place::new();
    let import = |name: &str, content: &str, more: &[&str]| {
        let file = place.file(name, content);
        place.trodden(&[&["import", "--db", "db", "--table", "t", &file], more].concat())
    };
    // A late value widens the type also here; a failed import leaves no table.
    let late = "a,2026-01-01,view,1\n".repeat(150_000) + "b,2026-01-01,view,0.5\n";
    import("bad.csv", "user_id,ts,event,n\na,never,view,1\n", &["--strict", "--time-format", "rfc3339"])
        .fails(1, &["never"]);
    assert_eq!(place.rows("SHOW TABLES"), Vec::<serde_json::Value>::new());
    import("first.csv", &format!("user_id,ts,event,n\n{late}"), &["--strict", "--dry-run"]).succeeds();
    import("first.csv", &format!("user_id,ts,event,n\n{late}"), &["--strict"]).succeeds();
    assert_eq!(place.rows("SELECT sum(n) AS n FROM t")[0]["n"], 150_000.5);
    import("second.csv", "user_id,ts,event,n,m\na,2026-01-01,view,1,2\n", &[]).fails(1, &["strict", "'m'"]);
    import("third.csv", "user_id,ts,event,n\na,2026-01-01,view,x\n", &[]).fails(1, &["'x'", "DOUBLE"]);
    import("fourth.csv", "user_id,ts,event,n\na,2026-01-01,view,3\n", &[]).succeeds();
    assert_eq!(place.rows("SELECT count(*) AS n FROM t")[0]["n"], 150_002);
}

#[test]
fn standard_input_that_cannot_be_kept_is_no_fault_of_its_own() {
    let place = Place::new();
    let run = place.command(&["import", "--db", "db", "--table", "t", "-"]).env("TMPDIR", "/no/such/place").output();
    let error = String::from_utf8(run.expect("a run").stderr).expect("text");
    for word in ["standard input", "/no/such/place", "TMPDIR"] {
        assert!(error.contains(word), "'{word}' is missing in:\n{error}");
    }
}
