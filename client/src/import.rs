//! Whole files of events: all of them, or nothing.

use crate::call_error::{CallError, CallErrorKind};
use crate::connect::Client;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use trodden_proto::v1 as wire;
use trodden_proto::v1::import_request::Step;

/// Bytes of a batch in one message.
const PIECE_BYTES: usize = 1 << 20;
/// Messages that wait for the connection. One that sends faster waits.
const AHEAD: usize = 4;

impl Client {
    /// What to know of a table before files are imported into it; `None` where there is none of that name.
    ///
    /// # Errors
    /// `Denied`, `Invalid` for a name that no table can have, and those of any call.
    pub async fn describe_import(&self, table: &str) -> Result<Option<wire::ImportTable>, CallError> {
        let request = wire::DescribeImportRequest { table: table.to_owned() };
        Ok(self.imports().describe_import(request).await?.into_inner().table)
    }

    /// Begins an import. Called in the context of a tokio runtime.
    pub fn import(&self, begin: wire::BeginImport) -> Import {
        let (requests, waiting) = mpsc::channel(AHEAD);
        let mut service = self.imports();
        let call = tokio::spawn(async move {
            let begin = wire::ImportRequest { step: Some(Step::Begin(begin)) };
            let steps = tokio_stream::StreamExt::chain(tokio_stream::once(begin), ReceiverStream::new(waiting));
            Ok(service.import(steps).await?.into_inner())
        });
        Import { requests, call: Mutex::new(Call::Running(AbortOnDrop(call))) }
    }
}

/// A running import. Dropped without a commit, it leaves nothing.
#[derive(Debug)]
pub struct Import {
    requests: mpsc::Sender<wire::ImportRequest>,
    /// Held while the pieces of a batch are sent: they follow each other.
    call: Mutex<Call>,
}

#[derive(Debug)]
enum Call {
    Running(AbortOnDrop),
    /// It ended before its commit, for this reason.
    Failed(CallError),
}

impl Import {
    /// Sends a batch: an Arrow IPC stream with one record batch, as `import.proto` tells. Waits while the server has enough
    /// to do. May be called from several tasks at a time, in any order of the numbers.
    ///
    /// # Errors
    /// Why the server ended the import.
    pub async fn push(&self, sequence: u64, arrow: &[u8]) -> Result<(), CallError> {
        let mut call = self.call.lock().await;
        if let Call::Failed(error) = &*call {
            return Err(error.clone());
        }
        // Also a batch of nothing has a piece, which ends it.
        let pieces = arrow.len().div_ceil(PIECE_BYTES).max(1);
        for piece in 0..pieces {
            let bytes = &arrow[piece * PIECE_BYTES..arrow.len().min((piece + 1) * PIECE_BYTES)];
            let piece = wire::BatchPiece { sequence, arrow: bytes.to_vec(), is_last: piece + 1 == pieces };
            let request = wire::ImportRequest { step: Some(Step::Piece(piece)) };
            if self.requests.send(request).await.is_err() {
                return Err(call.fail().await);
            }
        }
        Ok(())
    }

    /// Stores what was sent, which is so many batches. On return it is durable and visible. Ending the wait ends the import,
    /// unless it is stored by then.
    ///
    /// # Errors
    /// Why nothing is stored; with `Unreachable` it may be: the same files again would then be known by their
    /// fingerprints.
    pub async fn commit(self, batches: u64) -> Result<wire::ImportResponse, CallError> {
        let Self { requests, call } = self;
        let commit = wire::ImportRequest { step: Some(Step::Commit(wire::CommitImport { batches })) };
        // That nobody takes it is told by the answer.
        let _ = requests.send(commit).await;
        drop(requests);
        match call.into_inner() {
            Call::Failed(error) => Err(error),
            Call::Running(mut call) => call.wait().await,
        }
    }
}

impl Call {
    /// Why the call ended early.
    async fn fail(&mut self) -> CallError {
        let error = match self {
            Self::Failed(error) => error.clone(),
            Self::Running(call) => match call.wait().await {
                Err(error) => error,
                Ok(_) => CallError::new(CallErrorKind::Unreachable, "the server ended the import before its commit"),
            },
        };
        *self = Self::Failed(error.clone());
        error
    }
}

/// A call that ends when nobody waits for it any more.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<Result<wire::ImportResponse, CallError>>);

impl AbortOnDrop {
    async fn wait(&mut self) -> Result<wire::ImportResponse, CallError> {
        match (&mut self.0).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::new(CallErrorKind::Cancelled, "the import was ended")),
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
