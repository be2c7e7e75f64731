//! `trodden import`: files, mappings, rejects, trials.

mod common;

use common::{EVENTS_CSV, Place};
use std::fs;
use std::io::{BufRead, BufReader};

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
fn the_first_strict_import_sets_the_columns_and_later_ones_are_held_to_them() {
    let place = Place::new();
    let file = place.file("events.csv", EVENTS_CSV);
    let import =
        |more: &[&str]| place.trodden(&[&["import", "--db", "db", "--table", "events", "--strict"], more].concat());
    let trial = import(&[&file, "--dry-run"]).succeeds();
    assert!(trial.out.contains("would import 7 events"), "{}", trial.out);
    import(&[&file]).succeeds();
    let more = place.file("more.csv", "user_id,ts,event,price,colour\ne,2026-01-05,view,1,red\n");
    import(&[&more]).fails(1, &["strict", "colour"]);
    import(&[&more, "--dry-run"]).fails(1, &["strict", "colour"]);
    // Without the flag the table is as strict as before.
    place.trodden(&["import", "--db", "db", "--table", "events", &more]).fails(1, &["strict", "colour"]);
    let same = place.file("same.csv", "user_id,ts,event,price\ne,2026-01-05,view,1\nf,2026-01-05,view,dear\n");
    import(&[&same, "--max-rejects", "1"]).succeeds();
    let rows = place.rows("SELECT * FROM events");
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row.as_object().is_some_and(|row| row.len() == 6)), "{rows:?}");
}

#[test]
fn a_strict_import_takes_types_that_only_show_late() {
    let place = Place::new();
    let mut text = String::from("user_id,ts,event,n\n");
    (0..120_000).for_each(|row| text.push_str(&format!("u{},2026-01-01,view,{row}\n", row % 7)));
    text.push_str("u1,2026-01-01,view,2.5\n");
    let file = place.file("late.csv", text);
    place.trodden(&["import", "--db", "db", "--table", "events", "--strict", &file]).succeeds();
    assert_eq!(place.rows("SELECT sum(n) AS n FROM events WHERE n = 2.5")[0]["n"], 2.5);
}

#[test]
fn flags_of_a_new_table_are_not_passed_over_where_it_is_there() {
    let place = Place::with_events();
    let more = place.file("more.csv", "user_id,ts,event\ne,2026-01-05,view\n");
    let import = |more_flags: &[&str]| {
        place.trodden(&[&["import", "--db", "db", "--table", "events", &more], more_flags].concat())
    };
    for trial in [&[][..], &["--dry-run"]] {
        let import = |flags: &[&str]| import(&[flags, trial].concat());
        import(&["--shards", "4"]).fails(2, &["--shards 4", "events", "8 shards"]);
        import(&["--table-time-zone", "Europe/Berlin"]).fails(2, &["--table-time-zone", "UTC"]);
        import(&["--dedup-window", "1 day"]).fails(2, &["--dedup-window 1 day", "7 days"]);
        import(&["--retention", "30 days"]).fails(2, &["--retention 30 days", "no retention", "ALTER TABLE"]);
        import(&["--strict"]).fails(2, &["--strict", "not strict"]);
    }
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    import(&["--shards", "8", "--table-time-zone", "UTC", "--dedup-window", "7 days"]).succeeds();
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 8);
}

#[test]
fn a_table_is_found_whatever_the_case_of_its_name() {
    let place = Place::with_events();
    let more = place.file("more.csv", "user_id,ts,event\ne,2026-01-05,view\n");
    let run = place.trodden(&["import", "--db", "db", "--table", "Events", &more]).succeeds();
    assert!(run.out.contains("on disk"), "{}", run.out);
    assert_eq!(place.rows("SELECT count(*) AS n FROM Events")[0]["n"], 8);
    assert_eq!(place.rows("SHOW TABLES").len(), 1);
    place.sql("CREATE TABLE \"EVENTS\" (price DOUBLE)", &[]).fails(1, &["events", "already"]);
    place.sql("CREATE TABLE IF NOT EXISTS \"EVENTS\" (price DOUBLE)", &[]).succeeds();
    place.sql("CREATE VIEW \"Events\" AS SELECT 1", &[]).fails(1, &["events", "already"]);
    place.trodden(&["compact", "--db", "db", "--table", "EVENTS"]).succeeds();
}

