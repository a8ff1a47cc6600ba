//! The commands of `docs/takeover.md`, from the original's database to a serving fleet.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use client::Client;
use devstack::{Postgres, Secrets, http, original, testing, wait};
use e2e::{DATABASE, Deployment, Options, User};
use serde_json::json;

const GUIDE: &str = include_str!("../../../../docs/takeover.md");
const ROLE: &str = "original_server";

/// Returns the commands of the section whose heading begins with this.
fn commands(section: &str) -> Result<String> {
    let from = GUIDE.find(&format!("\n## {section}")).with_context(|| format!("section {section}"))?;
    let text = &GUIDE[from + 4..];
    let text = text.find("\n## ").map_or(text, |end| &text[..end]);
    Ok(text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect())
}

/// Runs a section's commands in a separate folder.
fn follow(section: &str, database_url: &str, secrets: &Secrets) -> Result<()> {
    let bin_dir = testing::bin_dir()?;
    let folder = std::env::temp_dir().join(format!("takeover-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = format!("{}:{}", bin_dir.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-euc", &commands(section)?])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", path)
        .env("DATABASE_URL", database_url)
        .env("ORIGINAL_ROLE", ROLE)
        .env("SINCE", "2025-11-01T00:00:00Z")
        .env("CHAT_ENCRYPTION_KEY", &secrets.encryption_key)
        .env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt)
        .output()?;
    std::fs::remove_dir_all(&folder)?;
    if !output.status.success() {
        bail!("section {section}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs everything before the fleet serves.
fn take_over(postgres: &Postgres, secrets: &Secrets) -> Result<()> {
    for script in [original::MAIN_BACKEND, original::TABLES, original::USERS, original::QUIRKS] {
        postgres.query(DATABASE, script)?;
    }
    postgres.query(DATABASE, &format!("CREATE ROLE {ROLE}"))?;
    postgres.query("postgres", &format!("CREATE DATABASE rehearsal TEMPLATE {DATABASE}"))?;
    follow("1. Rehearse", &postgres.url("rehearsal"), secrets)?;
    let database = postgres.url(DATABASE);
    follow("2. Move", &database, secrets)?;
    follow("3. Import", &database, secrets)?;
    // What the original wrote meanwhile.
    let statement =
        "INSERT INTO original.private_messages (message_id, conversation_id, sender_id, recipient_id, content)
                     VALUES ('abababab-0000-4000-8000-000000000000', 'conv_10_9', '10', '9', 'meanwhile')";
    postgres.query(DATABASE, statement)?;
    follow("4. Switch", &database, secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_takeover_guide_leads_to_a_serving_fleet() -> Result<()> {
    assert!(Path::new(&testing::bin_dir()?).join("chatctl").is_file());
    let mut site = Deployment::start("takeover", Options { before: Some(take_over), ..Options::default() })?;
    let user = |id: i64| -> Result<User> {
        let token = client::token::mint(&site.fleet.secrets().jwt_secret, id, std::time::Duration::from_secs(600))?;
        Ok(User { id, name: format!("user{id}"), token })
    };
    let (nine, ten) = (user(9)?, user(10)?);
    let mut nine: Client = site.login(0, &nine).await?;
    // Only what is unread is replayed, including a member's removal.
    assert_eq!(nine.session()["user"]["displayName"], "Nina Nine");
    assert_eq!(nine.session()["queuedEvents"], 2);
    let page = nine.request_ok(json!({"type": "get_private_messages", "recipientId": "10"})).await?;
    let texts: Vec<&str> =
        page["messages"].as_array().context("messages")?.iter().filter_map(|m| m["content"].as_str()).collect();
    assert_eq!(texts, ["zeroth", "first &amp; foremost", "second", "third", "meanwhile"]);
    assert_eq!(page["messages"][3]["replyTo"]["content"], "second");
    assert_eq!(page["messages"][2]["reactions"][0]["reaction"], "❤️");

    // An id that a client made.
    let held =
        nine.request_ok(json!({"type": "get_private_messages", "conversationId": "conv_user-9_user-10"})).await?;
    assert_eq!((&held["conversationId"], &held["messages"]), (&json!("conv_9_10"), &page["messages"]));
    let unknown =
        nine.request(json!({"type": "get_private_messages", "conversationId": "conv_user-9_user-11"})).await?;
    assert_eq!(unknown["code"], "VALIDATION_ERROR");

    // Ids of messages that are no UUIDs, wherever an id is taken.
    let mut four: Client = site.login(1, &user(4)?).await?;
    let [draft, reply] = ["draft #17 (ü)", "18"];
    let page =
        four.request_ok(json!({"type": "get_private_messages", "recipientId": "3", "aroundMessageId": draft})).await?;
    let ids: Vec<&str> =
        page["messages"].as_array().context("messages")?.iter().filter_map(|m| m["messageId"].as_str()).collect();
    let [draft_id, reply_id] = ids[..] else { bail!("{page}") };
    assert_eq!(page["messages"][1]["replyTo"]["messageId"], draft_id);
    let send = json!({"type": "send_message", "recipientId": "3", "content": "again", "replyTo": draft});
    four.request_ok(send).await?;
    let echoed = four.expect("new_message", |event| event["content"] == "again", wait::SOON).await?;
    assert_eq!(echoed["replyToMessageId"], draft_id);
    // Two ids in one command that only the import knows.
    let read = json!({"type": "mark_message_read", "messageId": reply, "conversationId": "dm-3-4"});
    assert_eq!(four.request_ok(read).await?["messageId"], reply_id);
    for (kind, id) in
        [("pin_message", reply), ("add_reaction", draft), ("remove_reaction", draft), ("delete_message", reply)]
    {
        let command = json!({"type": kind, "messageId": id, "conversationId": "conv_4_3", "reaction": "👍"});
        let answer = four.request_ok(command).await?;
        assert!(answer["messageId"] == draft_id || answer["messageId"] == reply_id, "{answer}");
    }
    let unknown = four.request(json!({"type": "add_reaction", "messageId": "draft #18", "reaction": "👍"})).await?;
    assert_eq!((&unknown["code"], &unknown["field"]), (&json!("VALIDATION_ERROR"), &json!("messageId")));

    let mut ten = site.login(1, &ten).await?;
    let sent = ten.request_ok(json!({"type": "send_private_message", "recipientId": "9", "content": "and on"})).await?;
    assert_eq!(sent["seq"], 6);
    let imported = "msg_abababab-0000-4000-8000-000000000000";
    let reacted = ten.request_ok(json!({"type": "add_reaction", "messageId": imported, "reaction": "👍"})).await?;
    assert_eq!(reacted["messageId"], imported);

    let three = user(3)?;
    let mut three = site.login(0, &three).await?;
    let groups = three.request_ok(json!({"type": "get_user_groups"})).await?;
    let groups = groups["groups"].as_array().context("groups")?;
    assert_eq!(groups.len(), 2);
    assert!(groups.iter().all(|group| group["unreadCount"] == 0 && group["myRole"] == "member"));
    let readers = "group_91afa5df-8ac6-4d01-a6a1-94a0b0d98103";
    three.request_ok(json!({"type": "send_group_message", "groupId": readers, "content": "hello"})).await?;

    // And back: the original finds its tables, and this server's are kept.
    let database = site.postgres.url(DATABASE);
    follow("5. Go back", &database, site.fleet.secrets())?;
    assert_eq!(site.sql("SELECT count(*) FROM public.private_messages WHERE content = 'meanwhile'")?, "1");
    assert_eq!(site.sql("SELECT count(*) FROM chat_parked.private_messages WHERE seq = 6")?, "1");
    follow("2. Move", &database, site.fleet.secrets())?;
    assert_eq!(site.sql("SELECT count(*) FROM public.private_messages WHERE seq = 6")?, "1");

    // A worker with the search path of the original's role finds the original's tables, and reports that.
    site.sql(&format!("ALTER DATABASE {DATABASE} SET search_path = original, public"))?;
    site.sql("GRANT USAGE ON SCHEMA original TO PUBLIC")?;
    let worker = &mut site.fleet.workers[0];
    worker.kill()?;
    worker.start()?;
    let url = format!("{}/ready", worker.url());
    wait::until("what is wrong in /ready", wait::SOON, || {
        let ready = http::get(&url).ok();
        Ok(ready.filter(|ready| ready.status == 503 && ready.body.contains("search_path is original, public")))
    })?;
    Ok(())
}
