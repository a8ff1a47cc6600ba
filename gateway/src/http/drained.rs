//! Drains bodies that are not read to their end because the request failed. A connection closed with unread input is
//! reset, and its client, which is still writing, would never see the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// How much of an unwanted body is still read, and for how long; then the connection is closed.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// A request's body. Dropping it drains what is left.
pub struct Drained {
    body: Option<Incoming>,
    /// The client waits for `100 Continue`, which reading sends.
    is_not_begun: bool,
}

impl Drained {
    /// Wraps the request so that its body is drained.
    pub fn wrap(request: Request<Incoming>) -> Request<Self> {
        let is_not_begun = request.headers().contains_key(header::EXPECT);
        request.map(|body| Drained { body: Some(body), is_not_begun })
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_not_begun = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.is_end_stream() || self.is_not_begun {
            return;
        }
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(DRAIN_WITHIN, drain(body)));
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut left = MAX_DRAINED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
