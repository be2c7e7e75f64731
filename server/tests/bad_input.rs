//! Bad input of every kind: the right exit code, the thing that is wrong, the place, and the way out. Nothing is lost.

mod common;

use common::Place;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The file that tells the format version of a database.
const FORMAT_FILE: &str = "FORMAT";

fn funnel(arguments: &str) -> String {
    format!("SELECT * FROM FUNNEL(events, {arguments})")
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    place.trodden(&[]).fails(2, &["Usage"]);
    place.trodden(&["sql"]).fails(2, &["--db"]);
    place.trodden(&["import", "--db", "db", "--table", "t"]).fails(2, &["FILE"]);
    place.trodden(&["frobnicate"]).fails(2, &["frobnicate"]);
    place.trodden(&["sql", "--db", "db", "--format", "xml"]).fails(2, &["xml", "jsonl"]);
    let file = place.file("events.csv", common::EVENTS_CSV);
    let import = |more: &[&str]| place.trodden(&[&["import", "--db", "db", "--table", "t", &file], more].concat());
    import(&["--time-format", "stardate"]).fails(2, &["--time-format", "stardate", "rfc3339"]);
    import(&["--time-zone", "Mars/Base"]).fails(2, &["Mars/Base", "Europe/Berlin"]);
    import(&["--type", "price=MONEY"]).fails(2, &["MONEY", "DOUBLE"]);
    import(&["--format", "xlsx"]).fails(2, &["xlsx", "parquet"]);
    import(&["--dedup-window", "soon"]).fails(2, &["soon", "7 days"]);
    assert!(!place.path("db").exists(), "wrong usage left a database");
}

#[test]
fn a_database_that_is_not_there() {
    let place = Place::new();
    place.trodden(&["sql", "--db", "none", "-c", "SELECT 1"]).fails(1, &["none"]);
    place.trodden(&["check", "--db", "none"]).fails(1, &["none"]);
    assert!(!place.path("none").exists());
    place.file("plain", "no directory");
    place.trodden(&["sql", "--db", "plain", "-c", "SELECT 1"]).fails(1, &["plain"]);
    let file = place.file("events.csv", common::EVENTS_CSV);
    place.trodden(&["import", "--db", "plain", "--table", "t", &file]).fails(1, &["plain"]);
    assert_eq!(fs::read_to_string(place.path("plain")).expect("the file"), "no directory");
}

#[test]
fn unknown_names_have_a_caret_and_a_hint() {
    let place = Place::with_events();
    place.sql("SELECT * FROM evnts", &[]).fails(1, &["evnts", "events"]).points_at("evnts");
    place.sql("SELECT prise FROM events", &[]).fails(1, &["prise", "price"]).points_at("prise");
    place.sql("SELECT * FROM FUNNEL(evnts, steps => ['view'])", &[]).fails(1, &["evnts", "events"]).points_at("evnts");
    let run = place.sql(&funnel("steps => ['view', 'cart'], withn => INTERVAL '1' DAY"), &[]);
    run.fails(1, &["withn", "within"]).points_at("withn");
    place.sql(&funnel("steps => ['view'], by => contry"), &[]).fails(1, &["contry", "country"]).points_at("contry");
    let run = place.sql(&funnel("STEPS(a => 'view', b => prise > 3)"), &[]);
    run.fails(1, &["prise", "price"]).points_at("prise");
}

#[test]
fn arguments_of_a_funnel_that_mean_nothing() {
    let place = Place::with_events();
    place.sql(&funnel("within => INTERVAL '1' DAY"), &[]).fails(1, &["steps"]);
    place.sql(&funnel("steps => []"), &[]).fails(1, &["step"]);
    for window in ["INTERVAL '0' DAY", "INTERVAL '-1' DAY"] {
        place.sql(&funnel(&format!("steps => ['view', 'cart'], within => {window}")), &[]).fails(1, &["within"]);
    }
    let many: Vec<String> = (0..65).map(|at| format!("'step{at}'")).collect();
    place.sql(&funnel(&format!("steps => [{}]", many.join(", "))), &[]).fails(1, &["64"]);
    place.sql(&funnel("steps => ['view'], steps => ['cart']"), &[]).fails(1, &["steps"]);
    place.sql(&funnel("steps => ['view', 'cart'], ties => 'sometimes'"), &[]).fails(1, &["sometimes", "arrival"]);
    place.sql(&funnel("STEPS(a => 'view', b => price)"), &[]).fails(1, &["price"]);
}

