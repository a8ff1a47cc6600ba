//! `chatctl user …`: what the main backend usually does, for development and tests.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{erase, export};
use crate::database::{self, Relation};
use crate::settings::Settings;
use crate::terminal::{print_line, printable};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Creates a user unless one with this name exists, and prints the id.
    Add {
        name: String,
        /// Display name [default: the name].
        #[arg(long)]
        display_name: Option<String>,
    },
    /// Prints id, username and display name, separated by tabs.
    List {
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// NAME follows OTHER.
    Follow(Pair),
    /// NAME stops following OTHER.
    Unfollow(Pair),
    /// NAME blocks OTHER.
    Block(Pair),
    /// NAME unblocks OTHER.
    Unblock(Pair),
    /// Writes everything that is stored about a user to stdout as JSON, decrypted.
    Export {
        /// Username or id.
        user: String,
    },
    /// Permanently removes a user's data from the chat; messages become placeholders. Revoke the user's tokens first.
    Erase {
        /// Username or id.
        user: String,
        /// Also erase the account; only if this server keeps the accounts (BUILTIN_AUTH).
        #[arg(long)]
        account: bool,
        /// Confirms that this cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

/// Usernames or ids.
#[derive(Debug, Args)]
pub struct Pair {
    name: String,
    other: String,
}

impl UserCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        match self {
            UserCommand::Add { name, display_name } => {
                let mut connection = database::connect(settings).await?;
                let user_id = database::add_user(&mut connection, &name, display_name.as_deref()).await?;
                print_line(&user_id.to_string())
            }
            UserCommand::List { limit } => list(settings, limit).await,
            UserCommand::Follow(pair) => relate(settings, Relation::Follow, pair).await,
            UserCommand::Unfollow(pair) => relate(settings, Relation::Unfollow, pair).await,
            UserCommand::Block(pair) => relate(settings, Relation::Block, pair).await,
            UserCommand::Unblock(pair) => relate(settings, Relation::Unblock, pair).await,
            UserCommand::Export { user } => export::run(settings, &user).await,
            UserCommand::Erase { user, account, yes } => erase::run(settings, &user, account, yes).await,
        }
    }
}

async fn list(settings: &Settings, limit: u32) -> Result<()> {
    let mut connection = database::connect(settings).await?;
    for user in database::list_users(&mut connection, limit.into()).await? {
        let display_name = user.display_name.unwrap_or_default();
        print_line(&printable(&format!("{}\t{}\t{display_name}", user.user_id, user.username)))?;
    }
    Ok(())
}

async fn relate(settings: &Settings, relation: Relation, pair: Pair) -> Result<()> {
    let mut connection = database::connect(settings).await?;
    let from = database::get_user(&mut connection, &pair.name).await?;
    let to = database::get_user(&mut connection, &pair.other).await?;
    let changed = database::relate(&mut connection, relation, from, to).await?;
    print_line(if changed { "done" } else { "was so already" })
}
