//! The accounts to log in as: a file of tokens, or a file of user ids and the secret that signs tokens.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub user_id: i64,
    pub token: String,
}

/// Reads one token per line; the user id is read from the token.
pub fn from_tokens(path: &Path, most: usize) -> Result<Vec<Account>> {
    let account = |token: &str| {
        let user_id = user_of(token).with_context(|| format!("a token of {}", path.display()))?;
        Ok(Account { user_id, token: token.to_owned() })
    };
    lines(path)?.iter().take(most).map(|line| account(line)).collect()
}

/// Reads lines that begin with a user id, as `chatctl user add` and `chatctl user list` print them.
pub fn from_ids(path: &Path, secret_base64: &str, most: usize) -> Result<Vec<Account>> {
    let account = |line: &String| {
        let id = line.split_ascii_whitespace().next().unwrap_or_default();
        let user_id = id.parse().with_context(|| format!("user id {id:?} in {}", path.display()))?;
        Ok(Account { user_id, token: client::token::mint(secret_base64, user_id, TOKEN_TTL)? })
    };
    lines(path)?.iter().take(most).map(account).collect()
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn user_of(token: &str) -> Result<i64> {
    let payload = token.split('.').nth(1).context("not a JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let claim = if claims["sub"].is_null() { &claims["userId"] } else { &claims["sub"] };
    match (claim.as_i64(), claim.as_str().map(str::parse)) {
        (Some(id), _) | (None, Some(Ok(id))) => Ok(id),
        _ => bail!("it names no user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_user() {
        let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let token = client::token::mint(&secret, 42, TOKEN_TTL).unwrap();
        assert_eq!(user_of(&token).unwrap(), 42);
        assert!(user_of("x.y.z").is_err());
    }
}
