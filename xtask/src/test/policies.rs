//! Checks the output of the kustomizations, and the Dockerfile, against the policies of checkov. `deploy/checkov.yaml`
//! says which of them do not apply here, and why.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::output::run_and_keep;
use super::report::Outcome;
use super::{deployment, kustomize};
use crate::workspace::Workspace;

const PACKAGES: &str = include_str!("policies.txt");

pub fn check(workspace: &Workspace, bin: &Path) -> Result<Outcome> {
    let home = workspace.target_dir.join("tools/policies");
    if !install(workspace, bin, &home)? {
        return Ok(deployment::not_checked("Policies were"));
    }
    let Ok(built) = std::fs::read_dir(kustomize::folder(workspace)) else {
        return Ok(deployment::not_checked("Policies, without kustomizations:"));
    };
    let built = built.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let built = built.iter().filter(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    let mut checkov = Command::new(home.join("bin/checkov"));
    checkov.args(["--config-file", "deploy/checkov.yaml", "--file", "Dockerfile"]).args(built);
    let (status, output) = run_and_keep(checkov.current_dir(&workspace.root), false)?;
    let outcome = judge(&output);
    if !status.success() || outcome.failed > 0 {
        println!("{output}");
        return Ok(Outcome { failed: outcome.failed.max(1), ..outcome });
    }
    output.lines().filter(|line| line.starts_with("Passed checks")).for_each(|line| println!("{line}"));
    Ok(outcome)
}

/// Installs checkov if it is missing; returns true if it is available. Uses uv, because pip takes half a minute for
/// that many packages.
fn install(workspace: &Workspace, bin: &Path, home: &Path) -> Result<bool> {
    let done = home.join("policies.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == PACKAGES) {
        return Ok(true);
    }
    println!("installing checkov below {}", home.display());
    let uv = || Command::new(bin.join("uv"));
    let make = ["venv", "--quiet", "--clear", "--python"];
    let (mut status, mut output) = run_and_keep(uv().args(make).arg(bin.join("python3")).arg(home), false)?;
    if status.success() {
        let list = workspace.root.join("xtask/src/test/policies.txt");
        let mut packages = uv();
        packages.args(["pip", "install", "--quiet", "--no-deps", "--requirement"]).arg(list);
        (status, output) = run_and_keep(packages.arg("--python").arg(home.join("bin/python3")), false)?;
    }
    if status.success() {
        std::fs::write(done, PACKAGES)?;
        return Ok(true);
    }
    println!("{}", output.trim_end());
    if deployment::is_unreachable(&output) { Ok(false) } else { bail!("checkov could not be installed") }
}

/// Judges the output. A kind of file without any checked file fails, too.
fn judge(output: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for kind in ["dockerfile", "kubernetes"] {
        let results = output.split_once(&format!("{kind} scan results:")).and_then(|(_, rest)| numbers(rest));
        match results {
            Some((passed, 0)) if passed > 0 => outcome.passed += 1,
            Some((_, failed)) => outcome.failed += failed.max(1),
            None => outcome.failed += 1,
        }
    }
    outcome
}

/// Returns the numbers of passed and failed checks of `Passed checks: 147, Failed checks: 1, Skipped checks: 0`.
fn numbers(results: &str) -> Option<(u64, u64)> {
    let line = results.lines().find_map(|line| line.strip_prefix("Passed checks: "))?;
    let (passed, rest) = line.split_once(", Failed checks: ")?;
    Some((passed.parse().ok()?, rest.split_once(',')?.0.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(dockerfile: &str, kubernetes: &str) -> String {
        format!("dockerfile scan results:\n\n{dockerfile}\n\nkubernetes scan results:\n\n{kubernetes}\n\nCheck: …\n")
    }

    #[test]
    fn findings_and_files_that_were_not_read_fail() {
        let fine = "Passed checks: 147, Failed checks: 0, Skipped checks: 1";
        assert_eq!(judge(&output(fine, fine)), Outcome::passed(2));
        assert_eq!(judge(&output(fine, "Passed checks: 977, Failed checks: 3, Skipped checks: 0")).failed, 3);
        assert_eq!(judge(&output("Passed checks: 0, Failed checks: 0, Skipped checks: 0", fine)).failed, 1);
        assert_eq!(judge(&format!("dockerfile scan results:\n\n{fine}\n")).failed, 1);
    }
}
