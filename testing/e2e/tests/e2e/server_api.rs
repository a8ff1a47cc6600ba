//! The server API on a fleet of real processes: a backend writes, creates groups and reads in its users' names. The
//! request itself checks each JSON answer against the OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use client::Client;
use devstack::wait::SOON;
use e2e::{Answer, Deployment, Options, Request, User, repository};
use serde_json::{Value, json};

fn start(label: &str) -> Result<Deployment> {
    let options = Options { gateways: 2, workers: 2, ..Options::default() };
    Deployment::start(label, options.with("BUILTIN_AUTH", "true"))
}

fn key(deployment: &Deployment, scopes: &str) -> Result<String> {
    Ok(deployment.chatctl(&["apikey", "create", "backend", "--scope", scopes])?.trim().to_owned())
}

/// A request to one gateway, with a key.
struct Backend<'a> {
    deployment: &'a Deployment,
    key: String,
    gateway: usize,
}

impl Backend<'_> {
    async fn call(&self, method: &'static str, path: &str, body: Value) -> Result<Answer> {
        self.send(self.request(method, path, &body)).await
    }

    fn request(&self, method: &'static str, path: &str, body: &Value) -> Request {
        let request = Request::new(method, &format!("/api/server/v1{path}")).bearer(&self.key);
        if body.is_null() { request } else { request.body(body.to_string()) }
    }

    async fn send(&self, request: Request) -> Result<Answer> {
        request.send(&self.deployment.fleet.gateways[self.gateway].url()).await
    }

    async fn ok(&self, method: &'static str, path: &str, body: Value) -> Result<Value> {
        let answer = self.call(method, path, body).await?;
        ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.text());
        ensure!(answer.json()["status"] == "ok", "{}", answer.text());
        Ok(answer.json())
    }

    async fn refused(&self, method: &'static str, path: &str, body: Value, status: u16, code: &str) -> Result<()> {
        let answer = self.call(method, path, body).await?;
        ensure!((answer.status, &answer.json()["code"]) == (status, &json!(code)), "{path}: {}", answer.text());
        Ok(())
    }
}

