//! `trodden sql`: sources of statements, formats of answers, timing.

mod common;

use common::Place;
use std::io::{BufRead, BufReader};

const FUNNEL: &str = "SELECT * FROM FUNNEL(events, steps => ['view', 'cart', 'purchase'], within => INTERVAL '7' DAY)";

#[test]
fn a_funnel_in_both_forms() {
    let place = Place::with_events();
    let rows = place.rows(FUNNEL);
    let users: Vec<_> = rows.iter().map(|row| row["users"].as_i64()).collect();
    assert_eq!(users, [Some(3), Some(2), Some(1)]);
    assert_eq!(rows[1]["step_name"], "cart");
    assert_eq!(rows, place.rows("FUNNEL view -> cart -> purchase WITHIN 7 DAYS FROM events"));
    let users = place.rows("SELECT * FROM FUNNEL(events, steps => ['view', 'cart'], emit => 'users') ORDER BY user_id");
    assert_eq!(users[0]["entered_at"], "2026-01-01T10:00:00Z");
    assert_eq!(users[0]["step_times"], serde_json::json!(["2026-01-01T10:00:00Z", "2026-01-01T10:05:00Z"]));
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let place = Place::with_events();
    let file = place.file("two.sql", "-- two statements\nSELECT 1 AS one;\nSELECT 2 AS two;\n");
    let csv = ["--format", "csv"];
    let run = place.trodden(&[&["sql", "--db", "db", "-c", "SELECT 0 AS zero", "-f", &file], &csv[..]].concat());
    assert_eq!(run.succeeds().out, "zero\n0\none\n1\ntwo\n2\n");
    let run = place.trodden_with_input(&["sql", "--db", "db", "--format", "csv"], "SELECT ';' AS x; .quit\n SELECT 9;");
    assert_eq!(run.succeeds().out, "x\n;\n");
    let run = place.trodden_with_input(&["sql", "--db", "db", "--format", "csv", "-f", "-"], "SELECT 3 AS x");
    assert_eq!(run.succeeds().out, "x\n3\n");
}

#[test]
fn the_first_failed_statement_ends_the_script() {
    let place = Place::with_events();
    let file = place.file("report.sql", "SELECT 1 AS one;\n\nSELECT\n  prise\nFROM events;\nSELECT 2 AS two;");
    let run = place.trodden(&["sql", "--db", "db", "-f", &file, "--format", "csv"]).fails(1, &["prise", "price"]);
    assert_eq!(run.out, "one\n1\n");
    let run = run.points_at("prise");
    assert!(run.err.contains("4 |"), "the line of the file is missing in:\n{}", run.err);
}

#[test]
fn every_format() {
    let place = Place::with_events();
    let statement = "SELECT user_id, ts, price FROM events WHERE country = 'DE' ORDER BY ts";
    let csv = place.sql(statement, &["--format", "csv"]).succeeds().out;
    assert_eq!(csv.lines().nth(1), Some("a,2026-01-01T10:00:00Z,"));
    assert_eq!(csv.lines().count(), 6);
    let json: serde_json::Value =
        serde_json::from_str(&place.sql(statement, &["--format", "json"]).succeeds().out).expect("JSON");
    assert_eq!(json[1]["price"], 9.5);
    let markdown = place.sql(statement, &["--format", "markdown"]).succeeds().out;
    assert!(
        markdown.starts_with("| user_id | ts | price |\n| --- | --- | ---: |\n| a | 2026-01-01T10:00:00Z | NULL |")
    );
    let table = place.sql(statement, &[]).succeeds().out;
    assert!(table.contains("|   9.5 |") && table.contains("NULL"), "{table}");
}

