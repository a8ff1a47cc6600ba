//! A fleet of the previous release becomes one of the present release and goes back, process by process, as docs/upgrading.md says,
//! while people talk and use every kind of command. `cargo xtask test e2e` builds the previous release first.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, Connect, Error, event_type};
use devstack::fleet::Kind;
use devstack::testing;
use e2e::{Deployment, Options, Request, Talk, User};
use serde_json::{Value, json};
use shared::commands::{NAMES, session};
use tokio::time::Instant;

const ARRIVES_WITHIN: Duration = Duration::from_secs(30);
/// Messages of each talk between two restarts.
const PROGRESS: usize = 20;
/// A typing indicator that has not arrived after this time was lost.
const TYPING_ARRIVES_WITHIN: Duration = Duration::from_secs(2);
/// Commands that the previous release does not know.
const NEWER: [&str; 16] = [
    "resign_from_group",
    "get_inbox",
    "set_conversation_settings",
    "find_users",
    "block_user",
    "unblock_user",
    "get_blocked_users",
    "get_sign_ins",
    "end_sign_in",
    "report_message",
    "mute_member",
    "unmute_member",
    "ban_member",
    "unban_member",
    "get_banned_members",
    "set_slow_mode",
];
const COMMUNITY: &str = "runners";

#[derive(Clone, Copy, Debug)]
enum Release {
    Previous,
    /// With this `WIRE_FORMAT`.
    Present(&'static str),
}

/// The users who talk while the fleet changes, and those who run all commands after each restart.
struct Site {
    deployment: Deployment,
    talks: Vec<Talk>,
    users: [User; 3],
    /// True if every `sync` goes to a worker that understands how the gateway forwards it.
    has_sync: bool,
}

impl Site {
    async fn start(label: &str, cluster: bool) -> Result<Self> {
        let options = Options { previous_release: true, cluster, ..Options::default() };
        let options = options
            .with("GROUP_CREATE_LIMIT", "100000")
            .with("DRAIN_WINDOW", "1s")
            .with("LEASE_TTL", "2s")
            .with("COMMAND_TIMEOUT", "5s");
        let deployment = Deployment::start(label, options)?;
        // Connections are not checked against the contract, because it is that of the present release.
        let connects = |order: [usize; 2]| order.map(|gateway| connect(&deployment, gateway)).to_vec();
        let mut talks = Vec::new();
        for orders in [([0, 1], [1, 0]), ([1, 0], [0, 1]), ([0, 1], [0, 1])] {
            let [from, to] = deployment.users(["from", "to"])?;
            talks.push(Talk::start(from, to, connects(orders.0), connects(orders.1)));
        }
        let users = deployment.users(["alice", "bob", "carol"])?;
        let members = json!([{"userId": users[0].id}]);
        let community = json!({"community": {"communityId": COMMUNITY, "name": "Runners"}, "members": members});
        let request = Request::post("/community/progression", &community);
        let secret = &deployment.fleet.secrets().community_sync_token;
        let answer = request.bearer(secret).send(&deployment.fleet.gateways[0].url()).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        let site = Self { deployment, talks, users, has_sync: true };
        site.check().await.context("on the previous release")?;
        Ok(site)
    }

    /// Restarts the servers of the kinds, in this order, as servers of a release; checks after each that everything
    /// works.
    async fn roll(&mut self, kinds: [Kind; 2], release: Release) -> Result<()> {
        for kind in kinds {
            for place in 0..2 {
                let servers = match kind {
                    Kind::Gateway => &mut self.deployment.fleet.gateways,
                    Kind::Worker => &mut self.deployment.fleet.workers,
                };
                let server = &mut servers[place];
                match release {
                    Release::Previous => server.run_from(&testing::previous_bin_dir()?),
                    Release::Present(format) => {
                        server.run_from(&testing::bin_dir()?);
                        server.set("WIRE_FORMAT", format);
                    }
                }
                tokio::task::block_in_place(|| server.restart())?;
                self.check().await.with_context(|| format!("after {kind:?} {place} became {release:?}"))?;
            }
        }
        Ok(())
    }

