//! Which servers a connection to Redis over TLS trusts: those certified by the system's certificate authorities, or
//! only by those of `REDIS_TLS_CA`. The server's name is always checked.

use std::sync::Arc;

use fred::types::config::{TlsConfig, TlsConnector};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificate authorities in a PEM file. Blocks on it.
///
/// # Errors
/// With a description of what is wrong with the file.
pub fn read_authorities(path: &str) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| format!("\"{path}\": {error}"))?;
    let mut authorities = RootCertStore::empty();
    for certificate in certificates {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| authorities.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|problem| format!("\"{path}\": {problem}"))?;
    }
    match authorities.is_empty() {
        true => Err(format!("\"{path}\" holds no certificate")),
        false => Ok(authorities),
    }
}

/// Trusts only the authorities in a file.
pub fn trusting(path: &str) -> Result<TlsConfig, String> {
    let authorities = read_authorities(path)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(TlsConnector::from(config).into())
}
