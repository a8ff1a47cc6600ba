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
/// The most that the image may contain in addition to the programs, including the web client. Release builds take about
/// 40 MB, so the image is less than 120 MB; the programs of a test are larger.
const MAX_BYTES_BESIDE_PROGRAMS: u64 = 70_000_000;
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
    if !take_programs(workspace, &programs)? {
        let packages = PROGRAMS.iter().flat_map(|program| ["--package", *program]);
        workspace.run_cargo(&["build"].into_iter().chain(packages).collect::<Vec<_>>())?;
        take_programs(workspace, &programs)?;
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
    check_size(&String::from_utf8_lossy(&size.stdout), &programs)?;
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

fn check_size(image: &str, programs: &Path) -> Result<()> {
    let mut beside: u64 = image.trim().parse().with_context(|| format!("the image's size: {image}"))?;
    for program in PROGRAMS {
        beside -= std::fs::metadata(programs.join(program))?.len();
    }
    if beside > MAX_BYTES_BESIDE_PROGRAMS {
        bail!(
            "the image has {beside} bytes beside the programs, of at most {MAX_BYTES_BESIDE_PROGRAMS}: see `docker history {}`",
            IMAGES[0]
        );
    }
    println!("the image has {} MB beside the programs", beside / 1_000_000);
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
fn take_programs(workspace: &Workspace, folder: &Path) -> Result<bool> {
    std::fs::create_dir_all(folder)?;
    for program in PROGRAMS {
        let built = workspace.target_dir.join("debug").join(program);
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
        let folder = std::env::temp_dir().join(format!("chat-image-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        super::PROGRAMS.iter().for_each(|program| std::fs::write(folder.join(program), [0; 1000]).unwrap());
        let largest = super::MAX_BYTES_BESIDE_PROGRAMS + 3_000;
        assert!(super::check_size(&format!("{largest}\n"), &folder).is_ok());
        assert!(super::check_size(&format!("{}\n", largest + 1), &folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
