//! The shell: reads statements from a person, and the commands that begin with a dot.

mod complete;
pub mod statements;

use crate::failure::{Failure, Outcome};
use crate::output::Format;
use crate::session::{Flow, Session};
use crate::tell;
use crate::words::thousands;
use clap::ValueEnum;
use complete::{COMMANDS, ShellHelper};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::fs;
use std::path::PathBuf;

/// Statements that the history keeps.
const HISTORY_ENTRIES: usize = 10_000;

const HELP: &str = "\
Statements end with ';' and may take several lines. Tab completes, the arrow up brings statements back,
Ctrl-C ends a running statement, Ctrl-D leaves.

  .help             this text
  .tables           the tables
  .schema [TABLE]   columns and types
  .mode [FORMAT]    how answers are shown: table, csv, json, jsonl, markdown
  .rows [N|all]     how many rows a table shows
  .timer on|off     whether the time stands below each answer
  .quit             leave

A first funnel, where events is a table and the steps are names of events:

  FUNNEL product_view -> add_to_cart -> purchase WITHIN 7 DAYS FROM events;

Who comes back, which ways lead somewhere, and what to offer next:

  RETENTION signup -> purchase WEEKLY FOR 8 WEEKS FROM events;
  PATH TO purchase STEPS 5 FROM events;
  RECOMMEND product_id FOR USER 'u1' FROM events;";

/// Reads and runs statements until the person leaves.
///
/// # Errors
/// The terminal cannot be read or written. A failed statement is told, and the shell goes on.
pub fn run(session: &mut Session) -> Outcome {
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_ENTRIES);
    let config = config.and_then(|config| config.history_ignore_dups(true)).map_err(unreadable)?.build();
    let mut editor: Editor<ShellHelper, FileHistory> = Editor::with_config(config).map_err(unreadable)?;
    editor.set_helper(Some(ShellHelper::new(session.backend().names())));
    let history = history_file();
    if let Some(path) = &history {
        // The first shell of a user has no history yet.
        let _ = editor.load_history(path);
    }
    session.say(&format!("trodden {}. Statements end with ';', .help tells more.", env!("CARGO_PKG_VERSION")))?;
    loop {
        let input = match editor.readline("trodden> ") {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unreadable(error)),
        };
        if input.trim().is_empty() {
            continue;
        }
        // A history that cannot be kept is no reason to refuse the statement.
        let _ = editor.add_history_entry(input.trim());
        if let Some(path) = &history {
            let _ = editor.append_history(path);
        }
        session.interrupt().forget();
        match session.run_script(&input) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Quit) => break,
            Err(Failure::Failed(report) | Failure::Usage(report) | Failure::Interrupted(report)) => {
                tell(&report, session.terminal());
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Runs a command that begins with a dot.
///
/// # Errors
/// A command or an argument that does not exist.
pub fn command(session: &mut Session, line: &str) -> Outcome<Flow> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let argument = words.next();
    match name {
        ".help" => session.say(HELP)?,
        ".quit" | ".exit" => return Ok(Flow::Quit),
        ".tables" => {
            let tables = session.backend().tables()?;
            session.say(if tables.is_empty() { "no tables yet; `trodden import` makes one" } else { &tables })?;
        }
        ".schema" => {
            let schema = session.backend().schema(argument)?;
            session.say(&schema)?;
        }
        ".mode" => mode(session, argument)?,
        ".rows" => rows(session, argument)?,
        ".timer" => match argument {
            Some("on") => session.settings.timer = true,
            Some("off") => session.settings.timer = false,
            None => session.settings.timer = !session.settings.timer,
            Some(other) => return Err(Failure::usage(format!("'{other}' is neither on nor off"), "write .timer on")),
        },
        other => {
            let hint = format!("the commands are {}", COMMANDS.join(", "));
            return Err(Failure::usage(format!("no command is called '{other}'"), hint));
        }
    }
    Ok(Flow::Continue)
}

fn mode(session: &mut Session, argument: Option<&str>) -> Outcome {
    let Some(argument) = argument else {
        return session.say(session.settings.format.name());
    };
    match Format::from_str(argument, true) {
        Ok(Format::Parquet) => Err(Failure::usage(
            "a Parquet file cannot be shown in the shell",
            "write COPY (SELECT …) TO 'file.parquet', or run trodden sql -c with --format parquet --output",
        )),
        Ok(format) => {
            session.settings.format = format;
            Ok(())
        }
        Err(_) => Err(Failure::usage(
            format!("'{argument}' is no format"),
            "the formats of the shell are table, csv, json, jsonl and markdown",
        )),
    }
}

fn rows(session: &mut Session, argument: Option<&str>) -> Outcome {
    match argument.map(|argument| (argument, argument.parse::<usize>())) {
        None => {
            let rows = session.settings.max_rows.map_or_else(|| "all".to_owned(), |rows| thousands(rows as u64));
            session.say(&rows)
        }
        Some(("all", _)) => {
            session.settings.max_rows = None;
            Ok(())
        }
        Some((_, Ok(rows))) if rows > 0 => {
            session.settings.max_rows = Some(rows);
            Ok(())
        }
        Some((other, _)) => {
            Err(Failure::usage(format!("'{other}' is no number of rows"), "write .rows 100 or .rows all"))
        }
    }
}

/// The file of the history in the user's state directory, which is made when it is absent.
fn history_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let directory = state.join("trodden");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

fn unreadable(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::io("the terminal", &error),
        other => Failure::Failed(crate::report::Report::error(format!("the terminal: {other}"))),
    }
}
