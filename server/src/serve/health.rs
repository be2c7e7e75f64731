//! Whether the server lives and takes work: for load balancers, by HTTP and by gRPC's own protocol.

use super::App;
use crate::watch::metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::HealthReporter;

/// What the server says of itself.
#[derive(Debug, Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    reporter: HealthReporter,
}

impl Health {
    /// Not ready yet.
    pub(super) fn new() -> Self {
        Self { ready: Arc::default(), reporter: HealthReporter::new() }
    }

    /// The service of gRPC's health protocol.
    pub(crate) fn service(&self) -> HealthServer<impl HealthService + use<>> {
        HealthServer::new(tonic_health::server::HealthService::from_health_reporter(self.reporter.clone()))
    }

    pub(super) async fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.reporter.set_service_status("", ServingStatus::Serving).await;
    }

    /// From now on load balancers send work elsewhere.
    pub(super) async fn stopping(&self) {
        self.ready.store(false, Ordering::Relaxed);
        self.reporter.set_service_status("", ServingStatus::NotServing).await;
    }
}

/// `/health`: it lives. `/ready`: it takes work. `/metrics`.
pub(super) fn router(app: &Arc<App>, health: &Health) -> Router {
    let ready = Arc::clone(&health.ready);
    let is_ready = move || async move {
        match ready.load(Ordering::Relaxed) {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    };
    Router::new()
        .route("/health", get(|| async { "alive\n" }))
        .route("/ready", get(is_ready))
        .route("/metrics", get(scrape))
        .with_state(Arc::clone(app))
}

async fn scrape(State(app): State<Arc<App>>) -> impl IntoResponse {
    let rendered = tokio::task::spawn_blocking(move || metrics::render(&app.database)).await;
    match rendered {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
