//! `trodden inspect`: a file of the database in words.

use super::print_line;
use crate::cli::InspectArgs;
use crate::failure::Outcome;
use crate::inspect::inspect;

pub(super) fn run(arguments: &InspectArgs) -> Outcome {
    print_line(inspect(&arguments.file)?.trim_end_matches('\n'))
}
