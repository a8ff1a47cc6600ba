//! Sealing and opening: published test vectors, the original server's rows, tampering, and key rotation.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use aes::cipher::KeyInit;
use aes::{Aes256Dec, Aes256Enc};
use proptest::prelude::*;

use super::*;
use crate::config::Secret;
use crate::crypto::{EncryptionSettings, KeyringError};

/// `crypto.scryptSync("legacy-test-key-legacy-test-key-", "salt", 32)` and `createCipheriv("aes-256-cbc", …)` of Node.
const LEGACY_KEY: &str = "legacy-test-key-legacy-test-key-";
const LEGACY_IV_HEX: &str = "000102030405060708090a0b0c0d0e0f";
const LEGACY_CONTENT_HEX: &str =
    "f9f9732976013c553ed401e6839e64ec6b2f2578d40d7b366e59f97be391448a92de9a8716690feeaba0d4d4e4907ae7";
const LEGACY_PLAINTEXT: &str = "Grüße aus dem alten System 👋";

const ID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
const OTHER_ID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);

/// Derived once: it takes a while in a debug build.
static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::derive(&EncryptionSettings::single(LEGACY_KEY, "new-salt")).unwrap());

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn aes_256_cbc_is_that_of_nist_sp_800_38a() {
    let key: [u8; 32] = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").try_into().unwrap();
    let iv: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    let plaintext = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ));
    let expected = hex(concat!(
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"
    ));
    let encrypt = Aes256Enc::new(&key.into());
    let ciphertext = cbc::Encryptor::inner_iv_init(&encrypt, &iv.into()).encrypt_padded_vec::<Pkcs7>(&plaintext);
    // The standard's vector has no padding, which is one more block here.
    assert_eq!(ciphertext[..64], expected);
    assert_eq!(ciphertext.len(), 80);
    let decrypt = Aes256Dec::new(&key.into());
    let back = cbc::Decryptor::inner_iv_init(&decrypt, &iv.into()).decrypt_padded_vec::<Pkcs7>(&ciphertext).unwrap();
    assert_eq!(back, plaintext);
}

#[test]
fn scrypt_is_that_of_rfc_7914() {
    let mut derived = [0u8; 64];
    let params = scrypt::Params::new(14, 8, 1).unwrap();
    scrypt::scrypt(b"pleaseletmein", b"SodiumChloride", &params, &mut derived).unwrap();
    let expected = hex(concat!(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    ));
    assert_eq!(derived[..], expected);
}

#[test]
fn a_sealed_row_is_what_the_documentation_says() {
    // Made with Node: key = scryptSync(LEGACY_KEY, "new-salt", 32), mac key = HMAC-SHA-256(key, "chat/at-rest/mac/v1").
    let key: [u8; 32] = hex("25eed5dcfab6b559bbb835949442e6d0dbee5030d65b48652822403f77b56d30").try_into().unwrap();
    let sealed = KEYRING.seal(ID, b"hello");
    let decrypt = Aes256Dec::new(&key.into());
    let plaintext = cbc::Decryptor::inner_iv_init(&decrypt, &sealed.iv.into())
        .decrypt_padded_vec::<Pkcs7>(&sealed.ciphertext)
        .unwrap();
    assert_eq!(plaintext, b"hello");

    type Mac256 = Hmac<Sha256>;
    let mut label = <Mac256 as KeyInit>::new_from_slice(&key).unwrap();
    label.update(b"chat/at-rest/mac/v1");
    let mut mac = <Mac256 as KeyInit>::new_from_slice(&label.finalize().into_bytes()).unwrap();
    let input = [&1i16.to_be_bytes()[..], ID.as_bytes(), &sealed.iv, &sealed.ciphertext].concat();
    mac.update(&input);
    assert_eq!(mac.finalize().into_bytes()[..], sealed.mac);
}

#[test]
fn rows_of_the_original_server_are_readable_in_hex_and_raw() {
    let (iv, content) = (hex(LEGACY_IV_HEX), hex(LEGACY_CONTENT_HEX));
    let upper = LEGACY_CONTENT_HEX.to_uppercase();
    for iv in [LEGACY_IV_HEX.as_bytes(), &iv] {
        for content in [LEGACY_CONTENT_HEX.as_bytes(), upper.as_bytes(), &content] {
            for no_mac in [None, Some(&b""[..])] {
                let opened = KEYRING.open(ID, LEGACY_KEY_ID, iv, no_mac, content).unwrap();
                assert_eq!(opened, LEGACY_PLAINTEXT.as_bytes());
            }
        }
    }
}

