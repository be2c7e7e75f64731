//! Keys: 256 random bits each, of which the database keeps a keyed hash.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// Bytes of the secret part of a key.
pub(super) const SECRET_BYTES: usize = 32;
/// Bytes of the id of a key.
pub(super) const ID_BYTES: usize = 6;
/// What every key begins with, so that scanners of leaked secrets can know it.
const PREFIX: &str = "trodden";

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends events, to one table where the key names one.
    Write,
    /// Asks.
    Read,
    /// May all, keys included.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("'{text}' is no role; there are write, read and admin"))
    }
}

/// A key as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// By which it is known; no secret.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// The only table that events go to; `None`: any.
    pub table: Option<String>,
    /// What a person called it.
    pub name: String,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// When it was revoked, in microseconds since 1970.
    pub revoked_us: Option<i64>,
    /// Keyed hash of its token, in hex digits.
    hash: String,
}

impl Key {
    /// The key of `token`.
    pub(super) fn new(
        token: &Token,
        role: Role,
        table: Option<String>,
        name: String,
        now_us: i64,
        secret: &[u8],
    ) -> Self {
        let hash = hex(&token.hash(secret));
        Self { id: token.id.clone(), role, table, name, created_us: now_us, revoked_us: None, hash }
    }

    /// Whether `token` is the one that was given out, found out in the same time wherever it differs.
    pub(super) fn is_of(&self, token: &Token, secret: &[u8]) -> bool {
        hex(&token.hash(secret)).as_bytes().ct_eq(self.hash.as_bytes()).into()
    }
}

/// What a client shows: `trodden_<role>_<id>_<secret>`, id and secret in hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    /// The id of its key.
    pub(super) id: String,
}

impl Token {
    /// A token of random bytes.
    pub(super) fn of_bytes(role: Role, id: &[u8; ID_BYTES], secret: &[u8; SECRET_BYTES]) -> Self {
        let id = hex(id);
        Self { text: format!("{PREFIX}_{role}_{id}_{}", hex(secret)), id }
    }

    /// The token of `text`, where it has the form of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (prefix, role, id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, bytes: usize| text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_hexdigit());
        let sound = prefix == PREFIX && role.parse::<Role>().is_ok() && parts.next().is_none();
        let sound = sound && is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES);
        sound.then(|| Self { text: text.to_owned(), id: id.to_owned() })
    }

    /// What is given to the client, once.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn hash(&self, secret: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(self.text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Without the secret, so that no log has it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// Bytes in hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
