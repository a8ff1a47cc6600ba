//! `POST /community/progression`: from the main backend, which shows a secret of its own.

use std::sync::Arc;

use http::HeaderMap;
use shared::stream::HttpRequest;
use warp::Filter;

use super::answer::{NOBODY, answered, ask, with};
use super::bearer;
use super::body::{self, Unread};
use super::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::{Response, Routes};

pub fn route(gateway: &Arc<Gateway>) -> Routes {
    warp::path!("community" / "progression")
        .and(warp::post())
        .and(with(gateway))
        .and(warp::header::headers_cloned())
        .and(body::unread())
        .then(|gateway, headers, body| async move { answered(sync(gateway, headers, body).await) })
        .boxed()
}

async fn sync(gateway: Arc<Gateway>, headers: HeaderMap, body: Unread) -> Result<Response, ApiError> {
    let Some(secret) = &gateway.settings.community_sync_token else {
        return Err(ApiError::nothing());
    };
    bearer::check_secret(secret, &headers)?;
    let body = body::read(&headers, body, gateway.settings.community_sync_max_payload_bytes).await?;
    ask(&gateway, NOBODY, HttpRequest::CommunitySync { body }).await
}
