//! Builds the kustomizations, because only that applies patches and combines components. Uses `kustomize`, or the one
//! in `kubectl`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::install;
use serde::Deserialize as _;
use serde_yaml_ng::Value;

use super::pod_security;
use crate::workspace::Workspace;

/// The kustomizations that are applied as they are, with their names.
const OVERLAYS: [(&str, &str); 3] = [
    ("local", "k8s/overlays/local"),
    ("production", "k8s/overlays/production"),
    ("migrate", "k8s/overlays/production/migrate"),
];
/// Lines of the production overlay that can be replaced, according to its comments and the documentation: a name for
/// the result, the line, and its replacement.
const VARIANTS: [(&str, &str, &str); 4] = [
    ("gateway-api", "  - ../../components/nginx\n", "  - ../../components/gateway-api\n"),
    ("ingress", "  - ../../components/nginx\n", "  - ../../components/ingress\n"),
    ("backup", "  # - ../../components/backup\n", "  - ../../components/backup\n"),
    ("encryption-keys", "  # - ../../components/encryption-keys\n", "  - ../../components/encryption-keys\n"),
];
/// Created by the operator of the cluster; see docs/deployment.md.
const SECRETS: [&str; 3] = ["chat-secrets", "chat-migration", "chat-tls"];

/// Returns the folder where everything is built.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("kustomize")
}

/// Builds everything; returns `None` without a tool for it.
pub fn build_all(workspace: &Workspace) -> Result<Option<Vec<PathBuf>>> {
    let home = folder(workspace);
    let tree = home.join("tree");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    let Some(program) = program() else { return Ok(None) };
    std::fs::create_dir_all(&tree)?;
    for folder in ["k8s", "deploy"] {
        copy(&workspace.root.join(folder), &tree.join(folder))?;
    }
    let secrets = tree.join("k8s/overlays/local/secrets");
    let made = Command::new("sh").arg(workspace.root.join("deploy/secrets.sh")).arg(&secrets).output()?;
    if !made.status.success() {
        bail!("secrets.sh: {}", String::from_utf8_lossy(&made.stderr));
    }
    let mut built = Vec::new();
    for (name, folder) in OVERLAYS {
        built.push(build(&program, &tree.join(folder), &home.join(format!("{name}.yaml")))?);
    }
    let overlay = tree.join("k8s/overlays/production/kustomization.yaml");
    let as_it_is = std::fs::read_to_string(&overlay)?;
    for (name, line, other) in VARIANTS {
        if !as_it_is.contains(line) {
            bail!("the production overlay lacks the line {line:?}");
        }
        std::fs::write(&overlay, as_it_is.replace(line, other))?;
        let folder = overlay.parent().context("a folder")?;
        built.push(build(&program, folder, &home.join(format!("{name}.yaml")))?);
    }
    Ok(Some(built))
}

