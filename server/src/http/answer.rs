//! Answers, in the words of the protocol that was asked in.

use super::delivery::{Part, Rejection};
use super::protocol::Protocol;
use crate::access::Denied;
use crate::door::{Receipt, Refusal};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

/// Rejections that an answer lists; the others are counted.
const LISTED_MAX: usize = 1000;

/// Why a request failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be read.
    Malformed(String),
    /// Too many bytes.
    TooLarge(String),
    /// The body did not go on.
    Slow,
    /// The key lets nobody in.
    Denied(Denied),
    /// It was read, and not stored.
    Refused(Refusal),
    /// A fault of the server.
    Failed,
}

impl Problem {
    /// Too many bytes under way.
    pub fn busy() -> Self {
        let reason = "too many bytes are under way on this server (limits.ingest_bytes)".to_string();
        Self::Refused(Refusal::TooMuch { reason, retry_s: 1 })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Refused(Refusal::Invalid(_)) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refusal::NotAllowed(_)) => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::TooMuch { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(Refusal::Unavailable { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Malformed(reason) | Self::TooLarge(reason) => reason.clone(),
            Self::Slow => "the body did not go on in time (limits.client_timeout_s)".into(),
            Self::Denied(denied) => denied.to_string(),
            Self::Refused(
                Refusal::NotAllowed(reason)
                | Refusal::Invalid(reason)
                | Refusal::TooMuch { reason, .. }
                | Refusal::Unavailable { reason, .. },
            ) => reason.clone(),
            Self::Failed => "a fault of the server; its log tells more. Send it again".into(),
        }
    }

    fn retry_s(&self) -> Option<u64> {
        match self {
            Self::Refused(Refusal::TooMuch { retry_s, .. } | Refusal::Unavailable { retry_s, .. }) => Some(*retry_s),
            _ => None,
        }
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Slow => "timeout",
            Self::Denied(Denied::Missing) => "key_missing",
            Self::Denied(Denied::Unknown) => "key_unknown",
            Self::Denied(Denied::Revoked) => "key_revoked",
            Self::Refused(Refusal::NotAllowed(_)) => "not_allowed",
            Self::Refused(Refusal::Invalid(_)) => "invalid",
            Self::Refused(Refusal::TooMuch { .. }) => "too_much",
            Self::Refused(Refusal::Unavailable { .. }) => "unavailable",
            Self::Failed => "internal",
        }
    }
}

/// What the sender wants of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// The parameter `verbose` of Mixpanel.
    pub verbose: Option<bool>,
    /// Number of events of a request that is told to wait, where it is known.
    pub events: usize,
}

/// The answer to a request.
pub fn answer(protocol: Protocol, wish: Wish, outcome: &Result<Receipt, Problem>) -> Response {
    match outcome {
        Ok(receipt) => success(protocol, wish, receipt),
        Err(problem) => {
            let status = problem.status();
            let mut response = failure(protocol, wish, status, problem);
            if let Some(seconds) = problem.retry_s() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            if status == StatusCode::UNAUTHORIZED {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"trodden\""));
            }
            response
        }
    }
}

