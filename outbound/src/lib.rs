//! Our own requests over HTTP(S): to token issuers and to webhooks. One connection to one address, which the caller may
//! have checked; no redirects, and answers of bounded size. Callers bound the time.

pub mod address;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// Where requests are sent.
pub struct Target {
    host: String,
    port: u16,
    /// The value of the header `Host`.
    authority: HeaderValue,
    path: String,
    /// Absent for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
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
        Ok(Target {
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str()).context("not the name of a host")?,
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            host,
            tls,
        })
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Looks up the current addresses of its host.
    ///
    /// # Errors
    /// When the name has none.
    pub async fn resolve(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await.context("the host is not known")?;
        Ok(found.collect())
    }

    /// Connects to the first of these addresses that answers.
    ///
    /// # Errors
    /// When none answers, or its certificate is not for the host.
    pub async fn connect(&self, addresses: &[SocketAddr]) -> anyhow::Result<Connection> {
        let socket = TcpStream::connect(addresses).await.context("cannot connect")?;
        // A request is one write, so waiting for more gains nothing.
        socket.set_nodelay(true)?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), socket).await.context("TLS")?;
                Connection::open(TokioIo::new(stream)).await
            }
            None => Connection::open(TokioIo::new(socket)).await,
        }
    }

    /// Sends a request for this target's path; adds the header `Host`.
    ///
    /// # Errors
    /// When the connection fails, or the body of the answer is larger than `max_bytes`.
    pub async fn exchange(
        &self,
        connection: &mut Connection,
        mut request: Request<Bytes>,
        max_bytes: usize,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        *request.uri_mut() = self.path.parse()?;
        request.headers_mut().insert(header::HOST, self.authority.clone());
        connection.sender.ready().await?;
        let response = connection.sender.send_request(request.map(Full::new)).await?;
        let status = response.status();
        match Limited::new(response.into_body(), max_bytes).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) => bail!("the body of the answer, {status}, cannot be read: {error}"),
        }
    }
}

/// A connection, closed when dropped.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    async fn open<S: Read + Write + Unpin + Send + 'static>(stream: S) -> anyhow::Result<Self> {
        let (sender, connection) = http1::handshake(stream).await?;
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Connection { sender, driver })
    }

    /// True if another request can be sent, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
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
