//! What happens to a command that was not applied. The failing place decides: the client is told, the command is tried
//! again, or it goes to the dead letters.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use shared::clock::Timestamp;
use shared::ids::ConversationId;
use shared::protocol::{Invalid, Rejection};
use shared::telemetry::with_causes;

/// Why a command was not applied.
#[derive(Debug)]
pub enum Failure {
    /// The client's mistake: answered with this, and done.
    Reject(Rejection),
    /// A store is away or busy: nothing was applied, and another attempt may succeed.
    Retry(anyhow::Error),
    /// A fault of the command or on our side, which another attempt is unlikely to fix.
    Fatal(anyhow::Error),
    /// The partition now belongs to another worker, which will apply the command.
    LeaseLost,
    /// The command belongs to this conversation's partition.
    Elsewhere(ConversationId),
}

/// More events wait for a user than a command may delete in its transaction.
#[derive(Debug, thiserror::Error)]
#[error("too many events wait for a user; the oldest are deleted first")]
pub struct TooManyWaiting;

/// For the log, with causes.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Reject(rejection) => write!(f, "rejected with {}", rejection.code.as_str()),
            Failure::Retry(error) | Failure::Fatal(error) => with_causes(error).fmt(f),
            Failure::LeaseLost => f.write_str("the partition belongs to another worker"),
            Failure::Elsewhere(conversation) => write!(f, "the command belongs to the partition of {conversation}"),
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Failure::Reject(rejection)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Failure::Reject(invalid.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match Fault::of(&error) {
            Fault::Session | Fault::Passing => Failure::Retry(error.into()),
            Fault::Command => Failure::Fatal(error.into()),
        }
    }
}

impl From<fred::error::Error> for Failure {
    fn from(error: fred::error::Error) -> Self {
        Failure::Retry(error.into())
    }
}

/// What is at fault when a statement fails. Statements are fixed and checked at build time, so only data can make one
/// fail for a reason specific to its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session: the same statement works in a new one.
    Session,
    /// The database is away, busy, or being changed. The same statement may work later.
    Passing,
    /// The command, or our code.
    Command,
}

impl Fault {
    pub fn of(error: &sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => Fault::Session,
            E::PoolTimedOut | E::PoolClosed | E::BeginFailed => Fault::Passing,
            E::Database(database) => Self::of_sqlstate(&database.code().unwrap_or_default()),
            _ => Fault::Command,
        }
    }

    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Two commands raced for the same unique value.
            "23505" => Fault::Passing,
            // A plan made before a table was changed; a prepared statement that is missing, or is another client's; a
            // read-only server.
            "0A000" | "26000" | "42P05" | "25006" => Fault::Session,
            // Damaged data.
            "XX001" | "XX002" => Fault::Command,
            _ => match code.get(..2).unwrap_or_default() {
                // The connection.
                "08" => Fault::Session,
                // Cardinality, data, constraint, view, program limit, raised by a trigger.
                "21" | "22" | "23" | "44" | "54" | "P0" => Fault::Command,
                // The server or an administrator ends the session.
                "57" if code.starts_with("57P") => Fault::Session,
                // Everything else concerns the server, the session's rights, or tables that are not as they should be.
                _ => Fault::Passing,
            },
        }
    }
}

/// True if a temporary failure need not concern other commands: a row is locked, a table lacks rights or is being
/// changed, too much waits for one user. If a store is away or the whole server has a problem, all commands are
/// affected.
pub fn may_spare_others(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(database)) => spares_others(&database.code().unwrap_or_default()),
        _ => error.is::<TooManyWaiting>(),
    }
}

fn spares_others(code: &str) -> bool {
    // Races, tables and rights, locks, and statements that took too long.
    matches!(code, "23505" | "57014") || matches!(code.get(..2), Some("40" | "42" | "55")) && code != "42P05"
}

/// True if the server ended the statement, because it ran into `DB_STATEMENT_TIMEOUT` or somebody cancelled it.
fn ran_into_timeout(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| error.code().as_deref() == Some("57014"))
}

/// Runs a handler; a panic in it becomes a failure of only this command.
pub async fn unpanicked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(Failure::Fatal(anyhow::anyhow!("the handler panicked; see the log"))),
    }
}

/// Their sum is well below a gateway's timeout.
const RETRY_PAUSES: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1)];

/// Retries quickly after a temporary failure, for callers that nobody else retries for; not after the deadline. Does not
/// repeat a statement that ran into its timeout, which would hold its connection for as long again.
pub async fn with_retries<T, F: Future<Output = Result<T, Failure>>>(
    deadline: Timestamp,
    attempt: impl Fn() -> F,
) -> Result<T, Failure> {
    for pause in RETRY_PAUSES {
        match attempt().await {
            Err(Failure::Retry(error)) if !ran_into_timeout(&error) && Timestamp::now().plus(pause) <= deadline => {
                tracing::debug!(%error, "trying again");
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_data_is_a_commands_own_fault() {
        for code in ["0A000", "26000", "42P05", "25006", "57P01", "08006"] {
            assert_eq!(Fault::of_sqlstate(code), Fault::Session, "{code}");
        }
        for code in ["42P01", "42501", "42703", "40001", "53100", "55P03", "57014", "23505", "25P03", "XX000", ""] {
            assert_eq!(Fault::of_sqlstate(code), Fault::Passing, "{code}");
        }
        for code in ["22021", "23514", "21000", "54000", "P0001", "XX001"] {
            assert_eq!(Fault::of_sqlstate(code), Fault::Command, "{code}");
        }
    }

    #[test]
    fn what_one_command_meets_need_not_concern_others() {
        for code in ["55P03", "57014", "42501", "42P01", "40001", "40P01", "23505"] {
            assert!(spares_others(code), "{code}");
        }
        for code in ["57P01", "53300", "53100", "08006", "25006", "42P05", "0A000", "XX000", ""] {
            assert!(!spares_others(code), "{code}");
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_failure_of_its_command() {
        let panics = async { if true { panic!("a test requested this") } else { Ok(()) } };
        assert!(matches!(unpanicked(panics).await, Err(Failure::Fatal(_))));
        assert!(matches!(unpanicked(async { Ok(7) }).await, Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_tried_again_after_the_deadline() {
        let now = Timestamp::now();
        for (patience, expected) in [(Duration::from_secs(3_600), 5), (Duration::ZERO, 1)] {
            let attempts = AtomicUsize::new(0);
            let result: Result<(), Failure> = with_retries(now.plus(patience), || async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Retry(anyhow::anyhow!("the database is away")))
            })
            .await;
            assert!(matches!(result, Err(Failure::Retry(_))), "{result:?}");
            assert_eq!(attempts.into_inner(), expected, "{patience:?}");
        }
    }
}
