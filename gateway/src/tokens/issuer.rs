//! The public keys of an issuer: read when needed, and kept if it does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use shared::auth::Claims;
use shared::auth::issuer::{IssuerKeys, IssuerRules, Unverified};
use shared::config::GatewaySettings;
use shared::telemetry::with_causes;
use tokio::time::Instant;

use crate::tokens::fetch::Source;

/// How long a withdrawn key may still be accepted.
const REFRESH_PERIOD: Duration = Duration::from_secs(5 * 60);
/// The pause after a failure; during it an unknown key is not requested again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How long a key that the issuer does not have is not requested again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Anyone can make up key names: together they cause at most one request in this time.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(1);
/// How many names are remembered as unknown; beyond that all are forgotten.
const MAX_UNKNOWN: usize = 1_000;

pub struct Issuer {
    rules: IssuerRules,
    source: Source,
    keys: RwLock<Arc<IssuerKeys>>,
    /// When the issuer was found not to have these keys.
    unknown: Mutex<HashMap<String, Instant>>,
    reads: tokio::sync::Mutex<Reads>,
}

#[derive(Default)]
struct Reads {
    /// When the last read happened, and if it succeeded: a success counts from its beginning, a failure from its end.
    last: Option<(Instant, bool)>,
}

/// The issuer does not answer.
#[derive(Debug)]
pub struct Away;

impl Issuer {
    /// The issuer that the settings name, if there is one.
    ///
    /// # Errors
    /// When `JWKS_URL` or the system's certificate authorities cannot be used.
    pub fn new(settings: &GatewaySettings) -> anyhow::Result<Option<Self>> {
        let (Some(url), Some(issuer)) = (&settings.jwks_url, &settings.token_issuer) else { return Ok(None) };
        let rules = IssuerRules {
            issuer: issuer.clone(),
            audience: settings.token_audience.clone(),
            user_claim: settings.token_user_claim.clone(),
        };
        let source = Source::new(url).context("JWKS_URL")?;
        let (keys, unknown, reads) = (RwLock::default(), Mutex::default(), tokio::sync::Mutex::default());
        Ok(Some(Issuer { rules, source, keys, unknown, reads }))
    }

    pub fn verify(&self, token: &str, now_unix: i64) -> Result<Claims, Unverified> {
        let keys = self.keys.read().clone();
        self.rules.verify(&keys, token, now_unix)
    }

    /// Asks the issuer for an unknown key, unless it was found within the last minute not to have it. Concurrent
    /// callers share one request. The key may still be unknown afterwards.
    pub async fn look_up(&self, key_id: &str) -> Result<(), Away> {
        let asked_at = Instant::now();
        if self.is_answered(key_id) {
            return Ok(());
        }
        let mut reads = self.reads.lock().await;
        match reads.last {
            _ if self.is_answered(key_id) => return Ok(()),
            // Another caller has read it in the meantime.
            Some((began_at, true)) if began_at >= asked_at => {}
            Some((failed_at, false)) if failed_at.elapsed() < RETRY_PAUSE => return Err(Away),
            last => {
                if let Some((at, _)) = last {
                    tokio::time::sleep_until(at + LOOK_UP_PAUSE).await;
                }
                self.read(&mut reads).await?;
            }
        }
        if !self.keys.read().contains(key_id) {
            let mut unknown = self.unknown.lock();
            if unknown.len() >= MAX_UNKNOWN {
                unknown.clear();
            }
            unknown.insert(key_id.to_owned(), Instant::now());
        }
        Ok(())
    }

    /// True if there is no need to ask.
    fn is_answered(&self, key_id: &str) -> bool {
        self.keys.read().contains(key_id)
            || self.unknown.lock().get(key_id).is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
    }

    /// Reads the keys periodically. Does not return.
    pub async fn refresh(&self) {
        loop {
            let read = self.read(&mut *self.reads.lock().await).await;
            tokio::time::sleep(if read.is_ok() { REFRESH_PERIOD } else { RETRY_PAUSE }).await;
        }
    }

    /// Replaces the keys with those that the issuer has now; if that fails, they stay.
    async fn read(&self, reads: &mut Reads) -> Result<(), Away> {
        let began_at = Instant::now();
        let read = self.source.read().await.and_then(|json| Ok(IssuerKeys::parse(&json)?));
        reads.last = Some(if read.is_ok() { (began_at, true) } else { (Instant::now(), false) });
        match read {
            Ok(keys) => {
                *self.keys.write() = Arc::new(keys);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(
                    error = %with_causes(&error),
                    "the keys of JWKS_URL could not be read; the known ones stay"
                );
                Err(Away)
            }
        }
    }
}