    /// Waits until messages go to shards.
    async fn until_sharded(&self) -> Result<()> {
        let published = || {
            let cluster = self.deployment.cluster.as_ref().context("a cluster")?;
            let statistics: Result<String> =
                cluster.nodes[..3].iter().map(|node| node.command(&["INFO", "commandstats"])).collect();
            let calls = |command: &str| {
                let name = format!("cmdstat_{command}:calls=");
                let of = |line: &str| line.strip_prefix(&name)?.split(',').next()?.parse::<u64>().ok();
                statistics.iter().flat_map(|all| all.lines()).filter_map(of).sum::<u64>()
            };
            Ok::<_, anyhow::Error>((calls("spublish"), calls("publish")))
        };
        let deadline = Instant::now() + ARRIVES_WITHIN;
        loop {
            let before = published()?;
            self.talks[0].progress(PROGRESS).await?;
            let after = published()?;
            if after.1 - before.1 < after.0 - before.0 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "publications still go to all nodes: {before:?}, {after:?}");
        }
    }

    async fn check(&self) -> Result<()> {
        for talk in &self.talks {
            talk.progress(PROGRESS).await?;
        }
        for gateway in 0..2 {
            errands(&self.deployment, gateway, &self.users, self.has_sync)
                .await
                .with_context(|| format!("by gateway {gateway}"))?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<()> {
        for talk in self.talks {
            talk.finish(&self.deployment).await?;
        }
        let rejected = self.deployment.chatctl(&["dlq", "list"])?;
        ensure!(!rejected.contains("rejected"), "dead letters: {rejected}");
        Ok(())
    }
}

fn connect(deployment: &Deployment, gateway: usize) -> Connect {
    Connect::new(&deployment.gateway_url(gateway)).unobserved()
}

/// A user, and the commands that were used.
struct Caller {
    client: Client,
    used: BTreeSet<String>,
}

impl Caller {
    async fn login(deployment: &Deployment, gateway: usize, user: &User) -> Result<Self> {
        let mut client = connect(deployment, gateway).open().await?;
        client.authenticate(&user.token).await?;
        Ok(Self { client, used: BTreeSet::new() })
    }

    fn uses(&mut self, command: &Value) {
        self.used.extend(command["type"].as_str().map(str::to_owned));
    }
}

/// Sends a command until the service is not busy; the answer must be of this type.
async fn ask(caller: &mut Caller, kind: &str, command: Value) -> Result<Value> {
    let deadline = Instant::now() + ARRIVES_WITHIN;
    caller.uses(&command);
    loop {
        match caller.client.request_ok(command.clone()).await {
            Ok(answer) => {
                ensure!(event_type(&answer) == kind, "{command} was answered with {answer}");
                return Ok(answer);
            }
            Err(error)
                if error.is_transient() && !matches!(error, Error::Closed { .. }) && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error).with_context(|| command.to_string()),
        }
    }
}

/// Uses each kind of command once, and checks the answers.
async fn errands(
    deployment: &Deployment,
    gateway: usize,
    [alice, bob, carol]: &[User; 3],
    has_sync: bool,
) -> Result<()> {
    let mut client = Caller::login(deployment, gateway, alice).await?;
    let mut other = Caller::login(deployment, gateway, bob).await?;
    let (conversation, seq) = direct(&mut client, &mut other, bob).await.context("in a direct conversation")?;
    if has_sync {
        sync(&mut client, &conversation, seq).await?;
    }
    group(&mut client, bob, carol).await.context("in a group")?;
    community(&mut client).await.context("in a community")?;
    client.used.append(&mut other.used);
    let session = [session::AUTHENTICATE, session::PING, session::TEST, session::ACK].map(|command| command.name);
    let known = NAMES.iter().filter(|name| !session.contains(name) && !NEWER.contains(name));
    let mut unused = known.filter(|name| !client.used.contains(**name)).copied().collect::<Vec<_>>();
    unused.retain(|name| has_sync || *name != "sync");
    ensure!(unused.is_empty(), "commands without an errand: {unused:?}");
    Ok(())
}

/// Sends `typing` until it is seen, because its delivery is not promised.
async fn typing(client: &mut Caller, other: &mut Caller, recipient: &User) -> Result<()> {
    let deadline = Instant::now() + ARRIVES_WITHIN;
    let mut is_typing = true;
    loop {
        let command = json!({"type": "typing", "recipientId": recipient.id, "isTyping": is_typing});
        client.uses(&command);
        client.client.send(command).await?;
        match other.client.expect("user_typing", |_| true, TYPING_ARRIVES_WITHIN).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error).context("typing"),
            Err(_) => is_typing = !is_typing,
        }
    }
}

