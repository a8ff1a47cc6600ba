//! Tests if a secret is good enough for production.

use zeroize::Zeroizing;

/// Parts of the secrets used in examples and demonstrations. None is shorter than six characters, so that none occurs by chance in a random secret.
const WELL_KNOWN_PARTS: &[&str] = &[
    "change-in-",
    "changeit",
    "changeme",
    "change-me",
    "change_me",
    "changethis",
    "change-this",
    "change_this",
    "default-",
    "default_",
    "defaultkey",
    "defaultsecret",
    "demo-key",
    "demo-secret",
    "demo-token",
    "dev-key",
    "dev-secret",
    "dev-token",
    "dev-only",
    "development",
    "do-not-use",
    "do_not_use",
    "donotuse",
    "example",
    "insecure",
    "jwt-secret",
    "jwt_secret",
    "jwtsecret",
    "not-a-secret",
    "not-secret",
    "password",
    "placeholder",
    "replace-me",
    "replace_me",
    "replaceme",
    "sample",
    "secret-key",
    "secret_key",
    "secretkey",
    "supersecret",
    "super-secret",
    "test-key",
    "test-secret",
    "test-token",
    "testsecret",
    "your-",
    "your_",
    "yoursecret",
];
/// In use at sites of the original that never set a key.
const ORIGINAL_DEFAULT_KEY: &str = "super-secure-aes-encryption-key-32";
const MIN_BYTES: usize = 32;
const MIN_DISTINCT_BYTES: usize = 8;

/// Why a secret is not good enough for production, if there is a reason.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    if secret == ORIGINAL_DEFAULT_KEY {
        return Some(
            "is the key that the original server's documents print (set CHAT_ENCRYPTION_KEYS=1:<a new key> for new rows, and this \
             one as CHAT_ENCRYPTION_LEGACY_KEY, so that the original's rows stay readable)",
        );
    }
    if secret.len() < MIN_BYTES {
        return Some("is shorter than 32 bytes");
    }
    if is_well_known(secret.as_bytes()) || decoded(secret).is_some_and(|bytes| is_well_known(&bytes)) {
        return Some("is or contains a well-known example value");
    }
    if is_monotonous(secret.as_bytes()) || decoded(secret).is_some_and(|bytes| is_monotonous(&bytes)) {
        return Some("repeats itself or uses too few different characters");
    }
    None
}

fn decoded(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(secret).ok().map(Zeroizing::new)
}

fn is_well_known(secret: &[u8]) -> bool {
    let lower = Zeroizing::new(secret.to_ascii_lowercase());
    WELL_KNOWN_PARTS.iter().any(|part| lower.windows(part.len()).any(|window| window == part.as_bytes()))
}

fn is_monotonous(secret: &[u8]) -> bool {
    let mut seen = [false; 256];
    secret.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    let repeats = (1..=secret.len() / 2).any(|period| secret[period..] == secret[..secret.len() - period]);
    let counts_up = secret.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count() * 2 > secret.len();
    distinct < MIN_DISTINCT_BYTES || repeats || counts_up
}
