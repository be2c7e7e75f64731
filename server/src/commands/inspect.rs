//! `trodden inspect`: a file of the database in words.

use super::print_bytes;
use crate::cli::InspectArgs;
use crate::failure::Outcome;
use crate::inspect::inspect;

pub(super) fn run(arguments: &InspectArgs) -> Outcome {
    let mut text = inspect(&arguments.file)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print_bytes(text.as_bytes())
}
