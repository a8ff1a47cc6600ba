//! The owner of the schema is only for the migration and for operators: no server has its password, and gateways have
//! none at all. Only reads files.

use super::*;

/// Returns the services of the compose file for which this holds.
fn services(holds: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let compose = compose();
    let all = at(&compose, "/services").as_mapping().unwrap();
    all.iter().filter(|(_, service)| holds(service)).map(|(name, _)| name.as_str().unwrap().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn compose_gives_the_owners_password_to_no_server() {
    let mounts = |service: &Value, folder: &str| {
        let below = format!("./deploy/secrets{folder}:");
        items(service, "/volumes").any(|mount| mount.as_str().unwrap().starts_with(&below))
    };
    // Where the script writes the URLs, and the users in them.
    let script = read("deploy/secrets.sh");
    let written = |role: &str| -> BTreeSet<String> {
        let lines = script.lines().filter(|line| line.contains(&format!("postgres://{role}:")));
        lines.map(|line| line.rsplit_once(" >").unwrap().1.to_owned()).collect()
    };
    assert_eq!(written("chat"), set(&["chatctl/database_url"]));
    assert_eq!(written("chat_worker"), set(&["worker/database_url"]));

    assert_eq!(services(|service| mounts(service, "/chatctl")), set(&["backup", "chatctl", "migrate"]));
    assert_eq!(services(|service| mounts(service, "/worker")), set(&["worker"]));
    assert_eq!(services(|service| mounts(service, "/postgres")), set(&["postgres"]));
    assert_eq!(services(|service| mounts(service, "")), set(&["secrets"]));
    let reaches = |service: &Value| items(service, "/networks").any(|network| network.as_str() == Some("database"));
    assert_eq!(services(reaches), set(&["backup", "chatctl", "migrate", "postgres", "worker"]));

    let compose = compose();
    let kept = |service: &str| text(&compose, &format!("/services/{service}/environment/BUILTIN_AUTH")).to_owned();
    assert_eq!(kept("migrate"), kept("gateway"), "the role would lack rights, or have too many");
    assert_eq!(kept("worker"), kept("gateway"), "who can register can block");
}

#[test]
fn kubernetes_gives_the_owners_password_to_no_server() {
    for workload in objects(&["Deployment", "StatefulSet"]) {
        let written = serde_yaml_ng::to_string(&workload).unwrap();
        assert!(!written.contains("chat-migration"), "{}", text(&workload, "/metadata/name"));
    }
    let gateway = serde_yaml_ng::to_string(&object("Deployment", "gateway")).unwrap();
    assert!(!gateway.contains("database"), "gateways need nothing of the database");
    let job = object("Job", "migrate");
    // As files, which do not appear in a listing of processes or pods.
    let files: BTreeSet<String> = items(&job, "/spec/template/spec/volumes")
        .inspect(|volume| assert_eq!(text(volume, "/secret/secretName"), "chat-migration"))
        .flat_map(|volume| items(volume, "/secret/items"))
        .map(|item| format!("/run/secrets/chat/{}", text(item, "/path")))
        .collect();
    let named: BTreeSet<String> = items(&job, "/spec/template/spec/containers/0/env")
        .inspect(|variable| assert!(text(variable, "/name").ends_with("_FILE"), "{variable:?}"))
        .map(|variable| text(variable, "/value").to_owned())
        .collect();
    assert_eq!(named, files);

    let local = documents(&read("k8s/overlays/local/kustomization.yaml")).remove(0);
    let files = |secret: &str| -> Vec<String> {
        let made = items(&local, "/secretGenerator").find(|made| text(made, "/name") == secret).unwrap();
        items(made, "/files").map(|file| file.as_str().unwrap().to_owned()).collect()
    };
    assert!(files("chat-secrets").contains(&"secrets/worker/database_url".to_owned()));
    assert!(files("chat-secrets").iter().all(|file| !file.contains("/chatctl/") && !file.contains("/postgres/")));
    assert_eq!(files("chat-migration"), ["secrets/chatctl/database_url", "secrets/chatctl/worker_password"]);

    // Both overlays allow the same ones.
    let policies = objects(&["NetworkPolicy"]);
    let mut to_postgres = policies.iter().filter(|policy| text(policy, "/metadata/name") == "to-postgres").peekable();
    assert!(to_postgres.peek().is_some());
    for policy in to_postgres {
        let may: Vec<_> = items(policy, "/spec/podSelector/matchExpressions/0/values").map(Value::as_str).collect();
        assert_eq!(may, [Some("worker"), Some("migrate"), Some("backup")]);
    }
}
