//! From a URL to an open connection: address, source address, headers, TLS, the WebSocket handshake, the greeting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, client_async_tls_with_config};

use crate::connection::{Connection, Limits};
use crate::event::event_type;
use crate::{Client, Error, raw};

/// A page of 200 messages of 5,000 four-byte characters fits several times.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
const MAX_WRITE_BUFFER_BYTES: usize = 32 * 1024 * 1024;
/// Small, because load programs hold many connections, and the library allocates this much for each.
const BUFFER_BYTES: usize = 4 * 1024;

/// A connection to be opened, with everything that can differ from the default.
#[derive(Debug, Clone)]
pub struct Connect {
    url: String,
    headers: Vec<(String, String)>,
    /// Trusted instead of the system's certificates.
    certificates: Option<Vec<u8>>,
    source: Option<IpAddr>,
    recv_buffer_bytes: Option<u32>,
    open_within: Duration,
    answer_within: Duration,
    limits: Limits,
}

impl Connect {
    /// `http://`, `https://`, `ws://` and `wss://` are accepted.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
            certificates: None,
            source: None,
            recv_buffer_bytes: None,
            open_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(15),
            limits: Limits { queue_events: 4_096, keepalive: None, dead_after: None, observed: true },
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    pub fn forwarded_for(self, addresses: &str) -> Self {
        self.header("X-Forwarded-For", addresses)
    }

    /// The certificates (PEM) that TLS trusts, instead of the system's: an authority's, or the server's own.
    pub fn trusting(mut self, pem: &[u8]) -> Self {
        self.certificates = Some(pem.to_vec());
        self
    }

    /// The local address to connect from; on Linux any address of 127.0.0.0/8 works for a local server.
    pub fn source(mut self, address: IpAddr) -> Self {
        self.source = Some(address);
        self
    }

    /// How many unread events the client takes from the socket before it stops reading (default 4,096).
    pub fn queue_events(mut self, events: usize) -> Self {
        self.limits.queue_events = events.max(1);
        self
    }

    /// The socket's receive buffer: with a small one, a client that does not read becomes slow sooner.
    pub fn recv_buffer_bytes(mut self, bytes: u32) -> Self {
        self.recv_buffer_bytes = Some(bytes);
        self
    }

    /// How long `open` may take (default 10 s).
    pub fn open_within(mut self, limit: Duration) -> Self {
        self.open_within = limit;
        self
    }

    /// How long a request waits for its answer (default 15 s).
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// Sends a `ping` at this interval, so that the server does not end the connection for inactivity. Off by default.
    pub fn keepalive(mut self, interval: Duration) -> Self {
        self.limits.keepalive = Some(interval);
        self
    }

    /// Gives up the connection if nothing at all arrives, not even a ping, for this long. Off by default.
    pub fn dead_after(mut self, limit: Duration) -> Self {
        self.limits.dead_after = Some(limit);
        self
    }

    /// Offers the subprotocol `chat.v1`, the protocol of this client, whatever the server's default is.
    pub fn chat_v1(self) -> Self {
        self.header("Sec-WebSocket-Protocol", "chat.v1")
    }

    /// Does not check frames against the contract, because another dialect is spoken.
    pub fn unobserved(mut self) -> Self {
        self.limits.observed = false;
        self
    }

    /// Opens the connection and reads the server's greeting; fails with `Refused` if that is an error.
    pub async fn open(self) -> Result<Client, Error> {
        let deadline = self.open_within;
        timeout(deadline, self.clone().open_unbounded())
            .await
            .unwrap_or_else(|_| Err(self.failed(format!("not connected after {deadline:?}"))))
    }

    /// Performs the handshake by hand and returns the bare TCP connection, for input that no library would send.
    pub async fn open_raw(self) -> Result<TcpStream, Error> {
        let open = async {
            let uri = self.uri()?;
            let mut stream = self.tcp(&uri).await?;
            raw::upgrade(&mut stream, &uri, &self.headers).await?;
            Ok(stream)
        };
        timeout(self.open_within, open).await.unwrap_or_else(|_| Err(self.failed("not connected in time")))
    }

    async fn open_unbounded(self) -> Result<Client, Error> {
        let uri = self.uri()?;
        let mut request = uri.clone().into_client_request().map_err(|e| self.failed(e))?;
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|e| Error::Invalid(format!("header {name}: {e}")))?;
            let value = HeaderValue::try_from(value).map_err(|e| Error::Invalid(format!("header {name}: {e}")))?;
            request.headers_mut().append(name, value);
        }
        let mut connector = None;
        if uri.scheme_str() == Some("wss") {
            // Fails if the program has already chosen a provider, which works as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
            connector = self.certificates.as_deref().map(trusting_only).transpose()?;
        }
        let stream = self.tcp(&uri).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let socket = match client_async_tls_with_config(request, stream, Some(config), connector).await {
            Ok((socket, _)) => socket,
            Err(WsError::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.into_body().unwrap_or_default();
                return Err(Error::Http { status, body: String::from_utf8_lossy(&body).into_owned() });
            }
            Err(error) => return Err(self.failed(error)),
        };
        let mut client = Client::new(Connection::start(socket, &self.limits), self.answer_within, self.limits.observed);
        let first = client.next_event(self.open_within).await?;
        match event_type(&first) {
            "connected" => client.set_greeting(first),
            "error" => {
                return Err(Error::Refused { event: first, close: client.closed().await });
            }
            _ => return Err(Error::Unexpected(first)),
        }
        Ok(client)
    }

    fn uri(&self) -> Result<Uri, Error> {
        let url = self.url.trim();
        let url = match url.split_once("://") {
            Some(("http" | "ws", rest)) => format!("ws://{rest}"),
            Some(("https" | "wss", rest)) => format!("wss://{rest}"),
            _ => {
                return Err(Error::Invalid(format!("not an http, https, ws or wss URL: {url}")));
            }
        };
        let uri: Uri = url.parse().map_err(|e| Error::Invalid(format!("{url}: {e}")))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(Error::Invalid(format!("{url} names no host")));
        }
        Ok(uri)
    }

    async fn tcp(&self, uri: &Uri) -> Result<TcpStream, Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 });
        let addresses = lookup_host((host, port)).await.map_err(|e| self.failed(e))?;
        let mut last = None;
        for address in addresses.filter(|a| self.source.is_none_or(|s| s.is_ipv4() == a.is_ipv4())) {
            match self.tcp_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => self.failed(error),
            None => self.failed("no suitable address"),
        })
    }

    async fn tcp_to(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        if let Some(bytes) = self.recv_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }

    fn failed(&self, reason: impl ToString) -> Error {
        Error::Connect { url: self.url.clone(), reason: reason.to_string() }
    }
}

impl From<String> for Connect {
    fn from(url: String) -> Self {
        Self::new(&url)
    }
}

fn trusting_only(pem: &[u8]) -> Result<Connector, Error> {
    let invalid = |reason: String| Error::Invalid(format!("certificates to trust: {reason}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| invalid(e.to_string()))?;
        roots.add(certificate).map_err(|e| invalid(e.to_string()))?;
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}
