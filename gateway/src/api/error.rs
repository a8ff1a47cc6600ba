//! Why an HTTP request failed, and the one form in which clients are told.

use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use shared::http::ErrorBody;
use shared::protocol::{ErrorCode, Invalid, Rejection};

use crate::http::reply::{Response, json_response};

/// The error that the caller gets instead of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// In seconds.
    pub retry_after: Option<u32>,
    /// The request field that is wrong.
    pub field: Option<String>,
    /// Identifies the cause in a worker's log.
    pub error_id: Option<String>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), retry_after: None, field: None, error_id: None }
    }

    /// The error for a command whose fields break its contract.
    pub fn invalid(invalid: &Invalid) -> Self {
        let error = ApiError::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", invalid.details.clone());
        ApiError { field: Some(invalid.field.to_owned()), ..error }
    }

    /// The error for a rejected command.
    pub fn of_rejection(rejection: Rejection) -> Self {
        let status = StatusCode::from_u16(rejection.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let field = rejection.field.map(str::to_owned);
        let error = ApiError::new(status, rejection.code.as_str(), rejection.details);
        ApiError { retry_after: rejection.retry_after, field, error_id: rejection.error_id, ..error }
    }

    /// The error in a worker's JSON answer: it is called `message` over HTTP and `details` on a WebSocket.
    pub fn of_worker(status: Option<u16>, json: &[u8]) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Said {
            code: String,
            details: Option<String>,
            message: String,
            field: Option<String>,
            retry_after: Option<u32>,
            error_id: Option<String>,
        }
        let unreadable = || ApiError::internal("a worker's error cannot be read");
        let Ok(said) = serde_json::from_slice::<Said>(json) else { return unreadable() };
        let Some(code) = ErrorCode::ALL.iter().find(|code| code.as_str() == said.code) else { return unreadable() };
        let status = StatusCode::from_u16(status.unwrap_or(code.http_status()));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = ApiError::new(status, code.as_str(), said.details.unwrap_or(said.message));
        ApiError { retry_after: said.retry_after, field: said.field, error_id: said.error_id, ..error }
    }

    pub fn nothing() -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "There is no endpoint at this path")
    }

    pub fn too_large(max_bytes: usize) -> Self {
        let message = format!("The body must have at most {max_bytes} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    pub fn unavailable(retry_after: u32) -> Self {
        let message = "The service is temporarily unavailable";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }

    pub fn too_many(retry_after: u32, message: &str) -> Self {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }

    /// An error on our side; its cause goes to the log.
    pub fn internal(cause: &str) -> Self {
        let error_id = shared::telemetry::error_id();
        tracing::error!(error_id, cause, "an HTTP request failed");
        let message = format!("The cause is in the server's log under errorId {error_id}");
        let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message);
        ApiError { error_id: Some(error_id), ..error }
    }

    pub fn into_response(self) -> Response {
        let body = ErrorBody {
            field: self.field.as_deref(),
            retry_after: self.retry_after,
            error_id: self.error_id.as_deref(),
            ..ErrorBody::new(self.code, &self.message)
        };
        let mut response = json_response(&body);
        *response.status_mut() = self.status;
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