/// Checks that nothing is missing after this number.
async fn sync(client: &mut Caller, conversation: &str, seq: i64) -> Result<()> {
    ask(client, "sync_complete", json!({"type": "sync", "conversations": {conversation: seq}})).await.map(drop)
}

/// Returns the conversation and the number of its last message.
async fn direct(client: &mut Caller, other: &mut Caller, bob: &User) -> Result<(String, i64)> {
    let started =
        ask(client, "conversation_started", json!({"type": "start_conversation", "recipientId": bob.id})).await?;
    let conversation = started["conversationId"].clone();
    let send = json!({"type": "send_private_message", "recipientId": bob.id, "content": "hello"});
    let sent = ask(client, "message_sent", send).await?;
    let message = sent["messageId"].clone();
    typing(client, other, bob).await?;
    let about = |kind: &str| json!({"type": kind, "messageId": message, "conversationId": conversation});
    let with = |kind: &str, field: &str, value: &str| {
        let mut command = about(kind);
        command[field] = json!(value);
        command
    };
    ask(other, "message_read", about("mark_message_read")).await?;
    let edited = ask(client, "message_edited", with("edit_message", "content", "hello again")).await?;
    ensure!(edited["newContent"] == "hello again", "{edited}");
    ask(client, "reaction_added", with("add_reaction", "reaction", "👍")).await?;
    ask(client, "reaction_removed", with("remove_reaction", "reaction", "👍")).await?;
    ask(client, "message_pinned", about("pin_message")).await?;
    ask(client, "pinned_messages", json!({"type": "get_pinned_messages", "conversationId": conversation})).await?;
    ask(client, "message_unpinned", about("unpin_message")).await?;
    let read = json!({"type": "get_private_messages", "conversationId": conversation, "limit": 1});
    let page = ask(client, "private_messages", read).await?;
    ensure!(page["messages"][0]["content"] == "hello again", "{page}");
    let mut delete = about("delete_message");
    delete["deleteForEveryone"] = json!(true);
    ask(client, "message_deleted", delete).await?;
    ask(client, "conversations", json!({"type": "get_conversations"})).await?;
    ask(client, "online_users", json!({"type": "get_online_users"})).await?;
    let hide = json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": false});
    ask(client, "conversation_deleted", hide).await?;
    let seq = sent["seq"].as_i64().context("the message's number")?;
    Ok((conversation.as_str().context("a conversation")?.to_owned(), seq))
}

