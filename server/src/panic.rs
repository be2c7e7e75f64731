//! A fault of trodden itself is told in two lines, without a backtrace that means nothing to its reader.

use std::panic::{self, PanicHookInfo};

/// Where faults are reported.
const ISSUES: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Replaces Rust's words about a panic. With `RUST_BACKTRACE` set, Rust's own follow.
pub(crate) fn install_hook() {
    let detailed = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        eprintln!("{}", message(info));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            detailed(info);
        }
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
    format!(
        "error: trodden failed by a fault of its own: {text}{place}\n  \
         hint: what was stored stays stored. Please report this as an issue, with what you did and the line above \
         ({ISSUES}); RUST_BACKTRACE=1 shows more"
    )
}