async fn next(client: &mut Client, kind: &str) -> Result<Value> {
    Ok(client.expect(kind, |_| true, SOON).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_writes_in_its_users_names_and_they_see_it_live() -> Result<()> {
    let deployment = start("server-api")?;
    let backend = Backend { deployment: &deployment, key: key(&deployment, "all")?, gateway: 0 };
    let [alice, bob]: [User; 2] = deployment.users(["alice", "bob"])?;
    let (mut a, mut b) = (deployment.login(1, &alice).await?, deployment.login(1, &bob).await?);

    let path = format!("/users/{}/direct-messages", alice.id);
    let sent = backend.ok("POST", &path, json!({"recipientId": bob.id, "content": "hello"})).await?;
    for client in [&mut a, &mut b] {
        let message = next(client, "new_message").await?;
        ensure!(message["messageId"] == sent["messageId"] && message["content"] == "hello", "{message}");
    }
    let message = format!("{path}/{}", sent["messageId"].as_str().context("an id")?);
    backend.ok("PATCH", &message, json!({"content": "hello again"})).await?;
    ensure!(next(&mut b, "message_edited").await?["content"] == "hello again");
    let page = backend.ok("GET", &format!("{path}?recipientId={}&limit=5", bob.id), Value::Null).await?;
    ensure!(page["messages"][0]["content"] == "hello again", "{page}");
    let inbox = backend.ok("GET", &format!("/users/{}/inbox", bob.id), Value::Null).await?;
    ensure!(inbox["entries"].as_array().is_some_and(|list| list.len() == 1), "{inbox}");
    backend.ok("DELETE", &message, Value::Null).await?;
    next(&mut b, "message_deleted").await?;

    let groups = format!("/users/{}/groups", alice.id);
    let group = backend.ok("POST", &groups, json!({"groupName": "g"})).await?;
    let group = format!("{groups}/{}", group["groupId"].as_str().context("an id")?);
    let member = format!("{group}/members/{}", bob.id);
    backend.ok("POST", &format!("{group}/members"), json!({"userId": bob.id})).await?;
    next(&mut b, "group_created").await?;
    backend.ok("PUT", &format!("{member}/admin"), Value::Null).await?;
    backend.ok("DELETE", &format!("{member}/admin"), Value::Null).await?;
    backend.ok("PATCH", &group, json!({"groupName": "better"})).await?;
    ensure!(backend.ok("GET", &group, Value::Null).await?["groupName"] == "better");
    let note = json!({"groupId": group.rsplit('/').next(), "content": "welcome"});
    let sent = backend.ok("POST", &format!("/users/{}/group-messages", alice.id), note).await?;
    ensure!(next(&mut b, "new_group_message").await?["messageId"] == sent["messageId"]);
    backend
        .refused(
            "DELETE",
            &format!("/users/{}/groups/{}", bob.id, group.rsplit('/').next().unwrap_or_default()),
            Value::Null,
            403,
            "PERMISSION_DENIED",
        )
        .await?;
    backend.ok("DELETE", &member, Value::Null).await?;
    backend.ok("DELETE", &group, Value::Null).await?;

    let sessions = format!("/users/{}/sessions", bob.id);
    let listed = backend.ok("GET", &sessions, Value::Null).await?;
    ensure!(listed["sessions"].as_array().is_some_and(|list| list.len() == 1), "{listed}");
    let online = backend.ok("POST", "/presence", json!({"userIds": [bob.id, 999_999]})).await?;
    ensure!(online["users"][0]["isOnline"] == true && online["users"][1]["isOnline"] == false, "{online}");
    backend.ok("DELETE", &sessions, Value::Null).await?;
    ensure!(b.wait_closed(SOON).await?.code == Some(1008));
    let audited = deployment.sql("SELECT count(*) FROM audit_log WHERE actor LIKE 'key:%' AND action = 'kick'")?;
    ensure!(audited == "1", "{audited}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_carried_out_once_by_whatever_gateway() -> Result<()> {
    let mut deployment = start("server-api-repeated")?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let key = key(&deployment, "all")?;
    let mut answers = Vec::new();
    for (round, gateway) in [0, 1, 0].into_iter().enumerate() {
        if round == 2 {
            for worker in &mut deployment.fleet.workers {
                worker.kill()?;
                worker.restart()?;
            }
        }
        let backend = Backend { deployment: &deployment, key: key.clone(), gateway };
        let calls = [
            ("/users".to_owned(), json!({"username": "carol"})),
            (format!("/users/{}/groups", alice.id), json!({"groupName": "g", "initialMembers": [bob.id]})),
            (format!("/users/{}/direct-messages", alice.id), json!({"recipientId": bob.id, "content": "x"})),
        ];
        let mut round = Vec::new();
        for (at, (path, body)) in calls.into_iter().enumerate() {
            let request = backend.request("POST", &path, &body).header("Idempotency-Key", &format!("key-{at}"));
            round.push(persistent(&backend, &request).await?);
        }
        answers.push(round);
    }
    let backend = Backend { deployment: &deployment, key, gateway: 0 };
    for round in &answers {
        ensure!(*round == answers[0], "{round:?}");
    }
    for table in ["group_chats", "private_messages"] {
        let count = deployment.sql(&format!("SELECT count(*) FROM {table}"))?;
        ensure!(count == "1", "{table}: {count}");
    }
    let other = json!({"groupName": "another"});
    let request = backend.request("POST", &format!("/users/{}/groups", alice.id), &other);
    ensure!(backend.send(request.header("Idempotency-Key", "key-1")).await?.status == 409);

    // It is also recognised after its message was deleted.
    let id = answers[0][2]["messageId"].as_str().context("an id")?;
    backend.ok("DELETE", &format!("/users/{}/direct-messages/{id}", alice.id), Value::Null).await?;
    let again = json!({"recipientId": bob.id, "content": "x"});
    let request = backend.request("POST", &format!("/users/{}/direct-messages", alice.id), &again);
    let answer = backend.send(request.header("Idempotency-Key", "key-2")).await?;
    ensure!(answer.status == 404, "{}", answer.text());
    ensure!(deployment.sql("SELECT count(*) FROM private_messages")? == "0");
    Ok(())
}

/// Repeats a request, as a backend does, while the answer is 503.
async fn persistent(backend: &Backend<'_>, request: &Request) -> Result<Value> {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = backend.send(request.clone()).await?;
        if answer.status == 200 {
            let mut json = answer.json();
            // The time of the answer differs.
            json.as_object_mut().context("an object")?.remove("timestamp");
            return Ok(json);
        }
        ensure!(answer.status == 503 && Instant::now() < deadline, "{} {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_said_is_changed_by_its_backend_alone() -> Result<()> {
    let deployment = start("server-api-system")?;
    let backend = Backend { deployment: &deployment, key: key(&deployment, "messages,groups,read")?, gateway: 0 };
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let (mut a, mut b) = (deployment.login(1, &alice).await?, deployment.login(1, &bob).await?);
    let group = json!({"groupName": "g", "initialMembers": [alice.id, bob.id]});
    let group = backend.ok("POST", &format!("/users/{}/groups", carol.id), group).await?["groupId"].clone();

    let (direct, grouped) =
        (format!("/users/{}/direct-messages", alice.id), format!("/users/{}/group-messages", alice.id));
    let bodies = [
        (&direct, json!({"recipientId": bob.id, "content": "shipped", "kind": "system"}), "new_message", "private"),
        (&grouped, json!({"groupId": group, "content": "joined", "kind": "system"}), "new_group_message", "group"),
    ];
    for (path, body, event, what) in bodies {
        let sent = backend.ok("POST", path, body).await?;
        for client in [&mut a, &mut b] {
            let message = next(client, event).await?;
            ensure!(message["messageId"] == sent["messageId"] && message["kind"] == "system", "{message}");
        }
        let commands = match what {
            "group" => ["edit_group_message", "delete_group_message"],
            _ => ["edit_message", "delete_message"],
        };
        for command in commands {
            let answer = a.request(json!({"type": command, "messageId": sent["messageId"], "content": "mine"})).await?;
            ensure!(answer["code"] == "PERMISSION_DENIED", "{answer}");
        }
        let message = format!("{path}/{}", sent["messageId"].as_str().context("an id")?);
        backend.ok("PATCH", &message, json!({"content": "corrected"})).await?;
        let page = json!({"type": format!("get_{what}_messages"), "recipientId": alice.id, "groupId": group});
        let page = b.request_ok(page).await?;
        let stored = &page["messages"][0];
        ensure!(stored["kind"] == "system" && stored["content"] == "corrected", "{page}");
        backend.ok("DELETE", &message, Value::Null).await?;
    }

    // Clients cannot send system messages.
    let forged = json!({"type": "send_message", "recipientId": bob.id, "content": "forged", "kind": "system"});
    a.request_ok(forged).await?;
    ensure!(b.expect("new_message", |event| event["content"] == "forged", SOON).await?["kind"] == "text");
    let unknown = json!({"recipientId": bob.id, "content": "x", "kind": "announcement"});
    backend.refused("POST", &direct, unknown, 400, "VALIDATION_ERROR").await?;

    let groups = format!("/users/{}/groups/{}", carol.id, group.as_str().context("an id")?);
    let told = backend.ok("POST", &format!("{groups}/announcements"), json!({"content": "to all"})).await?;
    for client in [&mut a, &mut b] {
        ensure!(next(client, "group_announcement").await?["messageId"] == told["messageId"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_account_opens_nothing_until_it_is_active_again() -> Result<()> {
    let deployment = start("server-api-accounts")?;
    let backend = Backend { deployment: &deployment, key: key(&deployment, "users,messages")?, gateway: 0 };
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let account = format!("/users/{}", alice.id);
    let changed = backend.ok("PATCH", &account, json!({"displayName": "Alice A."})).await?;
    ensure!(changed["user"]["displayName"] == "Alice A." && changed["isActive"] == true, "{changed}");
    let mut a = deployment.login(1, &alice).await?;
    ensure!(a.session()["displayName"] == "Alice A.", "{}", a.session());

    let changed = backend.ok("PATCH", &account, json!({"isActive": false})).await?;
    ensure!(changed["isActive"] == false, "{changed}");
    ensure!(a.wait_closed(SOON).await?.code == Some(1008));
    for gateway in 0..2 {
        let Err(refused) = Client::login(&deployment.gateway_url(gateway), &alice.token).await else {
            bail!("a deactivated account signs in");
        };
        ensure!(format!("{refused:?}").contains("USER_NOT_FOUND"), "{refused:?}");
    }
    let listed = Request::new("GET", "/api/conversations").bearer(&alice.token);
    ensure!(listed.send(&deployment.fleet.gateways[0].url()).await?.status == 401);
    backend.ok("PATCH", &account, json!({"isActive": true})).await?;
    deployment.login(0, &alice).await?;

    let blocked = format!("/users/{}/blocked-users", alice.id);
    backend.ok("PUT", &format!("{blocked}/{}", bob.id), Value::Null).await?;
    let listed = backend.ok("GET", &blocked, Value::Null).await?;
    ensure!(listed["users"][0]["userId"] == bob.id.to_string().as_str(), "{listed}");
    let message = json!({"recipientId": alice.id, "content": "x"});
    let path = format!("/users/{}/direct-messages", bob.id);
    backend.refused("POST", &path, message.clone(), 403, "USER_BLOCKED").await?;
    backend.ok("DELETE", &format!("{blocked}/{}", bob.id), Value::Null).await?;
    backend.ok("POST", &path, message).await?;
    backend.refused("PATCH", "/users/999999", json!({"isActive": false}), 404, "RESOURCE_NOT_FOUND").await?;
    Ok(())
}

/// Returns all parts of an export, by section.
async fn export(backend: &Backend<'_>, user: i64) -> Result<(BTreeMap<String, Vec<Value>>, usize)> {
    let (mut sections, mut parts) = (BTreeMap::<String, Vec<Value>>::new(), 0);
    let mut query = String::new();
    loop {
        let answer = backend.ok("GET", &format!("/users/{user}/export{query}"), Value::Null).await?;
        parts += 1;
        for part in answer["parts"].as_array().into_iter().flatten() {
            let rows = part["rows"].as_array().cloned().unwrap_or_default();
            sections.entry(part["section"].as_str().context("a section")?.to_owned()).or_default().extend(rows);
        }
        match answer["nextCursor"].as_str() {
            Some(cursor) => query = format!("?cursor={cursor}"),
            None => return Ok((sections, parts)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_everything_in_parts_and_nothing_twice() -> Result<()> {
    let deployment = start("server-api-export")?;
    let backend = Backend { deployment: &deployment, key: key(&deployment, "users,messages")?, gateway: 0 };
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let send = async |from: &User, to: &User, content: String| -> Result<()> {
        let body = json!({"recipientId": to.id, "content": content});
        backend.ok("POST", &format!("/users/{}/direct-messages", from.id), body).await?;
        Ok(())
    };
    // More than fits in one part.
    for number in 0..60 {
        send(&alice, &bob, format!("{number} {}", "x".repeat(4_900))).await?;
    }
    send(&bob, &alice, "to alice".to_owned()).await?;
    send(&bob, &carol, "not for alice".to_owned()).await?;

    let (sections, parts) = export(&backend, alice.id).await?;
    ensure!(parts > 1, "it came in one part");
    ensure!(sections["account"][0]["username"] == alice.name.as_str(), "{:?}", sections["account"]);
    let messages = &sections["messages"];
    let ids: BTreeSet<&str> = messages.iter().filter_map(|message| message["messageId"].as_str()).collect();
    ensure!((messages.len(), ids.len()) == (61, 61), "{} {}", messages.len(), ids.len());
    ensure!(messages.iter().any(|message| message["content"] == "to alice"));
    ensure!(!messages.iter().any(|message| message["content"] == "not for alice"));
    let whole: Value = serde_json::from_str(&deployment.chatctl(&["user", "export", &alice.id.to_string()])?)?;
    for (name, rows) in whole.as_object().into_iter().flatten().filter(|(_, rows)| rows.is_array()) {
        let known = rows.as_array().map_or(0, Vec::len);
        let exported = sections.get(name).map_or(0, Vec::len);
        // The export of the command line is audited itself.
        ensure!(exported == known || name == "audit", "{name}: {exported} of {known}");
    }
    backend
        .refused("GET", &format!("/users/{}/export?cursor=00", alice.id), Value::Null, 400, "VALIDATION_ERROR")
        .await?;
    let audited = deployment.sql("SELECT count(*) FROM audit_log WHERE actor LIKE 'key:%' AND action = 'export'")?;
    ensure!(audited == "1", "{audited}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_moderates_a_group_and_closes_reports() -> Result<()> {
    let deployment = start("server-api-moderation")?;
    let backend = Backend { deployment: &deployment, key: key(&deployment, "groups,read,moderation")?, gateway: 0 };
    let [alice, bob]: [User; 2] = deployment.users(["alice", "bob"])?;
    let (mut a, mut b) = (deployment.login(1, &alice).await?, deployment.login(1, &bob).await?);
    let created = a.request_ok(json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id]})).await?;
    let group = &created["groupId"];
    let path = format!("/users/{}/groups/{}", alice.id, group.as_str().context("an id")?);
    let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});

    let mute = format!("{path}/members/{}/mute", bob.id);
    backend.ok("PUT", &mute, json!({"seconds": 60, "reason": "r"})).await?;
    ensure!(next(&mut b, "member_muted").await?["reason"] == "r");
    ensure!(b.request(send.clone()).await?["code"] == "MEMBER_MUTED");
    backend.ok("DELETE", &mute, Value::Null).await?;
    backend.ok("PUT", &format!("{path}/slow-mode"), json!({"seconds": 60})).await?;
    let sent = b.request_ok(send.clone()).await?;
    ensure!(b.request(send).await?["code"] == "SLOW_MODE");

    let report = json!({"type": "report_message", "messageId": sent["messageId"], "reason": "spam"});
    let reported = a.request_ok(report).await?;
    let open = backend.ok("GET", "/reports?limit=5", Value::Null).await?;
    ensure!(open["reports"][0]["message"]["content"] == "x" && open["reports"][0]["reason"] == "spam", "{open}");
    let report = format!("/reports/{}", reported["reportId"].as_str().context("an id")?);
    backend.refused("PATCH", &report, json!({"state": "forgotten"}), 400, "VALIDATION_ERROR").await?;
    backend.ok("PATCH", &report, json!({"state": "dismissed"})).await?;
    ensure!(backend.ok("GET", "/reports", Value::Null).await?["reports"] == json!([]));
    backend.refused("PATCH", "/reports/nothing", json!({"state": "resolved"}), 404, "RESOURCE_NOT_FOUND").await?;

    let ban = format!("{path}/bans/{}", bob.id);
    backend.ok("PUT", &ban, json!({})).await?;
    next(&mut b, "member_removed").await?;
    let banned = backend.ok("GET", &format!("{path}/bans"), Value::Null).await?;
    ensure!(banned["members"][0]["userId"] == json!(bob.id.to_string()), "{banned}");
    backend.refused("POST", &format!("{path}/members"), json!({"userId": bob.id}), 403, "MEMBER_BANNED").await?;
    backend.ok("DELETE", &ban, Value::Null).await?;
    // Calls are in the log, and what was closed about which message.
    let audited = deployment.sql(&format!(
        "SELECT count(*) FROM audit_log WHERE actor LIKE 'key:%' AND action = 'report_dismissed' AND target_user_id = {}
         AND message_id IS NOT NULL",
        bob.id
    ))?;
    ensure!(audited == "1", "{audited}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() -> Result<()> {
    let deployment = start("server-api-keys")?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let text = key(&deployment, "read,presence")?;
    let id = text.split('_').nth(1).context("an id")?.to_owned();
    let mut backend = Backend { deployment: &deployment, key: text.clone(), gateway: 0 };
    let (inbox, messages) = (format!("/users/{}/inbox", alice.id), format!("/users/{}/direct-messages", alice.id));
    let message = json!({"recipientId": bob.id, "content": "x"});
    ensure!(deployment.chatctl(&["apikey", "list"])?.contains("\tnever\tactive"));
    backend.ok("GET", &inbox, Value::Null).await?;
    let listed = deployment.chatctl(&["apikey", "list"])?;
    ensure!(listed.contains(&id) && listed.contains("read,presence") && !listed.contains("never"), "{listed}");
    ensure!(!listed.contains(&text[24..]), "the secret is shown");
    backend.refused("POST", &messages, message.clone(), 403, "PERMISSION_DENIED").await?;
    backend.refused("GET", &format!("{messages}?limit=x&recipientId=2"), Value::Null, 400, "VALIDATION_ERROR").await?;
    backend.refused("GET", "/users/alice/inbox", Value::Null, 400, "VALIDATION_ERROR").await?;
    backend.refused("GET", "/nothing", Value::Null, 404, "RESOURCE_NOT_FOUND").await?;
    let other_method = backend.call("PUT", &inbox, json!({})).await?;
    ensure!((other_method.status, other_method.header("allow")) == (405, "GET"), "{other_method:?}");

    let last = if text.ends_with('0') { "1" } else { "0" };
    for (wrong, code) in [
        (format!("{}{last}", &text[..text.len() - 1]), "AUTH_FAILED"),
        (alice.token.clone(), "TOKEN_INVALID"),
        (text.to_uppercase(), "TOKEN_INVALID"),
    ] {
        backend.key = wrong;
        backend.refused("GET", &inbox, Value::Null, 401, code).await?;
    }
    let stored =
        deployment.sql("SELECT encode(key_hash, 'hex') || array_to_string(scopes, ',') || name FROM api_keys")?;
    ensure!(!stored.contains(text.rsplit('_').next().context("a secret")?), "the key is stored");
    backend.key = text;
    backend.ok("GET", &inbox, Value::Null).await?;
    deployment.chatctl(&["apikey", "revoke", &id])?;
    backend.refused("GET", &inbox, Value::Null, 401, "AUTH_FAILED").await?;
    ensure!(deployment.chatctl(&["apikey", "revoke", &id]).is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_limited_over_all_gateways() -> Result<()> {
    let options = Options { gateways: 2, workers: 1, ..Options::default() };
    let deployment = Deployment::start("server-api-limit", options.with("API_KEY_RATE_LIMIT", "10"))?;
    let [alice] = deployment.users(["alice"])?;
    let text = key(&deployment, "read")?;
    let mut statuses = Vec::new();
    for at in 0..16 {
        let backend = Backend { deployment: &deployment, key: text.clone(), gateway: at % 2 };
        statuses.push(backend.call("GET", &format!("/users/{}/inbox", alice.id), Value::Null).await?.status);
    }
    // The first request at each gateway counts against the address, because the gateway does not know the key yet.
    let served = statuses.iter().filter(|status| **status == 200).count();
    ensure!(served == 12 && statuses[12..].iter().all(|status| *status == 429), "{statuses:?}");
    Ok(())
}

/// Runs the page's code as it is, in both languages.
#[tokio::test(flavor = "multi_thread")]
async fn the_integration_page_leads_to_a_backend_that_works() -> Result<()> {
    let deployment = start("integrate")?;
    let page = std::fs::read_to_string(repository("docs/integrate.md"))?;
    // Webhook receivers run until they are ended; another test runs them.
    let (before, after) = page.split_once("\n## Webhooks\n").context("the section on webhooks")?;
    let after = after.split_once("\n## How requests").context("the section after those")?.1;
    let page = format!("{before}\n## {after}");
    let words = page.lines().find_map(|line| line.strip_prefix("chatctl ")).context("the command that makes a key")?;
    let key = deployment.chatctl(&words.split(' ').collect::<Vec<_>>())?;
    let script = |language: &str| -> String {
        let fence = format!("```{language}\n");
        let blocks = page.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next());
        blocks.collect::<Vec<_>>().join("\n\n")
    };
    let run = |program: &str, arguments: &[&str], language: &str| -> Result<Value> {
        let output = Command::new(program)
            .args(arguments)
            .arg(script(language))
            .env("CHAT_URL", deployment.fleet.gateways[0].url())
            .env("CHAT_API_KEY", key.trim())
            .env("JWT_SECRET", &deployment.fleet.secrets().jwt_secret)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let first = run("python3", &["-c"], "python")?;
    for again in [run("python3", &["-c"], "python")?, run("node", &["--input-type=module", "--eval"], "js")?] {
        ensure!(first["messageId"] == again["messageId"] && first["groupId"] == again["groupId"], "{first} {again}");
        let token = again["token"].as_str().context("a token")?;
        Client::login(&deployment.gateway_url(0), token).await?;
    }
    let token = first["token"].as_str().context("a token")?;
    let mut alice = Client::login(&deployment.gateway_url(1), token).await?;
    let inbox = alice.request_ok(json!({"type": "get_inbox"})).await?;
    let texts: Vec<&Value> =
        inbox["entries"].as_array().into_iter().flatten().map(|entry| &entry["lastMessage"]["content"]).collect();
    ensure!(texts.contains(&&json!("Your order 4711 was delivered.")), "{inbox}");
    ensure!(texts.contains(&&json!("Here you can ask about your order.")), "{inbox}");
    Ok(())
}
