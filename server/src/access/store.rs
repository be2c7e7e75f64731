//! The keys of a database, kept among its settings.

use super::key::{ID_BYTES, Key, Role, SECRET_BYTES, Token, hex};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use trodden_query::{Database, Error, ErrorKind, Result};

/// Settings whose names begin so are keys.
const KEY_PREFIX: &str = "key/";
/// The setting with the secret of the keyed hashes.
const SECRET: &str = "access-secret";

/// Who asks, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Id of the key; `None` where no key was needed.
    pub key: Option<String>,
    /// What the key is for.
    pub role: Role,
    /// The only table that events may go to.
    pub table: Option<String>,
}

impl Principal {
    /// Whether what needs `role` is allowed.
    pub fn may(&self, role: Role) -> bool {
        self.role == Role::Admin || self.role == role
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No key was shown.
    Missing,
    /// The key is none of this database.
    Unknown,
    /// The key was taken back.
    Revoked,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a key is needed; an administrator makes one with: trodden keys create",
            Self::Unknown => "this key is not known here",
            Self::Revoked => "this key was revoked",
        })
    }
}

impl std::error::Error for Denied {}

/// The keys of a database.
pub struct Access {
    database: Database,
    required: bool,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// By id.
    keys: HashMap<String, Key>,
    secret: Vec<u8>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Access {
    /// The keys that `database` keeps. Unless `required`, everybody may do everything.
    ///
    /// # Errors
    /// `Corrupt` for a key that cannot be read.
    pub fn open(database: Database, required: bool) -> Result<Self> {
        let mut state = State::default();
        for (name, text) in database.engine().settings() {
            if name == SECRET {
                state.secret = text.into_bytes();
            } else if name.starts_with(KEY_PREFIX) {
                let key: Key = serde_json::from_str(&text)
                    .map_err(|error| Error::new(ErrorKind::Corrupt, format!("setting '{name}': {error}")))?;
                state.keys.insert(key.id.clone(), key);
            }
        }
        Ok(Self { database, required, state: RwLock::new(state) })
    }

    /// Whether nobody is let in without a key.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Who shows `token`.
    ///
    /// # Errors
    /// Why they are not let in.
    pub fn authenticate(&self, token: Option<&str>) -> std::result::Result<Principal, Denied> {
        let known = self.known(token);
        match known {
            // A known key keeps its table also where no key is needed.
            Ok(principal) => Ok(principal),
            Err(_) if !self.required => Ok(Principal { key: None, role: Role::Admin, table: None }),
            Err(denied) => Err(denied),
        }
    }

    fn known(&self, token: Option<&str>) -> std::result::Result<Principal, Denied> {
        let text = token.filter(|text| !text.is_empty()).ok_or(Denied::Missing)?;
        let token = Token::parse(text).ok_or(Denied::Unknown)?;
        let state = self.state.read();
        let key = state.keys.get(&token.id).filter(|key| key.is_of(&token, &state.secret)).ok_or(Denied::Unknown)?;
        match key.revoked_us {
            Some(_) => Err(Denied::Revoked),
            None => Ok(Principal { key: Some(key.id.clone()), role: key.role, table: key.table.clone() }),
        }
    }

    /// Make a key; durable on return. The token is not kept, and cannot be told again.
    ///
    /// # Errors
    /// `InvalidInput` for a table of a key that sends no events; what the disk says.
    pub fn create(&self, role: Role, table: Option<String>, name: &str, now_us: i64) -> Result<(Key, Token)> {
        if table.is_some() && role != Role::Write {
            let message = format!("a key for {role} has no table");
            return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("only write keys are bound to a table"));
        }
        let mut state = self.state.write();
        if state.secret.is_empty() {
            let secret = hex(&random::<SECRET_BYTES>()?);
            self.database.engine().set_setting(SECRET, Some(&secret))?;
            state.secret = secret.into_bytes();
        }
        let token = Token::of_bytes(role, &random::<ID_BYTES>()?, &random::<SECRET_BYTES>()?);
        let key = Key::new(&token, role, table, name.to_owned(), now_us, &state.secret);
        self.keep(&key)?;
        state.keys.insert(key.id.clone(), key.clone());
        Ok((key, token))
    }

