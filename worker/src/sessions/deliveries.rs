//! Who is not told that a replayed message has arrived.

use std::collections::HashSet;

use crate::store::session::PgSession;
use shared::ids::{ConversationId, UserId};
use shared::publication::Receipt;
use shared::stream::ReplayPage;

use crate::error::Failure;
use crate::store::users::{self, NOBODY};

/// Blocked users are not told that an earlier direct message of theirs has arrived: the receipt names nobody as its sender.
pub async fn hide(db: &mut PgSession, readers: &[UserId], pages: &mut [ReplayPage]) -> Result<(), Failure> {
    let receipts = || {
        readers
            .iter()
            .zip(pages.iter())
            .flat_map(|(reader, page)| page.events.iter().map(move |e| (*reader, e.receipt)))
    };
    let pairs: HashSet<(UserId, UserId)> =
        receipts().filter_map(|(reader, receipt)| Some((reader, direct_sender(&receipt)?))).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let (ones, others): (Vec<UserId>, Vec<UserId>) = pairs.into_iter().unzip();
    let blocked = users::list_blocked_among(db, &ones, &others).await?;
    let blocked: HashSet<(UserId, UserId)> = blocked.into_iter().map(|pair| (pair.user_id, pair.other_id)).collect();
    for (reader, page) in readers.iter().zip(pages) {
        for event in &mut page.events {
            if direct_sender(&event.receipt).is_some_and(|sender| blocked.contains(&(*reader, sender)))
                && let Receipt::Message { sender, .. } = &mut event.receipt
            {
                *sender = NOBODY;
            }
        }
    }
    Ok(())
}

fn direct_sender(receipt: &Receipt) -> Option<UserId> {
    match *receipt {
        Receipt::Message { conversation: ConversationId::Direct(..), sender, .. } => Some(sender),
        _ => None,
    }
}
