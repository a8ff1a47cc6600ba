//! `store_epoch`: the history that the database belongs to. It changes if the database went back in time: a dump was
//! restored, or a standby took over that had not received everything.

use parking_lot::Mutex;
use shared::ids::Epoch;
use sqlx::{Executor, Postgres};

/// The epoch that this worker's sessions are in.
#[derive(Debug, Default)]
pub struct CurrentEpoch {
    current: Mutex<Epoch>,
}

impl CurrentEpoch {
    pub fn current(&self) -> Epoch {
        *self.current.lock()
    }

    fn adopt(&self, found: Epoch) {
        let before = std::mem::replace(&mut *self.current.lock(), found);
        if before != found && !before.0.is_nil() {
            tracing::warn!(before = %before.0, now = %found.0, "the database has a different history now: caches are discarded");
        }
    }

    /// Reads which epoch a session is in; begins another one if the database is not where its epoch was begun.
    pub async fn check<C>(&self, db: &mut C) -> sqlx::Result<()>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        let mut found = find(db).await?;
        if !found.is_here {
            update(db).await?;
            found = find(db).await?;
        }
        self.adopt(found.epoch);
        Ok(())
    }
}

struct StoredEpoch {
    epoch: Epoch,
    is_here: bool,
}

async fn find<C>(db: &mut C) -> sqlx::Result<StoredEpoch>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    sqlx::query_as!(
        StoredEpoch,
        r#"SELECT epoch, CASE WHEN pg_is_in_recovery() THEN true ELSE place = store_place() END AS "is_here!" FROM store_epoch"#
    )
    .fetch_one(db)
    .await
}

async fn update<C>(db: &mut C) -> sqlx::Result<()>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    sqlx::query!(
        "UPDATE store_epoch SET epoch = gen_random_uuid(), place = store_place() WHERE place <> store_place()"
    )
    .execute(db)
    .await?;
    Ok(())
}