    /// Take a key back; durable on return, and it lets nobody in from then on.
    ///
    /// # Errors
    /// `NotFound`, and what the disk says.
    pub fn revoke(&self, id: &str, now_us: i64) -> Result<Key> {
        let mut state = self.state.write();
        let Some(key) = state.keys.get_mut(id) else {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no key '{id}'"))
                .with_hint("trodden keys list shows the ids"));
        };
        let mut revoked = key.clone();
        revoked.revoked_us = key.revoked_us.or(Some(now_us));
        self.keep(&revoked)?;
        key.clone_from(&revoked);
        Ok(revoked)
    }

    /// All keys, the oldest first.
    pub fn list(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.state.read().keys.values().cloned().collect();
        keys.sort_by(|a, b| (a.created_us, &a.id).cmp(&(b.created_us, &b.id)));
        keys
    }

    fn keep(&self, key: &Key) -> Result<()> {
        let text = serde_json::to_string(key).expect("a key is plain data");
        Ok(self.database.engine().set_setting(&format!("{KEY_PREFIX}{}", key.id), Some(&text))?)
    }
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(ErrorKind::Io, format!("random bytes: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trodden_query::Options;

    fn access(required: bool) -> Access {
        Access::open(Database::in_memory(Options::default()).unwrap(), required).unwrap()
    }

    #[test]
    fn a_key_lets_in_until_it_is_revoked() {
        let access = access(true);
        assert_eq!(access.authenticate(None), Err(Denied::Missing));
        assert_eq!(access.authenticate(Some("")), Err(Denied::Missing));
        assert_eq!(access.authenticate(Some("guess")), Err(Denied::Unknown));
        let (key, token) = access.create(Role::Write, Some("shop".into()), "web", 5).unwrap();
        let principal = access.authenticate(Some(token.text())).unwrap();
        assert_eq!((principal.table.as_deref(), principal.key.as_ref()), (Some("shop"), Some(&key.id)));
        assert!(principal.may(Role::Write) && !principal.may(Role::Read) && !principal.may(Role::Admin));
        let last = if token.text().ends_with('0') { '1' } else { '0' };
        let forged = format!("{}{last}", &token.text()[..token.text().len() - 1]);
        assert_eq!(access.authenticate(Some(&forged)), Err(Denied::Unknown));
        access.revoke(&key.id, 9).unwrap();
        assert_eq!(access.authenticate(Some(token.text())), Err(Denied::Revoked));
        assert_eq!(access.revoke("none", 9).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn keys_are_kept_and_their_tokens_are_not() {
        let first = access(true);
        let (_, token) = first.create(Role::Admin, None, "ops", 5).unwrap();
        first.create(Role::Read, None, "bi", 6).unwrap();
        let settings = format!("{:?}", first.database.engine().settings());
        let secret = token.text().rsplit('_').next().unwrap();
        assert!(!settings.contains(secret), "{settings}");
        let again = Access::open(first.database.clone(), true).unwrap();
        assert!(again.authenticate(Some(token.text())).unwrap().may(Role::Write));
        assert_eq!(again.list().iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["ops", "bi"]);
        assert!(!format!("{token:?}").contains(secret));
    }

    #[test]
    fn without_required_keys_everybody_may_and_a_known_key_keeps_its_table() {
        let access = access(false);
        assert!(access.authenticate(None).unwrap().may(Role::Admin));
        assert!(access.authenticate(Some("an-sdk's-key")).unwrap().may(Role::Write));
        let (_, token) = access.create(Role::Write, Some("shop".into()), "web", 5).unwrap();
        assert_eq!(access.authenticate(Some(token.text())).unwrap().table.as_deref(), Some("shop"));
        assert!(access.create(Role::Read, Some("shop".into()), "x", 5).is_err());
    }
}
