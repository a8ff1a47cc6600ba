//! The rights that workers need, read from `deploy/postgres/worker-role.sql`, which grants them.

use std::fmt;

use sqlx::PgConnection;

use crate::commands::migrate::{BUILTIN_AUTH, WORKER_ROLE};

/// One right on one table, or on one of its columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    right: String,
    table: String,
    column: Option<String>,
}

/// All rights that workers need; a few more if this server keeps the accounts.
pub fn needed(has_accounts: bool) -> Vec<Grant> {
    let mut grants = parse(WORKER_ROLE);
    if has_accounts {
        grants.extend(parse(BUILTIN_AUTH));
    }
    grants
}

/// Parses the statements `GRANT right, … ON table, … TO chat_worker;`, where a right may have a column in parentheses.
fn parse(sql: &str) -> Vec<Grant> {
    let lines: String =
        sql.lines().filter(|line| !line.trim_start().starts_with("--")).flat_map(|line| [line, " "]).collect();
    let statements = lines.split(';').filter_map(|statement| {
        let (rights, rest) = statement.trim().strip_prefix("GRANT ")?.split_once(" ON ")?;
        let tables = rest.trim().strip_suffix(" TO chat_worker").filter(|tables| !tables.starts_with("SCHEMA "))?;
        Some((rights.to_owned(), tables.to_owned()))
    });
    let mut grants = Vec::new();
    for (rights, tables) in statements {
        for right in rights.split(',').map(str::trim) {
            let (right, column) = match right.split_once(" (") {
                Some((right, column)) => (right, Some(column.trim_end_matches(')').to_owned())),
                None => (right, None),
            };
            grants.extend(tables.split(',').map(|table| Grant {
                right: right.to_owned(),
                table: table.trim().to_owned(),
                column: column.clone(),
            }));
        }
    }
    grants
}

impl Grant {
    /// True if the role has it, directly or through another role.
    pub async fn is_held(&self, db: &mut PgConnection) -> Result<bool, sqlx::Error> {
        match &self.column {
            Some(column) => sqlx::query_scalar("SELECT has_column_privilege('chat_worker', $1, $2, $3)")
                .bind(&self.table)
                .bind(column),
            None => sqlx::query_scalar("SELECT has_table_privilege('chat_worker', $1, $2)").bind(&self.table),
        }
        .bind(&self.right)
        .fetch_one(db)
        .await
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant { right, table, column } = self;
        match column {
            Some(column) => write!(f, "{right} ({column}) on {table}"),
            None => write!(f, "{right} on {table}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_as_the_script_gives_them() {
        let sql = "-- GRANT ALL ON no TO chat_worker;\nGRANT USAGE ON SCHEMA public TO chat_worker;\n\
            GRANT SELECT, UPDATE (last_used_at) ON\n    a, b\n    TO chat_worker;\n";
        let read: Vec<String> = parse(sql).iter().map(Grant::to_string).collect();
        assert_eq!(read, ["SELECT on a", "SELECT on b", "UPDATE (last_used_at) on a", "UPDATE (last_used_at) on b"]);
        let statements =
            |sql: &str| sql.lines().filter(|line| line.starts_with("GRANT ") && !line.contains("SCHEMA")).count();
        for script in [WORKER_ROLE, BUILTIN_AUTH] {
            let tables =
                parse(script).iter().map(|grant| grant.table.clone()).collect::<std::collections::BTreeSet<_>>();
            assert!(tables.len() >= statements(script), "{tables:?}");
        }
    }
}
