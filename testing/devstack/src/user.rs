//! The unprivileged user for programs that refuse to run as root, such as PostgreSQL.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// Returns `None` if we are not root, so everything runs as the current user; otherwise `postgres`, or `nobody`.
pub fn unprivileged() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let found = find(&passwd, "postgres").or_else(|| find(&passwd, "nobody"));
    match found {
        Some(user) => Ok(Some(user)),
        None => bail!("running as root, and there is neither a user `postgres` nor `nobody` to run PostgreSQL as"),
    }
}

fn find(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then(|| User { name: name.to_owned(), uid, gid })
    })
}

/// Makes `command` run as `user`. The standard library drops supplementary groups when it changes from root.
pub fn apply(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        command.gid(user.gid).uid(user.uid);
    }
}

/// Returns true if `user` can enter `dir` and write there: every parent folder must permit that, so it has to be tried.
pub fn can_write(user: Option<&User>, dir: &Path) -> bool {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "cd -- \"$1\" && test -w .", "sh"])
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    apply(&mut command, user);
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user_but_never_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:a,,,:/var/lib:/bin/bash\nevil:x:0:0::/:/bin/sh\n";
        let user = find(passwd, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert_eq!(find(passwd, "evil"), None);
        assert_eq!(find(passwd, "post"), None);
    }
}
