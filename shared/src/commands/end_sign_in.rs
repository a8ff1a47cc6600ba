//! `end_sign_in`: signs the caller out somewhere, or everywhere else.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::ids::TokenId;
use crate::limits::MAX_SIGN_IN_ID_CHARACTERS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSignIn {
    pub token_id: TokenId,
    /// All others instead of this one.
    pub others: bool,
}

impl Contract for EndSignIn {
    const NAME: &'static str = "end_sign_in";
    const SUMMARY: &'static str = "Revokes the token of one of the caller's sign-ins, or those of all others; their connections are \
        closed with 1008 within 5 s. Only where this server keeps the accounts (`BUILTIN_AUTH`).";
    const FIELDS: &'static [Field] = &[
        Field::required(
            "signInId",
            Kind::Text { min: 1, max: MAX_SIGN_IN_ID_CHARACTERS },
            "The `jti` of its token, as in `sign_ins`.",
        ),
        Field::default("others", Kind::Boolean, "false", "Whether all others end and this one stays."),
    ];
    const REPLIES: &'static [&'static str] = &["sign_in_ended"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied, ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let id = fields.bounded("signInId", 1, MAX_SIGN_IN_ID_CHARACTERS)?;
        let token_id = TokenId(id.ok_or_else(|| Invalid::required("signInId"))?);
        Ok(EndSignIn { token_id, others: fields.boolean("others")?.unwrap_or(false) })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::Ordered(Subject::User(caller))
    }
}
