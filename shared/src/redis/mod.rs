//! Everything Redis: each key and channel (`keys`), connections (`client`) and which servers they trust (`tls`), the
//! differences between a cluster and a single server (`topology`, `redirect`), each server-side script with a typed
//! function (`address`, `admit`, `lanes`, `presence`, `revocations`, `time`, `typing`), publishing (`publisher`) and
//! sharded subscriptions (`shard`), the stream of dead letters (`dead_letters`), and the versions of the processes
//! (`version`).

pub mod address;
pub mod admit;
pub mod client;
pub mod dead_letters;
pub mod keys;
pub mod lanes;
pub mod presence;
pub mod publisher;
pub mod redirect;
pub mod revocations;
pub mod shard;
pub mod time;
pub mod tls;
pub mod topology;
pub mod typing;
pub mod version;

use fred::prelude::*;
use fred::types::CustomCommand;
use fred::types::scripts::Script;
use fred::util::redis_keyslot;

use self::topology::Topology;

/// Runs a script that the server may not know yet, because it has just started or taken over. NOSCRIPT means that
/// nothing was done, so a second run is safe; it sends the script's text to the server that has the keys.
pub(crate) async fn run_script<R: FromValue>(
    script: &Script,
    client: &Client,
    keys: Vec<String>,
    arguments: Vec<Value>,
) -> Result<R, Error> {
    let run = match Topology::of(client) {
        Topology::Single => script.evalsha(client, keys.clone(), arguments.clone()).await,
        Topology::Cluster => run_on_node(client, "EVALSHA", script.sha1(), &keys, &arguments).await,
    };
    match (run, script.lua()) {
        (Err(error), Some(text)) if error.details().starts_with("NOSCRIPT") => match Topology::of(client) {
            Topology::Single => client.eval(text.clone(), keys, arguments).await,
            Topology::Cluster => run_on_node(client, "EVAL", text, &keys, &arguments).await,
        },
        (run, _) => run,
    }
}

/// Runs it on the cluster node that has the keys.
async fn run_on_node<R: FromValue>(
    client: &Client,
    command: &'static str,
    script: &str,
    keys: &[String],
    arguments: &[Value],
) -> Result<R, Error> {
    let key = keys.first().map_or("", String::as_str);
    let slot = redis_keyslot(key.as_bytes());
    let mut words: Vec<Value> = vec![script.into(), (keys.len() as i64).into()];
    words.extend(keys.iter().map(|key| Value::from(key.as_str())));
    words.extend_from_slice(arguments);
    redirect::keyed!(client, key, |sender, _| {
        let words = words.clone();
        async move { sender.custom(CustomCommand::new_static(command, slot, false), words).await }
    })
    .await
}
