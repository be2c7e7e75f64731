//! The binary `trodden`: server, import, shell, checks, demonstration.
//!
//! A command reads its arguments, asks the database, and shows the answer; everything about data is the database's.
//! Modules are listed in the order in which a call passes through them.

#![allow(clippy::result_large_err, reason = "a command fails at most once; what it says may be large")]

pub mod cli;
pub mod commands;
pub mod session;
pub mod shell;
pub mod backend;
pub mod config;
pub mod access;
pub mod serve;
pub mod http;
pub mod door;
pub mod grpc;
pub mod flight;
pub mod rules;
pub mod watch;
pub mod inspect;
pub mod output;
pub mod chart;
pub mod progress;
pub mod generator;
pub mod report;
pub mod failure;
pub mod interrupt;
pub mod memory;
pub mod terminal;
pub mod triangle;
pub mod printable;
pub mod words;
mod import_wire;
mod text_place;
mod allocator;
mod panic;

use clap::Parser;
use failure::Failure;
use report::Report;
use std::io::{self, Write};
use std::process::ExitCode;
use terminal::Terminal;

/// Runs the command line of this process. The exit code is 0 for success, 1 for failure, 2 for wrong usage, 130
/// after Ctrl-C.
pub fn run() -> ExitCode {
    allocator::tune();
    panic::install_hook();
    let arguments = match cli::Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are "errors" here too. When nobody reads them, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let terminal = Terminal::detect();
    match commands::run(arguments.command, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::Usage(report) | Failure::Failed(report) | Failure::Interrupted(report) = &failure {
                tell(report, &terminal);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Shows a report on standard error. A standard error that is closed is no reason to fail.
pub fn tell(report: &Report, terminal: &Terminal) {
    let _ = io::stderr().write_all(report.render(terminal).as_bytes());
}
