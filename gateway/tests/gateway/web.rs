//! The web client's files: what is served, how it is cached and compressed, and its security headers.

use std::path::PathBuf;

use devstack::Scratch;

use crate::harness::{Harness, exchange};

struct Client {
    scratch: Scratch,
}

impl Client {
    fn new() -> Self {
        let scratch = Scratch::new("web").unwrap();
        let client = Client { scratch };
        std::fs::create_dir_all(client.root().join("assets")).unwrap();
        std::fs::write(client.scratch.dir().join("secret.txt"), "not yours").unwrap();
        for (path, body) in [
            ("index.html", "<!doctype html>the client"),
            ("index.html.br", "as brotli"),
            ("index.html.gz", "as gzip"),
            ("assets/app-1a2b.js", "let app"),
            ("manifest.webmanifest", "{}"),
        ] {
            std::fs::write(client.root().join(path), body).unwrap();
        }
        client
    }

    fn root(&self) -> PathBuf {
        self.scratch.dir().join("dist")
    }

    async fn serve(&self, more: &[(&str, &str)]) -> Harness {
        let root = self.root().display().to_string();
        let mut settings = vec![("WEB_ROOT", root.as_str())];
        settings.extend(more);
        Harness::start(&settings).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_client_is_served_beside_the_endpoints() {
    let client = Client::new();
    let harness = client.serve(&[]).await;
    for path in ["/", "/index.html", "/c/conv_1_2", "/c/conv_1_2/17", "/settings"] {
        let (status, head, body) = harness.http("GET", path, &[]).await;
        assert_eq!((status, body.as_slice()), (200, b"<!doctype html>the client".as_slice()), "{path}");
        assert!(head.contains("text/html") && head.contains("cache-control: no-cache"), "{head}");
    }
    let (_, head, body) = harness.http("GET", "/assets/app-1a2b.js", &[]).await;
    assert!(head.contains("text/javascript") && head.contains("max-age=31536000, immutable"), "{head}");
    assert_eq!(body, b"let app");
    let (status, head, body) = harness.http("HEAD", "/assets/app-1a2b.js", &[]).await;
    assert!(status == 200 && head.contains("content-length: 7") && body.is_empty(), "{head}");
    let (_, head, _) = harness.http("GET", "/manifest.webmanifest", &[]).await;
    assert!(head.contains("application/manifest+json"), "{head}");
    for (method, path, status) in [("GET", "/assets/gone.js", 404), ("GET", "/nothing", 404), ("POST", "/", 405)] {
        assert_eq!(harness.http(method, path, &[]).await.0, status, "{method} {path}");
    }
    assert_eq!(harness.get("/live").await.0, 200);
    let _alice = harness.login(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_folder() {
    let client = Client::new();
    let harness = client.serve(&[]).await;
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..\\..\\secret.txt",
        "//secret.txt",
        "/c/../../secret.txt",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let (_, _, body) = exchange(&harness.url, &request).await;
        assert!(!String::from_utf8_lossy(&body).contains("not yours"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_build_compressed_is_sent_and_revalidated() {
    let client = Client::new();
    let harness = client.serve(&[]).await;
    let mut tags = Vec::new();
    for (accepted, encoding, body) in [
        ("gzip, deflate, br", "br", "as brotli"),
        ("gzip", "gzip", "as gzip"),
        ("br;q=0, *", "gzip", "as gzip"),
        ("identity", "", "<!doctype html>the client"),
    ] {
        let (_, head, got) = harness.http("GET", "/", &[("Accept-Encoding", accepted)]).await;
        assert_eq!(got, body.as_bytes(), "{accepted}");
        assert_eq!(head.contains(&format!("content-encoding: {encoding}")), !encoding.is_empty(), "{head}");
        assert!(head.contains("vary: accept-encoding"), "{head}");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
        let known = [("Accept-Encoding", accepted), ("If-None-Match", tag.as_str())];
        let (status, _, got) = harness.http("GET", "/c/x", &known).await;
        assert!(status == 304 && got.is_empty());
        tags.push(tag);
    }
    assert!(tags[0] != tags[1] && tags[1] == tags[2] && tags[2] != tags[3], "a tag per encoding: {tags:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_run_nothing_else() {
    let client = Client::new();
    let harness = client.serve(&[]).await;
    let (_, head, _) = harness.http("GET", "/", &[]).await;
    for part in [
        "default-src 'none'; script-src 'self'; style-src 'self';",
        "frame-ancestors 'none'; require-trusted-types-for 'script'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    assert_eq!(harness.get("/web.json").await.1, serde_json::json!({"auth": "host", "embeddedBy": []}));

    let host = ("FRAME_ANCESTORS", "https://app.example.org");
    let harness = client.serve(&[host, ("BUILTIN_AUTH", "true")]).await;
    let (_, head, _) = harness.http("GET", "/", &[]).await;
    assert!(head.contains("frame-ancestors https://app.example.org;") && !head.contains("x-frame-options"), "{head}");
    let about = serde_json::json!({"auth": "builtin", "embeddedBy": ["https://app.example.org"]});
    assert_eq!(harness.get("/web.json").await.1, about);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_do_not_count_against_an_addresss_requests() {
    let client = Client::new();
    let harness = client.serve(&[("IP_RATE_LIMIT", "3")]).await;
    for _ in 0..10 {
        assert_eq!(harness.http("GET", "/", &[]).await.0, 200);
    }
    for _ in 0..3 {
        assert_eq!(harness.http("GET", "/nothing", &[]).await.0, 404);
    }
    assert_eq!(harness.http("GET", "/nothing", &[]).await.0, 429);
    assert_eq!(harness.http("GET", "/", &[]).await.0, 200);
}