#[test]
fn parquet_goes_to_a_file_and_comes_back() {
    let place = Place::with_events();
    let statement = "SELECT user_id, ts, event, price FROM events";
    place.sql(statement, &["--format", "parquet", "--output", "copy.parquet"]).succeeds();
    place.trodden(&["import", "--db", "db", "--table", "copy", "copy.parquet"]).succeeds();
    let count = "SELECT count(*) AS n, sum(price) AS p FROM ";
    assert_eq!(place.rows(&format!("{count} copy")), place.rows(&format!("{count} events")));
    place.sql("SELECT 1; SELECT 2", &["--format", "parquet", "-o", "two.parquet"]).fails(2, &["one answer"]);
    assert!(!place.path("two.parquet").exists());
}

#[test]
fn a_database_is_made_on_request_only() {
    let place = Place::new();
    let create = "CREATE TABLE events (price DOUBLE)";
    place.sql(create, &[]).fails(1, &["there is no database", "--create"]);
    assert!(!place.path("db").exists());
    place.sql(create, &["--create"]).succeeds();
    assert_eq!(place.rows("SHOW TABLES").len(), 1);
    // One that is there is opened as it is.
    place.sql("SELECT count(*) FROM events", &["--create"]).succeeds();
}

#[test]
fn the_file_of_answers_is_replaced_as_a_whole_or_not_at_all() {
    let place = Place::with_events();
    let file = place.file("answer.csv", "before");
    place.sql("SELECT 1 AS one; SELECT prise FROM events", &["--format", "csv", "-o", &file]).fails(1, &["prise"]);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "before");
    place.sql("SELECT 1 AS one; SELECT 2 AS two", &["--format", "csv", "-o", &file]).succeeds();
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "one\n1\ntwo\n2\n");
    std::os::unix::fs::symlink("answer.csv", place.path("link.csv")).expect("a link");
    place.sql("SELECT 3 AS three", &["--format", "csv", "-o", "link.csv"]).succeeds();
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "three\n3\n");
    let names = std::fs::read_dir(place.path("")).expect("a directory").count();
    assert_eq!(names, 4, "something is left beside the file");
}

#[test]
fn a_long_table_goes_to_a_pipe_as_it_comes() {
    let place = Place::with_events();
    // The end of the answer never comes.
    let statement = "SELECT x FROM generate_series(1, 9000000000000) AS a(x)";
    let mut child = place.command(&["sql", "--db", "db", "-c", statement]).spawn().expect("a child");
    let out = BufReader::new(child.stdout.take().expect("standard output"));
    let line = out.lines().nth(20_002).expect("many lines").expect("UTF-8");
    assert_eq!(line, "| 20000 |");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn statements_end_where_the_parser_ends_them() {
    let place = Place::with_events();
    let script = r"SELECT E'it\'s; fine' AS x; SELECT 'a\' AS y;";
    let run = place.trodden_with_input(&["sql", "--db", "db", "--format", "csv"], script).succeeds();
    assert_eq!(run.out, "x\nit's; fine\ny\na\\\n");
}

#[test]
fn repeat_and_timing_print_a_time_for_each_run() {
    let place = Place::with_events();
    let run = place.sql(FUNNEL, &["--repeat", "3", "--timing", "--format", "csv"]).succeeds();
    let times: Vec<f64> = run.err.lines().map(|line| line.strip_prefix("time_ms=").unwrap().parse().unwrap()).collect();
    assert_eq!(times.len(), 3);
    assert!(times.iter().all(|time| *time > 0.0 && *time < 60_000.0), "{times:?}");
    assert_eq!(run.out.lines().count(), 4, "the answer is written once:\n{}", run.out);
}

#[test]
fn threads_and_memory_do_not_change_the_answer() {
    let place = Place::with_events();
    let once = place.sql(FUNNEL, &["--format", "csv"]).succeeds().out;
    for more in [["--threads", "1"], ["--read-threads", "4"], ["--memory-limit", "256MiB"]] {
        assert_eq!(place.sql(FUNNEL, &[&more[..], &["--format", "csv"]].concat()).succeeds().out, once);
    }
    place.sql(FUNNEL, &["--memory-limit", "lots"]).fails(2, &["--memory-limit", "512MB"]);
    place.sql(FUNNEL, &["--threads", "0"]).fails(2, &["--threads"]);
}

#[test]
fn what_recommend_keeps_has_a_limit_of_its_own() {
    let place = Place::with_events();
    let list =
        "SELECT item FROM RECOMMEND(events, item => event, for_user => 'a', using => 'popular', seen => 'include')";
    let limit = format!("{list}; SHOW RECOMMENDERS");
    let with = |more: &[&str]| place.sql(&limit, &[more, &["--format", "jsonl"]].concat()).succeeds().out;
    let limits = |out: &str| -> Vec<u64> {
        let limit = |line: &str| line.split_once("\"limit_bytes\":")?.1.split(',').next()?.parse().ok();
        out.lines().filter_map(limit).collect()
    };
    assert_eq!(limits(&with(&[])), [2 << 30]);
    assert_eq!(limits(&with(&["--recommend-memory", "64MiB"])), [64 << 20]);
    let (kept, read) = (with(&[]), with(&["--recommend-memory", "0"]));
    let items = |out: &str| out.lines().filter(|line| line.starts_with("{\"item\":")).count();
    assert!(limits(&read).is_empty() && items(&read) > 0 && items(&kept) == items(&read), "{kept}{read}");
    place.sql(list, &["--recommend-memory", "lots"]).fails(2, &["--recommend-memory", "512MB", "or 0"]);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::with_events();
    let statement = "SELECT a.value FROM generate_series(1, 2000000) AS a(value)";
    let mut child = place.command(&["sql", "--db", "db", "-c", statement, "--format", "csv"]).spawn().expect("a child");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut first).expect("a line");
    let run = common::Run::from(child.wait_with_output().expect("a run"));
    assert_eq!((first.as_str(), run.code, run.err.as_str()), ("value\n", 0, ""));
}

