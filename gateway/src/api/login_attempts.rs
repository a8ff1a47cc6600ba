//! Limits login attempts over the whole fleet: for one account from one address, from one address, and for one account
//! from all addresses that it was never used from. An attacker who guesses passwords slows down only themselves and
//! addresses that the account has not used; the owner can still log in from a known address. Attempts count whether
//! they succeed or not, so that an answer reveals nothing about the account.

use std::time::Duration;

use fred::prelude::*;
use sha2::{Digest, Sha256};
use shared::redis::redirect::keyed;

use super::error::ApiError;
use crate::gateway::Gateway;
use crate::limits::addresses::Address;

const WINDOW: Duration = Duration::from_secs(15 * 60);
const PER_ACCOUNT_AND_ADDRESS: u32 = 10;
/// Higher than one user needs, because a household or an office shares an address.
const PER_ADDRESS: u32 = 50;
/// For all addresses that the account was never used from, together.
const PER_ACCOUNT_FROM_STRANGERS: u32 = 100;
/// How long an address stays known to an account after its registration or a login.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// What callers are told if Redis does not answer.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A counted attempt that may proceed.
pub struct LoginAttempt {
    /// The account was used from this address before.
    pub is_known: bool,
    account_and_address: Option<String>,
}

/// Counts an attempt. `account` is the name as given, if there is one. Nobody can log in while Redis is away.
pub async fn count(gateway: &Gateway, address: Address, account: Option<&str>) -> Result<LoginAttempt, ApiError> {
    let keys = &gateway.keys;
    let too_many = "Too many logins were tried from your address";
    count_one(gateway, &keys.login_attempts("address", address), PER_ADDRESS, too_many).await?;
    let Some(account) = account else { return Ok(LoginAttempt { is_known: false, account_and_address: None }) };
    let account = digest(account);
    let account_and_address = format!("{account}:{address}");
    let too_many = "Too many logins were tried for this account";
    let key = keys.login_attempts("account_and_address", &account_and_address);
    count_one(gateway, &key, PER_ACCOUNT_AND_ADDRESS, too_many).await?;
    let is_known: bool = keyed!(&gateway.redis, keys.known_login(&account_and_address), |sender, key| async move {
        sender.exists(key).await
    },)
    .await
    .map_err(unavailable)?;
    if !is_known {
        let key = keys.login_attempts("account", &account);
        count_one(gateway, &key, PER_ACCOUNT_FROM_STRANGERS, too_many).await?;
    }
    Ok(LoginAttempt { is_known, account_and_address: Some(account_and_address) })
}

impl LoginAttempt {
    /// Records that the password was right: the address is known to the account from now on, and earlier mistakes are
    /// forgotten.
    pub async fn succeeded(self, gateway: &Gateway) {
        if let Some(account_and_address) = self.account_and_address {
            remember(gateway, &account_and_address).await;
        }
    }
}

/// Makes the address of a registration known to the new account, so that its first login is not a stranger's.
pub async fn registered(gateway: &Gateway, address: Address, account: &str) {
    remember(gateway, &format!("{}:{address}", digest(account))).await;
}

async fn remember(gateway: &Gateway, account_and_address: &str) {
    let keys = &gateway.keys;
    let expires = Expiration::EX(KNOWN_FOR.as_secs() as i64);
    let noted = async {
        let () = keyed!(&gateway.redis, keys.known_login(account_and_address), |sender, key| {
            let expires = expires.clone();
            async move { sender.set(key, 1, Some(expires), None, false).await }
        })
        .await?;
        let attempts = keys.login_attempts("account_and_address", account_and_address);
        let deleted: Result<(), Error> =
            keyed!(&gateway.redis, attempts, |sender, key| async move { sender.del(key).await }).await;
        deleted
    };
    if let Err(error) = noted.await {
        tracing::warn!(%error, "a login could not be recorded");
    }
}

fn unavailable(error: Error) -> ApiError {
    tracing::warn!(%error, "logins cannot be counted");
    ApiError::unavailable(RETRY_AFTER_SECONDS)
}

async fn count_one(gateway: &Gateway, key: &str, limit: u32, too_many: &str) -> Result<(), ApiError> {
    if !gateway.liveness.redis_is_up() {
        return Err(ApiError::unavailable(RETRY_AFTER_SECONDS));
    }
    match gateway.addresses.scripts.request(&gateway.redis, key, limit, WINDOW).await {
        Ok(None) => Ok(()),
        Ok(Some(retry_after)) => Err(ApiError::too_many(retry_after, too_many)),
        Err(error) => Err(unavailable(error)),
    }
}

/// Makes a key of fixed length from any input, and keeps names out of Redis.
fn digest(account: &str) -> String {
    let digest = Sha256::digest(account.to_lowercase());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
