//! `sync`: requests, for each conversation, what changed since the version that the client knows, and the messages
//! after its last number.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub conversations: Vec<(ConversationId, i64)>,
    /// The known version of some of the conversations. Not encoded, because release 0.1 decodes this struct. Gateways
    /// of 0.2 and later send a [`SyncRound`] instead.
    #[serde(skip)]
    pub versions: HashMap<ConversationId, i64>,
}

/// The part of a `sync` that is still to be answered. A worker answers as much as a client takes at once, and hands the
/// rest back ([`crate::publication::Header::AnswerContinues`]); the gateway sends it again once that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRound {
    pub positions: Vec<SyncPosition>,
    /// True if nothing of it has been answered yet.
    pub is_first: bool,
}

/// What a client knows about one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPosition {
    pub conversation: ConversationId,
    pub seq: i64,
    /// Absent if only messages are requested.
    pub version: Option<i64>,
    /// Hidden messages up to this number have been answered.
    pub hidden_after: i64,
}

impl Sync {
    /// The first round, which requests everything.
    pub fn into_round(self) -> SyncRound {
        let Sync { conversations, versions } = self;
        // Each conversation once; the last position given counts.
        let positions: HashMap<ConversationId, i64> = conversations.into_iter().collect();
        let position = |(conversation, seq)| SyncPosition {
            conversation,
            seq,
            version: versions.get(&conversation).copied(),
            hidden_after: 0,
        };
        SyncRound { positions: positions.into_iter().map(position).collect(), is_first: true }
    }
}

impl Contract for Sync {
    const NAME: &'static str = "sync";
    const SUMMARY: &'static str = "Returns, for each conversation, what became of the messages that the client holds since the \
        version that it knows (`sync_changes`), and the messages after its last `seq` (`sync_messages`); or `sync_gone`, if the caller \
        no longer belongs to it. The series ends with `sync_complete`, and a long one comes as fast as the client reads it. After a \
        last part with `hasMore`, another `sync` continues. If only a `seq` is given, only messages are returned, and if the caller \
        does not belong to that conversation, the whole command is rejected.";
    const FIELDS: &'static [Field] = &[Field::required(
        "conversations",
        Kind::Positions { most: MAX_SYNC_CONVERSATIONS, has_versions: true },
        "For each conversation, the last known `seq` and the `version` up to which changes are known.",
    )];
    const REPLIES: &'static [&'static str] = &["sync_complete", "sync_changes", "sync_messages", "sync_gone"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let known = known_positions(fields, "conversations")?.ok_or_else(|| Invalid::required("conversations"))?;
        Ok(Sync {
            conversations: known.iter().map(|known| (known.conversation, known.seq)).collect(),
            versions: known.iter().filter_map(|known| Some((known.conversation, known.version?))).collect(),
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
