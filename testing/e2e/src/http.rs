//! Plain HTTP requests, one connection each. Every JSON answer that the OpenAPI document declares is checked against
//! it.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use contract::check;
use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(30);

/// A request to be sent to any server.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Announced instead of the body's length.
    length: Option<usize>,
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Request {
        Request { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new(), length: None }
    }

    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    pub fn post(path: &str, body: &Value) -> Request {
        Request { body: body.to_string().into_bytes(), ..Request::new("POST", path) }
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Request {
        Request { body: body.into(), ..self }
    }

    /// Announces a body of this length, but sends none.
    pub fn announcing(self, length: usize) -> Request {
        Request { length: Some(length), ..self }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Request {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends it to `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// If there is no answer in time, or one that the document does not declare.
    pub async fn send(&self, url: &str) -> Result<Answer> {
        let answer = self.send_elsewhere(url).await?;
        if let Some(body) = answer.declared(self) {
            let path = self.path.split('?').next().unwrap_or_default();
            check::http_answer(self.method, path, answer.status, &body).map_err(|broken| anyhow!(broken))?;
        }
        Ok(answer)
    }

    /// Sends it to a server that is not ours: its answer is not checked against the contract.
    pub async fn send_elsewhere(&self, url: &str) -> Result<Answer> {
        timeout(WITHIN, self.exchange(url)).await.context("no answer in time")?
    }

    async fn exchange(&self, url: &str) -> Result<Answer> {
        let host = url.strip_prefix("http://").context("an http URL")?;
        let mut stream = TcpStream::connect(host).await.with_context(|| format!("connecting to {host}"))?;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.length.unwrap_or(self.body.len());
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        stream.write_all(head.as_bytes()).await?;
        // The server may have answered before it read all of it.
        let _ = stream.write_all(&self.body).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").context("no HTTP answer")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status")?;
        let pair = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        };
        Ok(Answer { status, headers: lines.filter_map(pair).collect(), body: bytes[end + 4..].to_vec() })
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// Returns the value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns the body, decompressed.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.header("content-encoding") == "gzip"
            && GzDecoder::new(self.body.as_slice()).read_to_string(&mut text).is_ok()
        {
            return text;
        }
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }

    /// What the document has to declare: JSON answers, except those that are the same for every path.
    fn declared(&self, request: &Request) -> Option<Value> {
        let everywhere = matches!(self.status, 404 | 405 | 426) || request.method == "HEAD" || self.status == 429;
        let body = self.json();
        (!everywhere && !body.is_null()).then_some(body)
    }
}
