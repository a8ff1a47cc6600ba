//! The web client, if `WEB_ROOT` names its files: loaded once at the start and served from memory, so that a request
//! can only name files that existed then. The client's build has already compressed them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::reply::{Response, accepts, json_response};

const INDEX: &str = "/index.html";
/// The client requests this first to learn how users sign in here.
const ABOUT: &str = "/web.json";
/// The first segments of the client's own routes; all of them return its page.
const ROUTES: [&str; 5] = ["c", "new", "settings", "communities", "login"];
/// The build puts a hash of the content into the names of these files.
const HASHED: &str = "/assets/";
/// A larger folder is not a web client.
const MAX_BYTES: u64 = 64 << 20;
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The files by the paths they are served under, and the headers of all their answers.
pub struct Web {
    files: HashMap<String, File>,
    headers: Vec<(HeaderName, HeaderValue)>,
    about: About,
}

struct File {
    kind: &'static str,
    plain: Variant,
    /// By the name of the encoding, best first.
    encoded: Vec<(&'static str, Variant)>,
}

struct Variant {
    body: Bytes,
    etag: HeaderValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    /// `builtin`: accounts of this server; `host`: the page around the client supplies a token.
    auth: &'static str,
    embedded_by: Vec<String>,
}

impl Web {
    /// Reads all files of the folder. Blocks.
    ///
    /// # Errors
    /// When the folder holds no `index.html`, is too large, or cannot be read.
    pub fn load(root: &Path, frame_ancestors: &[String], builtin_auth: bool) -> anyhow::Result<Self> {
        let mut found = HashMap::new();
        let mut budget = MAX_BYTES;
        read_folder(root, "", &mut budget, &mut found).with_context(|| format!("WEB_ROOT {}", root.display()))?;
        let mut files = HashMap::new();
        for (path, body) in &found {
            if ENCODINGS.iter().any(|(_, end)| path.strip_suffix(end).is_some_and(|plain| found.contains_key(plain))) {
                continue;
            }
            let encoded =
                ENCODINGS.iter().filter_map(|(name, end)| Some((*name, variant(found.get(&format!("{path}{end}"))?))));
            files.insert(path.clone(), File { kind: kind(path), plain: variant(body), encoded: encoded.collect() });
        }
        if !files.contains_key(INDEX) {
            bail!("WEB_ROOT {}: there is no index.html", root.display());
        }
        let about =
            About { auth: if builtin_auth { "builtin" } else { "host" }, embedded_by: frame_ancestors.to_vec() };
        Ok(Self { files, headers: headers(frame_ancestors)?, about })
    }

    /// Answers a request for the client; `None` leaves it to the other paths. HEAD counts as GET.
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let mut response = match path {
            ABOUT => json_response(&self.about),
            _ => self.file(path)?.answer(headers),
        };
        let cached = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let answered = response.headers_mut();
        answered.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
        answered.extend(self.headers.iter().cloned());
        Some(response)
    }

    fn file(&self, path: &str) -> Option<&File> {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let is_route = path == "/" || ROUTES.contains(&first);
        self.files.get(if is_route { INDEX } else { path })
    }
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let encoded = self.encoded.iter().find(|(name, _)| accepts(headers, name));
        let variant = encoded.map_or(&self.plain, |(_, variant)| variant);
        let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &variant.etag));
        let mut response = Response::new(if is_known { Bytes::new().into() } else { variant.body.clone().into() });
        let answered = response.headers_mut();
        answered.insert(header::ETAG, variant.etag.clone());
        if !self.encoded.is_empty() {
            answered.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        answered.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if let Some((name, _)) = encoded {
            answered.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }
}

/// True if an `If-None-Match` names the tag; compares weakly, as RFC 9110 requires.
fn names(value: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(value), Ok(etag)) = (value.to_str(), etag.to_str()) else { return false };
    value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn read_folder(
    folder: &Path,
    prefix: &str,
    budget: &mut u64,
    found: &mut HashMap<String, Bytes>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, metadata) = (format!("{prefix}/{name}"), std::fs::metadata(entry.path())?);
        if metadata.is_dir() {
            read_folder(&entry.path(), &path, budget, found)?;
        } else if metadata.is_file() {
            let left = budget.checked_sub(metadata.len());
            *budget = left.with_context(|| format!("it holds more than {MAX_BYTES} bytes"))?;
            let body = std::fs::read(entry.path()).with_context(|| path.clone())?;
            ensure!(found.insert(path, body.into()).is_none(), "a file appears twice");
        }
    }
    Ok(())
}

fn variant(body: &Bytes) -> Variant {
    let mut tag = String::from('"');
    for byte in Sha256::digest(body).iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    // Hexadecimal digits in quotes are a valid header value.
    let etag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    Variant { body: body.clone(), etag }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Allows no inline script or style, nothing from other origins, and framing only by the pages that the setting names.
fn headers(frame_ancestors: &[String]) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let ancestors = if frame_ancestors.is_empty() { "'none'".to_owned() } else { frame_ancestors.join(" ") };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
         worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}; \
         require-trusted-types-for 'script'"
    );
    let fixed = |name, value| (name, HeaderValue::from_static(value));
    let mut headers = vec![
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy)?),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
        fixed(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        fixed(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        fixed(HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    if frame_ancestors.is_empty() {
        headers.push(fixed(header::X_FRAME_OPTIONS, "DENY"));
    }
    Ok(headers)
}
