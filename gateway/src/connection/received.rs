//! What one connection received since its receipts were last passed on: gathered here, passed on by `lanes::receipts`.
//! A lost receipt only repeats an event, so each bound here simply drops.

use std::collections::{HashMap, HashSet, VecDeque};

use shared::ids::{ConversationId, UserId};
use shared::publication::Receipt;
use shared::stream::Receipts;
use uuid::Uuid;

/// Beyond this many, receipts are passed on before their turn.
const MAX_GATHERED: usize = 256;
/// What was written and not confirmed beyond that is known by a digest each: 128 KiB, for a client that confirms nothing. Of still more
/// a catch-up repeats the oldest.
const MAX_DIGESTS: usize = 16_384;
/// What a client may confirm until it is passed on in its turn.
const MAX_CONFIRMED: usize = 1_024;

/// What one connection received since its receipts were last passed on, and what was passed on recently: workers may
/// not have recorded it yet and would replay it.
#[derive(Debug, Default)]
pub struct Received {
    gathered: Gathered,
    passed_on: Option<Box<[Gathered; 2]>>,
    /// Events written to a client that confirms what it receives, oldest first.
    unconfirmed: VecDeque<Receipt>,
    /// What was there, too, and made room for newer ones.
    #[expect(
        clippy::box_collection,
        reason = "few connections have any, and each connection would be 24 bytes larger"
    )]
    pushed_out: Option<Box<VecDeque<u64>>>,
    /// The connection has seen the database go back in time: what its client confirms may be of before.
    is_of_later_history: bool,
}

#[derive(Debug, Default)]
struct Gathered {
    conversations: Vec<Row>,
    events: Vec<Uuid>,
}

/// Messages of a conversation without a gap between them.
#[derive(Debug)]
struct Row {
    conversation: ConversationId,
    first: i64,
    /// The newest message of another user.
    last: i64,
    /// The newest message of any user.
    through: i64,
}

/// What was written of a conversation that a client confirms up to a number.
#[derive(Default)]
struct Written {
    up_to: i64,
    oldest: Option<i64>,
    newest: Option<(i64, Receipt)>,
}

impl Gathered {
    fn len(&self) -> usize {
        self.conversations.len() + self.events.len()
    }

    /// `None` if nothing was gathered.
    fn receipts(&self, user: UserId) -> Option<Receipts> {
        (self.len() > 0).then(|| Receipts {
            user,
            conversations: self.conversations.iter().map(|row| (row.conversation, row.last)).collect(),
            events: self.events.clone(),
        })
    }

    fn holds(&self, receipt: &Receipt) -> bool {
        match *receipt {
            Receipt::Message { conversation, seq, .. } => self
                .conversations
                .iter()
                .any(|row| row.conversation == conversation && (row.first..=row.through).contains(&seq)),
            Receipt::Durable { event } => self.events.contains(&event),
            Receipt::None => false,
        }
    }
}

impl Received {
    /// True if this event was received recently and need not be sent again.
    pub fn holds(&self, receipt: &Receipt) -> bool {
        self.gathered.holds(receipt)
            || self.passed_on.iter().flat_map(|lately| lately.iter()).any(|gathered| gathered.holds(receipt))
            || self.unconfirmed.iter().any(|written| is_same(written, receipt))
            || self
                .pushed_out
                .as_ref()
                .is_some_and(|digests| digest(receipt).is_some_and(|known| digests.contains(&known)))
    }

    /// Records that an event was written to a socket of `user`; true when it is time to pass receipts on.
    pub fn note(&mut self, receipt: &Receipt, user: UserId) -> bool {
        match *receipt {
            // The user's own messages need no receipt, but do not interrupt a row.
            Receipt::Message { conversation, seq, sender, .. } if sender == user => {
                if let Some(row) = self.row(conversation)
                    && row.through.checked_add(1) == Some(seq)
                {
                    row.through = seq;
                }
            }
            Receipt::Message { conversation, seq, .. } => self.advance(conversation, seq),
            Receipt::Durable { event } => self.gathered.events.push(event),
            Receipt::None => {}
        }
        self.gathered.len() >= MAX_GATHERED
    }

    /// Confirms durable events. The client decides how many there are, so those over the bound are dropped.
    pub fn confirm_events(&mut self, events: Vec<Uuid>) {
        let confirmed: HashSet<Uuid> = events.iter().copied().collect();
        self.unconfirmed.retain(|written| !matches!(written, Receipt::Durable { event } if confirmed.contains(event)));
        let room = MAX_CONFIRMED.saturating_sub(self.gathered.len());
        self.gathered.events.extend(events.into_iter().take(room));
    }

