//! What one user may do at once, and what waits.

use super::*;

impl Test {
    /// Sends these commands, each when the one before was answered with an event of this type; returns how long it took.
    async fn answer_all(&mut self, commands: impl Iterator<Item = Value>, answer: &str) -> Duration {
        let started = tokio::time::Instant::now();
        for command in commands {
            self.send(&command).await;
            let header = Header::Answer { connection: ConnectionId(1), command: self.admitted().await.command() };
            self.publish_to_gateway(&header, json!({"type": answer}).to_string().as_bytes());
            assert_eq!(self.event().await["type"], answer);
        }
        started.elapsed()
    }

    /// Sends a command that would wait for more than 10 s.
    async fn assert_waits_too_long(&mut self, command: &Value) {
        self.send(command).await;
        let error = self.event().await;
        assert_eq!((&error["code"], &error["retryAfter"]), (&json!("RATE_LIMIT_EXCEEDED"), &json!(10)));
    }
}

#[tokio::test(start_paused = true)]
async fn who_founds_many_large_groups_waits_for_a_turn() {
    let mut test = Test::authenticated(&[]).await;
    let members: Vec<String> = (2..=50).map(|user| user.to_string()).collect();
    let started = tokio::time::Instant::now();
    let mut turns = Vec::new();
    for _ in 0..8 {
        test.send(&json!({"type": "create_group", "groupName": "g", "initialMembers": members})).await;
        let command = test.admitted().await.command();
        turns.push(started.elapsed().as_secs_f32().round());
        test.publish_to_gateway(
            &Header::Answer { connection: ConnectionId(1), command },
            br#"{"type":"group_created"}"#,
        );
        assert_eq!(test.event().await["type"], "group_created");
    }
    // 250 members at once, with their owners, and then 50 in a second.
    assert_eq!(turns, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]);

    while test.gateway.founding.take(UserId(1), test.gateway.clock.now_ms()).is_some() {}
    test.assert_waits_too_long(&json!({"type": "create_group", "groupName": "g"})).await;
    test.send(&json!({"type": "send_private_message", "recipientId": "2", "content": "after it"})).await;
    test.admitted().await;
}

#[tokio::test(start_paused = true)]
async fn who_removes_many_members_waits_for_a_turn() {
    let mut test = Test::authenticated(&[]).await;
    let group = "group_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";
    let remove = |user: u64| json!({"type": "remove_group_member", "groupId": group, "userId": user.to_string()});
    // 4 at once, and 20 in a second.
    let waited = test.answer_all((2..26).map(remove), "member_removed").await;
    assert!((Duration::from_millis(950)..Duration::from_millis(1_300)).contains(&waited), "{waited:?}");
    while test.gateway.removals.take(UserId(1), test.gateway.clock.now_ms()).is_some() {}
    for kind in ["leave_group", "resign_from_group", "delete_group"] {
        test.assert_waits_too_long(&json!({"type": kind, "groupId": group})).await;
    }
    test.assert_waits_too_long(&json!({"type": "ban_member", "groupId": group, "userId": "2"})).await;
    let delete = |everyone: bool| json!({"type": "delete_conversation", "conversationId": "conv_1_2", "deleteForEveryone": everyone});
    test.assert_waits_too_long(&delete(true)).await;
    test.send(&delete(false)).await;
    test.admitted().await;
}

#[tokio::test(start_paused = true)]
async fn who_changes_much_at_once_waits_for_a_turn() {
    let mut test = Test::authenticated(&[("MESSAGE_RATE_LIMIT", "120")]).await;
    let message = "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";
    let react = json!({"type": "add_reaction", "messageId": message, "reaction": "+"});
    // 120 at once, and 20 in a second.
    let waited = test.answer_all(std::iter::repeat_n(react.clone(), 161), "reaction_added").await;
    assert!((Duration::from_millis(1_900)..Duration::from_millis(2_500)).contains(&waited), "{waited:?}");
    while test.gateway.changes.take(UserId(1), test.gateway.clock.now_ms()).is_some() {}
    for other in ["send_private_message", "get_private_messages"] {
        test.send(&json!({"type": other, "recipientId": "2", "content": "hello"})).await;
        test.admitted().await;
    }
    test.assert_waits_too_long(&react).await;
}

#[tokio::test(start_paused = true)]
async fn who_edits_much_waits_for_a_turn() {
    let mut test = Test::authenticated(&[("MESSAGE_RATE_LIMIT", "120")]).await;
    let message = "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";
    let edit = |kind: &str| json!({"type": kind, "messageId": message, "newContent": "x"});
    // 120 at once, and 2 in a second.
    let edits = (0..124).map(|number| edit(["edit_message", "edit_group_message"][number % 2]));
    let waited = test.answer_all(edits, "message_edited").await;
    assert!((Duration::from_millis(1_900)..Duration::from_millis(2_500)).contains(&waited), "{waited:?}");
    let long = json!({"type": "edit_message", "messageId": message, "newContent": "x".repeat(4_000)});
    // They count as four each.
    let waited = test.answer_all(std::iter::repeat_n(long, 3), "message_edited").await;
    assert!((Duration::from_millis(4_000)..Duration::from_millis(5_500)).contains(&waited), "{waited:?}");
    while test.gateway.edits.take(UserId(1), test.gateway.clock.now_ms()).is_some() {}
    test.assert_waits_too_long(&edit("edit_message")).await;
}

#[tokio::test(start_paused = true)]
async fn signs_of_typing_are_passed_on_at_the_pace_of_people() {
    let mut test = Test::authenticated(&[]).await;
    for _ in 0..50 {
        test.send(&json!({"type": "typing", "recipientId": "2", "isTyping": true})).await;
    }
    test.send(&json!({"type": "ping"})).await;
    assert_eq!(test.event().await["type"], "pong");
    let passed_on = std::iter::from_fn(|| test.queues.admitted.try_recv().ok()).count();
    // The second may end in between.
    assert!((5..=10).contains(&passed_on), "{passed_on}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_fill_a_lane_and_keeps_its_order() {
    let mut test = Test::authenticated(&[]).await;
    for number in 0..10 {
        test.send(&json!({"type": "create_group", "groupName": "g", "requestId": number})).await;
    }
    test.send(&json!({"type": "send_private_message", "recipientId": "2", "content": "after them"})).await;
    let mut passed_on = Vec::new();
    while passed_on.len() < 11 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let under_way: Vec<Admitted> = std::iter::from_fn(|| test.queues.admitted.try_recv().ok()).collect();
        assert!((1..=2).contains(&under_way.len()), "{}", under_way.len());
        for admitted in under_way {
            let header = Header::Answer { connection: ConnectionId(1), command: admitted.command() };
            test.publish_to_gateway(&header, br#"{"type":"group_created"}"#);
            assert_eq!(test.event().await["type"], "group_created");
            passed_on.push(admitted.partition());
        }
    }
    let (last, groups) = passed_on.split_last().unwrap();
    assert!(groups.iter().all(|partition| partition == &groups[0] && partition != last), "{passed_on:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_few_commands_in_progress() {
    let react =
        json!({"type": "add_reaction", "messageId": "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b", "reaction": "+"});
    let page = json!({"type": "get_private_messages", "recipientId": "2"});
    for (command, in_progress) in [(react, 24), (page, 4), (json!({"type": "get_inbox"}), 2)] {
        let mut test = Test::authenticated(&[]).await;
        for _ in 0..30 {
            test.send(&command).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let admitted: Vec<Admitted> = std::iter::from_fn(|| test.queues.admitted.try_recv().ok()).collect();
        assert_eq!(admitted.len(), in_progress, "{command}");
    }
}
