//! What schemas cannot check in the files for compose and Kubernetes: names that must also exist in the code, and
//! numbers and labels that must fit each other. Only reads files.
#![allow(clippy::unwrap_used)]

mod owner;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| {
            let mut value = <Value as serde::Deserialize>::deserialize(document).unwrap();
            value.apply_merge().unwrap();
            value
        })
        .collect()
}

fn compose() -> Value {
    documents(&read("docker-compose.yml")).remove(0)
}

/// Returns all YAML files below k8s, with their text.
fn manifests() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("k8s")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 15, "{}", found.len());
    found
}

fn objects(kinds: &[&str]) -> Vec<Value> {
    let all = manifests().into_iter().flat_map(|(_, text)| documents(&text));
    all.filter(|object| kinds.contains(&text(object, "/kind"))).collect()
}

fn object(kind: &str, name: &str) -> Value {
    let named = |object: &Value| text(object, "/metadata/name") == name;
    objects(&[kind]).into_iter().find(named).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Returns the value at a path such as `/spec/template`; null if there is none.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let step = |value: &'a Value, part: &str| match value {
        Value::Sequence(items) => items.get(part.parse::<usize>().ok()?),
        Value::Mapping(map) => map.get(part),
        _ => None,
    };
    path.split('/').skip(1).try_fold(value, step).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

fn items<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(value, path).as_sequence().into_iter().flatten()
}

