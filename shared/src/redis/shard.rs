//! One connection to one node of a Redis Cluster, for sharded subscriptions. fred drops the message with which a node
//! ends a subscription when the channel's slot has moved to another node, so with it nobody would learn that
//! publications are lost.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fred::types::config::{Server, TlsConfig, TlsConnector};
use redis_protocol::resp3::decode::complete::decode_bytes_mut;
use redis_protocol::resp3::types::{BytesFrame, Resp3Frame};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

/// To connect, with the handshakes.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 64 * 1024;

/// How to reach the nodes of a cluster; from [`super::client::RedisOptions::shards`].
#[derive(Clone)]
pub struct ShardOptions {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: Option<TlsConfig>,
    /// A command without a reply within this time has failed.
    pub command_timeout: Duration,
}

/// What a node sends. A command that is not named here is answered with [`Received::Answer`] or [`Received::Refused`].
/// Answers come in the order of the commands, but a node also ends subscriptions by itself.
#[derive(Debug)]
pub enum Received {
    Publication { channel: Bytes, payload: Bytes },
    Subscribed { channel: Bytes },
    Unsubscribed { channel: Bytes },
    Answer,
    Refused { error: String },
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct ShardConnection {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    inbox: BytesMut,
    outbox: BytesMut,
    is_flushed: bool,
}

impl ShardConnection {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// When the node cannot be reached in time, or does not accept the user.
    pub async fn connect(options: &ShardOptions, server: &Server) -> io::Result<Self> {
        let connecting = async {
            let mut connection = Self::open(options, server).await?;
            connection.greet(options).await?;
            Ok(connection)
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the node does not answer");
        tokio::time::timeout(CONNECT_WITHIN, connecting).await.map_err(late)?
    }

    async fn open(options: &ShardOptions, server: &Server) -> io::Result<Self> {
        let tcp = TcpStream::connect((&*server.host, server.port)).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &options.tls {
            None => Box::new(tcp),
            Some(TlsConfig { connector: TlsConnector::Rustls(connector), .. }) => {
                let name = server.tls_server_name.as_ref().unwrap_or(&server.host).to_string();
                let name = ServerName::try_from(name).map_err(io::Error::other)?;
                Box::new(connector.connect(name, tcp).await?)
            }
        };
        let (reader, writer) = tokio::io::split(stream);
        let (inbox, outbox) = (BytesMut::new(), BytesMut::new());
        Ok(ShardConnection { reader, writer, inbox, outbox, is_flushed: true })
    }

    /// RESP3 allows other commands on a connection with subscriptions.
    async fn greet(&mut self, options: &ShardOptions) -> io::Result<()> {
        match &options.password {
            None => self.send(&["HELLO", "3"]),
            Some(password) => {
                let username = options.username.as_deref().unwrap_or("default");
                self.send(&["HELLO", "3", "AUTH", username, password]);
            }
        }
        match self.receive().await? {
            Received::Refused { error } => Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
            _ => Ok(()),
        }
    }

    /// Queues a command; [`Self::exchange`] writes it.
    pub fn send(&mut self, words: &[&str]) {
        self.outbox.put_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.outbox.put_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    /// Waits until something could be read or written. May be dropped at any point.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn exchange(&mut self) -> io::Result<()> {
        let ShardConnection { reader, writer, inbox, outbox, is_flushed } = self;
        inbox.reserve(READ_BYTES);
        let writing = async {
            match outbox.is_empty() {
                true => writer.flush().await.map(|()| 0),
                false => writer.write(outbox).await,
            }
        };
        let written = tokio::select! {
            read = reader.read_buf(inbox) => match read? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => return Ok(()),
            },
            written = writing, if !outbox.is_empty() || !*is_flushed => written?,
        };
        *is_flushed = outbox.is_empty();
        outbox.advance(written);
        Ok(())
    }

    /// The next of what has been read.
    ///
    /// # Errors
    /// When the node sent something that cannot be understood.
    pub fn take(&mut self) -> io::Result<Option<Received>> {
        let decoded = decode_bytes_mut(&mut self.inbox).map_err(io::Error::other)?;
        decoded.map(|(frame, _, _)| received(frame)).transpose()
    }

    /// Waits for the answer to the only command that was sent.
    ///
    /// # Errors
    /// Those of [`Self::exchange`] and [`Self::take`].
    pub async fn receive(&mut self) -> io::Result<Received> {
        loop {
            if let Some(received) = self.take()? {
                return Ok(received);
            }
            self.exchange().await?;
        }
    }
}

fn received(frame: BytesFrame) -> io::Result<Received> {
    let data = match frame {
        BytesFrame::Push { data, .. } => data,
        BytesFrame::SimpleError { .. } | BytesFrame::BlobError { .. } => {
            let error = frame.as_str().unwrap_or_default().to_owned();
            return Ok(Received::Refused { error });
        }
        _ => return Ok(Received::Answer),
    };
    let mut words = data.into_iter();
    let kind = words.next();
    let mut word = || match words.next() {
        Some(BytesFrame::BlobString { data, .. } | BytesFrame::SimpleString { data, .. }) => Ok(data),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    };
    match kind.as_ref().and_then(Resp3Frame::as_str) {
        Some("smessage") => Ok(Received::Publication { channel: word()?, payload: word()? }),
        Some("ssubscribe") => Ok(Received::Subscribed { channel: word()? }),
        Some("sunsubscribe") => Ok(Received::Unsubscribed { channel: word()? }),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A node's answer that another one has the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub slot: u16,
    /// Empty if it is the same as that of the answering node.
    pub host: String,
    pub port: u16,
}

impl Moved {
    /// Parses `MOVED 3999 127.0.0.1:6381`; `None` for another error.
    pub fn parse(error: &str) -> Option<Self> {
        let (slot, address) = error.strip_prefix("MOVED ")?.split_once(' ')?;
        let (host, port) = address.trim().rsplit_once(':')?;
        Some(Moved { slot: slot.parse().ok()?, host: host.to_owned(), port: port.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Vec<Received> {
        let mut inbox = BytesMut::from(text);
        std::iter::from_fn(|| decode_bytes_mut(&mut inbox).unwrap())
            .map(|(frame, _, _)| received(frame).unwrap())
            .collect()
    }

    #[test]
    fn what_a_node_sends_is_told_apart() {
        let all = read(
            ">3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$2\r\nhi\r\n:0\r\n\
             -MOVED 3 :7001\r\n>3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n>3\r\n$8\r\nsmess",
        );
        assert!(matches!(&all[0], Received::Subscribed { channel } if channel == "a"));
        assert!(matches!(&all[1], Received::Publication { channel, payload } if channel == "a" && payload == "hi"));
        assert!(matches!(&all[2], Received::Answer));
        assert!(matches!(&all[3], Received::Refused { error } if Moved::parse(error).is_some()));
        assert!(matches!(&all[4], Received::Unsubscribed { channel } if channel == "a"));
        assert_eq!(all.len(), 5, "the last one is not complete");
    }

    #[test]
    fn a_redirection_names_the_other_node() {
        let moved = |host: &str, port| Some(Moved { slot: 3_999, host: host.to_owned(), port });
        assert_eq!(Moved::parse("MOVED 3999 127.0.0.1:6381"), moved("127.0.0.1", 6_381));
        assert_eq!(Moved::parse("MOVED 3999 ::1:6381"), moved("::1", 6_381));
        assert_eq!(Moved::parse("MOVED 3999 :6381"), moved("", 6_381));
        assert_eq!(Moved::parse("CLUSTERDOWN Hash slot not served"), None);
    }
}
