//! Finding the programs a stack needs: on the PATH, or in the folders where distributions hide them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

pub const MIN_POSTGRES: u32 = 15;
pub const MIN_REDIS: u32 = 7;

/// The bin folder of a PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresPrograms {
    pub bin_dir: PathBuf,
    pub psql: PathBuf,
    pub major: u32,
}

impl PostgresPrograms {
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Looks for a loadable module, relative to the bin folder as Debian and a source build lay them out.
    pub fn has_module(&self, name: &str) -> bool {
        let file = format!("{name}.so");
        ["../lib", "../lib/postgresql", "../lib64/pgsql", "../lib/pgsql", "../lib64"]
            .iter()
            .any(|dir| self.bin_dir.join(dir).join(&file).is_file())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    pub postgres: PostgresPrograms,
    pub redis_server: PathBuf,
    /// Optional: without it, nothing is in front of the gateways.
    pub nginx: Option<PathBuf>,
}

/// What was not found, in words for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    pub postgres: bool,
    pub redis: bool,
}

impl Missing {
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if self.postgres {
            parts.push(format!("PostgreSQL {MIN_POSTGRES} or newer (initdb, postgres, psql)"));
        }
        if self.redis {
            parts.push(format!("Redis {MIN_REDIS} or newer (redis-server)"));
        }
        parts.join(" and ")
    }
}

impl Programs {
    /// Fails with what is missing.
    pub fn find() -> Result<Self, Missing> {
        Self::find_in(&search_path(), Path::new("/"))
    }

    /// The lookup itself; `root` is `/` outside of tests.
    fn find_in(path: &[PathBuf], root: &Path) -> Result<Self, Missing> {
        let postgres = find_postgres(path, root);
        let redis = find_redis(path);
        match (postgres, redis) {
            (Some(postgres), Some(redis_server)) => {
                Ok(Self { postgres, redis_server, nginx: find_file(path, "nginx") })
            }
            (postgres, redis) => Err(Missing { postgres: postgres.is_none(), redis: redis.is_none() }),
        }
    }
}

/// The PATH, and the folders of system programs that are often missing from a user's.
pub fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    for dir in ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"] {
        if !dirs.iter().any(|known| known == Path::new(dir)) {
            dirs.push(dir.into());
        }
    }
    dirs
}

/// The first executable file of this name.
pub fn find_file(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    path.iter()
        .map(|dir| dir.join(name))
        .find(|file| std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

fn find_postgres(path: &[PathBuf], root: &Path) -> Option<PostgresPrograms> {
    let mut candidates: Vec<PathBuf> = path
        .iter()
        .filter_map(|dir| find_file(std::slice::from_ref(dir), "postgres"))
        // A link from /usr/local/bin leads to the folder that holds the companions.
        .filter_map(|file| file.canonicalize().ok()?.parent().map(Path::to_path_buf))
        .collect();
    let folders = ["usr/lib/postgresql", "usr/local/lib/postgresql", "usr/libexec/postgresql", "opt/homebrew/opt"]
        .map(|dir| root.join(dir));
    for folder in folders {
        candidates.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path().join("bin")));
    }
    candidates.extend(
        std::fs::read_dir(root.join("usr"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.starts_with("pgsql-").then(|| entry.path().join("bin"))),
    );
    candidates.sort();
    candidates.dedup();
    candidates
        .into_iter()
        .filter_map(|bin_dir| {
            let here = std::slice::from_ref(&bin_dir);
            find_file(here, "initdb")?;
            let major = major_version(&find_file(here, "postgres")?)?;
            let psql = find_file(here, "psql").or_else(|| find_file(path, "psql"))?;
            (major >= MIN_POSTGRES).then_some(PostgresPrograms { bin_dir, psql, major })
        })
        .max_by_key(|found| found.major)
}

fn find_redis(path: &[PathBuf]) -> Option<PathBuf> {
    path.iter()
        .filter_map(|dir| find_file(std::slice::from_ref(dir), "redis-server"))
        .find(|file| major_version(file).is_some_and(|major| major >= MIN_REDIS))
}

fn major_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.8 (Debian 15.8-0)`, `postgres (PostgreSQL) 17beta1`, `Redis server v=7.0.15 sha=…`.
fn parse_major(text: &str) -> Option<u32> {
    text.split_ascii_whitespace().find_map(|word| {
        let digits = word.trim_start_matches("v=");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fake(dir: &Path, name: &str, prints: &str) {
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn fake_postgres(root: &Path, version: &str) {
        let dir = root.join("usr/lib/postgresql").join(version).join("bin");
        fake(&dir, "postgres", &format!("postgres (PostgreSQL) {version}.4 (Debian 9.9)"));
        fake(&dir, "initdb", "");
        fake(&dir, "psql", "");
    }

    #[test]
    fn reads_versions() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), Some(7));
        assert_eq!(parse_major("something else"), None);
    }

    #[test]
    fn takes_the_newest_postgres_and_says_what_is_missing() {
        let scratch = crate::Scratch::new("programs").unwrap();
        let root = scratch.dir();
        let path = [root.join("bin")];
        let missing = Programs::find_in(&path, root).unwrap_err();
        assert_eq!(missing, Missing { postgres: true, redis: true });
        assert!(missing.describe().contains("PostgreSQL 15") && missing.describe().contains("Redis 7"));

        fake_postgres(root, "13");
        fake(&path[0], "redis-server", "Redis server v=6.2.1 sha=0");
        assert_eq!(Programs::find_in(&path, root).unwrap_err(), Missing { postgres: true, redis: true });

        fake_postgres(root, "16");
        fake_postgres(root, "9");
        fake(&path[0], "redis-server", "Redis server v=7.2.0 sha=0");
        let found = Programs::find_in(&path, root).unwrap();
        assert_eq!(found.postgres.major, 16);
        assert_eq!(found.nginx, None);
    }
}
