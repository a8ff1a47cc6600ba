//! Manifests of kinds that Kubernetes itself does not have: read by types generated from their projects' own
//! definitions. A field that the definition does not have is an error, as is one that is missing.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use kcr_gateway_networking_k8s_io::v1::httproutes::HttpRouteSpec;
use kcr_keda_sh::v1alpha1::scaledobjects::ScaledObjectSpec;
use kcr_monitoring_coreos_com::v1::prometheusrules::PrometheusRuleSpec;
use kcr_monitoring_coreos_com::v1::servicemonitors::ServiceMonitorSpec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

/// Returns what is wrong with a spec: unknown fields, or why it cannot be read at all.
fn findings<Spec: DeserializeOwned>(spec: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let read = serde_ignored::deserialize::<_, _, Spec>(spec.clone(), |path| findings.push(format!("unknown: {path}")));
    findings.extend(read.err().map(|error| error.to_string()));
    findings
}

fn check(object: &Value) -> Option<Vec<String>> {
    let spec = &object["spec"];
    let kind = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    match kind {
        ("gateway.networking.k8s.io/v1", "HTTPRoute") => Some(findings::<HttpRouteSpec>(spec)),
        ("keda.sh/v1alpha1", "ScaledObject") => Some(findings::<ScaledObjectSpec>(spec)),
        ("monitoring.coreos.com/v1", "PrometheusRule") => Some(findings::<PrometheusRuleSpec>(spec)),
        ("monitoring.coreos.com/v1", "ServiceMonitor") => Some(findings::<ServiceMonitorSpec>(spec)),
        _ => None,
    }
}

fn yaml_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

#[test]
fn objects_of_other_projects_are_as_these_define_them() {
    let mut files = Vec::new();
    yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s"), &mut files);
    let mut kinds = std::collections::BTreeSet::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap();
            let Some(findings) = check(&object) else { continue };
            assert!(findings.is_empty(), "{}: {findings:?}", path.display());
            kinds.insert(object["kind"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"]
    );
}

#[test]
fn an_unknown_field_and_a_missing_one_are_found() {
    let scaled = |spec: &str| findings::<ScaledObjectSpec>(&serde_yaml_ng::from_str(spec).unwrap());
    let trigger = "triggers: [{type: prometheus, metadata: {query: x}}]";
    assert!(scaled(&format!("{{scaleTargetRef: {{name: worker}}, {trigger}}}")).is_empty());
    assert_eq!(scaled(&format!("{{scaleTargetRef: {{name: worker, nmae: x}}, {trigger}}}")).len(), 1);
    assert_eq!(scaled(&format!("{{{trigger}}}")).len(), 1);
}
