//! Connections of one port: taken in, encrypted where that is asked for, and let end in peace.

use super::tls::Tls;
use crate::config::{Config, Limits};
use crate::failure::{Failure, Outcome};
use crate::watch::metrics::CONNECTIONS;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::gauge;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// A connection whose other end is gone without a word is found out about so soon.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// After a failure to accept, such as too many open files, the next try comes so soon.
const PAUSE: Duration = Duration::from_millis(100);

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// HTTP/1.1.
    Http,
    /// HTTP/2, which gRPC is.
    Grpc,
}

impl Port {
    /// Its name in metrics and in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }

    /// What TLS calls its protocol.
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http => &[b"http/1.1"],
            Self::Grpc => &[b"h2"],
        }
    }

    fn builder(self, config: &Config) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        match self {
            Self::Http => {
                builder = builder.http1_only();
                builder.http1().timer(TokioTimer::new()).header_read_timeout(config.limits.client_timeout());
            }
            Self::Grpc => {
                builder = builder.http2_only();
                builder
                    .http2()
                    .timer(TokioTimer::new())
                    .adaptive_window(true)
                    .max_concurrent_streams(config.grpc.streams_max)
                    .keep_alive_interval(KEEP_ALIVE)
                    .keep_alive_timeout(config.limits.client_timeout());
            }
        }
        builder
    }
}

/// A port that is bound, and not served yet.
pub(super) struct Bound {
    port: Port,
    listener: TcpListener,
    tls: Option<Tls>,
}

impl Bound {
    /// Binds a port.
    ///
    /// # Errors
    /// The address is taken, or the certificate cannot be used.
    pub(super) async fn bind(port: Port, address: SocketAddr, config: &Config) -> Outcome<Self> {
        let name = port.name();
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::usage(
                format!("{address} is in use"),
                format!("give another {name}.listen, or stop what uses it"),
            ),
            _ => Failure::io(format!("{name}.listen {address}"), &error),
        })?;
        let tls = config.tls.is_on().then(|| Tls::begin(&config.tls, port.protocols())).transpose()?;
        Ok(Self { port, listener, tls })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves `router` until `stop` says so, and then until the last request has ended.
    pub(super) async fn serve(self, router: Router, config: Arc<Config>, mut stop: watch::Receiver<bool>) {
        let Self { port, listener, tls } = self;
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(config.limits.connections_max as usize));
        let builder = port.builder(&config);
        let service = TowerToHyperService::new(router);
        loop {
            // A client above the limit waits in the queue of the system.
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(port = port.name(), %error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let watcher = graceful.watcher();
            let (builder, service, tls, limits) =
                (builder.clone(), service.clone(), tls.clone(), config.limits.clone());
            tokio::spawn(async move {
                let _permit = permit;
                let _counted = Counted::begin(port);
                if let Err(error) = connection(stream, tls, builder, service, watcher, &limits).await {
                    tracing::debug!(port = port.name(), %error, "a connection ended badly");
                }
            });
        }
        drop(listener);
        graceful.shutdown().await;
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    tls: Option<Tls>,
    builder: Builder<TokioExecutor>,
    service: TowerToHyperService<Router>,
    watcher: hyper_util::server::graceful::Watcher,
    limits: &Limits,
) -> Result<(), Problem> {
    // Answers are small and waited for.
    stream.set_nodelay(true)?;
    match tls {
        None => {
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            watcher.watch(connection).await
        }
        Some(tls) => {
            let stream = tokio::time::timeout(limits.client_timeout(), tls.acceptor().accept(stream)).await??;
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            watcher.watch(connection).await
        }
    }
}

/// Counts a connection while it is open.
struct Counted(Port);

impl Counted {
    fn begin(port: Port) -> Self {
        gauge!(CONNECTIONS, "port" => port.name()).increment(1.0);
        Self(port)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(CONNECTIONS, "port" => self.0.name()).decrement(1.0);
    }
}