async fn group(client: &mut Caller, bob: &User, carol: &User) -> Result<()> {
    let create = json!({"type": "create_group", "groupName": "Upgrade", "initialMembers": [bob.id]});
    let created = ask(client, "group_created", create).await?;
    let group = created["groupId"].clone();
    let about = |kind: &str| json!({"type": kind, "groupId": group});
    let concerning = |kind: &str, user: &User| json!({"type": kind, "groupId": group, "userId": user.id});
    ask(client, "member_added", concerning("add_group_member", carol)).await?;
    ask(client, "member_promoted", concerning("promote_member", bob)).await?;
    ensure!(role(client, &group, bob).await? == "admin", "bob was promoted");
    ask(client, "member_demoted", concerning("demote_member", bob)).await?;
    ensure!(role(client, &group, bob).await? == "member", "bob was demoted");
    ask(client, "member_removed", concerning("remove_group_member", carol)).await?;
    let mut rename = about("update_group_info");
    rename["groupName"] = json!("Upgraded");
    ask(client, "group_info_updated", rename).await?;
    let info = ask(client, "group_info", about("get_group_info")).await?;
    ensure!(info.to_string().contains("Upgraded"), "{info}");
    let mut send = about("send_group_message");
    send["content"] = json!("hello");
    let message = ask(client, "group_message_sent", send).await?["messageId"].clone();
    let with = |kind: &str, field: &str, value: &str| json!({"type": kind, "messageId": message, field: value});
    ask(client, "group_message_edited", with("edit_group_message", "content", "hello again")).await?;
    ask(client, "group_reaction_added", with("add_group_reaction", "reaction", "👍")).await?;
    ask(client, "group_reaction_removed", with("remove_group_reaction", "reaction", "👍")).await?;
    let page = ask(client, "group_messages", about("get_group_messages")).await?;
    ensure!(page["messages"][0]["content"] == "hello again", "{page}");
    ask(client, "group_message_deleted", json!({"type": "delete_group_message", "messageId": message})).await?;
    let mut announce = about("send_announcement");
    announce["content"] = json!("heed this");
    ask(client, "announcement_sent", announce).await?;
    let page = ask(client, "group_messages", about("get_group_messages")).await?;
    ensure!(page["messages"][0]["content"] == "heed this", "{page}");
    ask(client, "user_groups", json!({"type": "get_user_groups"})).await?;
    ask(client, "ownership_transferred", concerning("transfer_ownership", bob)).await?;
    ask(client, "member_left", about("leave_group")).await?;
    let create = json!({"type": "create_group", "groupName": "Brief", "initialMembers": [bob.id]});
    let brief = ask(client, "group_created", create).await?;
    ask(client, "group_deleted", json!({"type": "delete_group", "groupId": brief["groupId"]})).await?;
    Ok(())
}

async fn community(client: &mut Caller) -> Result<()> {
    let listed = ask(client, "community_list", json!({"type": "get_communities"})).await?;
    ensure!(listed["communities"][0]["communityId"] == COMMUNITY, "{listed}");
    let about = |kind: &str| json!({"type": kind, "communityId": COMMUNITY});
    let listed = ask(client, "community_members", about("get_community_members")).await?;
    ensure!(listed["members"].as_array().is_some_and(|members| members.len() == 1), "{listed}");
    ask(client, "community_progress", about("get_community_progress")).await?;
    Ok(())
}

async fn role(client: &mut Caller, group: &Value, user: &User) -> Result<String> {
    let answer = ask(client, "group_members", json!({"type": "get_group_members", "groupId": group})).await?;
    let members = answer["members"].as_array().context("members")?;
    let id = user.id.to_string();
    let member = members.iter().find(|member| member["userId"] == id.as_str()).context("the member")?;
    Ok(member["role"].as_str().context("a role")?.to_owned())
}

/// Workers first on the way there, gateways first on the way back.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rollout_and_the_way_back_lose_nothing() -> Result<()> {
    let mut site = Site::start("upgrade", false).await?;
    let forward = [Release::Present("1"), Release::Present("both"), Release::Present("2")];
    for release in forward {
        site.roll([Kind::Worker, Kind::Gateway], release).await?;
    }
    let back = [Release::Present("both"), Release::Present("1"), Release::Previous];
    for release in back {
        site.roll([Kind::Gateway, Kind::Worker], release).await?;
    }
    site.finish().await
}

/// On a cluster, publications go to shards once no gateway of the previous release is left, and no longer when one is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_and_goes_back_without_loss() -> Result<()> {
    let mut site = Site::start("upgrade-cluster", true).await?;
    let release = Release::Present("1");
    site.roll([Kind::Worker, Kind::Gateway], release).await?;
    site.until_sharded().await?;
    site.roll([Kind::Gateway, Kind::Worker], Release::Previous).await?;
    site.finish().await
}

/// The two releases meet in the other order, too. Then a worker of the previous release cannot read a `sync` that a
/// gateway of the present one forwards.
#[tokio::test(flavor = "multi_thread")]
async fn either_upgrade_order_works_with_the_previous_wire_format() -> Result<()> {
    let mut site = Site::start("upgrade-order", false).await?;
    site.has_sync = false;
    site.roll([Kind::Gateway, Kind::Worker], Release::Present("1")).await?;
    site.roll([Kind::Worker, Kind::Gateway], Release::Previous).await?;
    site.finish().await
}
