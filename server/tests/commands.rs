//! The other commands: check, inspect, compact, generate, demo, completions, help.

mod common;

use common::Place;

#[test]
fn help_and_version_are_answers() {
    let place = Place::new();
    let version = place.trodden(&["--version"]).succeeds().out;
    assert_eq!(version, format!("trodden {}\n", env!("CARGO_PKG_VERSION")));
    let help = place.trodden(&["--help"]).succeeds().out;
    for command in ["import", "sql", "check", "inspect", "compact", "backup", "generate", "demo", "completions"] {
        assert!(help.contains(command), "{command} is missing in:\n{help}");
        assert!(place.trodden(&[command, "--help"]).succeeds().out.contains("Example"), "{command} has no example");
    }
}

#[test]
fn completions_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.trodden(&["completions", shell]).succeeds().out;
        assert!(script.contains("trodden") && script.contains("import"), "{shell}");
    }
}

#[test]
fn check_and_compact_a_sound_database() {
    let place = Place::with_events();
    place.sql("DELETE FROM events WHERE user_id = 'a'", &[]).succeeds();
    let before = place.rows("SELECT * FROM events ORDER BY user_id, ts");
    assert_eq!(before.len(), 4);
    assert!(place.trodden(&["check", "--db", "db"]).succeeds().out.contains("every checksum"));
    assert!(place.trodden(&["compact", "--db", "db"]).succeeds().out.contains("events"));
    assert_eq!(place.rows("SELECT * FROM events ORDER BY user_id, ts"), before);
    place.trodden(&["check", "--db", "db"]).succeeds();
    place.trodden(&["compact", "--db", "db", "--table", "evnts"]).fails(1, &["evnts"]);
}

#[test]
fn inspect_tells_a_segment_from_another_file() {
    let place = Place::with_events();
    let segment = place.database_files("segment-").remove(0).display().to_string();
    let text = place.trodden(&["inspect", &segment]).succeeds().out;
    for word in ["segment of shard", "rows", "users", "DOUBLE", "directory of bitmaps", "event 'view'", "tail"] {
        assert!(text.contains(word), "'{word}' is missing in:\n{text}");
    }
    let file = place.path("events.csv").display().to_string();
    place.trodden(&["inspect", &file]).fails(1, &["events.csv"]);
    place.sql("CREATE VIEW dear AS SELECT * FROM events WHERE price > 9", &[]).succeeds();
    for (part, words) in [
        ("manifest-", &["\"next_ordinal\"", "crc32c"][..]),
        ("definitions-", &["CREATE VIEW dear", "crc32c"]),
        ("FORMAT", &["oldest_reader", "crc32c"]),
    ] {
        let file = place.database_files(part).remove(0).display().to_string();
        let text = place.trodden(&["inspect", &file]).succeeds().out;
        words.iter().for_each(|word| assert!(text.contains(word), "'{word}' is missing in:\n{text}"));
    }
    place.trodden(&["inspect", "absent.seg"]).fails(1, &["absent.seg"]);
}

#[test]
fn inspect_prints_what_it_can_of_a_damaged_segment_and_names_the_damage() {
    let place = Place::with_events();
    let segment = place.database_files("segment-").remove(0).display().to_string();
    let whole = place.trodden(&["inspect", &segment]).succeeds().out;
    let mut bytes = std::fs::read(&segment).expect("a segment");
    // Behind the header lie the users of the first block.
    bytes[20] ^= 1;
    std::fs::write(&segment, bytes).expect("damaged");
    let run = place.trodden(&["inspect", &segment]).fails(1, &["segment-", "users of block 0"]);
    assert_eq!(run.out.lines().count(), whole.lines().count(), "{}", run.out);
    assert_eq!(run.out.matches("DAMAGED: users of block 0").count(), 1, "{}", run.out);
    assert!(run.out.contains("event 'view'"), "{}", run.out);
}

