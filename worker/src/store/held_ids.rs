//! `held_message_ids` and `held_conversation_ids`: what the server that this one replaced called messages and conversations.
//!
//! The way in needs the tables only for conversation ids of a client's own making: [`shared::held_ids`] turns message and group ids
//! into ours from their text alone. The way out, to clients that know the old ids, needs them for every id for which
//! [`shared::held_ids::is_made_from_text`] is true.

#![allow(dead_code, reason = "the dialects ask, from both sides")]

use sqlx::PgExecutor;
use uuid::Uuid;

/// The messages that are held under these ids, each with its held id. Ids that no message is held under are left out.
pub async fn list_messages(db: impl PgExecutor<'_>, held: &[String]) -> sqlx::Result<Vec<(String, Uuid)>> {
    let rows = sqlx::query!("SELECT held_id, message_id FROM held_message_ids WHERE held_id = ANY($1)", held);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.held_id, row.message_id)).collect())
}

/// What these messages are held under, of those that are.
pub async fn list_held_messages(db: impl PgExecutor<'_>, messages: &[Uuid]) -> sqlx::Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!("SELECT message_id, held_id FROM held_message_ids WHERE message_id = ANY($1)", messages);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.message_id, row.held_id)).collect())
}

/// The conversations (`conv_{a}_{b}` or `group_{uuid}`) that are held under these ids, each with its held id.
pub async fn list_conversations(db: impl PgExecutor<'_>, held: &[String]) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!("SELECT held_id, conversation_id FROM held_conversation_ids WHERE held_id = ANY($1)", held);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.held_id, row.conversation_id)).collect())
}

/// What these conversations are held under, of those that are: each once, under the first of its held ids.
pub async fn list_held_conversations(
    db: impl PgExecutor<'_>,
    conversations: &[String],
) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (conversation_id) conversation_id, held_id FROM held_conversation_ids
         WHERE conversation_id = ANY($1) ORDER BY conversation_id, held_id",
        conversations
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.conversation_id, row.held_id)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use shared::held_ids;
    use sqlx::{Connection as _, PgConnection};

    use super::*;

    #[tokio::test]
    async fn held_ids_are_found_from_both_sides() {
        let url = tokio::task::spawn_blocking(|| devstack::testing::fresh_database("held").unwrap()).await.unwrap();
        let mut db = PgConnection::connect(&url).await.unwrap();
        sqlx::migrate!("../migrations").run_direct(&mut db).await.unwrap();
        let message = held_ids::message_id("msg_1762000000000_k3j9x2").unwrap().0;
        sqlx::query("INSERT INTO held_message_ids VALUES ('msg_1762000000000_k3j9x2', $1)")
            .bind(message)
            .execute(&mut db)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO held_conversation_ids
             VALUES ('direct-b', 'conv_9_10'), ('direct-a', 'conv_9_10'), ('x', 'conv_1_2')",
        )
        .execute(&mut db)
        .await
        .unwrap();

        let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let found = list_messages(&mut db, &texts(&["msg_1762000000000_k3j9x2", "unknown"])).await.unwrap();
        assert_eq!(found, [("msg_1762000000000_k3j9x2".to_owned(), message)]);
        let held = list_held_messages(&mut db, &[message, Uuid::nil()]).await.unwrap();
        assert_eq!(held, [(message, "msg_1762000000000_k3j9x2".to_owned())]);
        let found = list_conversations(&mut db, &texts(&["direct-b", "unknown"])).await.unwrap();
        assert_eq!(found, [("direct-b".to_owned(), "conv_9_10".to_owned())]);
        let held = list_held_conversations(&mut db, &texts(&["conv_9_10", "conv_3_4"])).await.unwrap();
        assert_eq!(held, [("conv_9_10".to_owned(), "direct-a".to_owned())]);
    }
}
