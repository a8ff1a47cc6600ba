//! The web client of the development stack: built if Node is available, and copied beside the stack with the demo users
//! that you may sign in as. Only this copy knows them, not the deployed one.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::node;
use crate::workspace::Workspace;

const META: &str = r#"<meta name="demo-users" content="/demo-users.json" />"#;

/// Copies the client to `target`, from where gateways serve it. If there is no client, returns the reason.
pub fn prepare(workspace: &Workspace, target: &Path, no_build: bool) -> Result<Option<String>> {
    let _ = std::fs::remove_dir_all(target);
    let dist = workspace.root.join("web/dist");
    let problem = if no_build { None } else { build(workspace, &dist)? };
    if !dist.join("index.html").is_file() {
        return Ok(problem.or_else(|| Some("it was not built; leave out --no-build".to_owned())));
    }
    copy(&dist, target)?;
    let index = target.join("index.html");
    let page = std::fs::read_to_string(&index).context("index.html")?;
    std::fs::write(&index, page.replacen("</head>", &format!("{META}</head>"), 1))?;
    for end in ["br", "gz"] {
        let _ = std::fs::remove_file(target.join(format!("index.html.{end}")));
    }
    Ok(None)
}

/// Writes the users, each with a token to sign in.
pub fn write_demo_users(target: &Path, users: &[(&str, String)]) -> Result<()> {
    let users: Vec<String> =
        users.iter().map(|(name, token)| format!(r#"{{"username":"{name}","token":"{}"}}"#, token.trim())).collect();
    let path = target.join("demo-users.json");
    std::fs::write(&path, format!("[{}]", users.join(","))).with_context(|| path.display().to_string())
}

/// Returns why it could not be built.
fn build(workspace: &Workspace, dist: &Path) -> Result<Option<String>> {
    let sources = ["web/src", "web/public", "web/index.html", "web/package-lock.json", "web/vite.config.ts", "sdk/src"];
    let newest = sources.iter().filter_map(|path| newest(&workspace.root.join(path))).max();
    let built = std::fs::metadata(dist.join("index.html")).and_then(|file| file.modified()).ok();
    if built.is_some() && built >= newest {
        return Ok(None);
    }
    if !node::is_there() {
        return Ok(Some("it needs Node 20 or newer with npm; `apt-get install nodejs npm`, then once more".to_owned()));
    }
    println!("==> building the web client");
    let Some(folder) = node::packages(workspace, "web")? else {
        return Ok(Some("npm could not install its packages".to_owned()));
    };
    let status = node::npm(&folder, &["run", "--silent", "build"]).status().context("running npm")?;
    Ok((!status.success()).then(|| "its build failed".to_owned()))
}

fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).ok()?;
        return entries.filter_map(|entry| newest(&entry.ok()?.path())).max();
    }
    std::fs::metadata(path).ok()?.modified().ok()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_copy_beside_the_stack_names_demo_users() {
        let scratch = devstack::Scratch::new("web-copy").unwrap();
        let root = scratch.dir();
        let workspace = Workspace { root: root.to_path_buf(), target_dir: root.join("target") };
        let target = root.join("stack/web");
        assert!(prepare(&workspace, &target, true).unwrap().is_some(), "nothing was built");
        assert!(!target.exists());
        std::fs::create_dir_all(root.join("web/dist/assets")).unwrap();
        for (path, body) in [("index.html", "<head></head>"), ("index.html.br", "old"), ("assets/a.js", "a")] {
            std::fs::write(root.join("web/dist").join(path), body).unwrap();
        }
        assert_eq!(prepare(&workspace, &target, true).unwrap(), None);
        write_demo_users(&target, &[("alice", "a.b.c\n".to_owned())]).unwrap();
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        assert!(read("stack/web/index.html").contains("demo-users") && !target.join("index.html.br").exists());
        assert_eq!(read("stack/web/assets/a.js"), "a");
        assert_eq!(read("stack/web/demo-users.json"), r#"[{"username":"alice","token":"a.b.c"}]"#);
        assert!(!read("web/dist/index.html").contains("demo-users"));
    }
}
