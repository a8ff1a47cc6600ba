//! A connected byte stream: TCP, or TLS over it; and the upgrade to a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::target::Target;

const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The key of the handshake; it need not be random, because this client does not check it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[derive(Debug)]
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What opening connections needs in addition to the target.
#[derive(Clone)]
pub struct Opener {
    pub deflate: bool,
    tls: Option<TlsConnector>,
}

impl Opener {
    /// Loads the system's root certificates (or those of `SSL_CERT_FILE`) if any target needs them.
    pub fn new(targets: &[Target], deflate: bool) -> Result<Self> {
        if targets.iter().all(|target| !target.tls) {
            return Ok(Self { deflate, tls: None });
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { deflate, tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Connects and upgrades; also returns the bytes that followed the upgrade's answer.
    pub async fn open(&self, target: &Target, index: usize) -> Result<(Wire, Vec<u8>)> {
        let mut wire = self.connect(target, index).await?;
        let rest = self.upgrade(&mut wire, target).await?;
        Ok((wire, rest))
    }

    async fn connect(&self, target: &Target, index: usize) -> Result<Wire> {
        let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        if let Some(source) = target.source(index) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(target.address).await.context("connecting")?;
        match &self.tls {
            Some(connector) if target.tls => {
                let name = ServerName::try_from(target.host.clone()).context("the host's name")?;
                Ok(Wire::Tls(Box::new(connector.connect(name, stream).await.context("TLS")?)))
            }
            _ => Ok(Wire::Plain(stream)),
        }
    }

    /// Sends one HTTP request with a JSON body; any status other than 200 is an error.
    pub async fn post(&self, target: &Target, path: &str, token: &str, body: &str) -> Result<()> {
        let mut wire = self.connect(target, 0).await?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            target.authority,
            body.len()
        );
        wire.write_all(request.as_bytes()).await?;
        wire.flush().await?;
        let mut answer = Vec::new();
        wire.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        match answer.split_ascii_whitespace().nth(1) {
            Some("200") => Ok(()),
            _ => bail!("answered with {}", answer.chars().take(500).collect::<String>()),
        }
    }

    async fn upgrade(&self, wire: &mut Wire, target: &Target) -> Result<Vec<u8>> {
        let extensions = if self.deflate {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"
        } else {
            ""
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}\r\n",
            target.path, target.authority
        );
        wire.write_all(request.as_bytes()).await?;
        wire.flush().await?;
        let mut head = Vec::with_capacity(1024);
        let end = loop {
            if wire.read_buf(&mut head).await? == 0 {
                bail!("closed during the upgrade");
            }
            if let Some(at) = memchr::memmem::find(&head, b"\r\n\r\n") {
                break at + 4;
            }
            if head.len() > MAX_HEAD_BYTES {
                bail!("the upgrade's answer is too long");
            }
        };
        let rest = head.split_off(end);
        let head = String::from_utf8_lossy(&head).into_owned();
        match head.split_ascii_whitespace().nth(1) {
            Some("101") => Ok(rest),
            _ => bail!("the upgrade was answered with `{}`", head.lines().next().unwrap_or_default()),
        }
    }
}

impl Wire {
    fn inner(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    /// Writes at once, outside of any task; always `WouldBlock` for TLS, which the connection's task has to drive.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
