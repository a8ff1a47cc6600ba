//! The demo users, and the lines to paste that `up` prints.

use anyhow::Result;

use crate::stack::{Stack, WEB};
use crate::web;
use crate::workspace::Workspace;

const DEMO_TOKEN_TTL: &str = "7d";
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Adds the users and lets everyone follow everyone else, except that only carol follows dave, to try out the rule
/// about followers. Can be repeated.
pub fn seed(stack: &Stack) -> Result<()> {
    for name in USERS {
        stack.chatctl(&["user", "add", name])?;
    }
    for name in USERS {
        for other in USERS {
            if name != other && (other != "dave" || name == "carol") {
                stack.chatctl(&["user", "follow", name, other])?;
            }
        }
    }
    let folder = stack.dir.join(WEB);
    if folder.is_dir() {
        let mut users = Vec::new();
        for name in USERS {
            users.push((name, stack.chatctl(&["token", name, "--ttl", DEMO_TOKEN_TTL])?));
        }
        web::write_demo_users(&folder, &users)?;
    }
    Ok(())
}

pub fn print_summary(stack: &mut Stack, workspace: &Workspace, no_web: Option<&str>) {
    println!();
    for (name, place, pid) in places(stack) {
        println!("  {name:<12} {place:<58} {}", pid.map(|pid| format!("pid {pid}")).unwrap_or_default());
    }
    println!("  {:<12} {}", "logs", workspace.shown(&stack.dir.join("*.log")));
    println!("  {:<12} {}", "for scripts", workspace.shown(&stack.dir.join("env")));
    print_lines_to_paste(stack, workspace);
    match (no_web, stack.public_url()) {
        (None, Some(url)) => println!("\nThe web client, to sign in as {}:\n\n  {url}", USERS.join(", ")),
        (Some(why), _) => println!("\nThere is no web client: {why}."),
        (None, None) => {}
    }
}

fn places(stack: &mut Stack) -> Vec<(String, String, Option<u32>)> {
    let mut rows = Vec::new();
    if let Some(nginx) = &stack.nginx {
        rows.push(("nginx".to_owned(), format!("{} (in front of the gateways)", nginx.url()), nginx.pid()));
    }
    for server in stack.gateways.iter().chain(&stack.workers) {
        rows.push((server.name(), server.url(), server.pid()));
    }
    rows.push(("postgres".to_owned(), format!("127.0.0.1:{}", stack.postgres.port()), stack.postgres.pid()));
    rows.push(("redis".to_owned(), format!("127.0.0.1:{}", stack.redis.port()), stack.redis.pid()));
    rows
}

fn print_lines_to_paste(stack: &Stack, workspace: &Workspace) {
    let chatctl = workspace.shown(&stack.state.bin_dir.join("chatctl"));
    let env = workspace.shown(&stack.dir.join("env"));
    // If there is only one gateway, use it for both.
    let (Some(first), Some(last)) = (stack.gateways.first(), stack.gateways.get(1).or(stack.gateways.first())) else {
        return;
    };
    let listen = format!("{chatctl} listen bob --url {}", last.ws_url());
    let send = format!("{chatctl} send alice --to bob \"hello\" --url {}", first.ws_url());
    println!("\nTo paste, in {}:", workspace.root.display());
    println!("\n  # bob listens on {}", last.name());
    println!("  {listen}");
    println!("\n  # alice sends on {}", first.name());
    println!("  {send}");
    println!("\n  # both at once: alice's message arrives at bob");
    println!("  ({listen} --type new_message --count 1 & {send}; wait)");
    println!("\n  # the message as it is stored: sealed");
    let psql = if devstack::install::has_program("psql") {
        "psql".to_owned()
    } else {
        stack.postgres.psql().display().to_string()
    };
    println!(
        "  {psql} \"$(sed -n 's/^DATABASE_URL=//p' {env})\" -c \"select message_id, key_id, encode(content, 'hex') \
         from private_messages order by created_at desc limit 1\""
    );
}