/// Returns the settings that gateway and worker share in Kubernetes: the ConfigMap that the base generates.
fn shared_settings() -> BTreeMap<String, String> {
    let base = documents(&read("k8s/base/kustomization.yaml")).remove(0);
    let generated = items(&base, "/configMapGenerator").find(|made| text(made, "/name") == "chat-settings");
    let literals = items(generated.unwrap(), "/literals").map(|literal| literal.as_str().unwrap().split_once('='));
    literals.map(|literal| literal.unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn keys(value: &Value) -> Vec<String> {
    let keys = value.as_mapping().unwrap().keys();
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

/// The settings of the reference, by name: if they are secret, and the default.
fn settings() -> BTreeMap<String, (bool, String)> {
    let page = read("docs/configuration.md");
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        let cells: Vec<&str> = rest.split(" | ").collect();
        let default = cells.get(1)?.trim().trim_matches('`').to_owned();
        Some((name.to_owned(), (cells[0].contains("(secret)"), default)))
    });
    let settings: BTreeMap<_, _> = rows.collect();
    assert!(settings.len() > 50, "{}", settings.len());
    settings
}

fn assert_setting(settings: &BTreeMap<String, (bool, String)>, name: &str, place: &str) {
    let is_secret_file = |name: &str| {
        let base = name.strip_suffix("_FILE");
        base.and_then(|base| settings.get(base)).is_some_and(|(secret, _)| *secret)
    };
    assert!(settings.contains_key(name) || is_secret_file(name), "{place}: {name} is no setting");
}

#[test]
fn every_environment_name_is_a_setting() {
    let settings = settings();
    let mut checked = 0;
    for service in ["gateway", "worker"] {
        for name in keys(at(&compose(), &format!("/services/{service}/environment"))) {
            assert_setting(&settings, &name, "docker-compose.yml");
            checked += 1;
        }
        let deployment = object("Deployment", service);
        for variable in items(&deployment, "/spec/template/spec/containers/0/env") {
            assert_setting(&settings, text(variable, "/name"), service);
            checked += 1;
        }
    }
    for name in shared_settings().keys() {
        assert_setting(&settings, name, "chat-settings");
        checked += 1;
    }
    // Only for `chatctl migrate`.
    let is_role = |name: &str| matches!(name, "WORKER_PASSWORD" | "WORKER_PASSWORD_FILE");
    let job = object("Job", "migrate");
    let in_job = items(&job, "/spec/template/spec/containers/0/env").map(|variable| text(variable, "/name").to_owned());
    for name in in_job.chain(keys(at(&compose(), "/services/migrate/environment"))).filter(|name| !is_role(name)) {
        assert_setting(&settings, &name, "migrate");
        checked += 1;
    }
    for overlay in objects(&["Kustomization"]) {
        for patch in items(&overlay, "/patches") {
            for operation in documents(text(patch, "/patch")).iter().flat_map(|patch| items(patch, "")) {
                if text(operation, "/path").contains("/env/") {
                    assert_setting(&settings, text(operation, "/value/name"), "a patch");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 30, "{checked}");
}

fn has_route(service: &str, path: &str) -> bool {
    match service {
        "gateway" => read("shared/src/endpoints.rs").contains(&format!("path: \"{path}\"")),
        _ => read("worker/src/probes.rs").contains(&format!("\"{path}\"")),
    }
}

#[test]
fn probes_ask_paths_and_ports_that_exist() {
    for service in ["gateway", "worker"] {
        let deployment = object("Deployment", service);
        let container = at(&deployment, "/spec/template/spec/containers/0");
        // Clients' connections cannot take the places of probes.
        let (setting, name) = if service == "gateway" { ("ADMIN_ADDR", "admin") } else { ("BIND_ADDR", "http") };
        let bound = items(container, "/env").find(|entry| text(entry, "/name") == setting);
        let port = items(container, "/ports").find(|port| text(port, "/name") == name).unwrap();
        let port = at(port, "/containerPort").as_u64().unwrap();
        assert!(text(bound.unwrap(), "/value").ends_with(&format!(":{port}")));
        for (probe, path) in [("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
            assert_eq!(text(container, &format!("/{probe}/httpGet/path")), path, "{service} {probe}");
            assert_eq!(text(container, &format!("/{probe}/httpGet/port")), name);
            assert!(has_route(service, path), "{service} has no {path}");
        }
        let compose = compose();
        let check = at(&compose, &format!("/services/{service}/healthcheck/test"));
        let path = text(check, "/3");
        assert!(has_route(service, path), "{service} has no {path}");
        let bound = text(&compose, &format!("/services/{service}/environment/{setting}"));
        assert!(bound.ends_with(&format!(":{}", text(check, "/2"))));
        let monitor = object("ServiceMonitor", &format!("chat-{service}"));
        assert!(has_route(service, text(&monitor, "/spec/endpoints/0/path")));
    }
    let nginx = object("Deployment", "nginx");
    let container = at(&nginx, "/spec/template/spec/containers/0");
    let config = read("deploy/nginx/nginx.conf");
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = text(container, &format!("/{probe}/httpGet/path"));
        assert!(config.contains(&format!("location = {path} {{")), "{path}");
    }
    for port in items(container, "/ports") {
        let number = at(port, "/containerPort").as_u64().unwrap();
        assert!(config.contains(&format!("listen {number}")), "{number}");
    }
}

fn seconds(duration: &str) -> u64 {
    duration.strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn a_process_gets_the_time_its_drain_takes() {
    /// The time until stopped tasks are dropped: `shared::lifecycle::STOP_GRACE`.
    const STOP_GRACE_SECONDS: u64 = 3;
    assert!(
        read("shared/src/lifecycle.rs")
            .contains(&format!("STOP_GRACE: Duration = Duration::from_secs({STOP_GRACE_SECONDS})"))
    );
    let shutdown = seconds(&shared_settings()["SHUTDOWN_TIMEOUT"]);
    for service in ["gateway", "worker"] {
        let deployment = object("Deployment", service);
        let pod = at(&deployment, "/spec/template/spec");
        let sleep = text(pod, "/containers/0/lifecycle/preStop/exec/command/1");
        let grace = at(pod, "/terminationGracePeriodSeconds").as_u64().unwrap();
        assert!(grace > sleep.parse::<u64>().unwrap() + shutdown + STOP_GRACE_SECONDS, "{service}");
        let compose = compose();
        let service = at(&compose, &format!("/services/{service}"));
        let shutdown = seconds(text(service, "/environment/SHUTDOWN_TIMEOUT"));
        assert!(seconds(text(service, "/stop_grace_period")) > shutdown + STOP_GRACE_SECONDS);
    }
    let gateway = object("Deployment", "gateway");
    let window =
        items(&gateway, "/spec/template/spec/containers/0/env").find(|entry| text(entry, "/name") == "DRAIN_WINDOW");
    assert!(seconds(text(window.unwrap(), "/value")) < shutdown);
}

/// Returns true if the labels contain everything that is selected.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_mapping().unwrap();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.as_mapping().unwrap().get(key) == Some(value))
}

#[test]
fn selectors_match_labels() {
    let workloads = objects(&["Deployment", "StatefulSet", "Job"]);
    let selected_pods = |selector: &Value| {
        workloads.iter().any(|workload| selects(selector, at(workload, "/spec/template/metadata/labels")))
    };
    for workload in objects(&["Deployment", "StatefulSet"]) {
        let labels = at(&workload, "/spec/template/metadata/labels");
        assert!(selects(at(&workload, "/spec/selector/matchLabels"), labels));
        for spread in items(&workload, "/spec/template/spec/topologySpreadConstraints") {
            assert!(selects(at(spread, "/labelSelector/matchLabels"), labels));
        }
    }
    for service in objects(&["Service"]) {
        assert!(selected_pods(at(&service, "/spec/selector")), "{service:?}");
    }
    for budget in objects(&["PodDisruptionBudget"]) {
        assert!(selected_pods(at(&budget, "/spec/selector/matchLabels")));
    }
    for policy in objects(&["NetworkPolicy"]) {
        let selector = at(&policy, "/spec/podSelector/matchLabels");
        assert!(selector.is_null() || selected_pods(selector), "{policy:?}");
    }
    let services = objects(&["Service"]);
    for monitor in objects(&["ServiceMonitor"]) {
        let wanted = at(&monitor, "/spec/selector/matchLabels");
        let found = |service: &&Value| selects(wanted, at(service, "/metadata/labels"));
        let service = services.iter().find(found).unwrap();
        let port = text(&monitor, "/spec/endpoints/0/port");
        assert!(items(service, "/spec/ports").any(|offered| text(offered, "/name") == port), "{port}");
    }
    for scaler in objects(&["HorizontalPodAutoscaler", "ScaledObject"]) {
        let target = object("Deployment", text(&scaler, "/spec/scaleTargetRef/name"));
        assert!(at(&target, "/spec/replicas").is_null(), "two would set it");
    }
}

#[test]
fn images_are_pinned_and_containers_restricted() {
    let is_pinned = |image: &str| {
        // `deploy/pin.sh` adds the digest.
        let (image, digest) = image.split_once('@').unwrap_or((image, "sha256:"));
        assert!(digest.starts_with("sha256:"), "{image}");
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        tag.is_some_and(|tag| tag.contains('.') && tag.bytes().any(|byte| byte.is_ascii_digit()))
    };
    let mut images = BTreeSet::new();
    let compose = compose();
    for (name, service) in at(&compose, "/services").as_mapping().unwrap() {
        // Ours may be replaced: `${CHAT_IMAGE:-chat:0.2.0}`.
        let image = text(service, "/image");
        let default = image.strip_prefix("${CHAT_IMAGE:-").and_then(|image| image.strip_suffix('}'));
        images.insert(default.unwrap_or(image).to_owned());
        assert!(at(service, "/deploy/resources/limits/cpus").is_null(), "{name:?}: not every machine has that many");
        let limit = at(service, "/deploy/resources/limits/memory");
        assert!(!limit.is_null(), "{name:?} has no limit");
    }
    for workload in objects(&["Deployment", "StatefulSet", "Job"]) {
        let pod = at(&workload, "/spec/template/spec");
        assert_eq!(at(pod, "/automountServiceAccountToken"), &Value::Bool(false));
        assert_eq!(at(pod, "/securityContext/runAsNonRoot"), &Value::Bool(true));
        for container in items(pod, "/containers") {
            images.insert(text(container, "/image").to_owned());
            assert_eq!(at(container, "/securityContext/readOnlyRootFilesystem"), &Value::Bool(true));
            assert_eq!(text(container, "/securityContext/capabilities/drop/0"), "ALL");
        }
    }
    let dockerfile = read("Dockerfile");
    assert!(!dockerfile.starts_with("# syntax"), "a build would depend on Docker Hub");
    for line in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        let image = line.split_whitespace().nth(1).unwrap();
        if image.contains(':') {
            images.insert(image.to_owned());
        } else if image != "scratch" {
            assert!(dockerfile.contains(&format!(" AS {image}\n")), "{image}");
        }
    }
    for image in &images {
        assert!(is_pinned(image), "{image}");
    }
    assert!(images.len() >= 7, "{images:?}");
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")));
}

/// Returns the files that `deploy/pin.sh` may change, by path.
fn files_with_images() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = ["Dockerfile", "docker-compose.yml", "deploy/helm/chat/values.yaml"]
        .map(|path| (path.to_owned(), read(path)))
        .into();
    for (path, text) in manifests() {
        files.insert(path.strip_prefix(root()).unwrap().display().to_string(), text);
    }
    files
}

#[test]
fn public_images_are_pinned_by_digest_and_renewed() {
    let folder = std::env::temp_dir().join(format!("chat-pin-{}", std::process::id()));
    let put = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let before = files_with_images();
    before.iter().for_each(|(path, text)| put(path, text));
    put("deploy/pin.sh", &read("deploy/pin.sh"));
    // Answers like `docker buildx imagetools inspect` for a list of platforms.
    put(
        "docker",
        r#"for image; do :; done
        case $image in *@*) exit 1 ;; esac
        echo "Name: docker.io/$image"
        echo "Digest: sha256:$(printf %s "$image $ROUND" | sha256sum | cut -c1-64)"
        echo "Manifests:"
        echo "  Name: docker.io/$image@sha256:0"
        "#,
    );
    let mut pinned: Vec<BTreeMap<String, String>> = Vec::new();
    for round in ["1", "2"] {
        let mut pin = std::process::Command::new("sh");
        pin.arg(folder.join("deploy/pin.sh")).env("DOCKER", format!("sh {}", folder.join("docker").display()));
        let output = pin.env("ROUND", round).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let now = before.keys().map(|path| (path.clone(), std::fs::read_to_string(folder.join(path)).unwrap()));
        pinned.push(now.collect());
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let mut images = BTreeSet::new();
    for (path, text) in &before {
        let (first, second) = (&pinned[0][path], &pinned[1][path]);
        for (line, (first, second)) in text.lines().zip(first.lines().zip(second.lines())) {
            let word =
                |line: &str| line.split(' ').find(|word| word.contains(':') && !word.ends_with(':')).map(str::to_owned);
            let is_image = line.starts_with("FROM ") || line.trim_start_matches([' ', '-']).starts_with("image: ");
            let image = word(line).filter(|image| is_image && !image.contains("chat:"));
            let Some(image) = image else {
                assert_eq!((line, line), (first, second), "{path}");
                continue;
            };
            let digests =
                [first, second].map(|line| line.split_once(&format!("{image}@sha256:")).unwrap().1[..64].to_owned());
            assert_ne!(digests[0], digests[1], "{path}: {image} is not renewed");
            assert_eq!(first.replace(&format!("@sha256:{}", digests[0]), ""), line, "{path}");
            images.insert(image);
        }
    }
    assert!(images.len() >= 8, "{images:?}");
}

#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let declared: BTreeSet<String> = ["gateway", "worker"]
        .iter()
        .flat_map(|service| {
            let source = read(&format!("shared/src/metrics/{service}.rs"));
            let quoted = source.split('"').skip(1).step_by(2).map(str::to_owned);
            quoted.collect::<Vec<_>>()
        })
        .collect();
    let is_declared = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        declared.contains(name) || histogram.is_some_and(|name| declared.contains(name))
    };
    let mut named = BTreeSet::new();
    for path in [
        "deploy/prometheus/rules.yml",
        "deploy/prometheus/rules_test.yml",
        "deploy/grafana/dashboards/chat.json",
        "k8s/overlays/production/scaling.yaml",
    ] {
        let text = read(path);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("gateway_") || word.starts_with("chat_worker_"));
        for metric in metrics {
            assert!(is_declared(metric), "{path}: {metric} is no metric");
            named.insert(metric.to_owned());
        }
    }
    assert!(named.len() > 30, "{named:?}");
}

