//! `get_sign_ins`: where one is signed in.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSignIns;

impl Contract for GetSignIns {
    const NAME: &'static str = "get_sign_ins";
    const SUMMARY: &'static str = "Returns where the caller is signed in: the tokens with which somebody has connected and which are \
        still valid, those seen last first; at most 100. Only where this server keeps the accounts (`BUILTIN_AUTH`).";
    const REPLIES: &'static [&'static str] = &["sign_ins"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetSignIns)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
