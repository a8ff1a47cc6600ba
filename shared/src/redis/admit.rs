//! `admit.lua`: appends a batch of commands to their streams, after checking its sender's rate limit, in one round trip
//! (two on a cluster, because the keys are in different slots).

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::scripts::Script;
use futures_util::future::join_all;

use super::topology::Topology;
use crate::stream::FIELD;

/// One command to append.
pub struct Append {
    /// [`super::keys::Keys::partition`] or [`super::keys::Keys::queries`].
    pub stream: String,
    pub rate: Option<Rate>,
    pub entry: Bytes,
}

/// What a command counts against.
pub struct Rate {
    /// [`super::keys::Keys::message_rate`] or [`super::keys::Keys::command_rate`] of the sender.
    pub key: String,
    /// The number of commands that the key allows in the sliding window, including this one.
    pub limit: u32,
}

/// The result for one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Appended,
    /// Over the limit; the seconds until the sender may try again.
    RateLimited {
        retry_after: u32,
    },
}

/// The script, ready to run on any client.
#[derive(Clone)]
pub struct Admit {
    script: Script,
    window: Duration,
}

/// What one run of the script does for one command.
#[derive(Clone, Copy)]
struct Step<'a> {
    /// The stream to append it to, if any.
    stream: Option<&'a str>,
    rate: Option<&'a Rate>,
    entry: &'a Bytes,
}

impl Admit {
    /// Uses a sliding `window` of whole seconds for the limits.
    pub fn new(window: Duration) -> Self {
        Admit { script: Script::from_lua(include_str!("scripts/admit.lua")), window }
    }

    /// Admits the batch; returns the result of each command, in order. After an error, nothing is known about it.
    pub async fn run(&self, client: &Client, batch: &[Append]) -> Vec<Result<Admission, Error>> {
        let steps = batch.iter().map(|append| Step {
            stream: Some(append.stream.as_str()),
            rate: append.rate.as_ref(),
            entry: &append.entry,
        });
        let steps: Vec<Step<'_>> = steps.collect();
        match Topology::of(client) {
            Topology::Single => match self.run_script(client, &steps).await {
                Ok(admissions) => admissions.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); batch.len()],
            },
            Topology::Cluster => self.run_by_slot(client, &steps).await,
        }
    }

    /// First counts against the limits, then appends what they allow. A command that then cannot be appended has been
    /// counted anyway.
    async fn run_by_slot(&self, client: &Client, steps: &[Step<'_>]) -> Vec<Result<Admission, Error>> {
        static NO_ENTRY: Bytes = Bytes::new();
        let mut admissions = vec![Ok(Admission::Appended); steps.len()];
        let limits = steps.iter().enumerate().filter_map(|(place, step)| {
            let limit = Step { stream: None, entry: &NO_ENTRY, ..*step };
            Some((place, step.rate?.key.as_str(), limit))
        });
        self.run_slots(client, limits.collect(), &mut admissions).await;
        let appends = steps.iter().enumerate().filter_map(|(place, step)| {
            let append = Step { rate: None, ..*step };
            matches!(admissions[place], Ok(Admission::Appended)).then_some((place, step.stream?, append))
        });
        self.run_slots(client, appends.collect(), &mut admissions).await;
        admissions
    }

    /// Runs the script for each slot separately, and records the results at the commands' positions. Each step comes
    /// with its position and the key that it needs.
    async fn run_slots(
        &self,
        client: &Client,
        steps: Vec<(usize, &str, Step<'_>)>,
        admissions: &mut [Result<Admission, Error>],
    ) {
        let slots = Topology::Cluster.together(steps.iter().map(|(_, key, _)| *key));
        let runs = slots.into_iter().map(|slot| {
            let of_slot: Vec<Step<'_>> = slot.iter().map(|at| steps[*at].2).collect();
            async move { (slot, self.run_script(client, &of_slot).await) }
        });
        for (slot, result) in join_all(runs).await {
            for (nth, at) in slot.into_iter().enumerate() {
                admissions[steps[at].0] = match &result {
                    Ok(of_slot) => Ok(of_slot[nth]),
                    Err(error) => Err(error.clone()),
                };
            }
        }
    }

    /// Returns one admission per step, in order. After an error nothing is known about any of them.
    async fn run_script(&self, client: &Client, steps: &[Step<'_>]) -> Result<Vec<Admission>, Error> {
        let mut streams = KeyIndex::default();
        let mut rate_keys = KeyIndex::default();
        let places: Vec<(i64, i64)> = steps
            .iter()
            .map(|step| {
                let stream = step.stream.map_or(0, |key| streams.of(key));
                (stream, step.rate.map_or(0, |rate| rate_keys.of(&rate.key)))
            })
            .collect();
        let mut arguments: Vec<Value> = Vec::with_capacity(3 + 4 * steps.len());
        let window_seconds = self.window.as_secs() as i64;
        arguments.extend([(streams.keys.len() as i64).into(), window_seconds.into(), FIELD.into()]);
        for (step, (stream, rate)) in steps.iter().zip(places) {
            let limit = step.rate.map_or(0, |rate| rate.limit);
            arguments.extend([stream.into(), rate.into(), limit.into(), step.entry.clone().into()]);
        }
        let keys = streams.keys.into_iter().chain(rate_keys.keys).map(str::to_owned).collect();
        let seconds: Vec<u32> = super::run_script(&self.script, client, keys, arguments).await?;
        if seconds.len() != steps.len() {
            return Err(Error::new(ErrorKind::Protocol, "admit.lua answered for a different number of commands"));
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
