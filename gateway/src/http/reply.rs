//! The form of all HTTP answers: JSON with a status, and errors as the protocol defines them.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use shared::http::ErrorBody;
use warp::Reply;
use warp::filters::BoxedFilter;
use websocket::handshake::VERSION;

pub type Response = warp::reply::Response;
/// A set of paths; cheap to clone.
pub type Routes = BoxedFilter<(Response,)>;

/// True if a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

pub fn json_response<T: Serialize>(body: &T) -> Response {
    warp::reply::json(body).into_response()
}

pub fn with_status<T: Serialize>(ok: bool, body: &T) -> Response {
    let mut response = json_response(body);
    if !ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `{status: "error", code, message}`.
pub fn error_response(status: StatusCode, code: &str, message: &str) -> Response {
    let mut response = json_response(&ErrorBody::new(code, message));
    *response.status_mut() = status;
    response
}

pub fn upgrade_required(message: &str) -> Response {
    let mut response = error_response(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", message);
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}

/// True if the client accepts this content coding.
pub fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for entry in values.flat_map(|value| value.split(',')) {
        let (name, parameter) = entry.split_once(';').unwrap_or((entry, ""));
        let quality = parameter.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('='));
        let accepted = !quality.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0));
        if name.trim().eq_ignore_ascii_case(coding) {
            named = Some(accepted);
        } else if name.trim() == "*" {
            any = Some(accepted);
        }
    }
    // `*` stands for every coding that is not listed.
    named.or(any).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_does_not_override_the_quality_of_gzip() {
        let accepts = |value: &'static str| {
            accepts(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]), "gzip")
        };
        for value in ["gzip", "GZIP;q=0.1", "br, *", "*;q=0, gzip", "gzip;q=1, *;q=0"] {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0, *", "*, gzip; q=0.000", "*;q=0", "gzip;Q=0"] {
            assert!(!accepts(value), "{value}");
        }
    }
}
