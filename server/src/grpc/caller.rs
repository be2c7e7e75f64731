//! Who calls: the key in the metadata of a call.

use crate::access::{Principal, Role};
use crate::serve::App;
use crate::watch::metrics::DENIED;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use metrics::counter;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The caller of a call with this metadata, who may do what needs `role`.
///
/// # Errors
/// `UNAUTHENTICATED` without a key that is known, `PERMISSION_DENIED` for one that is for something else.
pub fn caller(app: &App, metadata: &MetadataMap, role: Role) -> Result<Principal, Status> {
    let token = token(metadata);
    let principal = app.access.authenticate(token.as_deref()).map_err(|denied| {
        counter!(DENIED, "door" => "grpc", "reason" => format!("{denied:?}").to_lowercase()).increment(1);
        Status::unauthenticated(format!("{denied}; send it as 'authorization: Bearer KEY'"))
    })?;
    match principal.may(role) {
        true => Ok(principal),
        false => {
            counter!(DENIED, "door" => "grpc", "reason" => "role").increment(1);
            Err(Status::permission_denied(format!("this needs a key for {role}, and yours is for {}", principal.role)))
        }
    }
}

/// The key: `Bearer KEY`, or `Basic` with the key as password or, without one, as user name.
fn token(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => {
            // Clients in Go leave the padding away.
            let decoded = BASE64_STANDARD_NO_PAD.decode(rest.trim().trim_end_matches('=')).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
            Some(if password.is_empty() { user } else { password }.to_owned())
        }
        _ => None,
    }
}
