//! TLS at the gateway: a WebSocket over it, a replaced certificate, clients that never finish the handshake.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use client::event_type;
use futures_util::{SinkExt, StreamExt};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::fake_worker::FakeWorker;
use crate::harness::{Harness, SOON, redis_url, token};

/// A folder with a certificate and its key, removed when dropped.
struct Certificate(PathBuf);

impl Certificate {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let certificate = Certificate(folder);
        certificate.make();
        certificate
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a new certificate in place of the old one.
    fn make(&self) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &self.path("key.pem"), "-out", &self.path("cert.pem")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// A client that trusts only this certificate.
    fn client(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(Path::new(&self.path("cert.pem"))).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        // A resumed session would not check the certificate.
        config.resumption = Resumption::disabled();
        TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn open(harness: &Harness, client: &TlsConnector) -> std::io::Result<Socket> {
    let tcp = TcpStream::connect(harness.url.strip_prefix("http://").unwrap()).await?;
    let tls = client.connect(ServerName::try_from("localhost").unwrap(), tcp).await?;
    let (socket, _) = tokio_tungstenite::client_async("wss://localhost/ws", tls).await.unwrap();
    Ok(socket)
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn ask(socket: &mut Socket, command: Value) -> Value {
    socket.send(Message::text(command.to_string())).await.unwrap();
    next(socket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_tls_outlives_a_replaced_certificate() {
    let certificate = Certificate::new();
    let (cert, key) = (certificate.path("cert.pem"), certificate.path("key.pem"));
    let prefix = format!("t{}:", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    let worker = FakeWorker::start(redis_url(), &prefix).await;
    let tls = [("TLS_CERT", cert.as_str()), ("TLS_KEY", key.as_str())];
    let harness = Harness::start_with(worker, &prefix, redis_url(), &tls).await;

    // Connections that never finish a handshake, or do not speak TLS, delay nobody.
    let address = harness.url.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let old_client = certificate.client();
    let mut old = open(&harness, &old_client).await.unwrap();
    assert_eq!(event_type(&next(&mut old).await), "connected");
    let authenticated = async {
        loop {
            let answer = ask(&mut old, json!({"type": "authenticate", "token": token(1)})).await;
            if event_type(&answer) == "auth_success" {
                break;
            }
            assert_eq!(answer["code"], "SERVICE_UNAVAILABLE", "until Redis is there");
        }
    };
    tokio::time::timeout(SOON, authenticated).await.unwrap();
    // More than one record, and more than a socket takes at once.
    let refused = ask(&mut old, json!({"type": "test", "padding": "x".repeat(500_000)})).await;
    assert_eq!(event_type(&refused), "test_response");

    // Half a replacement changes nothing; the complete one applies to new connections.
    std::fs::write(&cert, "half").unwrap();
    certificate.make();
    let new_client = certificate.client();
    let replaced = async {
        loop {
            match open(&harness, &new_client).await {
                Ok(socket) => break socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut new = tokio::time::timeout(Duration::from_secs(30), replaced).await.unwrap();
    assert_eq!(event_type(&next(&mut new).await), "connected");
    assert!(open(&harness, &old_client).await.is_err(), "the old certificate is no longer served");
    assert_eq!(event_type(&ask(&mut old, json!({"type": "ping"})).await), "pong");
}
