//! Batches of rows become updates of profiles.

use crate::commands::blocking;
use crate::error::{Error, Result};
use crate::table::pieces::Pieces;
use crate::table::schema::timestamp_type;
use crate::table::sink::{Load, check_size, plain};
use crate::warnings::StatementState;
use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::sync::Arc;
use trodden_engine::profiles::{ProfileBatch, ProfileColumn};
use trodden_engine::{Engine, Profiles, Table};

/// Updates the profiles of a table: with all rows of a statement or with none. What fits into one piece is one batch; more
/// goes through a bulk import, of which nothing is visible before its end.
pub(super) struct ProfileSink {
    pub(super) engine: Arc<Engine>,
    pub(super) events: Arc<Table>,
    /// The time of rows that give none.
    pub(super) now_us: i64,
    pub(super) statement: Arc<StatementState>,
}

impl ProfileSink {
    /// Take all rows; how many updates were stored.
    ///
    /// # Errors
    /// What is wrong with a row; what the disk says; `Cancelled`.
    pub(super) async fn write_all(&self, mut data: SendableRecordBatchStream) -> Result<u64> {
        let mut load = None;
        let rest = self.take(&mut data, &mut load).await;
        // The scans behind the rows end before anything is written for good.
        drop(data);
        let Some(mut load) = load else {
            return match rest? {
                Some(rows) => self.upsert(&rows).await,
                None => Ok(0),
            };
        };
        let pushed = match rest {
            Ok(Some(rows)) => self.push(&mut load, &rows).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match pushed {
            Ok(()) => Ok(load.commit(Arc::clone(&self.statement)).await?),
            Err(error) => {
                load.abandon().await;
                Err(error)
            }
        }
    }

    /// Take the rows of `data`. An import that began is left in `load`, whatever happens.
    async fn take(&self, data: &mut SendableRecordBatchStream, load: &mut Option<Load>) -> Result<Option<RecordBatch>> {
        let (mut pieces, mut full) = (Pieces::default(), Vec::new());
        while let Some(batch) = data.next().await.transpose()? {
            self.statement.check_cancelled()?;
            pieces.add(batch, &mut full)?;
            for piece in full.drain(..) {
                let load = match load {
                    Some(load) => load,
                    None => load.insert(Load::begin(self.profiles().await?.table()).await?),
                };
                self.push(load, &piece).await?;
            }
        }
        self.statement.check_cancelled()?;
        Ok(pieces.finish()?)
    }

    async fn profiles(&self) -> Result<Arc<Profiles>> {
        let (engine, events) = (Arc::clone(&self.engine), Arc::clone(&self.events));
        blocking(move || Ok(engine.profiles(&events)?)).await
    }

    async fn upsert(&self, rows: &RecordBatch) -> Result<u64> {
        let batch = profile_batch(rows, self.now_us)?;
        let (engine, events) = (Arc::clone(&self.engine), Arc::clone(&self.events));
        let stored = blocking(move || {
            engine.profiles(&events)?;
            Ok(events.upsert(batch)?)
        });
        Ok(stored.await?.accepted)
    }

    /// Push rows to an import, during which nobody can be deleted.
    async fn push(&self, load: &mut Load, rows: &RecordBatch) -> Result<()> {
        let mut batch = profile_batch(rows, self.now_us)?.into_events()?;
        batch.user_id = self.events.persons(batch.user_id);
        let (events, users) = (Arc::clone(&self.events), batch.user_id.clone());
        blocking(move || Ok(events.introduce_users(&users)?)).await?;
        Ok(load.push(batch).await?)
    }
}

/// The columns of a batch, by name, as updates.
fn profile_batch(rows: &RecordBatch, now_us: i64) -> Result<ProfileBatch> {
    let text = |name: &str| -> Result<Option<StringArray>> {
        let Some(column) = rows.column_by_name(name) else { return Ok(None) };
        check_size(name, column)?;
        let texts = cast(column, &DataType::Utf8).map_err(datafusion::common::DataFusionError::from)?;
        Ok(Some(texts.as_string::<i32>().clone()))
    };
    let user_id = text("user_id")?.ok_or_else(|| no_user("the rows have no column 'user_id'"))?;
    if user_id.null_count() > 0 {
        return Err(no_user("a profile has no user_id"));
    }
    let ts = match rows.column_by_name("ts") {
        None => Int64Array::from(vec![now_us; rows.num_rows()]),
        Some(column) => {
            let times = cast(column, &timestamp_type()).map_err(datafusion::common::DataFusionError::from)?;
            if times.null_count() > 0 {
                return Err(Error::invalid("an update of a profile has no ts")
                    .with_hint("leave ts away to take the time of the statement, or such rows out with WHERE"));
            }
            times.as_primitive::<TimestampMicrosecondType>().reinterpret_cast()
        }
    };
    let mut columns = Vec::new();
    for (field, values) in rows.schema().fields().iter().zip(rows.columns()) {
        if !matches!(field.name().as_str(), "user_id" | "ts" | "event_id") {
            check_size(field.name(), values)?;
            columns.push(ProfileColumn { name: field.name().clone(), values: plain(values)?, sets: None });
        }
    }
    Ok(ProfileBatch { user_id, ts, event_id: text("event_id")?, columns })
}

fn no_user(message: &str) -> Error {
    Error::invalid(message).with_hint("user_id must not be NULL: leave such rows out with WHERE")
}
