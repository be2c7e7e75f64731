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
