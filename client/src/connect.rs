//! A connection to a server.

use crate::call_error::{CallError, CallErrorKind};
use std::fmt;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use trodden_proto::v1 as wire;
use trodden_proto::v1::admin_service_client::AdminServiceClient;
use trodden_proto::v1::event_service_client::EventServiceClient;
use trodden_proto::v1::import_service_client::ImportServiceClient;
use trodden_proto::v1::query_service_client::QueryServiceClient;

/// Largest message that the client takes in or sends, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// A connection whose other end is gone without a word is found out about so soon.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The key to show.
    pub token: Option<String>,
    /// Certificate of the authority that signed the server's, PEM; `None`: those that the system trusts.
    pub authority_pem: Option<Vec<u8>>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { token: None, authority_pem: None, connect_timeout: Duration::from_secs(10) }
    }
}

/// Without the key, so that no log has it.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}

/// Puts the key into each call.
#[derive(Debug, Clone)]
pub(crate) struct Authorize(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub(crate) type Service = InterceptedService<Channel, Authorize>;

/// A server. Clones share one connection, which is made when it is needed and again after it broke off.
#[derive(Debug, Clone)]
pub struct Client {
    service: Service,
}

impl Client {
    /// The server at `url`, such as `http://127.0.0.1:7701`, or `https://…` with TLS. It is asked for its status, so that a
    /// wrong address or key is known at once.
    ///
    /// # Errors
    /// `Setup`, `Unreachable`, `Unauthenticated`.
    pub async fn connect(url: &str, options: ConnectOptions) -> Result<Self, CallError> {
        let client = Self::lazy(url, &options)?;
        match client.status().await {
            // A write key may not ask, but it is known.
            Err(error) if error.kind() == CallErrorKind::Denied => Ok(client),
            Err(error) if error.kind() == CallErrorKind::Unreachable => {
                Err(CallError::new(CallErrorKind::Unreachable, format!("{url} cannot be reached: {error}")))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(client),
        }
    }

    /// The server at `url`, which is not asked anything yet. Called in the context of a tokio runtime.
    ///
    /// # Errors
    /// `Setup`.
    pub fn lazy(url: &str, options: &ConnectOptions) -> Result<Self, CallError> {
        let unusable = |error: &dyn fmt::Display| {
            let message = format!("'{url}' cannot be used: {error}; write it like http://127.0.0.1:7701");
            CallError::new(CallErrorKind::Setup, message)
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(unusable(&"it begins with neither http:// nor https://"));
        }
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| unusable(&error))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(options.connect_timeout)
            .http2_adaptive_window(true);
        if url.starts_with("https://") {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(pem) = &options.authority_pem {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| unusable(&error))?;
        }
        let token = options.token.as_ref().map(|token| format!("Bearer {token}").parse());
        let no_header = |_| CallError::new(CallErrorKind::Setup, "the key has characters that no key has");
        let authorize = Authorize(token.transpose().map_err(no_header)?);
        Ok(Self { service: InterceptedService::new(endpoint.connect_lazy(), authorize) })
    }

    pub(crate) fn events(&self) -> EventServiceClient<Service> {
        EventServiceClient::new(self.service.clone()).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn queries(&self) -> QueryServiceClient<Service> {
        QueryServiceClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn imports(&self) -> ImportServiceClient<Service> {
        ImportServiceClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::new(self.service.clone())
    }

    /// The server and its tables.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn status(&self) -> Result<wire::StatusResponse, CallError> {
        Ok(self.admin().status(wire::StatusRequest {}).await?.into_inner())
    }
}
