//! The own gRPC API, on one port with Arrow Flight SQL, health and reflection.

mod admin;
mod backup;
mod caller;
mod columns;
mod wire_batch;
mod ingest;
mod import;
mod spool;
mod query;
pub mod status;

pub(crate) use admin::to_wire as key_to_wire;
pub use caller::caller;
pub use wire_batch::decode as event_columns;

use crate::failure::{Failure, Outcome};
use crate::flight;
use crate::report::Report;
use crate::serve::{App, Health};
use axum::Router;
use std::sync::Arc;
use tonic::service::Routes;
use trodden_proto::v1::FILE_DESCRIPTOR_SET;
use trodden_proto::v1::admin_service_server::AdminServiceServer;
use trodden_proto::v1::event_service_server::EventServiceServer;
use trodden_proto::v1::import_service_server::ImportServiceServer;
use trodden_proto::v1::query_service_server::QueryServiceServer;

/// All services of the gRPC port.
///
/// # Errors
/// None in practice: the descriptors of this build cannot be read.
pub async fn router(app: &Arc<App>, health: &Health) -> Outcome<Router> {
    let message_max = app.config.grpc.message_max.bytes();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Failure::Failed(Report::error(format!("gRPC reflection: {error}"))))?;
    let events = EventServiceServer::new(ingest::Events::new(Arc::clone(app))).max_decoding_message_size(message_max);
    let queries = QueryServiceServer::new(query::Service::new(Arc::clone(app))).max_decoding_message_size(message_max);
    let imports =
        ImportServiceServer::new(import::Imports::new(Arc::clone(app))).max_decoding_message_size(message_max);
    let admin = AdminServiceServer::new(admin::Admin::new(Arc::clone(app)));
    let routes = Routes::new(health.service())
        .add_service(reflection)
        .add_service(events)
        .add_service(imports)
        .add_service(queries)
        .add_service(admin)
        .add_service(flight::service(Arc::clone(app)));
    Ok(routes.prepare().into_axum_router())
}
