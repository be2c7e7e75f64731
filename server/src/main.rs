//! The binary `trodden`: see `trodden_server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    trodden_server::run()
}
