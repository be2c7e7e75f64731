//! What browser SDKs ask for before they send anything. The answers say: nothing to set, send your events.

use super::answer::json_response;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;

/// `/v1/projects/KEY/settings`: where analytics.js sends events, and that it needs nothing else.
pub(super) async fn segment_settings(Path(key): Path<String>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or("http");
    let body = json!({
        "integrations": { "Segment.io": { "apiKey": key, "apiHost": format!("{host}/v1"), "protocol": scheme } },
        "plan": { "track": { "__default": { "enabled": true, "integrations": {} } } },
        "edgeFunction": {}, "middlewareSettings": {}, "enabledMiddleware": {}, "remotePlugins": [],
        "metrics": { "sampleRate": 0 }, "legacyVideoPluginsEnabled": false, "analyticsNextEnabled": true,
    });
    json_response(StatusCode::OK, &body)
}

/// `/v1/m`: how analytics.js itself does. Nobody here wants to know.
pub(super) async fn segment_metrics() -> Response {
    json_response(StatusCode::OK, &json!({ "success": true }))
}

/// `/flags/`, `/decide/` and `/array/KEY/config`: there are no feature flags and no recordings here.
pub(super) async fn posthog_flags() -> Response {
    let body = json!({
        "flags": {}, "featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": false,
        "config": { "enable_collect_everything": false }, "toolbarParams": {}, "isAuthenticated": false,
        "supportedCompression": ["gzip", "gzip-js", "base64"], "sessionRecording": false, "surveys": false,
        "hasFeatureFlags": false, "capturePerformance": false, "autocapture_opt_out": false, "siteApps": [],
    });
    json_response(StatusCode::OK, &body)
}