    /// Records an event that the client has not confirmed; beyond the bound the oldest is forgotten.
    pub fn note_unconfirmed(&mut self, receipt: &Receipt) {
        if matches!(receipt, Receipt::None) {
            return;
        }
        if self.unconfirmed.len() >= MAX_GATHERED
            && let Some(oldest) = self.unconfirmed.pop_front().as_ref().and_then(digest)
        {
            let digests = self.pushed_out.get_or_insert_default();
            if digests.len() >= MAX_DIGESTS {
                digests.pop_front();
            }
            digests.push_back(oldest);
        }
        self.unconfirmed.push_back(*receipt);
    }

    /// Forgets all: the database has another history, in which numbers stand for other messages.
    pub fn begin_history(&mut self) {
        *self = Received { is_of_later_history: true, ..Received::default() };
    }

    /// Confirms conversations up to these numbers; returns the newest message of each that was written. Bounded like
    /// [`Self::confirm_events`].
    pub fn confirm(&mut self, confirmed: &[(ConversationId, i64)]) -> Vec<Receipt> {
        let mut written: HashMap<ConversationId, Written> = HashMap::with_capacity(confirmed.len());
        for (conversation, up_to) in confirmed {
            // A client may name a direct conversation in two ways.
            let written = written.entry(*conversation).or_default();
            written.up_to = written.up_to.max(*up_to);
        }
        // Once, however many conversations the client names.
        self.unconfirmed.retain(|receipt| match *receipt {
            Receipt::Message { conversation, seq, .. } => {
                let Some(written) = written.get_mut(&conversation).filter(|written| seq <= written.up_to) else {
                    return true;
                };
                let oldest = written.oldest.map_or(seq, |oldest| oldest.min(seq));
                (written.oldest, written.newest) = (Some(oldest), Some((seq, *receipt)));
                false
            }
            _ => true,
        });
        for (conversation, up_to) in confirmed {
            let Some(Written { oldest, newest, .. }) = written.get(conversation) else { continue };
            let counts_up_to = if self.is_of_later_history { newest.map(|(seq, _)| seq) } else { Some(*up_to) };
            if let Some(up_to) = counts_up_to
                && self.gathered.len() < MAX_CONFIRMED
            {
                self.advance(*conversation, up_to);
                // All of them arrived, not only the newest.
                if let (Some(oldest), Some(row)) = (*oldest, self.row(*conversation)) {
                    row.first = row.first.min(oldest);
                }
            }
        }
        written.into_values().filter_map(|written| Some(written.newest?.1)).collect()
    }

    fn advance(&mut self, conversation: ConversationId, seq: i64) {
        match self.row(conversation) {
            Some(row) if row.through.checked_add(1) == Some(seq) => (row.last, row.through) = (seq, seq),
            Some(row) if seq > row.last => (row.first, row.last, row.through) = (seq, seq, seq),
            Some(_) => {}
            None => self.gathered.conversations.push(Row { conversation, first: seq, last: seq, through: seq }),
        }
    }

    /// Searches from the end: most receipts are for one of the newest rows.
    fn row(&mut self, conversation: ConversationId) -> Option<&mut Row> {
        self.gathered.conversations.iter_mut().rev().find(|row| row.conversation == conversation)
    }

    /// Takes what was gathered; `None` if there is nothing.
    pub fn take(&mut self, user: UserId) -> Option<Receipts> {
        let gathered = std::mem::take(&mut self.gathered);
        let receipts = gathered.receipts(user);
        if receipts.is_none() && self.passed_on.as_deref().is_none_or(|[last, _]| last.len() == 0) {
            self.passed_on = None;
        } else {
            let [last, before] = &mut **self.passed_on.get_or_insert_default();
            *before = std::mem::replace(last, gathered);
        }
        receipts
    }

    /// What was passed on so recently that it may not be recorded yet, and what was gathered since.
    pub fn unrecorded(&self, user: UserId) -> Vec<Receipts> {
        let lately = self.passed_on.iter().flat_map(|lately| lately.iter().rev());
        lately.chain([&self.gathered]).filter_map(|gathered| gathered.receipts(user)).collect()
    }
}

fn is_same(one: &Receipt, other: &Receipt) -> bool {
    match (*one, *other) {
        // After a database restore, numbers are used again.
        (Receipt::Message { message, .. }, Receipt::Message { message: known, .. }) => message == known,
        (Receipt::Durable { event }, Receipt::Durable { event: known }) => event == known,
        _ => false,
    }
}

/// Ids are random in their lower half.
fn digest(receipt: &Receipt) -> Option<u64> {
    let (time, random) = match *receipt {
        Receipt::Message { message, .. } => message.0.as_u64_pair(),
        Receipt::Durable { event } => event.as_u64_pair(),
        Receipt::None => return None,
    };
    Some(time ^ random)
}

#[cfg(test)]
mod tests {
    use shared::ids::MessageId;

    use super::*;