#[test]
fn alerts_are_the_same_everywhere_and_explained() {
    let rules = documents(&read("deploy/prometheus/rules.yml")).remove(0);
    let operator = object("PrometheusRule", "chat");
    assert_eq!(at(&rules, "/groups"), at(&operator, "/spec/groups"));
    let page = read("docs/runbook.md");
    let tests = read("deploy/prometheus/prometheus.yml");
    assert!(tests.contains("rules.yml"));
    for rule in items(&rules, "/groups/0/rules") {
        let name = text(rule, "/alert");
        assert!(page.contains(&format!("\n### {name}\n")), "{name}");
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(text(rule, "/annotations/runbook"), anchor);
    }
    // Some numbers in rules are defaults of settings.
    let settings = settings();
    let expression = |name: &str| {
        let rule = items(&rules, "/groups/0/rules").find(|rule| text(rule, "/alert") == name);
        text(rule.unwrap(), "/expr").to_owned()
    };
    let partitions = &settings["PARTITIONS"].1;
    assert!(expression("ChatPartitionsUnowned").ends_with(&format!("< {partitions}")));
    let connections: u64 = settings["MAX_CONNECTIONS"].1.parse().unwrap();
    let near = format!("> {}", connections / 5 * 4);
    assert!(expression("ChatConnectionsNearLimit").ends_with(&near));
}

