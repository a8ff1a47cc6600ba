//! Runs the whole program against an unreliable server: it must notice what is lost, doubled or swapped.

#![allow(clippy::unwrap_used)]

mod server;

use std::process::Command;

use devstack::Scratch;
use serde_json::Value;

use self::server::Fault;

const USERS: i64 = 6;

/// Runs `loadtest direct` and returns its success and its result.
async fn direct(fault: Option<Fault>) -> (bool, Value) {
    let url = server::start(fault).await;
    let scratch = Scratch::new("loadtest").unwrap();
    let (tokens, json) = (scratch.dir().join("tokens"), scratch.dir().join("result.json"));
    let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let token = |user| client::token::mint(secret, user, std::time::Duration::from_secs(3600)).unwrap();
    std::fs::write(&tokens, (1..=USERS).map(|user| token(user) + "\n").collect::<String>()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["direct", "--quiet", "--rate", "150", "--duration", "1s", "--warmup", "200ms", "--settle", "0s"]);
    command.args(["--drain", if fault.is_some() { "500ms" } else { "60s" }, "--processes", "2", "--url", &url]);
    command.arg("--tokens").arg(&tokens).arg("--json").arg(&json);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let result = std::fs::read_to_string(&json).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.success(), serde_json::from_str(&result).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_passes() {
    let (success, result) = direct(None).await;
    assert!(success, "{result:#}");
    let sent = result["counts"]["sent"].as_u64().unwrap();
    assert!((100..=200).contains(&sent), "{result:#}");
    assert_eq!(result["verification"]["lost"], 0);
    assert!(result["verification"]["expected"].as_u64().unwrap() >= 2 * sent);
    assert_eq!(result["processes"], 2);
    for name in ["connect", "authenticate", "acknowledge", "deliver", "generator_delay"] {
        assert!(result["latency_ms"][name]["p50"].as_f64().unwrap() > 0.0, "{name}: {result:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_trusted_is_found_out() {
    for (fault, finding) in [
        (Fault::Lose, "lost"),
        (Fault::Double, "duplicates"),
        (Fault::Swap, "out_of_order"),
        (Fault::Mute, "unanswered"),
    ] {
        let (success, result) = direct(Some(fault)).await;
        assert!(!success, "{fault:?}: {result:#}");
        let verification = &result["verification"];
        // One message of each sender is affected.
        assert_eq!(verification[finding], USERS, "{fault:?}: {verification:#}");
        for other in ["lost", "duplicates", "out_of_order", "unanswered"] {
            assert!(other == finding || verification[other] == 0, "{fault:?}: {verification:#}");
        }
    }
}