fn success(protocol: Protocol, wish: Wish, receipt: &Receipt) -> Response {
    let nothing = is_all_rejected(receipt);
    let first = || receipt.rejected.first().map(|rejection| rejection.reason.clone());
    match protocol {
        Protocol::Segment => json_response(StatusCode::OK, &with_counts(json!({ "success": true }), receipt)),
        Protocol::PostHog => json_response(StatusCode::OK, &with_counts(json!({ "status": 1 }), receipt)),
        Protocol::Plain => {
            let status = if nothing { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            json_response(status, &with_counts(json!({}), receipt))
        }
        Protocol::Amplitude => amplitude(receipt),
        Protocol::Mixpanel | Protocol::MixpanelImport => {
            let is_import = protocol == Protocol::MixpanelImport;
            match wish.verbose {
                Some(true) => {
                    let status = if nothing { 0 } else { 1 };
                    let body = json!({ "status": status, "error": if nothing { first() } else { None } });
                    json_response(StatusCode::OK, &with_counts(body, receipt))
                }
                None if is_import => mixpanel_import(receipt),
                _ => text_response(StatusCode::OK, if nothing { "0" } else { "1" }),
            }
        }
    }
}

fn failure(protocol: Protocol, wish: Wish, status: StatusCode, problem: &Problem) -> Response {
    let (reason, word) = (problem.reason(), problem.word());
    let body = match protocol {
        Protocol::Segment => json!({ "success": false, "code": word, "message": reason }),
        Protocol::PostHog => json!({ "status": 0, "type": "error", "code": word, "detail": reason, "attr": null }),
        Protocol::Plain => json!({ "error": { "code": word, "message": reason } }),
        Protocol::Amplitude => {
            // By these words its SDKs know that sending again is of no use.
            let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let reason = if denied { format!("Invalid API key: {reason}") } else { reason };
            // Its SDKs do not look at `Retry-After`: events that are listed here are sent again after half a minute, others at once.
            let throttled: Vec<usize> = (0..wish.events).collect();
            json!({ "code": status.as_u16(), "error": reason, "missing_field": null, "throttled_events": throttled })
        }
        Protocol::Mixpanel if wish.verbose != Some(true) => return text_response(status, "0"),
        Protocol::MixpanelImport if wish.verbose == Some(false) => return text_response(status, "0"),
        Protocol::Mixpanel => json!({ "status": 0, "error": reason }),
        Protocol::MixpanelImport => json!({ "code": status.as_u16(), "status": 0, "error": reason }),
    };
    json_response(status, &body)
}

/// Whether every message was rejected for what it is mainly about.
fn is_all_rejected(receipt: &Receipt) -> bool {
    receipt.accepted + receipt.dropped + receipt.profiles + receipt.aliases == 0 && !receipt.rejected.is_empty()
}

/// Events that break Amplitude's rules make it 400, with the fields: its SDKs leave those events out and send the others again,
/// and their ids see to it that none is stored twice.
fn amplitude(receipt: &Receipt) -> Response {
    let bad = receipt.rejected.iter().filter(|rejection| rejection.part == Part::Event);
    let (missing, invalid): (Vec<&Rejection>, Vec<&Rejection>) = bad.partition(|rejection| rejection.missing);
    if missing.is_empty() && invalid.is_empty() {
        let body = json!({ "code": 200, "events_ingested": receipt.accepted + receipt.dropped });
        return json_response(StatusCode::OK, &with_counts(body, receipt));
    }
    let by_field = |rejections: &[&Rejection]| {
        let mut fields: Map<String, Value> = Map::new();
        for rejection in rejections {
            let list = fields.entry(rejection.field).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(json!(rejection.index));
            }
        }
        fields
    };
    let reason = receipt.rejected.first().map(|rejection| rejection.reason.as_str()).unwrap_or_default();
    let body = json!({
        "code": 400,
        "error": format!("Request missing or invalid fields: {reason}"),
        "missing_field": null,
        "events_with_missing_fields": by_field(&missing),
        "events_with_invalid_fields": by_field(&invalid),
    });
    json_response(StatusCode::BAD_REQUEST, &with_counts(body, receipt))
}

fn mixpanel_import(receipt: &Receipt) -> Response {
    let failed: Vec<Value> = receipt.rejected.iter().take(LISTED_MAX).map(failed_record).collect();
    let (status, code, word) = match receipt.rejected.is_empty() {
        true => (StatusCode::OK, 200, "OK"),
        false => (StatusCode::BAD_REQUEST, 400, "Bad Request"),
    };
    let body = json!({
        "code": code, "status": word, "num_records_imported": receipt.accepted + receipt.dropped + receipt.aliases,
        "error": (code == 400).then_some("some data points in the request failed validation"),
        "failed_records": failed,
    });
    json_response(status, &body)
}

fn failed_record(rejection: &Rejection) -> Value {
    json!({ "index": rejection.index, "field": rejection.field, "message": rejection.reason })
}

fn with_counts(mut body: Value, receipt: &Receipt) -> Value {
    let listed = |rejection: &Rejection| {
        json!({
            "index": rejection.index, "part": rejection.part.name(), "field": rejection.field, "message": rejection.reason,
        })
    };
    let rejected: Vec<Value> = receipt.rejected.iter().take(LISTED_MAX).map(listed).collect();
    let counts = json!({
        "accepted": receipt.accepted, "duplicates": receipt.duplicates, "dropped": receipt.dropped, "profiles": receipt.profiles,
        "aliases": receipt.aliases, "rejected_count": receipt.rejected.len(), "rejected": rejected,
    });
    if let (Value::Object(body), Value::Object(counts)) = (&mut body, counts) {
        body.extend(counts);
    }
    body
}

/// JSON with its headers.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    respond(status, "application/json", body.to_string())
}

fn text_response(status: StatusCode, body: &str) -> Response {
    respond(status, "text/plain; charset=utf-8", body.to_string())
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
