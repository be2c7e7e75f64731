//! Hashes with a key of the database.

use crate::error::{Error, ErrorKind, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::fmt::Write;
use trodden_engine::Engine;

/// The setting that has the key, in hexadecimal digits.
const SETTING: &str = "rule-secret";

/// The key of `HASH` rules.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The key that the database has; `None` before there was one.
    pub(super) fn read(engine: &Engine) -> Option<Self> {
        engine.settings().get(SETTING).map(|key| Self::of(key))
    }

    /// A new one, made durable.
    ///
    /// # Errors
    /// `Io` where the system has no random bytes, and what the disk says.
    pub(super) fn make(engine: &Engine) -> Result<Self> {
        let key = random()?;
        engine.set_setting(SETTING, Some(&key))?;
        Ok(Self::of(&key))
    }

    /// One that nobody keeps.
    ///
    /// # Errors
    /// `Io` where the system has no random bytes.
    pub(super) fn passing() -> Result<Self> {
        Ok(Self::of(&random()?))
    }

    fn of(key: &str) -> Self {
        Self(Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length"))
    }

    /// The hash of a text, in hexadecimal digits.
    pub(super) fn hash(&self, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(ErrorKind::Io, format!("random bytes: {error}")))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_known_hash() {
        let hash = Secret::of("Jefe").hash("what do ya want for nothing?");
        assert_eq!(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