#[test]
fn no_table_is_made_where_a_view_has_its_name() {
    let place = Place::with_events();
    place.sql("CREATE VIEW views AS SELECT * FROM events", &[]).succeeds();
    let file = place.path("events.csv").display().to_string();
    for more in [&["--table", "views"][..], &["--table", "Views"], &["--table", "views", "--dry-run"]] {
        place.trodden(&[&["import", "--db", "db", &file], more].concat()).fails(1, &["'views' is a view"]);
    }
    place.trodden(&["generate", "--db", "db", "--table", "views", "--events", "10"]).fails(1, &["'views' is a view"]);
    place.sql("CREATE TABLE \"VIEWS\" (n BIGINT)", &[]).fails(1, &["view", "views"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM views")[0]["n"], 7);
}

#[test]
fn a_trial_on_a_database_changes_nothing_and_knows_what_was_imported() {
    let place = Place::with_events();
    let file = place.path("events.csv").display().to_string();
    place.sql("CREATE TABLE kept (price DOUBLE) WITH (retention = '30 days')", &[]).succeeds();
    place
        .sql("INSERT INTO kept (user_id, ts, event) VALUES ('a', TIMESTAMP '2001-01-01 00:00:00', 'view')", &[])
        .succeeds();
    let before = place.database_image();
    let trial = |table: &str, file: &str| {
        place.trodden(&["import", "--db", "db", "--table", table, file, "--dry-run"]).succeeds().out
    };
    let again = trial("events", &file);
    assert!(again.contains("would import 0 events") && again.contains("already imported"), "{again}");
    let more = place.file("more.csv", "user_id,ts,event,event_id,price\ne,2026-01-05,view,1,dear\n");
    let new = trial("events", &more);
    assert!(new.contains("would import 1 events") && new.contains("DOUBLE in the table"), "{new}");
    assert!(new.contains("a trial does not look for"), "{new}");
    assert!(trial("other", &more).contains("would import 1 events"));
    assert_eq!(place.database_image(), before);
    // Another process may have the database meanwhile.
    let endless = format!("SELECT 1 AS one; {}", common::ENDLESS);
    let mut first = place.command(&["sql", "--db", "db", "--format", "csv", "-c", &endless]).spawn().expect("a child");
    let mut line = String::new();
    BufReader::new(first.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
    let again = trial("events", &file);
    first.kill().expect("an end");
    first.wait().expect("an end");
    assert!(again.contains("already imported"), "{again}");
}

#[test]
fn what_cannot_be_imported_leaves_no_new_database() {
    let place = Place::new();
    let file = place.file("events.csv", EVENTS_CSV);
    let nobody = place.file("nobody.csv", "when,what\n2026-01-01,view\n");
    let empty = place.file("empty.csv", "");
    let import = |more: &[&str]| place.trodden(&[&["import", "--db", "db"], more].concat());
    import(&["--table", "t", "absent.csv"]).fails(1, &["absent.csv"]);
    import(&["--table", "t", &empty]).fails(1, &["empty.csv"]);
    import(&["--table", "t", &nobody]).fails(1, &["nobody.csv", "user"]);
    import(&["--table", "t", &file, "--columns", "prise"]).fails(1, &["prise", "price"]);
    import(&["--table", "t", &file, "--delimiter", "\""]).fails(2, &["delimiter"]);
    import(&["--table", "t", &file, "--event-value", ""]).fails(2, &["event value"]);
    import(&["--table", "", &file]).fails(2, &["name of a table"]);
    import(&["--table", "t", &file, "--shards", "0"]).fails(2, &["--shards"]);
    import(&["--table", "t", &file, "--shards", "1025"]).fails(2, &["--shards"]);
    import(&["--table", "t", &file, "--threads", "0"]).fails(2, &["--threads"]);
    place.trodden(&["generate", "--db", "db", "--table", "", "--events", "10"]).fails(2, &["name of a table"]);
    // What only shows when all rows are read.
    let late = place.file("late.csv", format!("{EVENTS_CSV}z,tomorrow,view,,\n"));
    import(&["--table", "t", &late]).fails(1, &["rejected"]);
    assert!(!place.path("db").exists(), "a database was left");
}

#[test]
fn what_stands_in_a_file_does_not_steer_the_terminal() {
    let place = Place::new();
    let evil = "\u{1b}]0;title\u{7}";
    let file = place.file("e.csv", format!("user_id,ts,event,n{evil}\na,2026-01-01,view,1\nb,never{evil},view,1\n"));
    let import = |more: &[&str]| place.trodden(&[&["import", "--db", "db", "--table", "t", &file], more].concat());
    let failed = import(&[]).fails(1, &["never"]);
    let done = import(&["--max-rejects", "1"]).succeeds();
    assert!(done.out.contains("title") && done.out.contains("never"), "{}", done.out);
    let shown = place.sql("SELECT * FROM t", &[]).succeeds();
    let schema = place.trodden_with_input(&["sql", "--db", "db"], ".schema t\n").succeeds();
    let segment = place.database_files("segment-").remove(0).display().to_string();
    let inspected = place.trodden(&["inspect", &segment]).succeeds();
    for run in [failed, done, shown, schema, inspected] {
        let text = format!("{}{}", run.out, run.err);
        assert!(text.contains("title") || text.contains("never"), "{text}");
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    }
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
    // A late value widens the type also here; a failed import leaves neither a table nor, as it was the first, a database.
    let late = "a,2026-01-01,view,1\n".repeat(150_000) + "b,2026-01-01,view,0.5\n";
    import("bad.csv", "user_id,ts,event,n\na,never,view,1\n", &["--strict", "--time-format", "rfc3339"])
        .fails(1, &["never"]);
    assert!(!place.path("db").exists());
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
