//! One request of events, from its first byte to its answer.

use super::answer::{Problem, Wish, answer};
use super::payload::{Payload, Request as Packed, Unreadable};
use super::protocol::{Path, Protocol};
use crate::access::Role;
use crate::door::{Door, Held, Receipt, Refusal};
use crate::serve::App;
use crate::watch::metrics::{DENIED, INGEST_REJECTED, INGEST_THROTTLED, ingested};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use metrics::counter;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trodden_query::engine::table::Appended;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Receiver {
    app: Arc<App>,
    door: Door,
}

/// What there is of a request before it is looked into.
struct Arrived {
    parts: Parts,
    body: Vec<u8>,
    /// Until the answer.
    held: Held,
}

impl Receiver {
    /// For a server.
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { door: Door::new(Arc::clone(&app)), app }
    }

    /// Take a request in, and answer it when all of it is durable.
    pub(super) async fn receive(self: Arc<Self>, path: Path, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let mut held = self.app.budget.hold();
        let read = self.read(body, &mut held).await;
        let body = match read {
            Ok(body) => body,
            Err(problem) => return finish(path.protocol(), Wish::default(), Err(problem)),
        };
        let arrived = Arrived { parts, body, held };
        let receiver = Arc::clone(&self);
        // Unpacking and decoding are work, and the disk is waited for.
        match tokio::task::spawn_blocking(move || receiver.take(path, arrived)).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "a request of events broke off");
                finish(path.protocol(), Wish::default(), Err(Problem::Failed))
            }
        }
    }

    /// The body, as long as there is room for it and it goes on. One that is not taken is read to its end all the same: most
    /// senders look at no answer before they have sent everything.
    async fn read(&self, mut body: Body, held: &mut Held) -> Result<Vec<u8>, Problem> {
        let limit = self.app.config.http.body_max.bytes();
        let patience: Duration = self.app.config.limits.client_timeout();
        let (mut bytes, mut seen, mut problem) = (Vec::new(), 0_usize, None);
        while let Some(frame) = tokio::time::timeout(patience, body.frame()).await.map_err(|_| Problem::Slow)? {
            let frame = frame.map_err(|error| Problem::Malformed(format!("the body broke off: {error}")))?;
            let data: Bytes = frame.into_data().unwrap_or_default();
            seen = seen.saturating_add(data.len());
            if seen > limit {
                let reason = format!("the body has more than {limit} bytes (http.body_max): send smaller batches");
                problem = Some(Problem::TooLarge(reason));
            } else if problem.is_none() && !held.grow(data.len()) {
                problem = Some(Problem::busy());
            }
            match &problem {
                None => bytes.extend_from_slice(&data),
                Some(_) if seen > limit.saturating_mul(2) => break,
                Some(_) => bytes = Vec::new(),
            }
        }
        problem.map_or(Ok(bytes), Err)
    }

    fn take(&self, path: Path, mut arrived: Arrived) -> Response {
        let began = Instant::now();
        let payload = match self.unpack(&mut arrived) {
            Ok(payload) => payload,
            Err(problem) => return finish(path.protocol(), Wish::default(), Err(problem)),
        };
        let protocol = path.protocol_of(&payload);
        let verbose = payload.parameter("verbose").map(|value| !matches!(value, "0" | "" | "false"));
        let mut wish = Wish { verbose, ..Wish::default() };
        let outcome = self.store(path, protocol, &payload, &arrived.parts);
        if let Err(Problem::Refused(Refusal::TooMuch { .. })) = outcome {
            wish.events = path.decode(protocol, &payload, 0).map_or(0, |delivery| delivery.messages);
        }
        if let Ok(receipt) = &outcome {
            let appended = Appended { accepted: receipt.accepted - receipt.duplicates, duplicates: receipt.duplicates };
            ingested(protocol.door(), &receipt.table, appended, began);
            if !receipt.rejected.is_empty() {
                let count = receipt.rejected.len() as u64;
                counter!(INGEST_REJECTED, "door" => protocol.door(), "reason" => "event").increment(count);
            }
        }
        finish(protocol, wish, outcome)
    }

    fn unpack(&self, arrived: &mut Arrived) -> Result<Payload, Problem> {
        let limit = self.app.config.http.body_max.bytes();
        let query = arrived.parts.uri.query().unwrap_or("");
        let encoding = arrived.parts.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let payload =
            Payload::of(&Packed { query, encoding, body: &arrived.body }, limit).map_err(|error| match error {
                Unreadable::TooLarge(_) => Problem::TooLarge(error.to_string()),
                Unreadable::Broken(reason) => Problem::Malformed(reason),
            })?;
        match arrived.held.grow(payload.text.len().saturating_sub(arrived.body.len())) {
            true => Ok(payload),
            false => Err(Problem::busy()),
        }
    }

    fn store(&self, path: Path, protocol: Protocol, payload: &Payload, parts: &Parts) -> Result<Receipt, Problem> {
        let now_us = self.app.clock.now_us();
        let mut delivery = path.decode(protocol, payload, now_us).map_err(|error| Problem::Malformed(error.0))?;
        delivery.agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(Cow::Borrowed);
        let shown = key_of(&parts.headers).or_else(|| payload.parameter("api_key").map(String::from));
        let token = shown.as_deref().or(delivery.token.as_deref());
        let principal = self.app.access.authenticate(token).map_err(Problem::Denied)?;
        if !principal.may(Role::Write) {
            return Err(Problem::Refused(Refusal::NotAllowed(format!("a key for {} sends no events", principal.role))));
        }
        // Amplitude's SDKs send all but the bad events again, so nothing of such a request is stored.
        if protocol == Protocol::Amplitude
            && delivery.rejected.iter().any(|one| one.part == super::delivery::Part::Event)
        {
            return Ok(Receipt { rejected: delivery.rejected, messages: delivery.messages, ..Receipt::default() });
        }
        let table = payload.parameter("table").filter(|_| protocol == Protocol::Plain);
        self.door.store(&principal, table, delivery, now_us).map_err(Problem::Refused)
    }
}

fn finish(protocol: Protocol, wish: Wish, outcome: Result<Receipt, Problem>) -> Response {
    match &outcome {
        Err(problem @ Problem::Denied(_)) => {
            counter!(DENIED, "door" => protocol.door(), "reason" => problem.word()).increment(1);
        }
        Err(Problem::Refused(Refusal::TooMuch { .. })) => {
            counter!(INGEST_THROTTLED, "door" => protocol.door()).increment(1);
        }
        Err(problem) => {
            counter!(INGEST_REJECTED, "door" => protocol.door(), "reason" => problem.word()).increment(1);
        }
        Ok(_) => {}
    }
    answer(protocol, wish, &outcome)
}

/// The key that a request shows in its head: `Bearer`, or the user name of `Basic`.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_string());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let key = pair.split_once(':').map_or(pair.as_str(), |(user, _)| user);
    (!key.is_empty()).then(|| key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_found_in_both_schemes() {
        let key = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            key_of(&headers)
        };
        assert_eq!(key("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(key("basic a2V5Og==").as_deref(), Some("key"));
        assert_eq!(key("Basic a2V5OnB3").as_deref(), Some("key"));
        for value in ["Basic !!", "Basic Og==", "Digest x", "nothing", ""] {
            assert_eq!(key(value), None, "{value}");
        }
        assert_eq!(key_of(&HeaderMap::new()), None);
    }
}
