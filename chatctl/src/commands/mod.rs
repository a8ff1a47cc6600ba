//! The subcommands, one file each.

mod apikey;
mod chat;
mod config;
mod conversation;
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
mod reports;
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
    /// Events are printed unchanged; after a reconnect an event may be printed a second time. The state of the
    /// connection is printed on stderr.
    Listen(listen::ListenArguments),
    /// Inspect and requeue dead letters: commands that failed for good.
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Brings the database to the schema that this binary knows.
    ///
    /// With WORKER_PASSWORD (or WORKER_PASSWORD_FILE) it also creates the role chat_worker, or changes its password,
    /// and grants the rights that workers need (a few more with BUILTIN_AUTH=true). Without it, run
    /// deploy/postgres/worker-role.sql by hand. Fails at the end if the main backend's tables lack a column;
    /// PROFILE_COLUMNS maps columns with other names.
    Migrate,
    /// Imports the data of the server that this one replaces.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Manage the keys of the encryption at rest.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Checks what an operator would check on the first day: stores, durability, clocks, schema, rights, keys, processes.
    ///
    /// Each finding says what to do. Fails if there is a problem.
    Doctor(doctor::DoctorArguments),
    /// Checks that the stored data is consistent: numbers, counts, references, members, and that every row decrypts.
    ///
    /// Use it after a restore. It reads in one snapshot, so servers may continue to write. Fails and names the rows if
    /// a rule is broken.
    Verify(verify::VerifyArguments),
    /// Shows the deployment: processes, partitions and their owners, waiting commands, connected users, tables and how they
    /// grow.
    Status(status::StatusArguments),
    /// Lists open sessions: user, gateway and connection, separated by tabs.
    Sessions(sessions::SessionsArguments),
    /// Shows the life of one message from the stores, without its content: where it is, who has it, who has read it.
    Trace(trace::TraceArguments),
    /// Closes all connections of a user, on all gateways (code 1008). The user's token stays valid: revoke it to keep
    /// the user out.
    Kick(kick::KickArguments),
    /// Stops a gateway, like SIGTERM: it closes its connections over DRAIN_WINDOW, and exits.
    ///
    /// Its supervisor starts a new one. To remove a pod from Kubernetes, delete it instead.
    Drain(drain::DrainArguments),
    /// Manage API keys, with which a product's own backend uses the server API.
    #[command(subcommand)]
    Apikey(apikey::ApikeyCommand),
    /// Manage the webhooks of a product's own backend: endpoints and failed deliveries.
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// See and close the reports of messages that users have made.
    #[command(subcommand)]
    Reports(reports::ReportsCommand),
    /// Set how long the messages of a conversation or group are kept.
    #[command(subcommand)]
    Conversation(conversation::ConversationCommand),
    /// Check settings as the services read them.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Writes or checks the pages that are generated from the code.
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
            Command::Reports(command) => command.run(settings).await,
            Command::Conversation(command) => command.run(settings).await,
            Command::Config(command) => command.run().await,
            Command::Docs(command) => command.run(),
        }
    }
}
