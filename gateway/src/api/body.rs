//! Request bodies, bounded in size (before and while they are read) and in time.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use warp::{Filter, Rejection};

use super::error::ApiError;

const READ_WITHIN: Duration = Duration::from_secs(15);

/// A body that has not been read yet; `None` marks the place where it broke off.
pub type Unread = Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>;

/// The request's body, unread.
pub fn unread() -> impl Filter<Extract = (Unread,), Error = Rejection> + Clone {
    warp::body::stream().map(|stream| Box::pin(StreamExt::map(stream, chunk)) as Unread)
}

fn chunk<B: Buf>(chunk: Result<B, warp::Error>) -> Option<Bytes> {
    chunk.ok().map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))
}

/// Reads a body of at most `max_bytes`, and keeps no more than that of a larger one.
pub async fn read(headers: &HeaderMap, mut body: Unread, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(ApiError::too_large(max_bytes));
    }
    let late =
        |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request body did not arrive in time");
    tokio::time::timeout(READ_WITHIN, collect(&mut body, max_bytes)).await.map_err(late)?
}

async fn collect(body: &mut Unread, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut read = Vec::new();
    while let Some(chunk) = body.next().await {
        let broken = || {
            let message = "The request body ended before it was complete";
            ApiError::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
        };
        let chunk = chunk.ok_or_else(broken)?;
        if read.len() + chunk.len() > max_bytes {
            return Err(ApiError::too_large(max_bytes));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(chunks: Vec<Option<&'static [u8]>>) -> Unread {
        Box::pin(stream::iter(chunks.into_iter().map(|chunk| chunk.map(Bytes::from_static))))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_bounded_in_size_and_time() {
        let none = HeaderMap::new();
        let whole = read(&none, body(vec![Some(b"ab"), Some(b"cd")]), 4).await;
        assert_eq!(whole, Ok(b"abcd".to_vec()));
        let status = |result: Result<Vec<u8>, ApiError>| result.unwrap_err().status.as_u16();
        assert_eq!(status(read(&none, body(vec![Some(b"ab"), Some(b"cde")]), 4).await), 413);
        assert_eq!(status(read(&none, body(vec![Some(b"ab"), None]), 4).await), 400);
        assert_eq!(status(read(&none, Box::pin(stream::pending()), 4).await), 408);
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, "5".parse().unwrap())]);
        assert_eq!(status(read(&announced, Box::pin(stream::pending()), 4).await), 413);
    }
}
