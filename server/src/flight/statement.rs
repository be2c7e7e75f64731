//! Statements as clients send them: read, described, and allowed or not.

use super::status;
use super::wire::wire_schema;
use crate::access::{Principal, Role};
use crate::serve::App;
use arrow_schema::{DataType, SchemaRef};
use std::sync::Arc;
use tonic::Status;
use trodden_query::{Description, Error, ErrorKind, ScalarValue, Statement};

/// A statement, and the text that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) statement: Statement,
    pub(super) text: Arc<str>,
}

/// The statement in a text.
///
/// # Errors
/// `invalid_argument` for none or several, and with its place for what is wrong with it.
pub(super) async fn read(app: &App, text: &str) -> Result<Read, Status> {
    let (database, text): (_, Arc<str>) = (app.database.clone(), text.into());
    let parsed = Arc::clone(&text);
    let read = app.queries.compute(move || {
        let mut statements = database.parse(&parsed)?;
        match (statements.pop(), statements.len()) {
            (Some(statement), 0) => Ok(statement),
            (None, _) => {
                Err(Error::new(ErrorKind::Syntax, "there is no statement").with_hint("for example SHOW TABLES"))
            }
            (Some(_), others) => {
                let message = format!("one statement can be sent at a time, and here are {}", others + 1);
                Err(Error::new(ErrorKind::Syntax, message).with_hint("send one after the other"))
            }
        }
    });
    let statement = read.await.map_err(|error| status::of(&error, &text))?;
    Ok(Read { statement, text })
}

/// A statement that may be run, and what it answers as it is sent.
pub(super) struct Described {
    /// The columns of its answer on the wire.
    pub(super) schema: SchemaRef,
    /// The types of its parameters; `None` where any will do.
    pub(super) parameters: Vec<Option<DataType>>,
    /// It changes nothing.
    pub(super) is_query: bool,
}

/// What a statement asks for and answers, for somebody who may run it.
///
/// # Errors
/// `permission_denied`, and what planning finds.
pub(super) async fn describe(
    app: &App,
    principal: &Principal,
    read: &Read,
    parameters: &[ScalarValue],
) -> Result<Described, Status> {
    refuse_writer(principal)?;
    let (database, statement, parameters) = (app.database.clone(), read.statement.clone(), parameters.to_vec());
    let found = app.queries.compute(move || database.describe(&statement, &parameters)).await;
    let Description { schema, parameters, is_query } = found.map_err(|error| status::of(&error, &read.text))?;
    allow(principal, is_query)?;
    Ok(Described { schema: wire_schema(&schema), parameters, is_query })
}

/// Refuse to run what `principal` may not. As [`describe`], but quick where the text alone tells.
///
/// # Errors
/// `permission_denied`, and for `EXECUTE` what planning finds.
pub(super) async fn check(app: &App, principal: &Principal, read: &Read) -> Result<(), Status> {
    refuse_writer(principal)?;
    match principal.may(Role::Admin) || read.statement.is_query() {
        true => Ok(()),
        false => describe(app, principal, read, &[]).await.map(drop),
    }
}

/// Refuse to run a statement without a value for each parameter.
///
/// # Errors
/// `invalid_argument`.
pub(super) fn require_values(read: &Read, values: &[ScalarValue]) -> Result<(), Status> {
    if values.len() >= read.statement.parameters() {
        return Ok(());
    }
    let missing = Error::new(ErrorKind::InvalidInput, format!("parameter ${} has no value", values.len() + 1));
    Err(status::of(&missing.with_hint("prepare the statement, and bind a value for each ? or $n"), &read.text))
}

/// Whoever may not read learns nothing of tables, not from errors either.
fn refuse_writer(principal: &Principal) -> Result<(), Status> {
    require(principal, Role::Read, "this key may not ask (hint: use a key that may read)")
}

fn allow(principal: &Principal, is_query: bool) -> Result<(), Status> {
    let role = if is_query { Role::Read } else { Role::Admin };
    require(principal, role, "this key may ask, but change nothing (hint: use a key that may do everything)")
}

/// # Errors
/// `permission_denied` with `refused` for somebody who may not.
pub(super) fn require(principal: &Principal, role: Role, refused: &str) -> Result<(), Status> {
    if principal.may(role) { Ok(()) } else { Err(Status::permission_denied(refused)) }
}
