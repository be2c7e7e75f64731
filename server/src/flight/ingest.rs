//! Bulk ingestion: rows of a client become events, batch by batch as they come. Each batch is durable before the next is
//! taken from the connection, so a client that is faster than the disk waits.

use super::answer::DOOR;
use super::statement::require;
use super::status;
use crate::access::{Principal, Role};
use crate::rules;
use crate::serve::App;
use crate::watch::metrics;
use arrow_array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use arrow_schema::Schema;
use futures::{Stream, StreamExt, TryStreamExt};
use std::time::Instant;
use tonic::Status;
use trodden_query::engine::types::TableOptions;
use trodden_query::{CATALOG, Database, SCHEMA};

/// What becomes of rows for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    create: bool,
    exists: Exists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exists {
    Fail,
    Append,
    Replace,
}

impl Target {
    /// What the options of a client ask for. Without any, rows are added to a table that is there.
    fn of(options: Option<&TableDefinitionOptions>) -> Result<Self, Status> {
        let Some(options) = options else { return Ok(Self { create: false, exists: Exists::Append }) };
        let unspecified =
            |which: &str| Status::invalid_argument(format!("the option {which} of the ingestion is not set"));
        let create = match options.if_not_exist() {
            TableNotExistOption::Create => true,
            TableNotExistOption::Fail => false,
            TableNotExistOption::Unspecified => return Err(unspecified("if_not_exist")),
        };
        let exists = match options.if_exists() {
            TableExistsOption::Fail => Exists::Fail,
            TableExistsOption::Append => Exists::Append,
            TableExistsOption::Replace => Exists::Replace,
            TableExistsOption::Unspecified => return Err(unspecified("if_exists")),
        };
        Ok(Self { create, exists })
    }
}

/// Store the rows of a stream. The answer is how many events are new: those whose `event_id` is known are left out.
///
/// # Errors
/// `permission_denied`; `invalid_argument` for rows that are no events; `not_found` and `already_exists` as the options
/// have it; what the disk says. Batches before the one that failed are stored, and the error says how many rows they had.
pub(super) async fn run(
    app: &App,
    principal: &Principal,
    command: &CommandStatementIngest,
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<i64, Status> {
    refuse_unoffered(command)?;
    let target = Target::of(command.table_definition_options.as_ref())?;
    let database = &app.database;
    allow(database, principal, &command.table, target)?;
    let messages = messages.try_filter(|message| {
        let has_content = !message.data_header.is_empty();
        async move { has_content }
    });
    let mut decoded = FlightDataDecoder::new(messages.map_err(FlightError::from)).map_err(status::unreadable);
    let mut table: Option<String> = None;
    let mut progress = Progress::default();
    while let Some(message) = decoded.next().await.transpose().map_err(|error| progress.told(error))? {
        match message.payload {
            DecodedPayload::None => {}
            DecodedPayload::Schema(schema) if table.is_none() => {
                table = Some(open(database, &command.table, target, &schema).await?);
            }
            DecodedPayload::Schema(schema) => {
                Database::check_rows(&command.table, &schema).map_err(|error| progress.told(status::from(error)))?;
            }
            DecodedPayload::RecordBatch(batch) => {
                let Some(table) = &table else { return Err(Status::invalid_argument("rows came before their schema")) };
                progress.add(append(database, table, batch).await).map_err(|error| progress.told(error))?;
            }
        }
    }
    match table {
        Some(_) => Ok(i64::try_from(progress.accepted).unwrap_or(i64::MAX)),
        None => Err(Status::invalid_argument("the ingestion has no schema: no rows were sent")),
    }
}

#[derive(Debug, Default)]
struct Progress {
    rows: u64,
    accepted: u64,
}

impl Progress {
    fn add(&mut self, appended: Result<(u64, u64), Status>) -> Result<(), Status> {
        let (rows, accepted) = appended?;
        self.rows += rows;
        self.accepted += accepted;
        Ok(())
    }

    /// An error after which some rows are stored has to say so.
    fn told(&self, error: Status) -> Status {
        match self.rows {
            0 => error,
            rows => {
                let message = error.message();
                let message = format!(
                    "{message} (the {rows} rows of the batches before it are stored; \
                                       rows with an event_id can be sent again)"
                );
                status::retold(&error, message)
            }
        }
    }
}

async fn append(database: &Database, table: &str, batch: RecordBatch) -> Result<(u64, u64), Status> {
    let (database, name, rows) = (database.clone(), table.to_string(), batch.num_rows() as u64);
    let began = Instant::now();
    let (appended, _) = blocking(move || {
        let (events, table) = (database.event_batches(&name, &batch)?, database.engine().table(&name)?);
        // Whose events are rejected shows in the count that is answered: the protocol has no other place for it.
        rules::append(DOOR, &database, &table, events)
    })
    .await?;
    metrics::ingested(DOOR, table, appended, began);
    Ok((rows, appended.accepted))
}

/// Run what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> trodden_query::Result<T> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(status::from),
        Err(error) => Err(status::fault("the work broke off", error)),
    }
}

