//! Messages to groups, logins, and a storm of reconnects.

use anyhow::Result;
use serde_json::Value;

use super::section::Section;
use super::setup::{Setup, Sizes};
use super::site::Site;
use super::target::{Figure, at, number};

const STORM_SENDERS: usize = 20;

pub fn measure(setup: &Setup) -> Result<Section> {
    let sizes = &setup.sizes;
    let users = [sizes.groups * sizes.group_members, sizes.community, sizes.storm + STORM_SENDERS, sizes.logins];
    let site = Site::start(setup, users.into_iter().max().unwrap_or(0))?;
    let (groups, storm) = (groups(&site, sizes)?, storm(&site, sizes)?);
    let (logins, community) = (logins(&site, sizes)?, community(&site, sizes)?);
    let mut section = Section::new("Fan-out, logins, storm");
    let results = [("groups", &groups), ("community", &community), ("storm", &storm), ("logins", &logins)];
    for (name, result) in results {
        section.check(name, result);
    }
    let ms = |result: &Value, pointer: &str| at(result, &format!("/latency_ms/{pointer}"));
    section.figures = vec![
        Figure::at_least("groups of 50, deliveries", at(&groups, "/per_second/delivered"), 150_000.0, "/s"),
        Figure::at_most("community, until the last has it", ms(&community, "to_the_last/max"), 250.0, "ms"),
        Figure::at_most("storm, all back and replayed", at(&storm, "/seconds/all_replayed"), 1.2, "s"),
        Figure::at_most("authentication at 100/s, p50", ms(&logins, "authenticate/p50"), 5.0, "ms"),
    ];
    let shown = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{} {unit}", number(value)))
    };
    let rows = [
        (
            format!("{} groups of {}: deliveries", sizes.groups, sizes.group_members),
            shown(at(&groups, "/per_second/delivered"), "/s"),
        ),
        ("until the last member has it, p50".to_owned(), shown(ms(&groups, "to_the_last/p50"), "ms")),
        (
            format!("community of {}: until the last has it, p50", sizes.community),
            shown(ms(&community, "to_the_last/p50"), "ms"),
        ),
        ("the slowest".to_owned(), shown(ms(&community, "to_the_last/max"), "ms")),
        (
            format!("storm of {}, 5 messages missed each: all authenticated", sizes.storm),
            shown(at(&storm, "/seconds/all_authenticated"), "s"),
        ),
        ("all replayed".to_owned(), shown(at(&storm, "/seconds/all_replayed"), "s")),
        ("authentication at 100/s, p50".to_owned(), shown(ms(&logins, "authenticate/p50"), "ms")),
        ("p99".to_owned(), shown(ms(&logins, "authenticate/p99"), "ms")),
    ];
    section.table(&["", ""], rows.map(|(name, value)| vec![name, value]));
    Ok(section)
}

fn groups(site: &Site, sizes: &Sizes) -> Result<Value> {
    let members = sizes.group_members.to_string();
    let args =
        ["--members", &members, "--senders", "10", "--closed", "2", "--duration", sizes.rate_for, "--settle", "3s"];
    let users = 0..sizes.groups * sizes.group_members;
    site.loadtest(&format!("{} groups of {members}, closed loop", sizes.groups), "group", users, &args)
}

fn community(site: &Site, sizes: &Sizes) -> Result<Value> {
    let args = [
        "--community",
        "--senders",
        "1",
        "--rate",
        "2",
        "--duration",
        "10s",
        "--settle",
        "8s",
        "--connect-rate",
        "400",
    ];
    site.loadtest(&format!("a community of {}", sizes.community), "group", 0..sizes.community, &args)
}

fn storm(site: &Site, sizes: &Sizes) -> Result<Value> {
    let senders = STORM_SENDERS.to_string();
    let users = 0..sizes.storm + STORM_SENDERS;
    let args = ["--senders", &senders, "--missed", "5", "--drain", "60s"];
    site.loadtest(&format!("a storm of {}", sizes.storm), "storm", users, &args)
}

fn logins(site: &Site, sizes: &Sizes) -> Result<Value> {
    site.loadtest("100 logins per second", "presence", 0..sizes.logins, &["--watchers", "0", "--rate", "100"])
}
