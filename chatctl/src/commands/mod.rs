//! The subcommands, one file each.

mod chat;
mod dlq;
mod docs;
mod erase;
mod export;
mod keys;
mod listen;
mod migrate;
mod send;
mod token;
mod user;

use anyhow::Result;
use clap::Subcommand;

use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Users and what is between them.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Prints a token for a user.
    Token(token::TokenArguments),
    /// Talks with somebody in the terminal.
    Chat(chat::ChatArguments),
    /// Sends one message and prints the acknowledgement as JSON.
    Send(send::SendArguments),
    /// Prints a user's events, one JSON object per line.
    ///
    /// What came is printed as it came: after a reconnect an event may come a second time. The state of the connection
    /// is told on stderr.
    Listen(listen::ListenArguments),
    /// The dead letters: commands that failed for good.
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Brings the database to the schema that this binary knows.
    Migrate,
    /// The keys of the encryption at rest.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Writes or checks the pages that are made from the code.
    #[command(subcommand)]
    Docs(docs::DocsCommand),
}

impl Command {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        match self {
            Command::User(command) => command.run(settings).await,
            Command::Token(arguments) => arguments.run(settings).await,
            Command::Chat(arguments) => arguments.run(settings).await,
            Command::Send(arguments) => arguments.run(settings).await,
            Command::Listen(arguments) => arguments.run(settings).await,
            Command::Dlq(command) => command.run(settings).await,
            Command::Migrate => migrate::run(settings).await,
            Command::Keys(command) => command.run(settings).await,
            Command::Docs(command) => command.run(),
        }
    }
}