fn refuse_unoffered(command: &CommandStatementIngest) -> Result<(), Status> {
    if command.transaction_id.as_ref().is_some_and(|id| !id.is_empty()) {
        return Err(super::session::no_transactions());
    }
    if command.temporary {
        return Err(Status::unimplemented(
            "there are no temporary tables (hint: make a table, and drop it at the end)",
        ));
    }
    for (given, known, what) in [(&command.catalog, CATALOG, "catalog"), (&command.schema, SCHEMA, "schema")] {
        if let Some(name) = given.as_deref().filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(known)) {
            return Err(Status::not_found(format!(
                "no {what} is called '{name}' (hint: leave it away, or write '{known}')"
            )));
        }
    }
    if command.table.is_empty() {
        return Err(Status::invalid_argument("the ingestion names no table"));
    }
    Ok(())
}

/// A key that may write does so to its table only; to drop one takes a key that may do everything.
fn allow(database: &Database, principal: &Principal, table: &str, target: Target) -> Result<(), Status> {
    require(
        principal,
        Role::Write,
        "this key may not send events (hint: use a write key, or one that may do everything)",
    )?;
    if principal.may(Role::Admin) {
        return Ok(());
    }
    let found = database.find_table(table).ok().flatten();
    let named = found.as_ref().map_or(table, |found| found.name());
    if let Some(own) = principal.table.as_deref().filter(|own| *own != named) {
        return Err(Status::permission_denied(format!("this key sends events to table '{own}', not to '{table}'")));
    }
    if target.exists == Exists::Replace {
        return Err(Status::permission_denied(
            "this key may not replace a table (hint: append, or use a key that may do everything)",
        ));
    }
    Ok(())
}

/// The table that the rows go to: the one that is there, or a new one.
async fn open(database: &Database, name: &str, target: Target, schema: &Schema) -> Result<String, Status> {
    Database::check_rows(name, schema).map_err(status::from)?;
    let found = database.find_table(name).map_err(status::from)?;
    let found = match (found, target.exists) {
        (Some(found), Exists::Append) => return Ok(found.name().to_string()),
        (Some(found), Exists::Fail) => {
            return Err(Status::already_exists(format!(
                "there is a table '{}' already (hint: append to it)",
                found.name()
            )));
        }
        (found, _) => found,
    };
    if found.is_none() && !target.create {
        return Err(status::from(database.no_such_table(name)));
    }
    let columns = Database::columns_for_rows(schema).map_err(status::from)?;
    let (database, name) = (database.clone(), name.to_string());
    blocking(move || {
        if let Some(found) = found {
            database.engine().drop_table(found.name())?;
        }
        Ok(database.create_table(&name, columns, TableOptions::default())?.name().to_string())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_as_the_protocol_has_them() {
        let options = |if_not_exist: i32, if_exists: i32| TableDefinitionOptions { if_not_exist, if_exists };
        assert_eq!(Target::of(None).unwrap(), Target { create: false, exists: Exists::Append });
        assert_eq!(Target::of(Some(&options(1, 1))).unwrap(), Target { create: true, exists: Exists::Fail });
        assert_eq!(Target::of(Some(&options(2, 3))).unwrap(), Target { create: false, exists: Exists::Replace });
        for unset in [options(0, 1), options(1, 0)] {
            assert_eq!(Target::of(Some(&unset)).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }
}
