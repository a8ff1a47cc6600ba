//! Reading messages as a participant sees them: pages of a conversation, and single rows made into message objects. The
//! caller checks that the reader may see the conversation; SQL is in `store`.
//!
//! scope → cached window, or rows → entries → what is hidden taken away, names put in → messages

mod entry;
mod open;
mod window;

use std::collections::HashSet;

use crate::store::session::PgSession;
use shared::commands::{PageRequest, Position};
use shared::events::direct::{Around, Pagination};
use shared::events::message::Message;
use shared::ids::{ConversationId, UserId};
use shared::limits::MAX_ANSWER_BYTES;

use crate::app::App;
use crate::error::Failure;
use crate::store::conversations::{self, FIRST_VERSION, Scope};
use crate::store::history::{self, MessageRow, Range};
pub use entry::{Entry, fitting, json_bytes, show, show_as_new};
pub use open::open_message;
use window::Window;

/// A page as its reader sees it.
pub struct Page {
    /// Oldest first.
    pub messages: Vec<Message>,
    pub pagination: Pagination,
    /// The conversation's version, from before the messages were read.
    pub version: i64,
    /// Set for a page around a message.
    pub around: Option<Around>,
}

/// Reads a page of a conversation. The caller has checked the user's permission and, for a page around a message, where
/// that message is.
pub async fn read_page(
    app: &App,
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
    request: PageRequest,
) -> Result<Page, Failure> {
    let offset = match request.position {
        Position::Offset(offset) => Some(offset),
        _ => None,
    };
    let mut pagination = Pagination { limit: request.limit, offset, has_more: false, total: 0 };
    let other = conversation.other(user);
    let Some(scope) = conversations::find_scope(db, conversation, user, other).await? else {
        let around =
            matches!(request.position, Position::Around(_)).then_some(Around { has_before: false, has_after: false });
        return Ok(Page { messages: Vec::new(), pagination, version: FIRST_VERSION, around });
    };
    pagination.total = scope.visible_count;
    let reader = Reader { app, user, conversation, scope: &scope };
    let (stretch, around) = match request.position {
        Position::Around(seq) => {
            let (stretch, around) = reader.read_around(db, seq, request.limit).await?;
            pagination.has_more = around.has_before;
            (stretch, Some(around))
        }
        Position::Offset(_) | Position::Seq { .. } | Position::AroundMessage(_) => {
            let (before, after) = match request.position {
                Position::Seq { before, after } => (before, after),
                _ => (None, None),
            };
            let range = Range {
                after: after.unwrap_or(0).max(scope.cleared_seq),
                before: before.unwrap_or(i64::MAX),
                from_newest: after.is_none(),
                offset: i64::from(offset.unwrap_or(0)),
                limit: i64::from(request.limit),
            };
            let stretch = reader.read(db, range, MAX_ANSWER_BYTES).await?;
            pagination.has_more = stretch.has_more;
            (stretch, None)
        }
    };
    let Stretch { mut entries, is_cut, .. } = stretch;
    if is_cut {
        pagination.limit = entries.len() as u32;
    }
    for entry in &mut entries {
        entry.set_read(user, &scope);
    }
    entry::hide_quotes(db, user, &mut entries).await?;
    Ok(Page { messages: entry::name(db, entries).await?, pagination, version: scope.version, around })
}

/// Who reads which conversation.
struct Reader<'a> {
    app: &'a App,
    user: UserId,
    conversation: ConversationId,
    scope: &'a Scope,
}

/// Consecutive messages of a conversation.
struct Stretch {
    entries: Vec<Entry>,
    has_more: bool,
    /// True if there are more only because these are so large.
    is_cut: bool,
}

impl Stretch {
    fn followed_by(mut self, later: Stretch) -> Stretch {
        self.entries.extend(later.entries);
        Stretch {
            entries: self.entries,
            has_more: self.has_more || later.has_more,
            is_cut: self.is_cut || later.is_cut,
        }
    }
}

