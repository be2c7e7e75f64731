//! `trodden inspect`: a file of the database in words.

use super::print_line;
use crate::cli::InspectArgs;
use crate::failure::{Failure, Outcome};
use crate::inspect::inspect;

pub(super) fn run(arguments: &InspectArgs) -> Outcome {
    let inspection = inspect(&arguments.file)?;
    print_line(inspection.text.trim_end_matches('\n'))?;
    inspection.damage.map_or(Ok(()), |damage| Err(Failure::Failed(damage)))
}
