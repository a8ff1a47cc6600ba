//! TLS at the gateway itself, for deployments where no proxy terminates it. The certificate comes from files, which are
//! read again when they change. Open connections keep theirs.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use shared::lifecycle::Lifecycle;
use shared::telemetry::with_causes;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that has not finished the handshake by then is disconnected.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are checked.
const RELOAD_PERIOD: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// When the two files were last written; a difference means that they were replaced.
type Stamp = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the files. Blocks on them.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, or the key does not belong to the certificate.
    pub fn load(cert_file: &str, key_file: &str) -> anyhow::Result<Self> {
        let (cert_file, key_file) = (PathBuf::from(cert_file), PathBuf::from(key_file));
        let current = RwLock::new(Arc::new(read(&cert_file, &key_file)?));
        let certificate = Arc::new(Certificate { cert_file, key_file, current });
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Performs the handshake; `None` if it fails or takes too long.
    pub async fn accept(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(socket)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

impl Certificate {
    fn stamp(&self) -> Stamp {
        [&self.cert_file, &self.key_file].map(|file| std::fs::metadata(file).and_then(|data| data.modified()).ok())
    }
}

fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<CertifiedKey> {
    let named = |file: &Path, variable: &str| format!("{variable} ({})", file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .with_context(|| named(cert_file, "TLS_CERT"))?;
    let key = PrivateKeyDer::from_pem_file(key_file).with_context(|| named(key_file, "TLS_KEY"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).context("TLS_CERT and TLS_KEY do not belong together")
}

/// Loads new files until the process stops. Files that cannot be used, perhaps half written, change nothing.
pub async fn run(tls: Tls, lifecycle: Lifecycle) -> Result<(), Infallible> {
    let mut ticks = lifecycle.every_until_stopped(RELOAD_PERIOD);
    // Unset at first: nothing between loading and now may be missed, so it reads once more.
    let mut seen: Stamp = [None, None];
    let mut warned = seen;
    while ticks.next().await {
        let certificate = tls.certificate.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let stamp = certificate.stamp();
            (stamp, (stamp != seen).then(|| read(&certificate.cert_file, &certificate.key_file)))
        });
        match looked.await {
            Ok((stamp, Some(Ok(key)))) => {
                if seen != [None, None] {
                    tracing::info!("the TLS certificate was replaced");
                }
                *tls.certificate.current.write() = Arc::new(key);
                seen = stamp;
            }
            Ok((stamp, Some(Err(error)))) if warned != stamp => {
                tracing::warn!(
                    error = %with_causes(&error),
                    "the new TLS certificate cannot be used; the old one stays"
                );
                warned = stamp;
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}
