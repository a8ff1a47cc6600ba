//! What each command does: one file per command, named as in `shared::commands`, with its [`Handle`]. The dispatch is
//! generated from that one list, so that a command without a handler does not compile.

mod about_message;
mod add_group_member;
mod add_group_reaction;
mod add_reaction;
mod ban_member;
mod block_user;
pub mod context;
mod create_group;
mod delete_conversation;
mod delete_group;
mod delete_group_message;
mod delete_message;
mod demote_member;
mod edit_group_message;
mod edit_message;
mod end_sign_in;
mod find_users;
mod get_banned_members;
mod get_blocked_users;
mod get_communities;
mod get_community_members;
pub mod get_community_progress;
pub mod get_conversations;
mod get_group_info;
mod get_group_members;
mod get_group_messages;
mod get_inbox;
mod get_online_users;
mod get_pinned_messages;
mod get_private_messages;
mod get_sign_ins;
mod get_user_groups;
pub mod group_rules;
mod leave_group;
mod mark_message_read;
mod mute_member;
mod pin_message;
mod promote_member;
mod quiet;
mod remove_group_member;
mod remove_group_reaction;
mod remove_reaction;
mod report_message;
mod resign_from_group;
pub mod set_conversation_settings;
mod set_slow_mode;
mod start_conversation;
mod sync;
mod transfer_ownership;
mod typing;
mod unban_member;
mod unblock_user;
mod unmute_member;
mod unpin_message;
mod update_group_info;

use std::time::Duration;

use shared::clock::Timestamp;
use shared::commands::Command;

use shared::events;
use shared::ids::{CommandId, MessageId};
use shared::metadata::MetadataField;
use shared::protocol::{ErrorCode, Rejection};
use shared::stream::{Envelope, SyncRound};

use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::applied;
use crate::store::leases::{self, Lease};
use crate::store::replica::{Fallback, Replica};
use crate::store::session::PgSession;
use crate::store::users;
use crate::webhooks::record;
pub use context::{Context, FoundMessage, Handle, derived_event_id};

/// Sorts the list into the commands that are dispatched and those marked `batched`.
macro_rules! dispatch {
    (@ [$($single:ident)*] [$($batched:ident)*] $module:ident $command:ident batched, $($rest:tt)*) => {
        dispatch!(@ [$($single)*] [$($batched)* $command] $($rest)*);
    };
    (@ [$($single:ident)*] [$($batched:ident)*] $module:ident $command:ident, $($rest:tt)*) => {
        dispatch!(@ [$($single)* $command] [$($batched)*] $($rest)*);
    };
    (@ [$($single:ident)*] [$($batched:ident)*]) => {
        /// A command that is applied on its own, by its [`Handle`].
        #[derive(Clone)]
        pub enum Single {
            $($single(shared::commands::$single),)*
        }

        /// A command that is applied together with others, see [`crate::sends`].
        #[expect(clippy::enum_variant_names, reason = "they are named after their commands")]
        pub enum Batched {
            $($batched(shared::commands::$batched),)*
        }

        /// Decides how a command is applied.
        pub fn split(command: Command) -> Result<Single, Batched> {
            match command {
                $(Command::$single(command) => Ok(Single::$single(command)),)*
                $(Command::$batched(command) => Err(Batched::$batched(command)),)*
            }
        }

        async fn dispatch(command: Single, context: &mut Context<'_>) -> Result<Outcome, Failure> {
            match command {
                $(Single::$single(command) => Box::pin(command.handle(context)).await,)*
            }
        }
    };
    ($($list:tt)*) => {
        dispatch!(@ [] [] $($list)*);
    };
}
shared::for_each_command!(dispatch);

/// A command to be applied on its own.
pub struct Pending {
    pub envelope: Envelope,
    pub command: Single,
    /// Why the product's backend does not let it through.
    pub refusal: Option<Rejection>,
}

impl Single {
    /// Of an edit: the message, its new content and metadata.
    pub fn edit(&self) -> Option<(MessageId, &str, &MetadataField)> {
        match self {
            Single::EditMessage(edit) => Some((edit.message, &edit.content, &edit.metadata)),
            Single::EditGroupMessage(edit) => Some((edit.message, &edit.content, &edit.metadata)),
            _ => None,
        }
    }

    /// Makes an edit another one: what is absent stays as it was.
    pub fn change(&mut self, content: Option<String>, metadata: MetadataField) {
        let (old_content, old_metadata) = match self {
            Single::EditMessage(edit) => (&mut edit.content, &mut edit.metadata),
            Single::EditGroupMessage(edit) => (&mut edit.content, &mut edit.metadata),
            _ => return,
        };
        if let Some(content) = content {
            *old_content = content;
        }
        if !metadata.is_absent() {
            *old_metadata = metadata;
        }
    }
}