impl Reader<'_> {
    /// Reads up to `limit` messages, the one with this number in their middle.
    async fn read_around(&self, db: &mut PgSession, seq: i64, limit: u32) -> Result<(Stretch, Around), Failure> {
        let half = limit / 2;
        let range = |from_newest, after: i64, before, limit| Range {
            after: after.max(self.scope.cleared_seq),
            before,
            from_newest,
            offset: 0,
            limit: i64::from(limit),
        };
        let earlier = self.read(db, range(true, 0, seq, half), MAX_ANSWER_BYTES / 2).await?;
        let later = range(false, seq.saturating_sub(1), i64::MAX, limit - half);
        let later = self.read(db, later, MAX_ANSWER_BYTES / 2).await?;
        let around = Around { has_before: earlier.has_more, has_after: later.has_more };
        Ok((earlier.followed_by(later), around))
    }

    /// The entries of a range, limited to what fits into `most_bytes`.
    async fn read(&self, db: &mut PgSession, range: Range, most_bytes: usize) -> Result<Stretch, Failure> {
        // Reading one more than requested shows if there are more.
        let wanted = Range { limit: range.limit + 1, ..range };
        let mut is_reduced = false;
        let mut entries = match from_window(self.app, db, self.user, self.conversation, self.scope, &wanted).await? {
            Some(entries) => entries,
            None => {
                let mut rows = history::list_messages(db, self.conversation, self.user, wanted).await?;
                is_reduced = drop_surplus(&mut rows, range.from_newest, most_bytes);
                entry::open(self.app, db, &rows).await?
            }
        };
        is_reduced &= !entries.is_empty();
        // The end at which the range begins is shown.
        let messages = entries.iter().map(|entry| &entry.message);
        let fits = if range.from_newest { fitting(messages.rev(), most_bytes) } else { fitting(messages, most_bytes) };
        let asked = entries.len().min(usize::try_from(range.limit).unwrap_or(usize::MAX));
        let is_cut = fits < asked || is_reduced;
        let fits = fits.min(asked);
        let has_more = entries.len() > fits || is_reduced;
        if range.from_newest {
            entries.drain(..entries.len() - fits);
        } else {
            entries.truncate(fits);
        }
        Ok(Stretch { entries, has_more, is_cut })
    }
}

/// Drops rows that cannot be shown with those before them, so that they are not opened in vain; true if there were any.
/// A sealed text is longer than the text, and a message in JSON is longer still.
fn drop_surplus(rows: &mut Vec<MessageRow>, from_newest: bool, max_bytes: usize) -> bool {
    let mut bytes = 0;
    let mut may_fit = |row: &&MessageRow| {
        let may_fit = bytes <= max_bytes;
        bytes += row.content.len();
        may_fit
    };
    let kept = match from_newest {
        true => rows.iter().rev().take_while(&mut may_fit).count(),
        false => rows.iter().take_while(&mut may_fit).count(),
    };
    let surplus = rows.len() - kept;
    if from_newest {
        rows.drain(..surplus);
    } else {
        rows.truncate(kept);
    }
    surplus > 0
}

/// The entries of the range, taken from the conversation's newest messages in Redis; `None` if the range reaches
/// further back.
async fn from_window(
    app: &App,
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
    scope: &Scope,
    range: &Range,
) -> Result<Option<Vec<Entry>>, Failure> {
    let most = i64::from(app.settings.cache_messages);
    if !window::may_hold(most, scope, range) {
        app.metrics.history_cache.with("beyond").increment(1);
        return Ok(None);
    }
    let window = match Window::find(app, conversation, scope.version, db.epoch()).await {
        Some(window) => {
            app.metrics.history_cache.with("hit").increment(1);
            window
        }
        None => {
            app.metrics.history_cache.with("miss").increment(1);
            let rows = history::list_newest(db, conversation, most).await?;
            let covers_after = match rows.first() {
                Some(oldest) if rows.len() as i64 == most => oldest.seq - 1,
                // These are all there are.
                _ => 0,
            };
            let entries = entry::open(app, db, &rows).await?;
            let window = Window { epoch: db.epoch(), version: scope.version, covers_after, entries };
            window.store(app, conversation).await;
            window
        }
    };
    let hidden: HashSet<i64> = if scope.hidden_count == 0 {
        HashSet::new()
    } else {
        let seqs: Vec<i64> = window.entries.iter().map(|entry| entry.message.seq).collect();
        let conversations = vec![conversation; seqs.len()];
        let hidden = history::list_hidden(db, user, &conversations, &seqs).await?;
        hidden.into_iter().map(|(_, seq)| seq).collect()
    };
    Ok(window.cut(range, &hidden))
}