#[test]
fn files_that_are_named_exist() {
    let compose = compose();
    for (_, service) in at(&compose, "/services").as_mapping().unwrap() {
        for mount in items(service, "/volumes") {
            let source = mount.as_str().unwrap().split(':').next().unwrap();
            if source.starts_with("./deploy/secrets/") {
                // This script creates it at the first start.
                let folder = source.trim_start_matches("./deploy/secrets/");
                let made = read("deploy/secrets.sh");
                let folders = made.lines().find(|line| line.starts_with("mkdir -p"));
                assert!(folders.unwrap().contains(folder), "{source}");
            } else if source.starts_with('.') {
                assert!(root().join(source).exists(), "{source}");
            } else {
                assert!(!at(&compose, &format!("/volumes/{source}")).is_null());
            }
        }
    }
    for (path, text) in manifests() {
        if path.file_name().unwrap() != "kustomization.yaml" {
            continue;
        }
        let kustomization = documents(&text).remove(0);
        for list in ["/resources", "/components"] {
            for entry in items(&kustomization, list) {
                let named = path.parent().unwrap().join(entry.as_str().unwrap());
                assert!(named.exists(), "{}", named.display());
            }
        }
    }
}

/// The files that a program includes when it is built must be present when the image is built.
#[test]
fn the_image_is_built_with_the_files_that_programs_include() {
    let ignored = read(".dockerignore");
    let migrate = read("chatctl/src/commands/migrate.rs");
    let included: Vec<&str> =
        migrate.split("include_str!(\"../../../").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(included.len() >= 2, "{included:?}");
    for file in included {
        assert!(root().join(file).exists(), "{file}");
        let kept = ignored.lines().filter_map(|line| line.strip_prefix('!'));
        assert!(kept.into_iter().any(|kept| file.starts_with(kept)), "{file} is not in the image's build");
    }
}