#[test]
fn a_name_that_no_event_has_is_a_warning() {
    let place = Place::with_events();
    let run =
        place.sql("SELECT * FROM FUNNEL(events, steps => ['view', 'purchse'])", &["--format", "jsonl"]).succeeds();
    assert!(run.err.contains("warning: no event is called 'purchse' in events"), "{}", run.err);
    assert!(run.err.contains("did you mean 'purchase'?"), "{}", run.err);
    assert_eq!(run.out.lines().count(), 2);
}

#[test]
fn commands_of_the_shell_work_in_scripts() {
    let place = Place::with_events();
    let script = ".tables\n.schema events\n.mode csv\nSELECT count(*) AS n FROM events;\n.help\n";
    let run = place.trodden_with_input(&["sql", "--db", "db"], script).succeeds();
    for word in ["events", "user_id", "price", "DOUBLE", "n\n7\n", ".timer"] {
        assert!(run.out.contains(word), "'{word}' is missing in:\n{}", run.out);
    }
    place.trodden_with_input(&["sql", "--db", "db"], ".tabels\n").fails(2, &[".tabels", ".tables"]);
    place.trodden_with_input(&["sql", "--db", "db"], ".mode xml\n").fails(2, &["xml", "jsonl"]);
}

#[test]
fn rows_can_be_written_deleted_and_copied() {
    let place = Place::with_events();
    place
        .sql("INSERT INTO events (user_id, ts, event) VALUES ('e', TIMESTAMP '2026-01-05 00:00:00', 'view')", &[])
        .succeeds();
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 8);
    place.sql("DELETE FROM events WHERE user_id = 'a'", &[]).succeeds();
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 5);
    place.sql("COPY (SELECT user_id, ts, event FROM events) TO 'out.csv'", &[]).succeeds();
    place.sql("CREATE TABLE again (price DOUBLE) WITH (shards = 2)", &[]).succeeds();
    place.sql("COPY again FROM 'out.csv'", &[]).succeeds();
    assert_eq!(place.rows("SELECT count(*) AS n FROM again")[0]["n"], 5);
}