#[test]
fn malformed_legacy_rows_are_rejected() {
    let open = |iv: &[u8], mac, content: &[u8]| KEYRING.open(ID, LEGACY_KEY_ID, iv, mac, content);
    let (iv, content) = (LEGACY_IV_HEX.as_bytes(), LEGACY_CONTENT_HEX.as_bytes());
    assert_eq!(open(&iv[..31], None, content), Err(OpenError::BadIv));
    assert_eq!(open(&[0; 17], None, content), Err(OpenError::BadIv));
    assert_eq!(open(b"", None, content), Err(OpenError::BadIv));
    assert_eq!(open(iv, None, &content[..95]), Err(OpenError::BadContent));
    assert_eq!(open(iv, None, b""), Err(OpenError::BadContent));
    assert_eq!(open(iv, Some(&[0; 32]), content), Err(OpenError::BadMac));
}

#[test]
fn every_part_is_protected() {
    let sealed = KEYRING.seal(ID, b"pay Bob 10");
    let open = |id, s: &Sealed| KEYRING.open_sealed(id, s);
    assert_eq!(open(ID, &sealed).unwrap(), b"pay Bob 10");
    assert_eq!(open(OTHER_ID, &sealed), Err(OpenError::BadMac));
    for bit in 0..8 {
        for at in 0..16 {
            let mut changed = sealed.clone();
            changed.iv[at] ^= 1 << bit;
            assert_eq!(open(ID, &changed), Err(OpenError::BadMac));
        }
        for at in 0..32 {
            let mut changed = sealed.clone();
            changed.mac[at] ^= 1 << bit;
            assert_eq!(open(ID, &changed), Err(OpenError::BadMac));
        }
        for at in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[at] ^= 1 << bit;
            assert_eq!(open(ID, &changed), Err(OpenError::BadMac));
        }
    }
    let (iv, mac) = (&sealed.iv[..], &sealed.mac[..]);
    let text = &sealed.ciphertext[..];
    assert_eq!(KEYRING.open(ID, 1, iv, None, text), Err(OpenError::MissingMac(1)));
    assert_eq!(KEYRING.open(ID, 1, iv, Some(b""), text), Err(OpenError::MissingMac(1)));
    assert_eq!(KEYRING.open(ID, 1, iv, Some(&mac[..31]), text), Err(OpenError::BadMac));
    assert_eq!(KEYRING.open(ID, 1, &iv[..15], Some(mac), text), Err(OpenError::BadIv));
    assert_eq!(KEYRING.open(ID, 2, iv, Some(mac), text), Err(OpenError::UnknownKey(2)));
    assert_eq!(KEYRING.open(ID, -1, iv, Some(mac), text), Err(OpenError::UnknownKey(-1)));
    // Disguised as a legacy row, it is opened with another key: an error or noise, but never the content.
    let downgraded = KEYRING.open(ID, LEGACY_KEY_ID, iv, None, text);
    assert_ne!(downgraded.as_deref(), Ok(&b"pay Bob 10"[..]));
}

#[test]
fn a_key_can_be_rotated_out() {
    let (old, new) = ("old-key-old-key-old-key-old-key-", "new-key-new-key-new-key-new-key-");
    let before = Keyring::derive(&EncryptionSettings::single(old, "s")).unwrap();
    let list = format!("7:{new}, 1:{old}");
    let during = Keyring::derive(&EncryptionSettings::list(&list, "s", Some(Secret::new(old))).unwrap()).unwrap();
    let after = Keyring::derive(&EncryptionSettings::list(&format!("7:{new}"), "s", None).unwrap()).unwrap();

    let old_row = before.seal(ID, b"old");
    let new_row = during.seal(ID, b"new");
    assert_eq!((old_row.key_id, new_row.key_id, during.newest_key_id()), (1, 7, 7));
    assert_eq!(during.key_ids().collect::<Vec<_>>(), [0, 1, 7]);
    assert_eq!(during.open_sealed(ID, &old_row).unwrap(), b"old");
    assert_eq!(during.open_sealed(ID, &new_row).unwrap(), b"new");
    assert_eq!(after.open_sealed(ID, &new_row).unwrap(), b"new");
    assert_eq!(after.open_sealed(ID, &old_row), Err(OpenError::UnknownKey(1)));
    // The MAC covers the key id, too.
    assert_eq!(during.open_sealed(ID, &Sealed { key_id: 7, ..old_row }), Err(OpenError::BadMac));
}

