//! How often a login may be tried, per account and per address, over the whole fleet. Attempts count whether they succeed or
//! not, so that an answer tells nothing about the account.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use crate::gateway::Gateway;
use crate::limits::addresses::Address;

const WINDOW: Duration = Duration::from_secs(15 * 60);
const PER_ACCOUNT: u32 = 10;
/// A household or an office shares an address.
const PER_ADDRESS: u32 = 50;
/// Told to callers when Redis does not answer.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Counts an attempt; `account` is the name as it was given, where there is one. Without Redis nobody logs in.
pub async fn count(gateway: &Gateway, address: Address, account: Option<&str>) -> Result<(), Refusal> {
    let address_key = gateway.keys.login_attempts("address", address);
    let too_many = "Too many logins were tried from your address";
    count_one(gateway, &address_key, PER_ADDRESS, too_many).await?;
    let Some(account) = account else { return Ok(()) };
    let account_key = gateway.keys.login_attempts("account", digest(account));
    count_one(gateway, &account_key, PER_ACCOUNT, "Too many logins were tried for this account").await
}

async fn count_one(gateway: &Gateway, key: &str, limit: u32, too_many: &str) -> Result<(), Refusal> {
    if !gateway.fleet.redis_is_up() {
        return Err(Refusal::unavailable(RETRY_AFTER_SECONDS));
    }
    match gateway.addresses.scripts.request(&gateway.redis, key, limit, WINDOW).await {
        Ok(None) => Ok(()),
        Ok(Some(retry_after)) => Err(Refusal::too_many(retry_after, too_many)),
        Err(error) => {
            tracing::warn!(error = %error, "logins cannot be counted");
            Err(Refusal::unavailable(RETRY_AFTER_SECONDS))
        }
    }
}

/// A key of one length whatever a stranger sends, and no names in Redis.
fn digest(account: &str) -> String {
    let digest = Sha256::digest(account.to_lowercase());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
