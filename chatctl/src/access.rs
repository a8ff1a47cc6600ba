//! How a command connects to a gateway: which one, and as which user.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use client::{Client, Connect, Error, token};
use serde_json::json;
use tokio::time::timeout;

use crate::database;
use crate::settings::Settings;

/// Reconnecting mints a new one, so it only has to outlast one connection.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3_600);
/// Well below the server's limit for inactivity (300 s).
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The server pings every 30 s and answers the keep-alive.
const DEAD_AFTER: Duration = Duration::from_secs(90);

/// By then the command has done its work; a server that does not answer the close must not hold the terminal.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Closes the connection properly and quickly. Never part of a deadline that decides if the command succeeded.
pub async fn leave(mut client: Client) {
    let _ = timeout(LEAVE_WITHIN, client.close()).await;
}

#[derive(Debug, Clone, Args)]
pub struct AccessArguments {
    /// Gateway to connect to [default: the first of GATEWAY_URLS, then the others in turn].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Token to use instead of one signed with JWT_SECRET.
    #[arg(long, env = "CHAT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

/// Opens connections for one user.
#[derive(Debug)]
pub struct Access {
    urls: Vec<String>,
    attempts: usize,
    identity: Identity,
}

#[derive(Debug)]
enum Identity {
    Token(String),
    User { user_id: i64, secret: String },
}

impl Access {
    pub async fn new(settings: &Settings, arguments: &AccessArguments, name: &str) -> Result<Self> {
        let urls = match &arguments.url {
            Some(url) => vec![url.clone()],
            None => settings.urls()?,
        };
        let identity = match &arguments.token {
            Some(token) => Identity::Token(token.clone()),
            None => {
                let secret = settings.jwt_secret()?;
                Identity::User { user_id: database::resolve(settings, name).await?, secret }
            }
        };
        Ok(Self { urls, attempts: 0, identity })
    }

    /// The gateway of the next attempt.
    pub fn url(&self) -> &str {
        self.urls.get(self.attempts % self.urls.len().max(1)).map_or("", String::as_str)
    }

    /// Connects and authenticates; after a failure, the next attempt uses the next gateway.
    pub async fn login(&mut self, acks: bool) -> Result<Client, Error> {
        let result = self.try_login(acks).await;
        if result.is_err() {
            self.attempts = self.attempts.wrapping_add(1);
        }
        result
    }

    /// Connects once and sends nothing except answers to pings.
    pub async fn login_quietly(&self) -> Result<Client, Error> {
        self.authenticate(Connect::new(self.url()), false).await
    }

    async fn try_login(&self, acks: bool) -> Result<Client, Error> {
        self.authenticate(Connect::new(self.url()).keepalive(KEEPALIVE).dead_after(DEAD_AFTER), acks).await
    }

    async fn authenticate(&self, connect: Connect, acks: bool) -> Result<Client, Error> {
        let token = match &self.identity {
            Identity::Token(token) => token.clone(),
            Identity::User { user_id, secret } => token::mint(secret, *user_id, TOKEN_TTL)?,
        };
        let mut client = connect.open().await?;
        let fields = if acks { json!({"token": token, "acks": true}) } else { json!({"token": token}) };
        client.authenticate_with(fields).await?;
        Ok(client)
    }
}
