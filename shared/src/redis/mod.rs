//! Everything Redis: each key and channel (`keys`), connections (`client`) and whom they trust (`tls`), what a cluster needs other than
//! a single server (`topology`), each server-side script with a typed function (`address`, `admit`, `lanes`, `presence`,
//! `revocations`, `time`, `typing`), publishing (`settle`), and the stream of dead letters (`dead_letters`).

pub mod address;
pub mod admit;
pub mod client;
pub mod dead_letters;
pub mod keys;
pub mod lanes;
pub mod presence;
pub mod revocations;
pub mod settle;
pub mod time;
pub mod tls;
pub mod topology;
pub mod typing;

use fred::prelude::*;
use fred::types::scripts::Script;

/// Runs a script that the server may not know yet: after its start, or because another one took over. NOSCRIPT means that nothing
/// was done, so that a second run is safe; the script's text makes it known to the very server that has the keys.
pub(crate) async fn run_script<R: FromValue>(
    script: &Script,
    client: &Client,
    keys: Vec<String>,
    arguments: Vec<Value>,
) -> Result<R, Error> {
    match script.evalsha(client, keys.clone(), arguments.clone()).await {
        Err(error) if error.details().starts_with("NOSCRIPT") => match script.lua() {
            Some(text) => client.eval(text.clone(), keys, arguments).await,
            None => Err(error),
        },
        other => other,
    }
}
