//! What Pod Security `restricted` asks of a pod. The namespace of the overlays enforces it, so an API server creates no
//! other pods, and says so only in the events of a ReplicaSet.

use serde_yaml_ng::Value;

const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Returns why the pod would not be created.
pub fn violations(pod: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[shared] == true {
            violations.push(format!("{shared} is set"));
        }
    }
    for volume in items(&pod["volumes"]) {
        if !VOLUMES.iter().any(|kind| !volume[*kind].is_null()) {
            violations.push(format!("the volume {:?} is of a kind that is not allowed", volume["name"]));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in items(&pod[list]) {
            violations.extend(of_container(&pod["securityContext"], container));
        }
    }
    violations
}

fn of_container(pod: &Value, container: &Value) -> Vec<String> {
    let context = &container["securityContext"];
    // A container overrides its pod.
    let setting = |name: &str| if context[name].is_null() { &pod[name] } else { &context[name] };
    let capabilities = &context["capabilities"];
    let seccomp = setting("seccompProfile")["type"].as_str();
    let rules = [
        (*setting("runAsNonRoot") == true, "runAsNonRoot is not true"),
        (*setting("runAsUser") != 0, "runAsUser is 0"),
        (matches!(seccomp, Some("RuntimeDefault" | "Localhost")), "there is no seccompProfile"),
        (context["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation is not false"),
        (context["privileged"] != true, "it is privileged"),
        (items(&capabilities["drop"]).any(|dropped| dropped == "ALL"), "not all capabilities are dropped"),
        (items(&capabilities["add"]).all(|added| added == "NET_BIND_SERVICE"), "capabilities are added"),
        (items(&container["ports"]).all(|port| port["hostPort"].is_null()), "it takes a port of the host"),
    ];
    let name = container["name"].as_str().unwrap_or_default();
    rules.iter().filter(|(holds, _)| !holds).map(|(_, violation)| format!("container {name}: {violation}")).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_sequence().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    const POD: &str = "
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
volumes: [{name: a, emptyDir: {}}]
containers:
  - name: a
    ports: [{containerPort: 80}]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

    #[test]
    fn only_restricted_pods_pass() {
        let violations = |from: &str, to: &str| {
            assert!(POD.contains(from), "{from}");
            super::violations(&serde_yaml_ng::from_str(&POD.replace(from, to)).unwrap())
        };
        assert_eq!(violations("", ""), [""; 0]);
        for (from, to, why) in [
            ("volumes", "hostPID: true\nvolumes", "hostPID"),
            ("emptyDir: {}", "hostPath: {path: /}", "volume"),
            ("runAsNonRoot: true, ", "", "runAsNonRoot"),
            ("{allow", "{runAsNonRoot: false, allow", "runAsNonRoot"),
            ("{allow", "{runAsUser: 0, allow", "runAsUser"),
            ("RuntimeDefault", "Unconfined", "seccompProfile"),
            ("allowPrivilegeEscalation: false, ", "", "allowPrivilegeEscalation"),
            ("{allow", "{privileged: true, allow", "privileged"),
            ("[ALL]", "[KILL]", "dropped"),
            ("[ALL]", "[ALL], add: [SYS_TIME]", "added"),
            ("80", "80, hostPort: 80", "port"),
            ("containers", "initContainers: [{name: b}]\ncontainers", "container b"),
        ] {
            let found = violations(from, to);
            assert!(found.first().is_some_and(|found| found.contains(why)), "{to}: {found:?}");
        }
    }
}