#[test]
fn proxies_are_trusted_by_name_or_by_a_narrow_network() {
    // In compose, all private addresses are trusted: only nginx reaches the gateways there.
    let compose = compose();
    assert!(at(&compose, "/services/gateway/ports").is_null());
    assert!(read("deploy/nginx/nginx.conf").contains("proxy_set_header X-Forwarded-For $remote_addr;"));
    let in_front = |service: &Value| items(service, "/networks").any(|network| network.as_str() == Some("front"));
    let services = at(&compose, "/services").as_mapping().unwrap().iter();
    let front: Vec<&str> =
        services.filter(|(_, service)| in_front(service)).filter_map(|(name, _)| name.as_str()).collect();
    assert_eq!(front, ["gateway", "nginx", "chatctl"]);
    assert!(
        !read("docker-compose.yml").contains("subnet"),
        "a network of a fixed address overlaps with others now and then"
    );

    let mut values = Vec::new();
    for overlay in ["local", "production"] {
        let file = documents(&read(&format!("k8s/overlays/{overlay}/kustomization.yaml"))).remove(0);
        let operations: Vec<Value> =
            items(&file, "/patches").flat_map(|patch| documents(text(patch, "/patch"))).collect();
        let mut variables = operations.iter().flat_map(|operations| items(operations, ""));
        let set = variables.find(|operation| text(operation, "/value/name") == "TRUSTED_PROXIES");
        let set = set.unwrap_or_else(|| panic!("{overlay}: behind nginx, all clients would count as one address"));
        values.push(text(set, "/value/value").to_owned());
    }
    for network in values.iter().flat_map(|list| list.split(',')) {
        let bits = network.split_once('/').map_or(32, |(_, bits)| bits.parse::<u32>().unwrap());
        assert!(bits >= 12, "{network} is half the world");
    }
}

