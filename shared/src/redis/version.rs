//! Tells operators which version a process has, because an upgrade that stopped halfway is not visible from outside.

use fred::prelude::*;

use super::redirect::keyed;

/// A process that does not renew its version is forgotten after this time.
const TOLD_SECONDS: i64 = 60;

/// Writes the version of this process under its key.
pub async fn tell_version(redis: &Client, key: String, version: &'static str) -> Result<(), Error> {
    keyed!(redis, key, |sender, key| async move {
        sender.set(key, version, Some(Expiration::EX(TOLD_SECONDS)), None, false).await
    })
    .await
}