#[test]
fn key_lists_are_checked() {
    use KeyringError::{BadEntry, Count, DuplicateId, NoSalt};
    let list = |text: &str| EncryptionSettings::list(text, "s", None).map(|settings| settings.keys.len());
    assert_eq!(list("2:b:with:colons,1:a"), Ok(2));
    assert_eq!(list("32767:a"), Ok(1));
    for bad in ["", "a", "0:a", "-1:a", "32768:a", "1:", "x:a"] {
        assert_eq!(list(bad), Err(BadEntry { position: 1 }), "{bad}");
    }
    assert_eq!(list("1:a,"), Err(BadEntry { position: 2 }));
    assert_eq!(list("1:a,1:b"), Err(DuplicateId { id: 1 }));
    let many: Vec<String> = (1..=65).map(|id| format!("{id}:k")).collect();
    assert_eq!(list(&many.join(",")), Err(Count { given: 65 }));
    assert_eq!(EncryptionSettings::list("1:a", "", None).map(drop), Err(NoSalt));
}

#[test]
fn nothing_prints_a_key() {
    let settings = EncryptionSettings::list("3:geheim", "s", Some(Secret::new("geheim"))).unwrap();
    let ring = Keyring::derive(&settings).unwrap();
    let printed = format!("{settings:?} {ring:?}");
    assert!(!printed.contains("geheim"), "{printed}");
    assert!(printed.contains("ids: [0, 3]"), "{printed}");
    let error = EncryptionSettings::list("1:a,geheim", "s", None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("geheim"));
}

#[test]
fn invalid_blobs_are_rejected() {
    let blob = KEYRING.seal_blob(ID, b"x");
    assert_eq!(blob.len(), 51 + 16);
    for length in 0..51 {
        assert_eq!(KEYRING.open_blob(ID, &blob[..length]), Err(OpenError::BadBlob), "{length}");
    }
    for length in 51..blob.len() {
        assert_eq!(KEYRING.open_blob(ID, &blob[..length]), Err(OpenError::BadMac), "{length}");
    }
    let mut version = blob.clone();
    version[0] = 2;
    assert_eq!(KEYRING.open_blob(ID, &version), Err(OpenError::BadBlob));
    // A blob cannot claim to be a legacy row, which has no MAC.
    let mut legacy = blob;
    legacy[2] = 0;
    assert_eq!(KEYRING.open_blob(ID, &legacy), Err(OpenError::BadBlob));
    assert_eq!(Sealed::from_blob(&legacy), Err(OpenError::BadBlob));
}

proptest! {
    #[test]
    fn what_is_sealed_opens(id: u128, plaintext in proptest::collection::vec(any::<u8>(), 0..200)) {
        let id = Uuid::from_u128(id);
        let sealed = KEYRING.seal(id, &plaintext);
        prop_assert_eq!(&KEYRING.open_sealed(id, &sealed).unwrap(), &plaintext);
        let blob = sealed.to_blob();
        prop_assert_eq!(&KEYRING.open_blob(id, &blob).unwrap(), &plaintext);
        prop_assert_eq!(Sealed::from_blob(&blob).unwrap(), sealed.clone());
        // Never the same twice.
        prop_assert_ne!(KEYRING.seal(id, &plaintext).iv, sealed.iv);
    }

    #[test]
    fn opening_noise_never_panics_nor_succeeds(
        key_id in -2i16..4,
        iv in proptest::collection::vec(any::<u8>(), 0..40),
        mac in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40)),
        content in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let opened = KEYRING.open(ID, key_id, &iv, mac.as_deref(), &content);
        prop_assert!(opened.is_err() || (key_id == LEGACY_KEY_ID && mac.is_none()));
        prop_assert!(KEYRING.open_blob(ID, &content).is_err());
    }
}
