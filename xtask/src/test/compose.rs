//! The compose file on a container engine, tested by `testing/compose/check.py`, with an image of the programs that are
//! already built.
//!
//! `DOCKER` names the engine's command (`docker` by default). `DOCKER_NETWORK` is a command that runs another one where
//! published ports are reachable, for engines that publish them in a separate network.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::{install, ports};

use super::deployment;
use super::output::run_and_keep;
use super::report::Outcome;
use crate::workspace::Workspace;

const PROGRAMS: [&str; 3] = ["gateway", "worker", "chatctl"];
/// What a deployment needs from `deploy/`, without files of an earlier one.
const FILES: [&str; 9] =
    ["backup", "nginx", "postgres", "redis", "prometheus", "grafana", "secrets.sh", "upgrade.sh", "restore.sh"];
/// The most that the image may contain in addition to the programs, including the web client: those of a release build
/// take 46 MB, those of a test more.
const MAX_BYTES_BESIDE_PROGRAMS: u64 = 70_000_000;
/// The most that the image may contain with the programs of a release build, checked if there is one.
const MAX_BYTES: u64 = 120_000_000;
/// Two names for one image are enough for an upgrade.
const IMAGES: [&str; 2] = ["chat:compose-test", "chat:compose-test-new"];

fn words(variable: &str, default: &str) -> Vec<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    value.unwrap_or_else(|| default.to_owned()).split_whitespace().map(str::to_owned).collect()
}

fn not_checked(why: &str) -> Outcome {
    println!("\n!!! The compose file was NOT CHECKED: {why}. !!!");
    Outcome::not_checked(why)
}

pub fn run(workspace: &Workspace) -> Result<Outcome> {
    let docker = words("DOCKER", "docker");
    let engine = |arguments: &[&str]| {
        let mut command = Command::new(&docker[0]);
        command.args(&docker[1..]).args(arguments).current_dir(&workspace.root);
        command
    };
    let answers = engine(&["info", "--format", "{{.ServerVersion}}"]).output();
    if !answers.is_ok_and(|info| info.status.success() && !info.stdout.trim_ascii().is_empty()) {
        return Ok(not_checked("no container engine"));
    }
    let Some(bin) = deployment::tools(workspace)? else { return Ok(not_checked("no Python packages")) };
    let programs = workspace.target_dir.join("compose/programs");
    if !take_programs(workspace, "debug", &programs)? {
        let packages = PROGRAMS.iter().flat_map(|program| ["--package", *program]);
        workspace.run_cargo(&["build"].into_iter().chain(packages).collect::<Vec<_>>())?;
        take_programs(workspace, "debug", &programs)?;
    }
    let web = web_client(workspace)?;
    let compilers = without_compilers(&std::fs::read_to_string(workspace.root.join("Dockerfile"))?)?;
    for image in IMAGES {
        let contexts = [format!("build={}", programs.display()), format!("web={}", web.display())];
        let contexts = contexts.iter().chain(&compilers).flat_map(|context| ["--build-context", context]);
        let build: Vec<&str> = ["build"].into_iter().chain(contexts).chain(["--tag", image, "."]).collect();
        let (status, output) = run_and_keep(&mut engine(&build), false)?;
        if !status.success() {
            println!("{output}");
            bail!("the image could not be built");
        }
    }
    let size =
        engine(&["image", "inspect", "--format", "{{.Size}}", IMAGES[0]]).output().context("the image's size")?;
    let release = workspace.target_dir.join("compose/release");
    // With their symbols they say nothing.
    let has_release = install::has_program("strip") && take_programs(workspace, "release", &release)?;
    let release = if has_release { Some(bytes_of_programs(&release)?) } else { None };
    check_size(&String::from_utf8_lossy(&size.stdout), bytes_of_programs(&programs)?, release)?;
    let folder = workspace.target_dir.join("compose/deployment");
    lay_out(workspace, &folder)?;
    let mut check = words("DOCKER_NETWORK", "");
    check.extend([bin.join("python3").display().to_string(), "testing/compose/check.py".to_owned()]);
    let mut command = Command::new(&check[0]);
    command.args(&check[1..]).arg(&folder).args(IMAGES).current_dir(&workspace.root);
    command.env("DOCKER", docker.join(" ")).env("COMPOSE_PROJECT_NAME", format!("chat-test-{}", std::process::id()));
    for port in ["CHAT_HTTPS_PORT", "CHAT_PROMETHEUS_PORT", "CHAT_GRAFANA_PORT"] {
        command.env(port, ports::free_one()?.to_string());
    }
    // As many as the test needs, whatever the engine's limit.
    command.env("CHAT_NOFILE", "16384");
    let (status, output) = run_and_keep(&mut command, true)?;
    let passed = output.lines().filter(|line| line.starts_with("ok ")).count() as u64;
    let failed = u64::from(!status.success());
    Ok(Outcome { failed, ..Outcome::passed(passed) })
}

