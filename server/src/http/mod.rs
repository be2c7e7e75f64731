//! Events over HTTP: the paths and protocols of SDKs that people have already, and a plain one.
//!
//! A request becomes a `delivery::Delivery`, whatever protocol it is in; from there on there is one way, the
//! [`door`](crate::door).

mod receive;
pub mod payload;
pub mod json;
pub mod value;
pub mod protocol;
pub mod decode;
pub mod delivery;
pub mod answer;
mod courtesy;

use crate::serve::App;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use axum::routing::{any, get};
use protocol::Path;
use receive::Receiver;
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// How long a browser may remember what it is allowed.
const CORS_AGE: Duration = Duration::from_secs(86_400);

/// The paths of events. Each is there with and without a slash at its end.
const PATHS: [(&str, Path); 24] = [
    ("/v1/batch", Path::SegmentBatch),
    ("/v1/b", Path::SegmentBatch),
    ("/v1/import", Path::SegmentBatch),
    ("/v1/track", Path::Segment("track")),
    ("/v1/t", Path::Segment("track")),
    ("/v1/identify", Path::Segment("identify")),
    ("/v1/i", Path::Segment("identify")),
    ("/v1/page", Path::Segment("page")),
    ("/v1/p", Path::Segment("page")),
    ("/v1/screen", Path::Segment("screen")),
    ("/v1/s", Path::Segment("screen")),
    ("/v1/group", Path::Segment("group")),
    ("/v1/g", Path::Segment("group")),
    ("/v1/alias", Path::Segment("alias")),
    ("/v1/a", Path::Segment("alias")),
    ("/batch", Path::Batch),
    ("/i/v0/e", Path::PostHog),
    ("/e", Path::PostHog),
    ("/capture", Path::PostHog),
    ("/2/httpapi", Path::Amplitude),
    ("/track", Path::Track),
    ("/import", Path::MixpanelImport),
    ("/engage", Path::Engage),
    ("/v1/events", Path::Plain),
];

/// The paths of the protocols.
pub fn router(app: Arc<App>) -> Router {
    let cors = cors(&app.config.http.cors_origins);
    let receiver = Arc::new(Receiver::new(app));
    let mut router = Router::new()
        .route("/v1/projects/{key}/settings", get(courtesy::segment_settings))
        .route("/v1/m", any(courtesy::segment_metrics))
        .route("/array/{key}/config", get(courtesy::posthog_flags));
    for path in ["/flags", "/flags/", "/decide", "/decide/"] {
        router = router.route(path, any(courtesy::posthog_flags));
    }
    for (text, path) in PATHS {
        let receiver = Arc::clone(&receiver);
        let handler = any(move |request: Request<Body>| Arc::clone(&receiver).receive(path, request));
        router = router.route(text, handler.clone()).route(&format!("{text}/"), handler);
    }
    router.layer(cors)
}

/// Pages of other origins may send events, with whatever headers their SDK has.
fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(Any)
        .expose_headers([header::RETRY_AFTER])
        .max_age(CORS_AGE);
    match origins.iter().any(|origin| origin == "*") {
        true => layer.allow_origin(Any),
        false => layer
            .allow_origin(AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))),
    }
}
