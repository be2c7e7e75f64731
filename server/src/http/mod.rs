//! Events over HTTP.

use crate::serve::App;
use axum::Router;
use std::sync::Arc;

/// The paths of the protocols.
pub fn router(_app: Arc<App>) -> Router {
    Router::new()
}
