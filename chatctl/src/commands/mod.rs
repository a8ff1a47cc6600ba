//! The subcommands, one file each.

mod apikey;
mod chat;
mod config;
mod dlq;
mod docs;
mod doctor;
mod drain;
mod erase;
mod export;
mod import;
mod keys;
mod kick;
mod listen;
mod migrate;
mod send;
mod sessions;
mod status;
mod token;
mod trace;
mod user;
mod verify;
mod webhook;

use anyhow::Result;
use clap::Subcommand;

use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Manage users, follows and blocks.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Prints a token for a user.
    Token(token::TokenArguments),
    /// Chat with a user in the terminal.
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
    ///
    /// With WORKER_PASSWORD (or WORKER_PASSWORD_FILE) also makes the role chat_worker, or gives it this password, with the
    /// rights that workers need, which with BUILTIN_AUTH=true are a few more. Without it, run
    /// deploy/postgres/worker-role.sql by hand. Fails at the end if the main backend's tables lack a column;
    /// PROFILE_COLUMNS names a column that is called differently.
    Migrate,
    /// Takes over what the server before this one stored.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// The keys of the encryption at rest.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Checks what an operator would check on the first day: stores, durability, clocks, schema, rights, keys, processes.
    ///
    /// Each finding says what to do. Fails when there is a problem.
    Doctor(doctor::DoctorArguments),
    /// Checks that what is stored is whole: numbers, counts, references, members, and that every row decrypts.
    ///
    /// For after a restore. Reads in one snapshot, so that servers may go on writing. Fails when a rule is broken, and names rows.
    Verify(verify::VerifyArguments),
    /// What runs: processes, partitions and their owners, what waits, who is connected.
    Status(status::StatusArguments),
    /// Open sessions: user, gateway and connection, separated by tabs.
    Sessions(sessions::SessionsArguments),
    /// The life of one message as the stores tell it, without its content: where it is, who has it, who has read it.
    Trace(trace::TraceArguments),
    /// Closes all connections of a user, wherever they are (code 1008). A token stays valid: revoke it to keep the user out.
    Kick(kick::KickArguments),
    /// Ends a gateway as SIGTERM does: it closes its connections over DRAIN_WINDOW, and exits.
    ///
    /// Whatever supervises it starts a new one. To take a pod out of Kubernetes, delete it instead.
    Drain(drain::DrainArguments),
    /// The keys of the server API, for a product's own backend.
    #[command(subcommand)]
    Apikey(apikey::ApikeyCommand),
    /// The webhooks of a product's own backend: endpoints, and what could not be delivered.
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Check settings as the services read them.
    #[command(subcommand)]
    Config(config::ConfigCommand),
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
            Command::Import(command) => command.run(settings).await,
            Command::Keys(command) => command.run(settings).await,
            Command::Doctor(arguments) => arguments.run(settings).await,
            Command::Verify(arguments) => arguments.run(settings).await,
            Command::Status(arguments) => arguments.run(settings).await,
            Command::Sessions(arguments) => arguments.run(settings).await,
            Command::Trace(arguments) => arguments.run(settings).await,
            Command::Kick(arguments) => arguments.run(settings).await,
            Command::Drain(arguments) => arguments.run(settings).await,
            Command::Apikey(command) => command.run(settings).await,
            Command::Webhook(command) => command.run(settings).await,
            Command::Config(command) => command.run().await,
            Command::Docs(command) => command.run(),
        }
    }
}
