//! `POST /community/progression`: called by the main backend, which has its own secret.

use shared::stream::HttpRequest;

use super::answer::{NOBODY, ask};
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::Response;

pub async fn sync(gateway: &Gateway, body: Vec<u8>) -> Result<Response, ApiError> {
    ask(gateway, NOBODY, HttpRequest::CommunitySync { body }).await
}