/// The migration, then the workers with what they need, and only then the gateways, which send them commands.
#[test]
fn argo_cd_rolls_workers_out_before_gateways() {
    let annotation = |annotations: &Value, name: &str| {
        let value = annotations.get(format!("argocd.argoproj.io/{name}")).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let of = |object: &Value, name: &str| annotation(at(object, "/metadata/annotations"), name);
    let wave = |text: String| text.parse::<i32>().unwrap_or_default();
    let workers = wave(of(&object("Deployment", "worker"), "sync-wave"));
    assert!(wave(of(&object("ServiceAccount", "worker"), "sync-wave")) < workers);
    let base = documents(&read("k8s/base/kustomization.yaml")).remove(0);
    let settings = annotation(at(&base, "/configMapGenerator/0/options/annotations"), "sync-wave");
    assert!(wave(settings) < workers, "workers would start with the settings from before");
    for later in objects(&["Deployment", "HorizontalPodAutoscaler", "ScaledObject", "Service"]) {
        let is_worker = text(&later, "/kind") == "Deployment" && text(&later, "/metadata/name") == "worker";
        assert!(is_worker || wave(of(&later, "sync-wave")) > workers, "{later:?}");
    }
    let (job, account) = (object("Job", "migrate"), object("ServiceAccount", "migrate"));
    assert_eq!([of(&job, "hook"), of(&account, "hook")], ["PreSync", "PreSync"]);
    assert!(wave(of(&account, "sync-wave")) < wave(of(&job, "sync-wave")));
}

#[test]
fn policies_and_monitors_name_what_clusters_have() {
    let dns = objects(&["NetworkPolicy"]).into_iter().find(|policy| text(policy, "/metadata/name") == "dns").unwrap();
    let mut to = items(&dns, "/spec/egress/0/to");
    let kube_dns = at(to.next().unwrap(), "/namespaceSelector/matchLabels");
    assert_eq!(kube_dns.get("kubernetes.io/metadata.name").and_then(Value::as_str), Some("kube-system"));
    assert_eq!(text(to.next().unwrap(), "/ipBlock/cidr"), "169.254.20.10/32", "no way to NodeLocal DNSCache");
    let ports: BTreeSet<&str> = items(&dns, "/spec/egress/0/ports").map(|port| text(port, "/protocol")).collect();
    assert_eq!(ports, BTreeSet::from(["TCP", "UDP"]));

    // kube-prometheus-stack reads only what has its label; every job has a different name from those of other
    // applications.
    let page = read("docs/deployment.md");
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        for found in objects(&[kind]) {
            assert_eq!(text(&found, "/metadata/labels/release"), "kube-prometheus-stack");
        }
    }
    let mut jobs = BTreeSet::new();
    for monitor in objects(&["ServiceMonitor"]) {
        let relabelings = items(&monitor, "/spec/endpoints/0/relabelings");
        let job = relabelings
            .filter(|relabeling| text(relabeling, "/targetLabel") == "job")
            .map(|job| text(job, "/replacement"));
        let job = job.last().unwrap().to_owned();
        assert_eq!(job, text(&monitor, "/metadata/name"));
        assert!(page.contains(&format!("`{job}`")), "docs/deployment.md does not name {job}");
        jobs.insert(job);
    }
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    let rules = documents(&read("deploy/prometheus/rules.yml")).remove(0);
    for rule in items(&rules, "/groups/0/rules") {
        let expression = text(rule, "/expr");
        let keeps_apart =
            expression.contains("by (namespace") || !expression.contains(" by (") && !expression.contains("sum(");
        assert!(keeps_apart, "{expression} mixes the deployments of a cluster");
        for job in expression.split("job=").skip(1) {
            assert!(job.trim_start_matches(['~', '"']).starts_with("chat-"), "{expression} matches jobs of others");
        }
    }
}

