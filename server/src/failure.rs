//! How a command ends when it does not succeed: the exit code, and what is told.

use crate::interrupt::EXIT_CODE;
use crate::report::Report;
use std::io;

/// The result of a command.
pub type Outcome<T = ()> = std::result::Result<T, Failure>;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The command line cannot mean anything: exit code 2.
    Usage(Report),
    /// What was asked for failed: exit code 1.
    Failed(Report),
    /// Ctrl-C ended it: exit code 130, as shells have it.
    Interrupted(Report),
    /// The failure has been told already: exit code 1, no further word.
    Told,
    /// Nobody reads our output any more (`| head`): a quiet end with exit code 0.
    PipeClosed,
}

impl Failure {
    /// Wrong usage, with what is wrong and the way out.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(Report::error(message).with_hint(hint))
    }

    /// A failure of `what` (a file or an action) in the operating system; a closed pipe is a quiet end.
    pub fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            io::ErrorKind::StorageFull => Self::Failed(
                Report::error(format!("{what}: {error}")).with_hint("free space on the disk and run the command again"),
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Failed(
                Report::error(format!("{what}: {error}")).with_hint("check the owner and the permissions of the place"),
            ),
            _ => Self::Failed(Report::error(format!("{what}: {error}"))),
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Told => 1,
            Self::Interrupted(_) => EXIT_CODE,
            Self::PipeClosed => 0,
        }
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Failed(report)
    }
}
