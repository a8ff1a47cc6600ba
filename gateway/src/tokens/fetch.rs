//! One small document over HTTP(S), bounded in size and time. Follows no redirects.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const READ_WITHIN: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

/// Where the document is.
pub struct Source {
    host: String,
    port: u16,
    /// As the header `Host` has it.
    authority: String,
    path: String,
    /// Absent for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Source {
    /// Reads the system's certificate authorities, or those of `SSL_CERT_FILE`, for an `https` URL.
    ///
    /// # Errors
    /// When `url` is not a URL, or the system has no certificate authorities.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().context("not a URL")?;
        let authority = uri.authority().context("the URL names no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let tls = match is_https {
            true => Some((connector()?, ServerName::try_from(host.clone()).context("not the name of a host")?)),
            false => None,
        };
        Ok(Source {
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            host,
            tls,
        })
    }

    /// The document as it is now.
    ///
    /// # Errors
    /// When it does not come in time, is too large, or its status is not 200.
    pub async fn read(&self) -> anyhow::Result<Bytes> {
        tokio::time::timeout(READ_WITHIN, self.request()).await.context("no answer in time")?
    }

    async fn request(&self) -> anyhow::Result<Bytes> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.context("cannot connect")?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), socket).await.context("TLS")?;
                self.exchange(TokioIo::new(stream)).await
            }
            None => self.exchange(TokioIo::new(socket)).await,
        }
    }

    async fn exchange<S: Read + Write + Unpin + Send + 'static>(&self, stream: S) -> anyhow::Result<Bytes> {
        let request = Request::get(self.path.as_str())
            .header(header::HOST, self.authority.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            ensure!(status == StatusCode::OK, "the answer is {status}");
            match Limited::new(response.into_body(), MAX_BYTES).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) => bail!("the body cannot be read: {error}"),
            }
        };
        // Dropped, and closed, with the answer.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = answer.as_mut() => answer,
            _ = connection.as_mut() => answer.await,
        }
    }
}

fn connector() -> anyhow::Result<TlsConnector> {
    let mut authorities = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    authorities.add_parsable_certificates(found.certs);
    ensure!(!authorities.is_empty(), "no certificate authorities were found on this system");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
