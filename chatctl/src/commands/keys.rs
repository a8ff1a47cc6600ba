//! `chatctl keys`: re-encrypts what is stored, so that an old key can be thrown away.
//!
//! Rows are found by their key id and replaced only if the old ciphertext is unchanged, so that servers may continue to
//! write, and an interrupted run is simply repeated. Data in Redis is not touched, because it is short-lived.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use shared::crypto::Keyring;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::progress::Progress;
use crate::sealed::{BLOBS, Blob};
use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{audit, database};

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Re-encrypts everything that is stored under older keys with the newest key of CHAT_ENCRYPTION_KEYS.
    ///
    /// All servers must already know the newest key. Repeat it after an interruption, or if servers were still writing
    /// with an older key. Fails and names the rows if some do not decrypt.
    Rotate(RotateArguments),
}

#[derive(Debug, Args)]
pub struct RotateArguments {
    /// Rows per transaction.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

impl KeysCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        match self {
            KeysCommand::Rotate(arguments) => rotate(settings, arguments.batch.into()).await,
        }
    }
}

/// The results for one table's rows.
#[derive(Default)]
struct Counts {
    rotated: u64,
    /// Changed by a server between reading and writing.
    overtaken: u64,
    unreadable: u64,
}

async fn rotate(settings: &Settings, batch: i64) -> Result<()> {
    let encryption = settings.encryption()?;
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
    let newest = keyring.newest_key_id();
    let mut connection = database::connect(settings).await?;
    audit::record(&mut connection, "keys rotate", None, json!({"newest": newest, "state": "started"})).await?;

    let mut unreadable = 0;
    let mut done = serde_json::Map::new();
    let messages = rotate_messages(&mut connection, &keyring, batch).await?;
    report("private_messages", &messages, &mut done, &mut unreadable)?;
    for blob in &BLOBS {
        let counts = rotate_blobs(&mut connection, &keyring, blob, batch).await?;
        report(&blob.name(), &counts, &mut done, &mut unreadable)?;
    }
    let details = json!({"newest": newest, "state": "finished", "rotated": done, "unreadable": unreadable});
    audit::record(&mut connection, "keys rotate", None, details).await?;
    if unreadable > 0 {
        bail!("{unreadable} rows do not decrypt; they were left as they are");
    }
    Ok(())
}

fn report(
    table: &str,
    counts: &Counts,
    done: &mut serde_json::Map<String, serde_json::Value>,
    unreadable: &mut u64,
) -> Result<()> {
    *unreadable += counts.unreadable;
    done.insert(table.to_owned(), counts.rotated.into());
    let Counts { rotated, overtaken, unreadable } = counts;
    print_line(&format!("{table}: {rotated} re-encrypted, {overtaken} changed meanwhile, {unreadable} unreadable"))
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    message_id: Uuid,
    key_id: i16,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    content: Vec<u8>,
}

/// New content next to the old, column by column.
#[derive(Default)]
struct NewMessages {
    ids: Vec<Uuid>,
    old_ivs: Vec<Vec<u8>>,
    old_contents: Vec<Vec<u8>>,
    contents: Vec<Vec<u8>>,
    ivs: Vec<Vec<u8>>,
    macs: Vec<Vec<u8>>,
}

async fn rotate_messages(connection: &mut PgConnection, keyring: &Keyring, batch: i64) -> Result<Counts> {
    let newest = keyring.newest_key_id();
    let mut counts = Counts::default();
    let mut progress = Progress::new("private_messages");
    let mut after = Uuid::nil();
    loop {
        let rows: Vec<MessageRow> = sqlx::query_as(
            "SELECT message_id, key_id, iv, mac, content FROM private_messages
             WHERE message_id > $1 AND key_id <> $2 ORDER BY message_id LIMIT $3",
        )
        .bind(after)
        .bind(newest)
        .bind(batch)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { return Ok(counts) };
        after = last.message_id;
        let mut new = NewMessages::default();
        for row in rows {
            let id = row.message_id;
            match keyring.open(id, row.key_id, &row.iv, row.mac.as_deref(), &row.content) {
                Ok(plain) => {
                    let sealed = keyring.seal(id, &plain);
                    new.ids.push(id);
                    new.old_ivs.push(row.iv);
                    new.old_contents.push(row.content);
                    new.contents.push(sealed.ciphertext);
                    new.ivs.push(sealed.iv.to_vec());
                    new.macs.push(sealed.mac.to_vec());
                }
                Err(error) => {
                    counts.unreadable += 1;
                    eprintln!("private_messages {id}: {error}");
                }
            }
        }
        let rotated = sqlx::query(
            "UPDATE private_messages p SET content = n.content, iv = n.iv, mac = n.mac, key_id = $1
             FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
                 AS n (message_id, old_iv, old_content, content, iv, mac)
             WHERE p.message_id = n.message_id AND p.iv = n.old_iv AND p.content = n.old_content",
        )
        .bind(newest)
        .bind(&new.ids)
        .bind(&new.old_ivs)
        .bind(&new.old_contents)
        .bind(&new.contents)
        .bind(&new.ivs)
        .bind(&new.macs)
        .execute(&mut *connection)
        .await?
        .rows_affected();
        counts.rotated += rotated;
        counts.overtaken += new.ids.len() as u64 - rotated;
        progress.add(rotated);
    }
}

async fn rotate_blobs(connection: &mut PgConnection, keyring: &Keyring, blob: &Blob, batch: i64) -> Result<Counts> {
    let Blob { table, column, key, .. } = *blob;
    let id = blob.id();
    // The key id stands behind the version byte.
    let select = format!(
        "SELECT {id}, {column} FROM {table} WHERE {key} > {} AND substring({column} FROM 2 FOR 2) <> $2
         ORDER BY {key} LIMIT $3",
        blob.key_of("$1::uuid")
    );
    let update = format!(
        "UPDATE {table} t SET {column} = n.new FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (id, old, new)
         WHERE t.{key} = {} AND t.{column} = n.old",
        blob.key_of("n.id")
    );
    let newest = keyring.newest_key_id().to_be_bytes();
    let mut counts = Counts::default();
    let mut progress = Progress::new(table);
    let mut after = Uuid::nil();
    loop {
        let rows: Vec<(Uuid, Vec<u8>)> =
            sqlx::query_as(&select).bind(after).bind(&newest[..]).bind(batch).fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { return Ok(counts) };
        after = *last;
        let (mut ids, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for (id, sealed) in rows {
            match blob.reseal(keyring, id, &sealed) {
                Ok(resealed) => {
                    ids.push(id);
                    new.push(resealed);
                    old.push(sealed);
                }
                Err(error) => {
                    counts.unreadable += 1;
                    eprintln!("{table} {id}: {error}");
                }
            }
        }
        let done = sqlx::query(&update).bind(&ids).bind(&old).bind(&new).execute(&mut *connection).await?;
        counts.rotated += done.rows_affected();
        counts.overtaken += ids.len() as u64 - done.rows_affected();
        progress.add(done.rows_affected());
    }
}
