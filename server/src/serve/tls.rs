//! TLS: the certificate and its key, read again when the files change.

use crate::config::TlsConfig;
use crate::failure::{Failure, Outcome};
use crate::report::Report;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The certificate of a listener, the newest that could be read.
#[derive(Clone)]
pub(super) struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// The certificate of `config`, for connections that speak one of `protocols` (ALPN). Runs in the context of a runtime,
    /// which looks at the files from then on.
    ///
    /// # Errors
    /// A file that cannot be read or used, with its name.
    pub(super) fn begin(config: &TlsConfig, protocols: &'static [&'static [u8]]) -> Outcome<Self> {
        let tls = Self { current: Arc::new(ArcSwap::new(Arc::new(read(config, protocols)?))) };
        let (current, config) = (Arc::clone(&tls.current), config.clone());
        tokio::spawn(async move {
            let mut seen = changed(&config);
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let now = changed(&config);
                if now == seen {
                    continue;
                }
                match read(&config, protocols) {
                    Ok(fresh) => {
                        seen = now;
                        current.store(Arc::new(fresh));
                        tracing::info!("the TLS certificate was read again");
                    }
                    // Both files are rarely changed at the same moment: the next look may find them fitting.
                    Err(failure) => {
                        tracing::warn!(?failure, "the changed TLS certificate cannot be used; the old one stays")
                    }
                }
            }
        });
        Ok(tls)
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn changed(config: &TlsConfig) -> [Option<SystemTime>; 2] {
    [&config.certificate, &config.key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn read(config: &TlsConfig, protocols: &[&[u8]]) -> Outcome<ServerConfig> {
    let unusable = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Failed(
            Report::error(format!("{}: {error}", path.display()))
                .with_hint("tls.certificate and tls.key are PEM files that belong together"),
        )
    };
    let chain = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(&config.certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable(&config.certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| unusable(&config.key, &error))?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&config.certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&config.certificate, &error))?;
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(server)
}
