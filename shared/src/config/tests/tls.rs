//! Which TLS settings for the stores are rejected at a start.

use super::{gateway, only_problem, worker};

/// A certificate authority whose key was thrown away.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUc2KBgLeuBYAq/ST17yu2LmGGM30wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyMTE2NDUyMFoYDzIxMjYxMDI4
MTY0NTIwWjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARb4aEam3/+ktydgsnKgA2g9bA1ezA3s1zgVgKlwOr5bOtfIwauMKkc
OJZymMOuLdjzBHHnNm4/h7oAIs2ZLOEho1MwUTAdBgNVHQ4EFgQUzsml5bLBjAYQ
REs35fbt3gSlqtgwHwYDVR0jBBgwFoAUzsml5bLBjAYQREs35fbt3gSlqtgwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAnQpLQXMsmcI7g90eG6un
rM3QuxaKib3UdnyhuI8/qmICIHVh+KA5j8t6+GjmAzRtn0Mt7bt4gMaZ7cyrPkSv
82RV
-----END CERTIFICATE-----
";

#[test]
fn tls_that_would_verify_nothing_is_refused_at_the_start() {
    let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
    std::fs::create_dir(&folder).unwrap();
    let (good, empty) = (folder.join("ca.pem").display().to_string(), folder.join("empty.pem").display().to_string());
    std::fs::write(&good, AUTHORITY).unwrap();
    std::fs::write(&empty, "no certificate").unwrap();

    gateway(&[("REDIS_URL", "rediss://u:p@h:1"), ("REDIS_TLS_CA", &good)]).unwrap();
    let plain = only_problem(gateway(&[("REDIS_URL", "redis://u:p@h:1"), ("REDIS_TLS_CA", &good)]));
    assert!(plain.contains("rediss"), "{plain}");
    for (file, complaint) in [(empty.as_str(), "holds no certificate"), ("/nonexistent", "No such file")] {
        let problem = only_problem(gateway(&[("REDIS_URL", "rediss://u:p@h:1"), ("REDIS_TLS_CA", file)]));
        assert!(problem.starts_with("REDIS_TLS_CA: ") && problem.contains(complaint), "{problem}");
    }

    let database = |query: &str| worker(&[("DATABASE_URL", &format!("postgres://u:hunter2@h/chat?{query}"))]);
    database(&format!("sslmode=verify-full&sslrootcert={good}")).unwrap();
    database("sslmode=verify-full").unwrap();
    for query in [format!("sslrootcert={good}"), format!("sslmode=require&sslrootcert={good}")] {
        let problem = only_problem(database(&query));
        assert!(problem.contains("verifies nothing") && !problem.contains("hunter2"), "{problem}");
    }
    let replica = "postgres://u:hunter2@h/chat?sslrootcert=/nonexistent&sslmode=verify-full";
    let problem = only_problem(worker(&[("DATABASE_REPLICA_URL", replica)]));
    assert!(problem.starts_with("DATABASE_REPLICA_URL: sslrootcert: ") && !problem.contains("hunter2"), "{problem}");
    let unreadable = only_problem(database("sslmode=verify-full&sslrootcert=/nonexistent"));
    assert!(unreadable.contains("/nonexistent"), "{unreadable}");
    std::fs::remove_dir_all(&folder).unwrap();
}
