//! `GET /api/conversations?limit&offset`

use shared::auth::Claims;
use shared::ids::UserId;
use shared::stream::HttpRequest;

use super::answer::ask_for;
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::Response;

pub async fn list(gateway: &Gateway, claims: Claims, query: String, path: &str) -> Result<Response, ApiError> {
    let request = HttpRequest::Conversations { token_id: claims.jti, query };
    ask_for(gateway, UserId(claims.user_id), request, path).await
}
