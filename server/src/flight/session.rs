//! Sessions and transactions, as far as there are any: every statement is by itself, and a name means the same to all.

use super::running::Running;
use super::ticket::StatementTicket;
use crate::serve::Owner;
use arrow_flight::sql::{ActionCancelQueryResult, Any};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::HashMap;
use tonic::Status;
use trodden_query::{CATALOG, SCHEMA};

/// The actions of Flight that are answered here, with what each takes and gives.
pub(super) const ACTIONS: [(&str, &str); 4] = [
    ("CancelFlightInfo", "Cancels a statement.\nRequest: CancelFlightInfoRequest\nResponse: CancelFlightInfoResult"),
    ("SetSessionOptions", "Sets options.\nRequest: SetSessionOptionsRequest\nResponse: SetSessionOptionsResult"),
    ("GetSessionOptions", "Tells options.\nRequest: GetSessionOptionsRequest\nResponse: GetSessionOptionsResult"),
    ("CloseSession", "Ends the session of a login.\nRequest: CloseSessionRequest\nResponse: CloseSessionResult"),
];

/// The value of an option.
#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    status: i32,
}

const CLOSED: i32 = 1;

/// The answer to `SetSessionOptions`: the catalog and the schema can be named, since there is one of each.
///
/// # Errors
/// `invalid_argument` for a message that cannot be read.
pub(super) fn set_options(action: &Action) -> Result<Bytes, Status> {
    let request: SetSessionOptionsRequest = decode(&action.body)?;
    let errors = request.options.into_iter().filter_map(|(name, given)| {
        let wanted = match name.as_str() {
            "catalog" => CATALOG,
            "schema" => SCHEMA,
            _ => return Some((name, OptionError { value: INVALID_NAME })),
        };
        // An option without a value is set back.
        let is_right = match &given.value {
            None => true,
            Some(Value::Text(text)) => text.is_empty() || text.eq_ignore_ascii_case(wanted),
            Some(_) => false,
        };
        (!is_right).then_some((name, OptionError { value: INVALID_VALUE }))
    });
    Ok(SetSessionOptionsResult { errors: errors.collect() }.encode_to_vec().into())
}

/// The answer to `GetSessionOptions`.
pub(super) fn options() -> Bytes {
    let option = |(name, value): (&str, &str)| (name.into(), OptionValue { value: Some(Value::Text(value.into())) });
    let options = [("catalog", CATALOG), ("schema", SCHEMA)].map(option).into();
    GetSessionOptionsResult { options }.encode_to_vec().into()
}

/// The answer to `CloseSession`.
pub(super) fn closed() -> Bytes {
    CloseSessionResult { status: CLOSED }.encode_to_vec().into()
}

/// The answer to `CancelFlightInfo`.
///
/// # Errors
/// `invalid_argument` for a message that cannot be read.
pub(super) fn cancel_flight_info(action: &Action, running: &Running, owner: &Owner) -> Result<Bytes, Status> {
    let request: CancelFlightInfoRequest = decode(&action.body)?;
    let status = cancel(&request.info.unwrap_or_default(), running, owner);
    Ok(CancelFlightInfoResult { status: status.into() }.encode_to_vec().into())
}

/// The answer to the older action `CancelQuery` of Flight SQL.
///
/// # Errors
/// `invalid_argument` for a message that cannot be read.
pub(super) fn cancel_query(info: &Bytes, running: &Running, owner: &Owner) -> Result<ActionCancelQueryResult, Status> {
    let info: FlightInfo = decode(info)?;
    // The numbers are the same in both.
    Ok(ActionCancelQueryResult { result: cancel(&info, running, owner).into() })
}

/// Stop the statements whose rows are in `info`, also those that nobody has asked for the rows of yet.
fn cancel(info: &FlightInfo, running: &Running, owner: &Owner) -> CancelStatus {
    let tickets = StatementTicket::all_of(info);
    for ticket in &tickets {
        running.cancel(&ticket.id, owner);
    }
    if tickets.is_empty() { CancelStatus::NotCancellable } else { CancelStatus::Cancelled }
}

/// A message of an action. Some clients put it into an `Any`, as Flight SQL has it for its own actions.
fn decode<M: Message + Default>(body: &Bytes) -> Result<M, Status> {
    let inner = Any::decode(body.clone()).ok().filter(|any| any.type_url.starts_with("type.googleapis.com/"));
    let body = inner.map_or_else(|| body.clone(), |any| any.value);
    M::decode(body)
        .map_err(|error| Status::invalid_argument(format!("the message of the action cannot be read: {error}")))
}

/// What is said to everything about transactions.
pub(super) fn no_transactions() -> Status {
    Status::unimplemented("there are no transactions: every statement is committed when it ends (hint: use autocommit)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(body: Vec<u8>) -> Action {
        Action { r#type: "x".into(), body: body.into() }
    }

    #[test]
    fn catalog_and_schema_can_be_named_and_nothing_else() {
        let text = |text: &str| OptionValue { value: Some(Value::Text(text.into())) };
        let options = [
            ("catalog", text("trodden")),
            ("schema", text("other")),
            ("speed", OptionValue { value: Some(Value::Integer(3)) }),
        ];
        let request = SetSessionOptionsRequest { options: options.map(|(name, value)| (name.into(), value)).into() };
        let answer = set_options(&action(request.encode_to_vec())).unwrap();
        let errors = SetSessionOptionsResult::decode(answer).unwrap().errors;
        assert_eq!(errors.len(), 2);
        assert_eq!((errors["schema"].value, errors["speed"].value), (INVALID_VALUE, INVALID_NAME));
        let told = GetSessionOptionsResult::decode(options_bytes()).unwrap().options;
        assert_eq!(told["schema"].value, Some(Value::Text("public".into())));
    }

    fn options_bytes() -> Bytes {
        options()
    }

    #[test]
    fn a_message_may_be_in_an_any() {
        let request = CancelFlightInfoRequest { info: Some(FlightInfo::new()) };
        let wrapped = Any { type_url: "type.googleapis.com/x".into(), value: request.encode_to_vec().into() };
        for body in [request.encode_to_vec(), wrapped.encode_to_vec()] {
            let answer = cancel_flight_info(&action(body), &Running::default(), &None).unwrap();
            let status = CancelFlightInfoResult::decode(answer).unwrap().status;
            assert_eq!(status, i32::from(CancelStatus::NotCancellable));
        }
        let refused = cancel_flight_info(&action(vec![0xff; 9]), &Running::default(), &None).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
