//! How large the tables are at the end of each day; `chatctl status` says how they grow.

use std::time::Duration;

use crate::store::session::{PgSession, interval};

/// Measures all tables, instead of what was measured earlier today.
pub async fn replace(db: &mut PgSession) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO table_sizes (measured_on, table_name, bytes, rows)
         SELECT current_date, relname, pg_total_relation_size(oid), greatest(reltuples, 0)::bigint
         FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
         ON CONFLICT (measured_on, table_name) DO UPDATE SET bytes = excluded.bytes, rows = excluded.rows"
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_old(db: &mut PgSession, age: Duration) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM table_sizes WHERE measured_on < current_date - $1::interval", interval(age))
        .execute(db)
        .await?;
    Ok(())
}