#[test]
fn steps_that_an_argument_names_and_the_funnel_has_not() {
    let place = Place::with_events();
    let funnel = |more: &str| place.sql(&funnel(&format!("STEPS(viewed => 'view', carted => 'cart'), {more}")), &[]);
    for attribution in ["'bought'", "'cartet'"] {
        let run = funnel(&format!("by => country, attribution => {attribution}"));
        run.fails(1, &[attribution.trim_matches('\''), "carted"]).points_at("attribution");
    }
    for position in ["after => 0", "after => 3", "before => 3", "after => 2, before => 1"] {
        let run = funnel(&format!("EXCLUDE('purchase', {position})"));
        run.fails(1, &["EXCLUDE", "step"]);
    }
}

/// The binary without root's leave to write where the permissions forbid it.
fn as_anybody(place: &Place, arguments: &[&str]) -> common::Run {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return place.trodden(arguments);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]);
    command.arg(env!("CARGO_BIN_EXE_trodden")).args(arguments).current_dir(place.path("")).env("LC_ALL", "C");
    common::Run::from(command.output().expect("setpriv, which every Debian has"))
}

#[test]
fn a_directory_that_cannot_be_written() {
    let place = Place::with_events();
    let file = place.path("events.csv").display().to_string();
    let below = |mode: u32| {
        let mut directories = vec![place.path("db")];
        while let Some(directory) = directories.pop() {
            let inside = fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path());
            for path in inside {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    fs::set_permissions(&path, Permissions::from_mode(mode & 0o666)).expect("permissions");
                }
            }
            fs::set_permissions(&directory, Permissions::from_mode(mode)).expect("permissions");
        }
    };
    below(0o555);
    let query = as_anybody(&place, &["sql", "--db", "db", "-c", "SELECT count(*) FROM events"]);
    let import = as_anybody(&place, &["import", "--db", "db", "--table", "events", &file]);
    let made = as_anybody(&place, &["import", "--db", "db/new", "--table", "events", &file]);
    let answer = as_anybody(&place, &["sql", "--db", "db", "-c", "SELECT 1", "-o", "db/answer.csv"]);
    below(0o755);
    for run in [query, import, made, answer] {
        run.fails(1, &["db", "Permission denied", "permissions"]);
    }
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    place.trodden(&["check", "--db", "db"]).succeeds();
}

/// A small file system in memory at `disk`, gone when dropped; `None` where this process may not mount one.
struct SmallDisk<'a>(&'a Place);

impl<'a> SmallDisk<'a> {
    fn mount(place: &'a Place, bytes: &str) -> Option<Self> {
        fs::create_dir(place.path("disk")).expect("a directory");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(place.path("disk")).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("disk")).status();
    }
}

#[test]
fn a_full_disk_stores_nothing_and_loses_nothing() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place, "10m") else {
        return common::skipped("a_full_disk_stores_nothing_and_loses_nothing: this process may mount nothing");
    };
    let file = place.file("events.csv", common::EVENTS_CSV);
    place.trodden(&["import", "--db", "disk/db", "--table", "events", &file]).succeeds();
    place.trodden(&["generate", "--events", "1500000", "--output", "large.parquet"]).succeeds();
    let run = place.trodden(&["import", "--db", "disk/db", "--table", "events", "large.parquet"]);
    run.fails(1, &["No space left on device", "free space"]);
    let run = place.trodden(&["import", "--db", "disk/db", "--table", "large", "large.parquet"]);
    run.fails(1, &["No space left on device", "free space"]);
    let statement = "SELECT a.value FROM generate_series(1, 9000000) AS a(value)";
    let run = place.trodden(&["sql", "--db", "disk/db", "--format", "csv", "-o", "disk/answer.csv", "-c", statement]);
    run.fails(1, &["disk/answer.csv", "free space"]);
    assert!(!place.path("disk/answer.csv").exists());
    let count = place.trodden(&["sql", "--db", "disk/db", "--format", "csv", "-c", "SELECT count(*) FROM events"]);
    assert_eq!(count.succeeds().out.lines().nth(1), Some("7"));
    place.trodden(&["check", "--db", "disk/db"]).succeeds();
}

