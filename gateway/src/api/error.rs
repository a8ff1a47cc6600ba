//! Why an HTTP request is not carried out, and the one form in which that is said.

use http::{HeaderValue, StatusCode, header};

use crate::http::reply::{Response, error_response};

/// What the caller is told instead of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// In seconds.
    pub retry_after: Option<u32>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), retry_after: None }
    }

    pub fn too_large(max_bytes: usize) -> Self {
        let message = format!("The body must have at most {max_bytes} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    pub fn unavailable(retry_after: u32) -> Self {
        let message = "The service is not available for the moment";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }

    pub fn too_many(retry_after: u32, message: &str) -> Self {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }

    /// A fault of ours; the cause goes to the log.
    pub fn internal(cause: &str) -> Self {
        let error_id = shared::telemetry::error_id();
        tracing::error!(error_id, cause, "an HTTP request failed");
        let message = format!("The cause is in the server's log under errorId {error_id}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
    }

    pub fn into_response(self) -> Response {
        let mut response = error_response(self.status, self.code, &self.message);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
