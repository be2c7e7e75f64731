//! Runs the built binary, and makes small databases for it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Seven events of four people: `view`, `cart` and `purchase`.
pub(crate) const EVENTS_CSV: &str = "\
user_id,ts,event,price,country
a,2026-01-01T10:00:00Z,view,,DE
a,2026-01-01T10:05:00Z,cart,9.5,DE
a,2026-01-01T10:10:00Z,purchase,9.5,DE
b,2026-01-01T11:00:00Z,view,,FR
b,2026-01-02T11:00:00Z,cart,20,FR
c,2026-01-01T12:00:00Z,view,,DE
d,2026-01-03T12:00:00Z,purchase,5,DE
";

/// A statement that reads for years.
pub(crate) const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 10000000) AS a(x), generate_series(1, 10000000) AS b(y)";

/// What `found` gives, as soon as it gives something.
#[track_caller]
pub(crate) fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..600 {
        if let Some(found) = found() {
            return found;
        }
        // A pause: nothing is ever sent.
        let _ = never.recv_timeout(std::time::Duration::from_millis(50));
    }
    panic!("nothing came in 30 seconds");
}

/// Notes a test that this machine cannot run: `scripts/test` lists them at its end.
pub(crate) fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(list) = std::env::var_os("TRODDEN_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(list);
        let noted = file.and_then(|mut file| writeln!(file, "{what}"));
        noted.expect("the list of skipped tests");
    }
}

/// A directory for a database and its files; gone at the end.
pub(crate) struct Place {
    directory: TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    /// A database whose table `events` holds [`EVENTS_CSV`].
    pub(crate) fn with_events() -> Self {
        let place = Self::new();
        let file = place.file("events.csv", EVENTS_CSV);
        place.trodden(&["import", "--db", "db", "--table", "events", &file]).succeeds();
        place
    }

    /// The path of `name` in this place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("a written file");
        path.display().to_string()
    }

    /// Runs the binary in this place.
    pub(crate) fn trodden(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().expect("a run"))
    }

    /// Runs statements on the database `db`, with more arguments.
    pub(crate) fn sql(&self, statement: &str, more: &[&str]) -> Run {
        self.trodden(&[&["sql", "--db", "db", "-c", statement], more].concat())
    }

    /// The answer of a statement as JSON lines.
    pub(crate) fn rows(&self, statement: &str) -> Vec<serde_json::Value> {
        let run = self.sql(statement, &["--format", "jsonl"]).succeeds();
        run.out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// Runs the binary with `input` on standard input.
    pub(crate) fn trodden_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("a child");
        // The child may end before it has read everything.
        let _ = child.stdin.take().expect("standard input").write_all(input.as_bytes());
        Run::from(child.wait_with_output().expect("a run"))
    }

    /// Sends the signal of Ctrl-C to a child.
    pub(crate) fn interrupt(child: &Child) {
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// A command in this place, with an environment that does not depend on who runs the test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trodden"));
        command.args(arguments).current_dir(self.directory.path());
        command.env_remove("RUST_BACKTRACE").env("LC_ALL", "C").env("HOME", self.directory.path());
        command.env_remove("XDG_STATE_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Every file under `db` with its bytes.
    pub(crate) fn database_image(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.database_files("").into_iter();
        files.map(|path| (path.clone(), fs::read(&path).expect("a file"))).collect()
    }

    /// All files of the database under `db` whose names contain `part`, the largest first.
    pub(crate) fn database_files(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path("db"), part, &mut found);
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).map_or(0, |found| found.len())));
        found
    }
}

fn collect(directory: &Path, part: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(&entry, part, found);
        } else if entry.file_name().is_some_and(|name| name.to_string_lossy().contains(part)) {
            found.push(entry);
        }
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Run {
    /// Panics unless the run succeeded without a word about a fault.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Panics unless the run ended with `code`, said every one of `words` on standard error, and did not panic.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.err.contains("fault of its own"), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "'{word}' is missing in:\n{}", self.err);
        }
        self
    }

    /// Panics unless a caret stands under the first occurrence of `text` in the shown statement.
    #[track_caller]
    pub(crate) fn points_at(self, text: &str) -> Self {
        let lines: Vec<&str> = self.err.lines().collect();
        let marked = lines.windows(2).any(|pair| {
            let caret = pair[1].find('^');
            let place = pair[0].find(text);
            caret.is_some() && caret == place
        });
        assert!(marked, "no caret stands under '{text}' in:\n{}", self.err);
        self
    }
}
