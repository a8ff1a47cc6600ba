//! `GET /api/conversations?limit&offset`

use std::sync::Arc;

use http::HeaderMap;
use shared::ids::UserId;
use shared::stream::HttpRequest;
use warp::Filter;

use super::answer::{answered, ask_for, with};
use super::bearer;
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::{Response, Routes};

pub fn route(gateway: &Arc<Gateway>) -> Routes {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path!("api" / "conversations")
        .and(warp::get())
        .and(with(gateway))
        .and(warp::header::headers_cloned())
        .and(query)
        .then(|gateway, headers, query| async move { answered(list(gateway, headers, query).await) })
        .boxed()
}

async fn list(gateway: Arc<Gateway>, headers: HeaderMap, query: String) -> Result<Response, ApiError> {
    let claims = bearer::verify(&gateway.tokens, &headers).await?;
    let request = HttpRequest::Conversations { token_id: claims.jti, query };
    ask_for(&gateway, UserId(claims.user_id), request, "/api/conversations").await
}