/// A quiet WebSocket carries a ping per interval; whatever is in front must wait longer than that, and than the gateway itself.
#[test]
fn nothing_in_front_cuts_a_quiet_websocket() {
    let settings = settings();
    let longest = ["PING_INTERVAL", "KEEP_ALIVE_TIMEOUT", "CONNECTION_TIMEOUT"].map(|name| seconds(&settings[name].1));
    let config = read("deploy/nginx/nginx.conf");
    for directive in ["proxy_read_timeout", "proxy_send_timeout", "worker_shutdown_timeout"] {
        let line = config.lines().find_map(|line| line.trim().strip_prefix(directive)?.trim().strip_suffix("h;"));
        let hours: u64 = line.unwrap_or_else(|| panic!("{directive} in hours")).parse().unwrap();
        assert!(longest.iter().all(|seconds| hours * 3600 > *seconds), "{directive}");
    }
    let route = object("HTTPRoute", "chat");
    assert_eq!(text(&route, "/spec/rules/0/timeouts/request"), "0s", "0 is no limit");
}

/// The formula of docs/capacity.md: what nginx may use fits the limit of its container, on a machine with any number of processors.
#[test]
fn nginx_fits_its_memory_with_every_client_it_takes() {
    const MASTER_MIB: u64 = 32;
    const PROCESS_MIB: u64 = 5;
    const CLIENT_KIB: u64 = 50;
    let config = read("deploy/nginx/nginx.conf");
    let number = |directive: &str| -> u64 {
        let value = config.lines().find_map(|line| line.trim().strip_prefix(directive)?.trim().strip_suffix(';'));
        value.unwrap_or_else(|| panic!("{directive}")).parse().unwrap_or_else(|_| panic!("{directive} is no number"))
    };
    let (processes, connections) = (number("worker_processes"), number("worker_connections"));
    assert!(number("worker_rlimit_nofile") > connections + 100);
    let script = read("deploy/nginx/nginx.sh");
    let old = script.split("MAX_OLD_PROCESSES:=").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    let old: u64 = old.parse().unwrap();
    let clients = processes * connections / 2;
    let needed = MASTER_MIB + (processes + old) * PROCESS_MIB + clients * CLIENT_KIB / 1024;

    let nginx = object("Deployment", "nginx");
    let pod = at(&nginx, "/spec/template/spec");
    let limits = [
        text(pod, "/containers/0/resources/limits/memory").replace("Gi", "").parse::<u64>().unwrap(),
        text(&compose(), "/services/nginx/deploy/resources/limits/memory").replace('G', "").parse::<u64>().unwrap(),
    ];
    assert!(limits.iter().all(|gib| gib * 1024 > needed), "{needed} MiB are needed, {limits:?} GiB allowed");
    let open_files = at(&compose(), "/services/nginx/ulimits/nofile/hard").as_u64().unwrap();
    assert!(open_files >= number("worker_rlimit_nofile"));

    // Processes end one by one, so that clients do not all reconnect at once.
    let steps = items(pod, "/containers/0/env").find(|variable| text(variable, "/name") == "DRAIN_STEP_SECONDS");
    let step: u64 = text(steps.unwrap(), "/value").parse().unwrap();
    let grace = at(pod, "/terminationGracePeriodSeconds").as_u64().unwrap();
    let sleep: u64 = text(pod, "/containers/0/lifecycle/preStop/exec/command/1").parse().unwrap();
    assert!(grace > sleep + (processes + old) * step, "{grace}");
    let page = read("docs/capacity.md");
    for stated in [format!("{MASTER_MIB} MiB"), format!("{PROCESS_MIB} MiB"), format!("{CLIENT_KIB} KiB")] {
        assert!(page.contains(&stated), "docs/capacity.md does not say {stated}");
    }
}
