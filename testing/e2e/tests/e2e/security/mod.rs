//! Security, for attackers and operators: rights in the stores, TLS to them, plaintext at rest, limits, erasure,
//! changed secrets.

mod audit;
mod erasure;
mod limits;
mod rotation;
mod stores;
mod tls;

use anyhow::Result;
use devstack::wait::SOON;
use e2e::{Deployment, User};
use serde_json::json;

/// Alice on the first gateway writes to Bob on the last one, who reads the whole conversation so far.
async fn talk(deployment: &Deployment, people: &[User; 2], content: &str) -> Result<Vec<String>> {
    let [alice, bob] = people;
    let last = deployment.fleet.gateways.len() - 1;
    let (mut a, mut b) = (deployment.login(0, alice).await?, deployment.login(last, bob).await?);
    a.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": content})).await?;
    b.expect("new_message", |event| event["content"] == content, SOON).await?;
    let page = b.request_ok(json!({"type": "get_private_messages", "recipientId": alice.id})).await?;
    let messages = page["messages"].as_array().cloned().unwrap_or_default();
    let read = messages.iter().map(|message| message["content"].as_str().unwrap_or_default().to_owned()).collect();
    a.close().await;
    b.close().await;
    Ok(read)
}
