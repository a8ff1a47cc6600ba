//! What becomes of a command that was not applied. The failing place decides: the client is told, the command is tried
//! again, or it goes to the dead letters.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use shared::ids::ConversationId;
use shared::protocol::{Invalid, Rejection};

/// Why a command was not applied.
#[derive(Debug)]
pub enum Failure {
    /// The client's affair: answered with this, and done.
    Reject(Rejection),
    /// A store is away or was in the way: nothing was applied, and another try may succeed.
    Retry(anyhow::Error),
    /// A fault of the command or of ours, which another try hardly mends.
    Fatal(anyhow::Error),
    /// The partition belongs to another worker now, which will apply the command.
    LeaseLost,
    /// The command belongs to this conversation's partition.
    Elsewhere(ConversationId),
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
        if is_transient(&error) { Failure::Retry(error.into()) } else { Failure::Fatal(error.into()) }
    }
}

impl From<fred::error::Error> for Failure {
    fn from(error: fred::error::Error) -> Self {
        Failure::Retry(error.into())
    }
}

/// Whether the same statement may succeed later: everything but a fault in the statement or its data.
fn is_transient(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => true,
        E::Database(database) => {
            // Class 08 connection, 25 transaction state (timeouts), 28 and 3D refused at connecting (a password or a
            // database that is being changed), 40 rollback, 53 resources, 55 not available, 57 operator intervention,
            // 58 system; 23505 because two commands raced for the same unique value.
            let code = database.code().unwrap_or_default();
            ["08", "25", "28", "3D", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
                || code == "23505"
        }
        _ => false,
    }
}

/// Runs a handler; a panic in it becomes a failure of this command alone.
pub async fn unpanicked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(Failure::Fatal(anyhow::anyhow!("the handler panicked; see the log"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_failure_of_its_command() {
        let panics = async { if true { panic!("a test wants this") } else { Ok(()) } };
        assert!(matches!(unpanicked(panics).await, Err(Failure::Fatal(_))));
        assert!(matches!(unpanicked(async { Ok(7) }).await, Ok(7)));
    }
}
