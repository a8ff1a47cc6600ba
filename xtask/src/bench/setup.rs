//! What all parts need, and how large their measurements are.

use std::path::PathBuf;

use devstack::Programs;

use crate::workspace::Workspace;

pub struct Setup<'a> {
    pub programs: Programs,
    pub bin_dir: PathBuf,
    pub workspace: &'a Workspace,
    pub sizes: Sizes,
}

/// How large each measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How often each rate is measured beside Socket.IO.
    pub runs: usize,
    /// Idle connections; each is measured with new gateways.
    pub idle: &'static [usize],
    pub pairs: usize,
    pub window: &'static str,
    pub closed_for: &'static str,
    pub rate_for: &'static str,
    /// Shares of the closed loop's rate, in percent.
    pub shares: &'static [u32],
    pub groups: usize,
    pub group_members: usize,
    pub community: usize,
    pub storm: usize,
    pub logins: usize,
    pub growth_for: &'static str,
    /// The number of users to which the tables grow.
    pub grown_users: u64,
    pub grown_messages: u64,
    pub messages: u64,
    pub long_conversation: u64,
    pub conversations: u64,
    /// Messages in the database that has grown.
    pub rows: u64,
    /// Members of the community with a large audience.
    pub members: usize,
    /// How many of them are connected, for each measurement.
    pub audiences: &'static [usize],
    /// Rounds of what is measured by turns.
    pub rounds: usize,
    /// Publications by `redis-benchmark`.
    pub publications: u32,
    /// Messages of the original that are imported.
    pub imported: u32,
}

impl Sizes {
    pub const FULL: Self = Self {
        runs: 5,
        idle: &[2_000, 7_000, 15_000],
        pairs: 50,
        window: "8",
        closed_for: "15s",
        rate_for: "10s",
        shares: &[10, 30, 50, 70, 85],
        groups: 4,
        group_members: 50,
        community: 5_000,
        storm: 2_000,
        logins: 1_000,
        growth_for: "7s",
        grown_users: 1_000_000,
        grown_messages: 5_000_000,
        messages: 1_000_000,
        long_conversation: 100_000,
        conversations: 1_000,
        rows: 1_000_000,
        members: 50_000,
        // The generator has a few hundred files besides, of the usual limit of 20,000.
        audiences: &[5_000, 19_500],
        rounds: 3,
        publications: 600_000,
        imported: 1_000_000,
    };
    pub const QUICK: Self = Self {
        runs: 1,
        idle: &[200, 1_000],
        closed_for: "5s",
        rate_for: "4s",
        shares: &[30, 70],
        groups: 2,
        community: 500,
        storm: 200,
        logins: 200,
        growth_for: "3s",
        grown_users: 10_000,
        grown_messages: 50_000,
        messages: 100_000,
        long_conversation: 10_000,
        conversations: 1_000,
        rows: 50_000,
        members: 5_000,
        audiences: &[500],
        rounds: 1,
        publications: 30_000,
        imported: 10_000,
        ..Self::FULL
    };
}
