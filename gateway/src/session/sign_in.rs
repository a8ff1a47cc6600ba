//! Telling the workers under which token a user is connected, for the list of sign-ins that the user sees.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::limits::MAX_USER_AGENT_CHARACTERS;
use shared::stream::{Internal, SignIn};

use crate::gateway::Gateway;
use crate::limits::addresses::Address;
use crate::session::authenticate::Attempt;

/// Workers of the version before do not know it and put it back until then.
const RECORD_WITHIN: Duration = Duration::from_secs(10);

/// Where a connection comes from.
pub struct Source {
    pub address: Address,
    /// What the client says it is, where that is of use.
    pub user_agent: Option<Box<str>>,
}

/// A connection under a token: told when it begins, and when this is dropped.
pub struct SignedIn {
    gateway: Arc<Gateway>,
    user: UserId,
    request: Internal,
}

impl SignedIn {
    /// `None` where the main backend knows the logins.
    pub fn begin(gateway: &Arc<Gateway>, attempt: &Attempt, source: &Source) -> Option<Self> {
        if !gateway.settings.common.builtin_auth {
            return None;
        }
        let request = Internal::RecordSignIn(SignIn {
            token_id: attempt.opener.token_id.clone(),
            expires_at: Timestamp(attempt.expires_unix.saturating_mul(1000)),
            user_agent: source.user_agent.as_deref().map(str::to_owned),
            address: source.address.to_string(),
        });
        let signed_in = SignedIn { gateway: gateway.clone(), user: attempt.opener.user, request };
        signed_in.tell();
        Some(signed_in)
    }

    fn tell(&self) {
        self.gateway.requests.tell(self.user, &self.request, RECORD_WITHIN);
    }
}

impl Drop for SignedIn {
    fn drop(&mut self) {
        self.tell();
    }
}

/// What a client says it is, as it is kept; `None` where nobody asks for it.
pub fn user_agent(gateway: &Gateway, given: Option<&str>) -> Option<Box<str>> {
    let given = given.filter(|given| gateway.settings.common.builtin_auth && !given.is_empty())?;
    Some(given.chars().take(MAX_USER_AGENT_CHARACTERS).collect::<String>().into())
}
