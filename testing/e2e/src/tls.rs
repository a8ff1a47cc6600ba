//! Certificate authorities that live as long as a test, and stores that use TLS with their certificates. Uses
//! `openssl`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::wait::SOON;
use devstack::{Cluster, Postgres, Redis, ports, wait};

/// The name of a server on the loopback address.
pub const LOOPBACK: &str = "IP:127.0.0.1";
const NEW_KEY: [&str; 9] =
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];

#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Creates an authority in a new folder, and names it after the folder.
    pub fn new(folder: PathBuf) -> Result<Authority> {
        std::fs::create_dir(&folder)?;
        let subject = format!("/CN={}", folder.file_name().unwrap_or_default().display());
        let authority = Authority { folder };
        openssl(&["-subj", &subject, "-keyout", &authority.path("ca.key"), "-out", &authority.file()])?;
        Ok(authority)
    }

    /// Returns the file of its certificate, for those who have to trust it.
    pub fn file(&self) -> String {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes files with a certificate for `name` (such as `DNS:example.org`) and its key, replacing those of the last
    /// call.
    fn issue(&self, name: &str) -> Result<(String, String)> {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let name = format!("subjectAltName={name}");
        openssl(
            &["-subj", "/CN=store", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", &name]
                .into_iter()
                .chain(["-CA", &self.file(), "-CAkey", &self.path("ca.key"), "-keyout", &key, "-out", &cert])
                .collect::<Vec<_>>(),
        )?;
        Ok((cert, key))
    }

    /// Makes Redis show a certificate for `name` on a separate port; returns the port.
    pub fn encrypt_redis(&self, redis: &Redis, name: &str) -> Result<u16> {
        let (cert, key) = self.issue(name)?;
        let port = ports::free_one()?;
        let (ca, text) = (self.file(), port.to_string());
        let files = ["tls-cert-file", &cert, "tls-key-file", &key, "tls-ca-cert-file", &ca];
        let words = ["CONFIG", "SET", "tls-auth-clients", "no", "tls-port", &text].into_iter().chain(files);
        redis.command(&words.collect::<Vec<_>>())?;
        Ok(port)
    }

    /// Makes a cluster use TLS; returns the URL for its clients.
    pub fn encrypt_cluster(&self, cluster: &Cluster) -> Result<String> {
        let ports: Result<Vec<u16>> = cluster.nodes.iter().map(|node| self.encrypt_redis(node, LOOPBACK)).collect();
        cluster.use_tls(&ports?)
    }

    /// Makes PostgreSQL show a certificate for `name` to clients that ask for TLS.
    pub fn encrypt_postgres(&self, postgres: &Postgres, name: &str) -> Result<()> {
        let (cert, key) = self.issue(name)?;
        let data = PathBuf::from(postgres.query("postgres", "SHOW data_directory")?.trim());
        place(Path::new(&cert), &data.join("server.crt"))?;
        place(Path::new(&key), &data.join("server.key"))?;
        postgres.query("postgres", "ALTER SYSTEM SET ssl = on")?;
        postgres.query("postgres", "SELECT pg_reload_conf()")?;
        wait::until("PostgreSQL speaks TLS", SOON, || {
            Ok((postgres.query("postgres", "SHOW ssl")?.trim() == "on").then_some(()))
        })
    }
}

/// Copies a file so that only the folder's owner may read it, as PostgreSQL requires for keys.
fn place(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a folder")?;
    let owner = std::fs::metadata(folder)?;
    std::fs::copy(from, to).with_context(|| format!("copying to {}", to.display()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600))?;
    chown(to, Some(owner.uid()), Some(owner.gid()))?;
    Ok(())
}

fn openssl(arguments: &[&str]) -> Result<()> {
    let made = Command::new("openssl").args(NEW_KEY).args(arguments).output().context("openssl")?;
    if !made.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}
