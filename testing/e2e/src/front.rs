//! nginx with the deployed configuration in front of a deployment's gateways, with its own certificate.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use client::Connect;
use devstack::{Nginx, testing};

use crate::{Deployment, User, repository};

pub struct Front {
    pub nginx: Nginx,
    certificate: Vec<u8>,
    certificate_path: PathBuf,
}

impl Front {
    /// Starts nginx in front of all gateways. They have to trust it: `TRUSTED_PROXIES` is 127.0.0.1.
    pub fn start(deployment: &Deployment) -> Result<Front> {
        let secrets = deployment.logs().join("secrets");
        make_secrets(&secrets)?;
        let tls = secrets.join("nginx");
        let program = testing::find_tool("nginx")?;
        let mut nginx = Nginx::open(&program, deployment.logs(), &repository("deploy/nginx"), &tls)?;
        let gateways = deployment.fleet.gateways.iter();
        let addresses: Vec<String> = gateways.map(|gateway| format!("127.0.0.1:{}", gateway.spec().port)).collect();
        nginx.set_gateways(&addresses)?;
        nginx.start()?;
        let certificate_path = tls.join("tls.crt");
        let certificate = std::fs::read(&certificate_path).context("the certificate")?;
        Ok(Front { nginx, certificate, certificate_path })
    }

    /// Returns the path of the certificate that clients have to trust.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// Returns an encrypted connection through nginx to a path.
    pub fn connect_to(&self, path: &str) -> Connect {
        Connect::new(&format!("{}{path}", self.nginx.url())).trusting(&self.certificate)
    }

    pub fn connect(&self) -> Connect {
        self.connect_to("/ws")
    }

    /// Logs a user in from an address.
    pub async fn login(&self, user: &User, from: IpAddr) -> Result<client::Client, client::Error> {
        let mut client = self.connect().source(from).open().await?;
        client.authenticate(&user.token).await?;
        Ok(client)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.nginx.stop();
    }
}

/// Creates the secrets of a deployment with its own script.
fn make_secrets(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    testing::find_tool("openssl")?;
    let made = Command::new("sh").arg(repository("deploy/secrets.sh")).arg(folder).output().context("secrets.sh")?;
    if !made.status.success() {
        bail!("secrets.sh: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}