/// Applies a command of the ordered lane in a transaction of its own, under its partition's fence, once: a command that
/// was applied before returns its first outcome again. It is not applied after its deadline.
pub async fn apply_once(
    app: &App,
    lease: Lease,
    Pending { envelope, command, refusal }: &Pending,
    lock_patience: Duration,
) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let precondition = leases::get_precondition(&mut transaction, app.worker_id, lease, envelope.user, lock_patience);
    let precondition = precondition.await?;
    if !precondition.is_held {
        return Err(Failure::LeaseLost);
    }
    if let Some(sealed) = applied::find_outcome(&mut transaction, CommandId(envelope.id)).await? {
        return open_outcome(app, envelope, sealed.as_deref());
    }
    if let Some(refusal) = refusal {
        return Err(refusal.clone().into());
    }
    if Timestamp::now() > envelope.deadline {
        return Err(expired().into());
    }
    if !precondition.caller_exists {
        return Err(no_account().into());
    }
    let mut context = Context { app, db: &mut transaction, envelope, lease: Some(lease) };
    let outcome = dispatch(command.clone(), &mut context).await?;
    let reach = app.audiences.reach(&mut transaction, &outcome).await?;
    if reach > 0
        && let Some(rejection) = app.audiences.rejection(envelope.user, 0)
    {
        // The transaction is rolled back.
        return Err(rejection.into());
    }
    let sealed = app.wire.seal_outcome(envelope.id, &postcard::to_stdvec(&outcome).map_err(anyhow::Error::from)?);
    record::outcome(app, &mut transaction, &outcome).await?;
    applied::insert_outcome(&mut transaction, CommandId(envelope.id), &sealed).await?;
    if Timestamp::now() > envelope.deadline {
        // It waited too long for locks.
        return Err(expired().into());
    }
    transaction.commit().await?;
    app.webhooks.announce();
    app.audiences.charge(envelope.user, reach);
    Ok(outcome)
}

/// Opens the outcome that a command left when it was applied before.
pub fn open_outcome(app: &App, envelope: &Envelope, sealed: Option<&[u8]>) -> Result<Outcome, Failure> {
    Ok(open_outcome_of(app, CommandId(envelope.id), sealed)?.readdressed(envelope))
}

/// Does the same for something that is applied in the background.
pub fn open_outcome_of(app: &App, command: CommandId, sealed: Option<&[u8]>) -> Result<Outcome, Failure> {
    let Some(sealed) = sealed else { return Ok(Outcome::default()) };
    let plain = app.wire.open_outcome(command.0, sealed).map_err(|error| Failure::Fatal(error.into()))?;
    postcard::from_bytes(&plain).map_err(|error| Failure::Fatal(error.into()))
}

/// What a user asks in the query lane.
#[derive(Clone)]
pub enum Query {
    Command(Command),
    /// One round of a `sync`.
    Sync(SyncRound),
}

/// Answers a query: at the replica, unless the primary has to.
pub async fn query(app: &App, envelope: &Envelope, query: Query) -> Result<Outcome, Failure> {
    if let Some(replica) = &app.replica {
        match query_replica(app, replica, envelope, query.clone()).await {
            Ok(result) => {
                app.metrics.queries.with("replica").increment(1);
                return result;
            }
            Err(fallback) => app.metrics.replica_fallbacks.with(fallback.as_str()).increment(1),
        }
    }
    app.metrics.queries.with("primary").increment(1);
    let mut db = app.db.acquire().await?;
    answer(app, &mut db, envelope, query).await
}

async fn query_replica(
    app: &App,
    replica: &Replica,
    envelope: &Envelope,
    query: Query,
) -> Result<Result<Outcome, Failure>, Fallback> {
    let mut db = replica.acquire().await?;
    let result = replica.run(answer(app, &mut db, envelope, query)).await;
    if result.is_err() {
        db.discard();
    }
    result
}

async fn answer(app: &App, db: &mut PgSession, envelope: &Envelope, query: Query) -> Result<Outcome, Failure> {
    if !users::exists(db, envelope.user).await? {
        return Err(no_account().into());
    }
    match query {
        Query::Sync(round) => crate::sync::answer(app, db, envelope, round).await,
        Query::Command(command) => match split(command) {
            Ok(command) => dispatch(command, &mut Context { app, db, envelope, lease: None }).await,
            Err(_) => Err(Failure::Fatal(anyhow::anyhow!("a send command is in the query lane"))),
        },
    }
}

/// The answer to a rejected command.
pub fn rejected(envelope: &Envelope, rejection: &Rejection) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.answer(envelope, events::answer(&rejection.event(Some(&envelope.name)), envelope.request_id.as_ref()));
    outcome
}

/// For commands of a user whose account was deleted.
pub fn no_account() -> Rejection {
    Rejection::new(ErrorCode::PermissionDenied, "Your account no longer exists")
}

/// For commands that waited too long.
pub fn expired() -> Rejection {
    Rejection::unavailable("The command could not be carried out in time; it was not applied", 2)
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Fatal(error)
    }
}
