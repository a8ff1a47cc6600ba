//! How many strangers a user may start to write to per day (`NEW_CONVERSATION_LIMIT`). Counted in Redis when a first
//! message is stored, so that other messages do not pay for it. Users who have reached the limit are remembered in
//! `strangers`, and only their messages are checked first. Each worker learns this by itself, so a few more than the
//! limit may get through.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fred::prelude::*;
use futures_util::future::join_all;
use shared::ids::{ConversationId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::redis::redirect::keyed;
use tokio::time::Instant;

use super::Send;
use crate::app::App;
use crate::error::Failure;
use crate::store::sends as store;
use crate::store::session::PgSession;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// After this, the messages are not counted.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// The rejections of messages to strangers, by conversation, for users who have reached the limit.
pub async fn rejections(
    app: &App,
    db: &mut PgSession,
    batch: &[&Send],
) -> Result<HashMap<(UserId, ConversationId), Rejection>, Failure> {
    let mut asked = Vec::new();
    // What a backend sends in a user's name does not count.
    for send in batch.iter().filter(|send| !send.envelope.reply_to.is_gateway()) {
        if let (Some(recipient), Some(until)) = (send.recipient(), app.strangers.until(send.envelope.user)) {
            asked.push((send.envelope.user, recipient, send.conversation, until));
        }
    }
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let senders: Vec<UserId> = asked.iter().map(|asked| asked.0).collect();
    let recipients: Vec<UserId> = asked.iter().map(|asked| asked.1).collect();
    let conversations: Vec<ConversationId> = asked.iter().map(|asked| asked.2).collect();
    let found = store::list_strangers(db, &senders, &recipients, &conversations).await?;
    let found: HashSet<(UserId, ConversationId)> = found.into_iter().collect();
    let is_stranger = |asked: &(UserId, UserId, ConversationId, Instant)| found.contains(&(asked.0, asked.2));
    let refusal = |(user, _, conversation, until): (UserId, UserId, ConversationId, Instant)| {
        let most = app.settings.new_conversation_limit;
        let details = format!("You may begin to write to {most} users in a day whom you do not follow");
        let wait = until.saturating_duration_since(Instant::now()).as_secs().max(1);
        let rejection = Rejection::new(ErrorCode::RateLimitExceeded, details);
        let rejection = Rejection { field: Some("recipientId"), retry_after: Some(wait as u32), ..rejection };
        ((user, conversation), rejection)
    };
    Ok(asked.into_iter().filter(is_stranger).map(refusal).collect())
}

/// Counts first messages to strangers: how many each of these senders has sent. All of them at once, because everybody whose
/// messages were stored together waits for it.
pub async fn count(app: &App, sent: HashMap<UserId, i64>) {
    join_all(sent.into_iter().map(|(sender, sent)| count_of(app, sender, sent))).await;
}

async fn count_of(app: &App, sender: UserId, sent: i64) {
    let key = app.keys.strangers(sender);
    let counting = async {
        let count: i64 = keyed!(&app.redis, &key, |sender, key| async move { sender.incr_by(key, sent).await }).await?;
        let limit = i64::from(app.settings.new_conversation_limit);
        let mut left_seconds = DAY.as_secs() as i64;
        if count >= limit {
            left_seconds = keyed!(&app.redis, &key, |sender, key| async move { sender.ttl(key).await }).await?;
        }
        // It has no end if a worker died after it had counted the first ones.
        if count == sent || left_seconds < 0 {
            left_seconds = DAY.as_secs() as i64;
            let _: bool =
                keyed!(&app.redis, &key, |sender, key| async move { sender.expire(key, left_seconds, None).await })
                    .await?;
        }
        if count >= limit {
            app.strangers.remember(sender, Instant::now() + Duration::from_secs(left_seconds.max(1) as u64));
        }
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(MAX_WAIT, counting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "first messages to strangers could not be counted"),
        Err(_) => {}
    }
}
