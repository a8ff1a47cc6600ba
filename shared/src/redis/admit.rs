//! `admit.lua`: appends a batch of commands to their streams, each after its sender's rate limit, in one round trip.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::scripts::Script;

use crate::stream::FIELD;

/// One command to append.
pub struct Append {
    /// [`super::keys::Keys::partition`] or [`super::keys::Keys::queries`].
    pub stream: String,
    /// The sender's rate-limit key when the command counts against it.
    pub rate_key: Option<String>,
    pub entry: Bytes,
}

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Appended,
    /// Over the limit; seconds until the sender may try again.
    RateLimited {
        retry_after: u32,
    },
}

/// The script, ready to run on any client.
#[derive(Clone)]
pub struct Admit {
    script: Script,
    limit: u32,
    window: Duration,
}

impl Admit {
    /// At most `limit` messages per user in the sliding `window` (whole seconds).
    pub fn new(limit: u32, window: Duration) -> Self {
        Admit { script: Script::from_lua(include_str!("scripts/admit.lua")), limit, window }
    }

    /// Runs the batch; gives one admission per command, in order. On an error nothing is known of any of them.
    pub async fn run(&self, client: &Client, batch: &[Append]) -> Result<Vec<Admission>, Error> {
        let mut streams = KeyIndex::default();
        let mut rate_keys = KeyIndex::default();
        let mut arguments: Vec<Value> = Vec::with_capacity(4 + 3 * batch.len());
        arguments.extend([0.into(), self.limit.into(), (self.window.as_secs() as i64).into(), FIELD.into()]);
        for append in batch {
            arguments.push(streams.of(&append.stream).into());
            arguments.push(append.rate_key.as_deref().map_or(0, |key| rate_keys.of(key)).into());
            arguments.push(append.entry.clone().into());
        }
        arguments[0] = (streams.keys.len() as i64).into();
        let keys = streams.keys.into_iter().chain(rate_keys.keys).map(str::to_owned).collect();
        let seconds: Vec<u32> = super::run_script(&self.script, client, keys, arguments).await?;
        if seconds.len() != batch.len() {
            return Err(Error::new(ErrorKind::Protocol, "admit.lua answered for another number of commands"));
        }
        let admission = |retry_after| match retry_after {
            0 => Admission::Appended,
            retry_after => Admission::RateLimited { retry_after },
        };
        Ok(seconds.into_iter().map(admission).collect())
    }
}

/// Keys in the order of their first use, each once, counted from 1.
#[derive(Default)]
struct KeyIndex<'a> {
    keys: Vec<&'a str>,
    index: HashMap<&'a str, i64>,
}

impl<'a> KeyIndex<'a> {
    fn of(&mut self, key: &'a str) -> i64 {
        *self.index.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() as i64
        })
    }
}