#[test]
fn inspect_prints_the_records_of_a_log() {
    let place = Place::with_events();
    // A process that is killed leaves its last writes in the log.
    let insert = "INSERT INTO events (user_id, ts, event) VALUES ('new', TIMESTAMP '2026-01-05 00:00:00', 'view')";
    let script = format!("{insert}; DELETE FROM events WHERE user_id = 'a'; {}", common::ENDLESS);
    let mut child = place.command(&["sql", "--db", "db", "-c", &script]).spawn().expect("a child");
    let log = common::wait_for(|| {
        let log = place.database_files("log-").into_iter().next()?;
        let text = place.trodden(&["inspect", &log.display().to_string()]).out;
        text.contains("deletion").then_some(text)
    });
    child.kill().expect("an end");
    child.wait().expect("an end");
    for word in ["record 2: ", "1 events of shards", "1 new users", "deletion of user 'a'", "checksums right", "mark"] {
        assert!(log.contains(word), "'{word}' is missing in:\n{log}");
    }
    let file = place.file("log-none", "no log");
    place.trodden(&["inspect", &file]).fails(1, &["log-none", "no frame"]);
}

#[test]
fn check_names_every_broken_file_of_a_database_that_cannot_be_opened() {
    let place = Place::with_events();
    place.sql("CREATE VIEW dear AS SELECT * FROM events WHERE price > 9", &[]).succeeds();
    place.trodden(&["generate", "--db", "db", "--table", "made", "--events", "1000"]).succeeds();
    let of_table = |number: &str, part: &str| {
        let files = place.database_files(part).into_iter();
        files.filter(|file| file.parent().is_some_and(|table| table.ends_with(number))).take(2).collect::<Vec<_>>()
    };
    let broken = [of_table("1", "segment-"), of_table("2", "manifest-"), place.database_files("definitions-")].concat();
    assert_eq!(broken.len(), 4);
    for file in &broken {
        let mut bytes = std::fs::read(file).expect("a file");
        bytes.truncate(bytes.len() / 2);
        std::fs::write(file, bytes).expect("damaged");
    }
    place.sql("SELECT 1", &[]).fails(1, &[]);
    let run = place.trodden(&["check", "--db", "db"]).fails(1, &[]);
    for file in &broken {
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(run.out.contains(&*name), "{name} is missing in:\n{}", run.out);
    }
    assert!(run.out.contains("cannot be opened"), "{run:#?}");
}

#[test]
fn generated_events_are_the_same_in_a_table_and_in_a_file() {
    let place = Place::new();
    let generate = |more: &[&str]| place.trodden(&[&["generate", "--events", "20000", "--seed", "3"], more].concat());
    generate(&["--db", "db", "--table", "direct"]).succeeds();
    for name in ["events.parquet", "events.csv", "events.jsonl"] {
        generate(&["--output", name]).succeeds();
        let table = name.replace("events.", "from_");
        place.trodden(&["import", "--db", "db", "--table", &table, name]).succeeds();
    }
    let funnel = |table: &str| {
        let steps =
            "STEPS(viewed => 'product_view', carted => event = 'add_to_cart' AND price > 10, bought => 'purchase')";
        place.rows(&format!("SELECT * FROM FUNNEL({table}, {steps}, within => INTERVAL '7' DAY)"))
    };
    let direct = funnel("direct");
    assert_eq!(direct.len(), 3);
    assert!(direct[2]["users"].as_i64().is_some_and(|users| users > 0), "{direct:?}");
    for table in ["from_parquet", "from_csv", "from_jsonl"] {
        assert_eq!(funnel(table), direct, "{table}");
    }
    let run = generate(&["--db", "db", "--table", "direct"]).succeeds();
    assert!(run.out.contains("nothing was added"), "{}", run.out);
    generate(&["--output", "events.xlsx"]).fails(2, &["events.xlsx", ".parquet"]);
    generate(&[]).fails(2, &["--db"]);
}

#[test]
fn the_demonstration_answers_its_questions() {
    let place = Place::new();
    place.trodden(&["generate", "--events", "20000", "--db", "db", "--table", "clickstream"]).succeeds();
    let run = place.trodden(&["demo", "--db", "db"]).succeeds();
    assert_eq!(run.err, "");
    for word in ["FUNNEL product_view AS viewed", "viewed", "bought", "####", "Your turn"] {
        assert!(run.out.contains(word), "'{word}' is missing in:\n{}", run.out);
    }
    let empty = Place::with_events();
    empty.trodden(&["demo", "--db", "db"]).fails(1, &["clickstream", "make demo"]);
}