fn program() -> Option<Vec<&'static str>> {
    if install::has_program("kustomize") {
        return Some(vec!["kustomize", "build"]);
    }
    // Components require kustomize 3.7, which is in kubectl 1.21 and newer.
    let version = Command::new("kubectl").args(["version", "--client", "--output", "json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).ok()?;
    version["kustomizeVersion"].is_string().then(|| vec!["kubectl", "kustomize"])
}

fn build(program: &[&str], folder: &Path, file: &Path) -> Result<PathBuf> {
    let built = Command::new(program[0]).args(&program[1..]).arg(folder).output().context("running kustomize")?;
    if !built.status.success() {
        bail!("{}: {}", folder.display(), String::from_utf8_lossy(&built.stderr));
    }
    std::fs::write(file, built.stdout)?;
    Ok(file.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // The secrets of a deployment on this machine are not needed here.
        if entry.file_type()?.is_dir() && entry.file_name() != "secrets" {
            copy(&entry.path(), &target)?;
        } else if entry.path().is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    if from.ends_with("local") {
        std::fs::create_dir_all(to.join("secrets"))?;
    }
    Ok(())
}

/// The objects of a kustomization's output.
struct Output {
    objects: Vec<Value>,
}

/// Returns inconsistencies in the output of a kustomization. `is_part`: other objects are applied in addition.
pub fn findings(text: &str, is_part: bool) -> Vec<String> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let output = match documents.collect() {
        Ok(objects) => Output { objects },
        Err(error) => return vec![error.to_string()],
    };
    let mut findings = output.of_settings();
    for workload in output.workloads() {
        output.of_workload(workload, &mut findings);
    }
    for object in &output.objects {
        output.of_object(object, is_part, &mut findings);
    }
    findings
}

impl Output {
    fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| !template(object)["spec"].is_null())
    }

    fn names(&self, kind: &str) -> BTreeSet<&str> {
        self.objects.iter().filter(|object| object["kind"] == kind).map(name).collect()
    }

    /// A pod restarts after a change of settings because the ConfigMap then has another name.
    fn of_settings(&self) -> Vec<String> {
        let has_hash = |name: &&&str| name.rsplit_once('-').is_some_and(|(_, hash)| hash.len() == 10);
        let config_maps = self.names("ConfigMap");
        let unhashed = |made: &str| {
            let name = config_maps.iter().filter(|name| name.starts_with(made)).find(|name| !has_hash(name))?;
            Some(format!("the name of the ConfigMap {name} has no hash: no pod restarts with a change"))
        };
        ["chat-settings", "nginx-config"].into_iter().filter_map(unhashed).collect()
    }

    fn of_workload(&self, workload: &Value, findings: &mut Vec<String>) {
        let name = name(workload);
        let pod = &template(workload)["spec"];
        let mut secrets = self.names("Secret");
        secrets.extend(SECRETS);
        let (config_maps, accounts) = (self.names("ConfigMap"), self.names("ServiceAccount"));
        findings.extend(pod_security::violations(pod).iter().map(|violation| format!("{name}: {violation}")));
        let missing = |kind: &str, wanted: &Value, known: &BTreeSet<&str>| {
            let wanted = wanted.as_str().filter(|wanted| !known.contains(wanted))?;
            Some(format!("{name} names the {kind} {wanted}, which is not there"))
        };
        findings.extend(missing("ServiceAccount", &pod["serviceAccountName"], &accounts));
        for volume in items(&pod["volumes"]) {
            findings.extend(missing("Secret", &volume["secret"]["secretName"], &secrets));
            findings.extend(missing("ConfigMap", &volume["configMap"]["name"], &config_maps));
        }
        for container in items(&pod["containers"]) {
            for source in items(&container["envFrom"]) {
                findings.extend(missing("ConfigMap", &source["configMapRef"]["name"], &config_maps));
            }
            let variables: Vec<&str> =
                items(&container["env"]).filter_map(|variable| variable["name"].as_str()).collect();
            let distinct: BTreeSet<&&str> = variables.iter().collect();
            if distinct.len() != variables.len() {
                findings.push(format!("{name} sets a variable twice: {variables:?}"));
            }
            if container["resources"]["limits"]["memory"].is_null() {
                findings.push(format!("{name} has no limit of memory"));
            }
        }
    }

    fn of_object(&self, object: &Value, is_part: bool, findings: &mut Vec<String>) {
        let name = name(object);
        if ports(object).any(|port| port["protocol"].is_null()) {
            // A server that adds it reports a change at each apply, and old ones reject it in a server-side apply.
            findings.push(format!("{name} has a port without a protocol"));
        }
        let spec = &object["spec"];
        match object["kind"].as_str().unwrap_or_default() {
            "Service" if !self.selects(&spec["selector"]) => findings.push(format!("Service {name} selects nothing")),
            "PodDisruptionBudget" if !self.selects(&spec["selector"]["matchLabels"]) => {
                findings.push(format!("PodDisruptionBudget {name} selects nothing"));
            }
            "NetworkPolicy" if !is_part && !self.selects(&spec["podSelector"]["matchLabels"]) => {
                findings.push(format!("NetworkPolicy {name} selects nothing"));
            }
            "HorizontalPodAutoscaler" | "ScaledObject" => self.of_scaler(object, findings),
            "HTTPRoute" | "Ingress" => self.of_route(object, findings),
            _ => {}
        }
    }

    /// Returns true if a selector has pods, or selects everything.
    fn selects(&self, selector: &Value) -> bool {
        let wanted = selector.as_mapping().cloned().unwrap_or_default();
        let has = |workload: &Value| {
            let labels = &template(workload)["metadata"]["labels"];
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        wanted.is_empty() || self.workloads().any(has)
    }

    fn of_scaler(&self, scaler: &Value, findings: &mut Vec<String>) {
        let target = &scaler["spec"]["scaleTargetRef"]["name"];
        let scalers = self.objects.iter().filter(|other| {
            matches!(other["kind"].as_str(), Some("HorizontalPodAutoscaler" | "ScaledObject"))
                && &other["spec"]["scaleTargetRef"]["name"] == target
        });
        if scalers.count() > 1 {
            findings.push(format!("two scale {target:?}"));
        }
        if !self.workloads().any(|workload| &workload["metadata"]["name"] == target) {
            findings.push(format!("{} scales {target:?}, which is not there", name(scaler)));
        }
    }

    fn of_route(&self, route: &Value, findings: &mut Vec<String>) {
        let name = name(route);
        let written = serde_yaml_ng::to_string(route).unwrap_or_default();
        if !written.contains("name: gateway\n") || !self.names("Service").contains("gateway") {
            findings.push(format!("{name} does not lead to the gateways"));
        }
        // Nothing else may be open to the public.
        let is_public = |service: &&Value| service["kind"] == "Service" && service["spec"]["type"] == "LoadBalancer";
        findings.extend(
            self.objects
                .iter()
                .filter(is_public)
                .map(|service| format!("beside {name} there is the public Service {:?}", service["metadata"]["name"])),
        );
        if self.names("Deployment").contains("nginx") {
            findings.push(format!("beside {name} there is nginx"));
        }
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Returns the template of the object's pods; null if it has none.
fn template(object: &Value) -> &Value {
    let spec = &object["spec"];
    if spec["jobTemplate"].is_null() { &spec["template"] } else { &spec["jobTemplate"]["spec"]["template"] }
}

/// Returns the ports of a Service or a NetworkPolicy.
fn ports(object: &Value) -> impl Iterator<Item = &Value> {
    let spec = &object["spec"];
    let rules = items(&spec["ingress"]).chain(items(&spec["egress"]));
    items(&spec["ports"]).chain(rules.flat_map(|rule| items(&rule["ports"])))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_sequence().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = "
kind: Deployment
metadata: {name: nginx}
spec:
  template:
    metadata: {labels: {app: nginx}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      volumes: [{name: a, configMap: {name: missing}}, {name: b, secret: {secretName: chat-tls}}]
      containers:
        - name: nginx
          env: [{name: A, value: a}, {name: A, value: b}]
          resources: {limits: {memory: 1Gi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

    #[test]
    fn what_does_not_fit_together_is_found() {
        let found = findings(DEPLOYMENT, false);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("ConfigMap missing") && found[1].contains("twice"), "{found:?}");
        let privileged = findings(&DEPLOYMENT.replace("drop: [ALL]", "drop: []"), false);
        assert!(privileged.iter().any(|finding| finding.contains("capabilities")), "{privileged:?}");
        let public = "---\nkind: Service\nmetadata: {name: chat}\nspec: {type: LoadBalancer, selector: {app: nginx}}\n";
        let route = "---\nkind: HTTPRoute\nmetadata: {name: chat}\nspec: {backendRefs: [{name: gateway}]}\n";
        let found = findings(&format!("{DEPLOYMENT}{public}{route}"), false);
        assert!(found.iter().any(|finding| finding.contains("public Service")), "{found:?}");
        assert!(found.iter().any(|finding| finding.contains("there is nginx")), "{found:?}");
        let port = "---\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {egress: [{ports: [{port: 1}]}]}\n";
        assert_eq!(findings(port, true), ["a has a port without a protocol"]);
        assert!(findings(&port.replace("port: 1", "port: 1, protocol: TCP"), true).is_empty());
        let settings = "---\nkind: ConfigMap\nmetadata: {name: NAME}\n";
        let unhashed = findings(&settings.replace("NAME", "chat-settings"), false);
        assert!(unhashed.len() == 1 && unhashed[0].contains("no hash"), "{unhashed:?}");
        assert!(findings(&settings.replace("NAME", "chat-settings-9772fgbgh8"), false).is_empty());
        let twice = "---\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec: {scaleTargetRef: {name: nginx}}\n";
        let found = findings(&format!("{DEPLOYMENT}{twice}{twice}"), false);
        assert!(found.iter().any(|finding| finding.contains("two scale")), "{found:?}");
    }
}
