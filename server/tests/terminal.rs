//! The shell and the progress bar on a terminal: `terminal.py` sits at a pseudo-terminal and types.

mod common;

use common::Place;
use std::process::Command;

#[track_caller]
fn typed(scene: &str) {
    let place = Place::with_events();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.py");
    let mut python = Command::new("python3");
    python.args([script, scene, env!("CARGO_BIN_EXE_trodden")]).current_dir(place.path(""));
    let run = python.env("HOME", place.path("")).env_remove("XDG_STATE_HOME").output();
    let run = run.expect("python3, which scripts/setup installs");
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
}

#[test]
fn the_shell_takes_statements_of_several_lines_and_keeps_a_history() {
    typed("statements");
}

#[test]
fn the_shell_has_a_timer_and_formats() {
    typed("settings");
}

#[test]
fn ctrl_c_ends_a_statement_and_not_the_shell() {
    typed("interrupt");
}

#[test]
fn an_import_shows_how_far_it_is() {
    typed("progress");
}