#[test]
fn a_limit_of_the_size_of_files_stores_nothing_and_loses_nothing() {
    let place = Place::with_events();
    place.trodden(&["generate", "--events", "300000", "--output", "large.parquet"]).succeeds();
    // In blocks of 512 bytes. The signal that a too large file brings is ignored, as a service manager would do.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" import --db db --table events large.parquet";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_trodden")]).current_dir(place.path("")).env("LC_ALL", "C");
    let run = common::Run::from(limited.output().expect("a shell"));
    run.fails(1, &["segment-", "File too large", "limit"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
    place.trodden(&["check", "--db", "db"]).succeeds();
}

#[test]
fn text_that_is_no_sql() {
    let place = Place::with_events();
    place.sql("SELEC 1", &[]).fails(1, &["SELEC"]).points_at("SELEC");
    place.sql("SELECT 'open", &[]).fails(1, &["^"]);
    place.sql("SELECT (1", &[]).fails(1, &["error"]);
    place.sql("SELECT 1 +", &[]).fails(1, &["error"]);
    place.sql("SELECT price + country FROM events WHERE price > 'x'", &[]).fails(1, &["error"]);
}

#[test]
fn files_that_cannot_be_imported() {
    let place = Place::with_events();
    let import = |file: &str| place.trodden(&["import", "--db", "db", "--table", "events", file]);
    import("absent.csv").fails(1, &["absent.csv"]);
    import("absent-*.csv").fails(1, &["absent-*.csv"]);
    import(&place.file("empty.csv", "")).fails(1, &["empty.csv"]);
    import(&place.file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")).fails(1, &["picture.png"]);
    import(&place.file("no.parquet", "PAR1 but not really")).fails(1, &["no.parquet"]);
    import(&place.file("nobody.csv", "when,what\n2026-01-01,view\n")).fails(1, &["nobody.csv", "user"]);
    import(&place.file("broken.csv", "user_id,ts,event\na,yesterday,view\n")).fails(1, &["broken.csv"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn a_file_cut_in_half_stores_nothing() {
    let place = Place::with_events();
    place.sql("SELECT user_id, ts, event FROM events", &["--format", "parquet", "-o", "whole.parquet"]).succeeds();
    let whole = fs::read(place.path("whole.parquet")).expect("the file");
    let half = place.file("half.parquet", &whole[..whole.len() / 2]);
    place.trodden(&["import", "--db", "db", "--table", "half", &half]).fails(1, &["half.parquet"]);
    place.sql("SELECT * FROM half", &[]).fails(1, &["half"]);
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn a_segment_cut_in_half_is_an_error_and_check_names_it() {
    let place = Place::with_events();
    place.trodden(&["check", "--db", "db"]).succeeds();
    let segments = place.database_files("segment-");
    let segment = segments.first().expect("a segment");
    let whole = fs::read(segment).expect("the segment");
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    fs::write(segment, &whole[..whole.len() / 2]).expect("cut");
    place.sql("SELECT count(*), max(price) FROM events", &[]).fails(1, &[&name]);
    let run = place.trodden(&["check", "--db", "db"]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(format!("{}{}", run.out, run.err).contains(&name), "{run:#?}");
    fs::write(segment, &whole).expect("mended");
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn a_flipped_bit_is_found_by_check() {
    let place = Place::with_events();
    let segment = place.database_files("segment-").remove(0);
    let mut bytes = fs::read(&segment).expect("the segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&segment, bytes).expect("damaged");
    let run = place.trodden(&["check", "--db", "db"]);
    assert_eq!(run.code, 1, "{run:#?}");
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(format!("{}{}", run.out, run.err).contains(&name), "{run:#?}");
}

#[test]
fn two_processes_on_one_directory() {
    let place = Place::with_events();
    // The first statement tells that the database is open; the second keeps it so.
    let script = format!("SELECT 1 AS one; {}", common::ENDLESS);
    let mut first = place.command(&["sql", "--db", "db", "--format", "csv", "-c", &script]).spawn().expect("a child");
    let mut line = String::new();
    let mut out = BufReader::new(first.stdout.take().expect("standard output"));
    out.read_line(&mut line).expect("a line");
    let second = place.sql("SELECT count(*) AS n FROM events", &[]);
    let file = place.path("events.csv").display().to_string();
    let third = place.trodden(&["import", "--db", "db", "--table", "events", &file]);
    first.kill().expect("an end");
    first.wait().expect("an end");
    second.fails(1, &["process", "db"]);
    third.fails(1, &["process", "db"]);
    assert_eq!(line, "one\n");
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn a_directory_of_another_format_version() {
    let place = Place::with_events();
    let marker = place.path("db").join(FORMAT_FILE);
    let written = fs::read(&marker).expect("the format of the database");
    let other = "{\"format\":\"trodden\",\"version\":99,\"oldest_reader\":99}\n";
    let other = format!("{other}crc32c {:08x}\n", crc32c::crc32c(other.as_bytes()));
    fs::write(&marker, other).expect("another version");
    place.sql("SELECT 1", &[]).fails(1, &["format", "99"]);
    fs::write(&marker, written).expect("as before");
    assert_eq!(place.rows("SELECT count(*) AS n FROM events")[0]["n"], 7);
}

#[test]
fn outputs_that_cannot_be_written() {
    let place = Place::with_events();
    place.sql("SELECT 1", &["-o", "no/such/place.csv"]).fails(1, &["no/such/place.csv"]);
    place.trodden(&["sql", "--db", "db", "-f", "absent.sql"]).fails(1, &["absent.sql"]);
    // A device that is always full.
    if fs::metadata("/dev/full").is_ok() {
        place.sql("SELECT 1", &["--format", "csv", "-o", "/dev/full"]).fails(1, &["/dev/full", "free space"]);
    }
}