    fn message(seq: i64, sender: i64) -> Receipt {
        Receipt::Message {
            conversation: ConversationId::direct(UserId(1), UserId(2)),
            seq,
            sender: UserId(sender),
            message: MessageId(Uuid::from_u128(seq.unsigned_abs().into())),
        }
    }

    #[test]
    fn only_the_highest_number_of_others_messages_counts() {
        let mut received = Received::default();
        received.note(&message(3, 2), UserId(1));
        received.note(&message(2, 2), UserId(1));
        received.note(&message(9, 1), UserId(1));
        let receipts = received.take(UserId(1)).unwrap();
        assert_eq!(receipts.conversations, [(ConversationId::direct(UserId(1), UserId(2)), 3)]);
        assert!(received.take(UserId(1)).is_none());
    }

    #[test]
    fn what_was_passed_on_lately_is_known() {
        let mut received = Received::default();
        let edited = Receipt::Durable { event: Uuid::from_u128(7) };
        for receipt in [message(3, 2), message(4, 2), edited] {
            received.note(&receipt, UserId(1));
        }
        let known = |received: &Received| [2, 3, 4, 5].map(|seq| received.holds(&message(seq, 2)));
        assert_eq!((known(&received), received.holds(&edited)), ([false, true, true, false], true));
        received.note(&message(5, 1), UserId(1));
        received.note(&message(6, 2), UserId(1));
        assert_eq!(known(&received), [false, true, true, true], "the user's own message does not interrupt a row");
        // Number 7 is missing, so what lies before it is no longer certain.
        received.note(&message(8, 2), UserId(1));
        assert_eq!(known(&received), [false; 4]);
        for is_known in [true, true, false] {
            received.take(UserId(1));
            assert_eq!(received.holds(&edited), is_known);
        }
    }

    #[test]
    fn what_was_written_is_known_before_and_after_it_is_confirmed() {
        let mut received = Received::default();
        let event = Uuid::from_u128(7);
        for receipt in [message(3, 2), message(7, 2), Receipt::Durable { event }] {
            received.note_unconfirmed(&receipt);
        }
        let known = |received: &Received| {
            [
                received.holds(&message(3, 2)),
                received.holds(&message(7, 2)),
                received.holds(&Receipt::Durable { event }),
            ]
        };
        assert_eq!(known(&received), [true; 3]);
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        received.confirm(&[(conversation, 7)]);
        received.confirm_events(vec![event]);
        assert!(received.unconfirmed.is_empty());
        assert_eq!(known(&received), [true; 3]);
    }

    #[test]
    fn what_was_never_confirmed_stays_known_within_a_bound() {
        let mut received = Received::default();
        let event = |n: usize| Receipt::Durable { event: Uuid::from_u128(n as u128) };
        let most = MAX_GATHERED + MAX_DIGESTS;
        (0..most).for_each(|n| received.note_unconfirmed(&event(n)));
        assert!((0..most).step_by(1_000).all(|n| received.holds(&event(n))));
        received.note_unconfirmed(&event(most));
        assert_eq!([0, 1, most].map(|n| received.holds(&event(n))), [false, true, true]);
        assert_eq!((received.unconfirmed.len(), received.pushed_out.unwrap().len()), (MAX_GATHERED, MAX_DIGESTS));
    }

    #[test]
    fn what_was_confirmed_of_before_a_restore_does_not_count() {
        let mut received = Received::default();
        received.begin_history();
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        assert!(received.confirm(&[(conversation, 9)]).is_empty() && received.take(UserId(1)).is_none());
        received.note_unconfirmed(&message(5, 2));
        received.confirm(&[(conversation, 9)]);
        assert_eq!(
            received.take(UserId(1)).unwrap().conversations,
            [(conversation, 5)],
            "as far as it was written since"
        );
    }

    #[test]
    fn what_a_client_may_confirm_is_bounded() {
        let mut received = Received::default();
        let conversations: Vec<_> =
            (2..2_000).map(|user| (ConversationId::direct(UserId(1), UserId(user)), user)).collect();
        for (confirmed, events) in [(&conversations[..1_000], 0), (&conversations[..1_000], 1_000), (&conversations, 1)]
        {
            received.confirm(confirmed);
            received.confirm_events(vec![Uuid::nil(); events]);
        }
        let receipts = received.take(UserId(1)).unwrap();
        assert_eq!((receipts.conversations.len(), receipts.events.len()), (1_000, MAX_CONFIRMED - 1_000));
        assert_eq!(receipts.conversations, conversations[..1_000]);
    }

    #[test]
    fn what_one_connection_gathers_is_bounded() {
        let mut received = Received::default();
        let due = (0..MAX_GATHERED).map(|n| Receipt::Durable { event: Uuid::from_u128(n as u128) });
        let due: Vec<bool> = due.map(|receipt| received.note(&receipt, UserId(1))).collect();
        assert_eq!(due.iter().position(|due| *due), Some(MAX_GATHERED - 1));
    }
}
