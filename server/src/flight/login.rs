//! Who is calling. A key comes as a token, or as the password or the user name of a login; a login is answered with a token
//! of its own, so that a driver keeps no password.

use crate::access::{Access, Principal};
use arrow_flight::BasicAuth;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// With padding or without: clients in Go leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How a token of a login begins, so that it is not taken for a key.
const PREFIX: &str = "trodden-login-";
/// A login that is not used for so long ends.
const IDLE_US: i64 = 60 * 60 * 1_000_000;
/// And any login ends then.
const AGE_MAX_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Most logins at a time.
const LOGINS_MAX: usize = 10_000;

/// Somebody who calls.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    /// The login by which he is known, if it was one.
    login: Option<[u8; 32]>,
}

/// The logins. A token itself is not kept, but its hash; the key behind it is, so that a key that is revoked ends its
/// logins.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<[u8; 32], Login>>);

struct Login {
    key: Option<String>,
    begun_us: i64,
    used_us: i64,
}

/// What a caller says of himself.
#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    None,
    Token(String),
    UserAndPassword(String, String),
}

impl Logins {
    /// Who calls with these headers.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(super) fn caller(&self, access: &Access, headers: &MetadataMap, now_us: i64) -> Result<Caller, Status> {
        match credentials(headers)? {
            Credentials::Token(token) if token.starts_with(PREFIX) => self.of_login(access, &token, now_us),
            Credentials::Token(token) => {
                let principal = access.authenticate(Some(&token)).map_err(|denied| refused(&denied))?;
                Ok(Caller { principal, login: None })
            }
            other => Ok(Caller { principal: principal(access, &other)?.0, login: None }),
        }
    }

    fn of_login(&self, access: &Access, token: &str, now_us: i64) -> Result<Caller, Status> {
        let hash = hash(token);
        let mut all = self.0.lock();
        if all.get(&hash).is_some_and(|login| login.is_over(now_us)) {
            all.remove(&hash);
        }
        let Some(login) = all.get_mut(&hash) else {
            drop(all);
            // Where keys are not required everybody is let in, also with a token of an earlier run of the server.
            let principal = access.authenticate(Some(token));
            let over = |_| Status::unauthenticated("this login is over, or was never there (hint: log in again)");
            return Ok(Caller { principal: principal.map_err(over)?, login: None });
        };
        login.used_us = now_us;
        let key = login.key.clone();
        drop(all);
        let principal = access.authenticate(key.as_deref()).map_err(|denied| refused(&denied))?;
        Ok(Caller { principal, login: Some(hash) })
    }

    /// Log in with what the headers say, or, where they say nothing, the first message of the handshake. The answer is the
    /// token.
    ///
    /// # Errors
    /// `unauthenticated`; `resource_exhausted` where too many are logged in.
    pub(super) fn log_in(
        &self,
        access: &Access,
        headers: &MetadataMap,
        message: Option<Bytes>,
        now_us: i64,
    ) -> Result<String, Status> {
        let mut given = credentials(headers)?;
        if given == Credentials::None
            && let Some(message) = message.filter(|message| !message.is_empty())
        {
            let basic = BasicAuth::decode(message)
                .map_err(|_| Status::unauthenticated("the handshake has neither a header nor a user and a password"))?;
            given = Credentials::UserAndPassword(basic.username, basic.password);
        }
        let (_, key) = principal(access, &given)?;
        let mut all = self.0.lock();
        if all.len() >= LOGINS_MAX {
            all.retain(|_, login| !login.is_over(now_us));
        }
        if all.len() >= LOGINS_MAX {
            return Err(Status::resource_exhausted(format!("{LOGINS_MAX} are logged in (hint: try again later)")));
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| super::status::fault("random numbers", error))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        all.insert(hash(&token), Login { key, begun_us: now_us, used_us: now_us });
        Ok(token)
    }

    /// End the login of a caller.
    pub(super) fn log_out(&self, caller: &Caller) {
        if let Some(login) = &caller.login {
            self.0.lock().remove(login);
        }
    }
}

impl Login {
    fn is_over(&self, now_us: i64) -> bool {
        now_us.saturating_sub(self.used_us) > IDLE_US || now_us.saturating_sub(self.begun_us) > AGE_MAX_US
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn refused(denied: &impl std::fmt::Display) -> Status {
    Status::unauthenticated(denied.to_string())
}

/// Who has these credentials, and the key among them.
fn principal(access: &Access, given: &Credentials) -> Result<(Principal, Option<String>), Status> {
    let candidates: Vec<Option<&str>> = match given {
        Credentials::None => vec![None],
        Credentials::Token(token) => vec![Some(token)],
        Credentials::UserAndPassword(user, password) => {
            let given = [password, user].into_iter().filter(|text| !text.is_empty());
            let given: Vec<_> = given.map(|text| Some(text.as_str())).collect();
            if given.is_empty() { vec![None] } else { given }
        }
    };
    let mut first = None;
    for key in candidates {
        match access.authenticate(key) {
            Ok(principal) => return Ok((principal, key.map(String::from))),
            Err(denied) => drop(first.get_or_insert(refused(&denied))),
        }
    }
    Err(first.unwrap_or_else(|| Status::unauthenticated("there is no key")))
}

fn credentials(headers: &MetadataMap) -> Result<Credentials, Status> {
    let Some(header) = headers.get("authorization") else { return Ok(Credentials::None) };
    let wrong = |what: &str| {
        Status::unauthenticated(format!(
            "{what} (hint: send authorization: Bearer KEY, or log in with the key as password)"
        ))
    };
    let text = header.to_str().map_err(|_| wrong("the header authorization is no text"))?.trim();
    let Some((scheme, value)) = text.split_once(' ') else {
        return Err(wrong("the header authorization has one word"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Ok(Credentials::Token(value.trim().into())),
        "basic" => {
            let decoded = BASE64.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or_else(|| wrong("the user and the password cannot be read"))?;
            let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
            Ok(Credentials::UserAndPassword(user.into(), password.into()))
        }
        _ => Err(wrong("the header authorization is neither Bearer nor Basic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> MetadataMap {
        let mut headers = MetadataMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        headers
    }

    #[test]
    fn a_header_is_a_token_or_a_user_and_a_password() {
        let basic = |text: &str| credentials(&headers(&format!("Basic {}", BASE64.encode(text)))).unwrap();
        let pair = |user: &str, password: &str| Credentials::UserAndPassword(user.into(), password.into());
        assert_eq!(credentials(&MetadataMap::new()).unwrap(), Credentials::None);
        assert_eq!(credentials(&headers("bearer abc")).unwrap(), Credentials::Token("abc".into()));
        assert_eq!(basic("me:a:b"), pair("me", "a:b"));
        assert_eq!(basic("key"), pair("key", ""));
        assert_eq!(credentials(&headers("Basic bWU6YQ")).unwrap(), credentials(&headers("Basic bWU6YQ==")).unwrap());
        for wrong in ["abc", "Digest abc", "Basic ???"] {
            assert_eq!(credentials(&headers(wrong)).unwrap_err().code(), tonic::Code::Unauthenticated);
        }
    }

    #[test]
    fn a_login_ends_when_it_is_idle_or_old() {
        let login = |begun_us, used_us| Login { key: None, begun_us, used_us };
        assert!(!login(0, 0).is_over(IDLE_US));
        assert!(login(0, 0).is_over(IDLE_US + 1));
        assert!(login(0, AGE_MAX_US).is_over(AGE_MAX_US + 1));
    }
}
