//! Redirections of a Redis Cluster. A node that does not have a key says so and does nothing, so a command can be sent
//! to the right node even if it must not be attempted twice after a lost reply.
//!
//! The client itself follows no redirection (`max_redirections` is 0): it would send a command whose key has already
//! moved (ASK) to the old node again, and mistake the reply to another command for the reply to ASKING.

use std::time::Duration;

use fred::clients::{Pipeline, WithOptions};
use fred::prelude::*;
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, CustomCommand};
use fred::util::redis_keyslot;
use tokio::time::Instant;

/// How long a command with several keys is repeated while some of them are at the old node and some at the new one.
const HALF_MOVED_RETRIED_FOR: Duration = Duration::from_millis(500);
const HALF_MOVED_PAUSE: Duration = Duration::from_millis(20);
/// From one node to the next, and back to the first.
pub(super) const MAX_REDIRECTIONS: u32 = 5;

/// Accepts one command to be sent.
pub type Sender = WithOptions<Client>;
/// Accepts one command to be sent after ASKING.
pub type AskingSender = WithOptions<Pipeline<Client>>;

/// `keyed!(client, key, |sender, key| async { … })` runs the command that the closure passes to its sender, at the node
/// that has `key` and the command's other keys. The closure also gets the key, and is called again if the command was
/// redirected. It is compiled twice, for a [`Sender`] and an [`AskingSender`]. See [`run`].
#[doc(hidden)]
#[macro_export]
macro_rules! __keyed {
    ($client:expr, $key:expr, $send:expr $(,)?) => {
        $crate::redis::redirect::run($client, $key, $send, $send)
    };
}
pub use __keyed as keyed;

/// Runs a command; see [`keyed!`].
///
/// Without a redirection, the command is sent by itself and not in a pipeline: the client drops unwritten commands
/// whose caller is gone (for example while it has no connection), but never a pipeline. A read that ran later would
/// take entries that nobody gets.
///
/// # Errors
/// Those of the command. Nothing was done if there were too many redirections, or if its keys stayed at different nodes
/// for too long.
pub async fn run<R, S, F, A, G>(client: &Client, key: impl AsRef<str>, send: S, send_asking: A) -> Result<R, Error>
where
    R: FromValue,
    S: Fn(Sender, String) -> F,
    F: Future<Output = Result<R, Error>>,
    A: Fn(AskingSender, String) -> G,
    G: Future<Output = Result<(), Error>>,
{
    let key = key.as_ref();
    let slot = redis_keyslot(key.as_bytes());
    let deadline = Instant::now() + HALF_MOVED_RETRIED_FOR;
    let mut importer = None;
    let mut redirections = 0;
    loop {
        let answer = match importer.take() {
            None => send(client.with_options(&Options::default()), key.to_owned()).await,
            Some(node) => {
                let sender =
                    client.pipeline().with_options(&Options { cluster_node: Some(node), ..Options::default() });
                let asking = CustomCommand::new_static("ASKING", None, false);
                let () = sender.custom(asking, Vec::<Value>::new()).await?;
                send_asking(sender.clone(), key.to_owned()).await?;
                sender.last().await
            }
        };
        match answer {
            Err(error) if is_redirection(&error) && redirections < MAX_REDIRECTIONS => {
                redirections += 1;
                importer = importer_of(client, slot).await?;
            }
            Err(error) if error.details().starts_with("TRYAGAIN") && Instant::now() < deadline => {
                tokio::time::sleep(HALF_MOVED_PAUSE).await;
                importer = importer_of(client, slot).await?;
            }
            other => return other,
        }
    }
}

/// True if another node has the command's keys. If the slot has moved for good, the client knows the new node by now.
pub(super) fn is_redirection(error: &Error) -> bool {
    *error.kind() == ErrorKind::Routing && error.details().starts_with("Too many redirections")
}

/// The node to which the slot's keys are moving, if it is connected.
async fn importer_of(client: &Client, slot: u16) -> Result<Option<Server>, Error> {
    let owner = Options { cluster_hash: Some(ClusterHash::Custom(slot)), ..Options::default() };
    let nodes: String = client.with_options(&owner).cluster_nodes().await?;
    let Some((hosts, port)) = importing_node(&nodes, slot) else { return Ok(None) };
    let is_it = |server: &Server| server.port == port && hosts.iter().any(|host| *server.host == **host);
    Ok(client.active_connections().into_iter().find(is_it))
}

/// The address, name and port of the node to which the answering node is moving this slot.
fn importing_node(nodes: &str, slot: u16) -> Option<(Vec<&str>, u16)> {
    let myself = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")))?;
    let importer = myself.split(' ').find_map(|word| word.strip_prefix(&format!("[{slot}->-"))?.strip_suffix(']'))?;
    let (_, rest) = nodes.lines().filter_map(|line| line.split_once(' ')).find(|(id, _)| *id == importer)?;
    // `address:port@bus_port,name`
    let mut parts = rest.split(' ').next()?.split(',');
    let (address, port) = parts.next()?.split('@').next()?.rsplit_once(':')?;
    Some((std::iter::once(address).chain(parts).collect(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
07c3 127.0.0.1:30004@31004,one.example slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002,two.example master - 0 1426238316232 2 connected 5461-10922
292f 127.0.0.1:30003@31003 master - 0 1426238318243 3 connected 10923-16383
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [93->-67ed] [94-<-292f]
";

    #[test]
    fn the_node_that_takes_a_slot_over_is_found() {
        assert_eq!(importing_node(NODES, 93), Some((vec!["127.0.0.1", "two.example"], 30_002)));
        assert_eq!(importing_node(NODES, 9), None);
        assert_eq!(importing_node(NODES, 94), None, "it comes from there");
    }
}