fn bytes_of_programs(folder: &Path) -> Result<u64> {
    PROGRAMS.iter().map(|program| Ok(std::fs::metadata(folder.join(program))?.len())).sum()
}

/// Checks the size of an image with `programs` bytes of programs; `release` is what those of a release build take.
fn check_size(image: &str, programs: u64, release: Option<u64>) -> Result<()> {
    let image: u64 = image.trim().parse().with_context(|| format!("the image's size: {image}"))?;
    let beside = image.saturating_sub(programs);
    let history = format!("see `docker history {}`", IMAGES[0]);
    if beside > MAX_BYTES_BESIDE_PROGRAMS {
        bail!("the image has {beside} bytes beside the programs, of at most {MAX_BYTES_BESIDE_PROGRAMS}: {history}");
    }
    println!("the image has {} MB beside the programs", beside / 1_000_000);
    let Some(release) = release else { return Ok(()) };
    let whole = beside + release;
    if whole > MAX_BYTES {
        bail!("with the programs of the release build the image has {whole} bytes, of at most {MAX_BYTES}: {history}");
    }
    println!("with the programs of the release build it has {} MB", whole / 1_000_000);
    Ok(())
}

/// Returns the images to replace: an image from built programs and a built web client needs no compiler, so the last
/// image of the Dockerfile replaces the others, under their full names, including digests.
fn without_compilers(dockerfile: &str) -> Result<Vec<String>> {
    let images = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let mut images: Vec<&str> = images.filter(|image| image.contains(':')).collect();
    let last = images.pop().context("the Dockerfile names no image")?;
    Ok(images.into_iter().map(|image| format!("{image}=docker-image://{last}")).collect())
}

/// Returns the folder of the built web client, or of a placeholder page.
fn web_client(workspace: &Workspace) -> Result<PathBuf> {
    let built = workspace.root.join("web/dist");
    if built.join("index.html").exists() {
        return Ok(built);
    }
    let folder = workspace.target_dir.join("compose/web");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("index.html"), "<!doctype html><title>Chat</title>\n")?;
    Ok(folder)
}

/// Copies the programs without their symbols; returns true if all existed.
fn take_programs(workspace: &Workspace, profile: &str, folder: &Path) -> Result<bool> {
    std::fs::create_dir_all(folder)?;
    for program in PROGRAMS {
        let built = workspace.target_dir.join(profile).join(program);
        if !built.exists() {
            return Ok(false);
        }
        let copy = folder.join(program);
        std::fs::copy(&built, &copy).with_context(|| format!("copying {program}"))?;
        if install::has_program("strip") {
            Command::new("strip").arg(&copy).status().context("strip")?;
        }
    }
    Ok(true)
}

fn lay_out(workspace: &Workspace, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    for made in ["deploy/secrets", "deploy/backups"] {
        std::fs::create_dir_all(folder.join(made))?;
    }
    std::fs::copy(workspace.root.join("docker-compose.yml"), folder.join("docker-compose.yml"))?;
    for name in FILES {
        let (from, to) = (workspace.root.join("deploy").join(name), folder.join("deploy"));
        let copied = Command::new("cp").arg("-R").arg(from).arg(to).status().context("cp")?;
        if !copied.success() {
            bail!("{name} could not be copied");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn pinned_compilers_are_replaced_by_their_whole_names() {
        let dockerfile =
            "FROM rust:1.9@sha256:ab AS chef\nFROM chef AS plan\nFROM scratch AS build\nFROM debian:12.1-slim\n";
        let contexts = super::without_compilers(dockerfile).unwrap();
        assert_eq!(contexts, ["rust:1.9@sha256:ab=docker-image://debian:12.1-slim"]);
        assert!(super::without_compilers("FROM scratch\n").is_err());
    }

    #[test]
    fn an_image_that_has_grown_fails() {
        let (debug, release) = (90_000_000, 50_000_000);
        let check = |beside: u64, release| super::check_size(&format!("{}\n", beside + debug), debug, release).is_ok();
        assert!(check(super::MAX_BYTES_BESIDE_PROGRAMS, Some(release)));
        assert!(!check(super::MAX_BYTES_BESIDE_PROGRAMS, Some(release + 1)));
        assert!(check(super::MAX_BYTES_BESIDE_PROGRAMS, None));
        assert!(!check(super::MAX_BYTES_BESIDE_PROGRAMS + 1, None));
    }
}
