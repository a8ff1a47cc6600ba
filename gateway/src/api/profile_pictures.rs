//! `POST /api/profile-pictures/batch`

use shared::auth::Claims;
use shared::ids::UserId;
use shared::stream::HttpRequest;

use super::answer::ask;
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::Response;

pub async fn list(gateway: &Gateway, claims: Claims, body: Vec<u8>) -> Result<Response, ApiError> {
    ask(gateway, UserId(claims.user_id), HttpRequest::ProfilePictures { token_id: claims.jti, body }).await
}
