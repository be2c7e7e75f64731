//! The commands, one file each.

mod backup;
mod check;
mod compact;
mod demo;
mod generate;
mod import;
mod inspect;
mod keys;
mod place;
mod reading;
mod rules;
mod serve;
mod sql;

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Outcome};
use crate::printable;
use crate::terminal::Terminal;
use clap::CommandFactory;
use std::io::{self, Write};

/// Runs one command.
///
/// # Errors
/// How it ended when it did not succeed.
pub fn run(command: Command, terminal: &Terminal) -> Outcome {
    match command {
        Command::Import(arguments) => import::run(*arguments, terminal),
        Command::Sql(arguments) => sql::run(&arguments, terminal),
        Command::Serve(arguments) => serve::serve(&arguments, terminal),
        Command::Config { command } => serve::config(&command),
        Command::Keys { command } => keys::keys(&command),
        Command::Rules { command } => rules::run(&command, terminal),
        Command::Check(arguments) => check::run(&arguments, terminal),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Compact(arguments) => compact::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments, terminal),
        Command::Generate(arguments) => generate::run(&arguments, terminal),
        Command::Demo(arguments) => demo::run(&arguments, terminal),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "trodden", &mut script);
            print_bytes(&script)
        }
    }
}

/// Writes lines to standard output. What comes from files does not steer a terminal there.
fn print_line(text: impl AsRef<str>) -> Outcome {
    print_bytes(format!("{}\n", printable::lines(text.as_ref())).as_bytes())
}

/// Writes to standard output.
fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::io("standard output", &error))
}
