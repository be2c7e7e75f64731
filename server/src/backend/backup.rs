//! A copy of the database in a directory of this machine.

use super::place::failed;
use super::{Backend, Source, closed};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Running;
use crate::progress::CopyBar;
use crate::report::Report;
use std::path::Path;
use trodden_client::{BackupPiece, BackupStream, CallError, Client};
use trodden_query::engine::backup::{Copied, Receiver};
use trodden_query::engine::storage::LocalStore;
use trodden_query::{BackedUp, Error};

impl Backend {
    /// Copies the database, as of one moment, to the directory `target`, which is made when it is absent. Ctrl-C ends it.
    ///
    /// # Errors
    /// `target` is not empty, or what the disk or the server says. What is left in `target` then is no database.
    pub fn backup(&self, target: &Path, bar: &CopyBar, running: &Running) -> Outcome<BackedUp> {
        match &self.source {
            Source::Local(database) => {
                let copied = database.backup_with(target, &running.token(), &mut |copied, total| bar.at(copied, total));
                copied.map_err(|error| failed(&error))
            }
            Source::Remote(client) => {
                let runtime = self.runtime.as_ref().ok_or_else(closed)?;
                runtime.block_on(fetch(client, target, bar, running))
            }
        }
    }
}

/// Copies the database of a server.
async fn fetch(client: &Client, target: &Path, bar: &CopyBar, running: &Running) -> Outcome<BackedUp> {
    let written = |error: trodden_query::engine::error::Error| failed(&Error::from(error.at(target.display())));
    // Before the server is asked: what is wrong here is known at once.
    let store = LocalStore::create(target).map_err(|error| failed(&Error::from(error)))?;
    let mut receiver = Receiver::begin(&store).map_err(written)?;
    let mut stream = unless_interrupted(running, client.backup()).await?;
    let mut came = Copied { files: 0, bytes: 0 };
    bar.at(0, stream.bytes());
    while let Some(piece) = unless_interrupted(running, stream.next()).await? {
        match piece {
            BackupPiece::File { name, size } => {
                came.files += 1;
                receiver.begin_file(&name, size).map_err(written)?;
            }
            BackupPiece::Content(bytes) => {
                came.bytes += bytes.len() as u64;
                receiver.write(&bytes).map_err(written)?;
                bar.at(came.bytes, stream.bytes());
            }
        }
    }
    check_all_came(&stream, came)?;
    let Copied { files, bytes } = receiver.finish().map_err(written)?;
    Ok(BackedUp { tables: stream.tables(), files, bytes })
}

/// What the server announced has come, and nothing else.
fn check_all_came(stream: &BackupStream, came: Copied) -> Outcome {
    match came == (Copied { files: stream.files(), bytes: stream.bytes() }) {
        true => Ok(()),
        false => {
            let Copied { files, bytes } = came;
            let (all, size) = (stream.files(), stream.bytes());
            let message = format!("{files} of {all} files came from the server, with {bytes} of {size} bytes");
            Err(Report::error(message).with_hint("copy again").into())
        }
    }
}

/// Waits for the server, or for Ctrl-C.
async fn unless_interrupted<T>(running: &Running, call: impl Future<Output = Result<T, CallError>>) -> Outcome<T> {
    tokio::select! {
        done = call => done.map_err(|error| failed(&error)),
        () = running.interrupted() => Err(Failure::Interrupted(Report::error("the backup was cancelled"))),
    }
}
