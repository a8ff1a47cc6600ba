//! The HTTP endpoints that need a worker: a file per endpoint. Here they are put together; `answer` turns a worker's answer into
//! a response. What is common to all HTTP answers (limits per address, CORS, compression) is in `http`.

mod answer;
mod auth;
mod bearer;
mod body;
mod community_sync;
mod conversations;
mod error;
mod login_attempts;
mod profile_pictures;
mod server;

use std::sync::Arc;

use warp::Filter;

use crate::gateway::Gateway;
use crate::http::reply::Routes;

/// The paths and the methods that each takes.
const METHODS: [(&str, &str); 6] = [
    ("/api/conversations", "GET, HEAD, OPTIONS"),
    ("/api/profile-pictures/batch", "POST, OPTIONS"),
    ("/community/progression", "POST, OPTIONS"),
    ("/api/auth/register", "POST, OPTIONS"),
    ("/api/auth/login", "POST, OPTIONS"),
    ("/api/auth/logout", "POST, OPTIONS"),
];

/// The endpoints that the settings turn on.
pub fn routes(gateway: &Arc<Gateway>) -> Routes {
    let mut routes = conversations::route(gateway)
        .or(profile_pictures::route(gateway))
        .unify()
        .or(server::route(gateway))
        .unify()
        .boxed();
    if gateway.settings.community_sync_token.is_some() {
        routes = routes.or(community_sync::route(gateway)).unify().boxed();
    }
    if gateway.settings.common.builtin_auth {
        routes = routes.or(auth::routes(gateway)).unify().boxed();
    }
    routes
}

/// What `Allow` says for a path of these.
pub fn allowed_methods(path: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|(known, _)| *known == path).map(|(_, methods)| methods)
}
