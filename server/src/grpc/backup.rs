//! A backup as a stream: files of one moment, in pieces. They are read on a thread that may wait for the disk, a few pieces
//! ahead of the client.

use super::status::to_status;
use crate::serve::App;
use crate::watch::metrics::BACKUPS;
use metrics::counter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use trodden_proto::v1 as wire;
use trodden_proto::v1::backup_response::{Done, File, Piece, Started};
use trodden_query::engine::Backup;
use trodden_query::{Error, ErrorKind, Result};

/// Pieces that wait for a client that reads slowly.
const AHEAD: usize = 4;

/// What a client is sent.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = std::result::Result<wire::BackupResponse, Status>> + Send>>;

type Sender = mpsc::Sender<std::result::Result<wire::BackupResponse, Status>>;

/// Begin a backup. It ends with the stream.
pub(super) fn start(app: &Arc<App>) -> Pieces {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || run(&app, &sender));
    Box::pin(ReceiverStream::new(receiver))
}

fn run(app: &App, sender: &Sender) {
    let began = Instant::now();
    let outcome = match send(app, sender) {
        Ok(backup) => {
            let (tables, bytes) = (backup.tables(), backup.bytes());
            let (files, took) = (backup.files().len(), began.elapsed());
            tracing::info!(tables, files, bytes, ?took, "a backup was sent");
            "ok"
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            tracing::info!("a backup ended with the client that asked for it");
            "cancelled"
        }
        Err(error) => {
            tracing::warn!(%error, "a backup failed");
            // Nobody waits for it any more if this fails.
            let _ = sender.blocking_send(Err(to_status(&error, "")));
            "failed"
        }
    };
    counter!(BACKUPS, "outcome" => outcome).increment(1);
}

/// Take the moment, and send its files.
fn send(app: &App, sender: &Sender) -> Result<Backup> {
    let moment_us = app.clock.now_us();
    let backup = app.database.engine().backup(&|| sender.is_closed())?;
    let give = |piece| {
        let sent = sender.blocking_send(Ok(wire::BackupResponse { piece: Some(piece) }));
        sent.map_err(|_| Error::new(ErrorKind::Cancelled, "the client is gone"))
    };
    let (tables, files, bytes) = (backup.tables(), backup.files().len() as u64, backup.bytes());
    give(Piece::Started(Started { moment_us, tables, files, bytes }))?;
    for file in backup.files() {
        give(Piece::File(File { name: file.name().to_owned(), size: file.size() }))?;
        for bytes in file.pieces() {
            give(Piece::Content(bytes.to_vec()))?;
        }
    }
    give(Piece::Done(Done {}))?;
    Ok(backup)
}
