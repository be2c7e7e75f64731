//! The log, as lines for people or as JSON, and traces for a collector.

use crate::config::{Config, LogFormat};
use crate::failure::{Failure, Outcome};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Name of this service in traces.
const SERVICE: &str = "trodden";

/// What is still on its way to a collector is sent when this is dropped.
#[derive(Debug)]
pub struct Watching {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

/// Begins the log on standard error, and the traces where there is a collector. Called in the context of a runtime.
///
/// # Errors
/// A level or an endpoint that cannot be.
pub fn begin(config: &Config) -> Outcome<Watching> {
    let filter = EnvFilter::try_new(&config.log.level).map_err(|error| {
        let message = format!("log.level '{}': {error}", config.log.level);
        Failure::usage(message, "write error, warn, info, debug or trace, or such as 'info,trodden_server=debug'")
    })?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log.format {
        LogFormat::Text => {
            fmt::layer().with_writer(io::stderr).with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
    };
    let traces = traces(&config.trace.otlp_endpoint)?;
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer(SERVICE)));
    // A second server of the process, as in tests, writes to the log of the first.
    let _ = Registry::default().with(lines.and_then(spans).with_filter(filter)).try_init();
    Ok(Watching { traces })
}

fn traces(endpoint: &str) -> Outcome<Option<SdkTracerProvider>> {
    if endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(|error| {
        Failure::usage(format!("trace.otlp_endpoint '{endpoint}': {error}"), "write it like http://127.0.0.1:4317")
    })?;
    let resource = Resource::builder().with_service_name(SERVICE).build();
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}
