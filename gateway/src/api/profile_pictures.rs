//! `POST /api/profile-pictures/batch`

use std::sync::Arc;

use http::HeaderMap;
use shared::ids::UserId;
use shared::limits::MAX_PICTURES_BODY_BYTES;
use shared::stream::HttpRequest;
use warp::Filter;

use super::answer::{answered, ask, with};
use super::bearer;
use super::body::{self, Unread};
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::{Response, Routes};

pub fn route(gateway: &Arc<Gateway>) -> Routes {
    warp::path!("api" / "profile-pictures" / "batch")
        .and(warp::post())
        .and(with(gateway))
        .and(warp::header::headers_cloned())
        .and(body::unread())
        .then(|gateway, headers, body| async move { answered(list(gateway, headers, body).await) })
        .boxed()
}

async fn list(gateway: Arc<Gateway>, headers: HeaderMap, body: Unread) -> Result<Response, ApiError> {
    let claims = bearer::verify(&gateway.tokens, &headers).await?;
    let body = body::read(&headers, body, MAX_PICTURES_BODY_BYTES).await?;
    ask(&gateway, UserId(claims.user_id), HttpRequest::ProfilePictures { token_id: claims.jti, body }).await
}
