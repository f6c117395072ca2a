//! The fast verifier: HMAC-SHA-256 (RFC 2104) of a secret under a key of the
//! server's, compared in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::value::Secret;

/// What a key of the ring is known by: its file's name, without the ending, and a
/// check of its bytes. Without that, a ring that was lost and made anew would have a
/// key of the old one's name, and every row would seem to be of a wrong secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub String);

impl KeyId {
    /// Returns the id of the key with this name and these bytes.
    pub fn of(name: &str, bytes: &[u8; 32]) -> Self {
        let check = mac(bytes).chain_update(b"key id").finalize().into_bytes();
        let [a, b, c, d, ..] = <[u8; 32]>::from(check);
        Self(format!("{name}.{:08x}", u32::from_be_bytes([a, b, c, d])))
    }

    /// Returns the key's name, by which keys are ordered.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(name, _)| name)
    }
}

/// A key of the ring: 32 bytes. Cannot be printed.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl Key {
    /// Prepares a key.
    pub fn new(id: KeyId, bytes: &[u8; 32]) -> Self {
        Self {
            id,
            mac: mac(bytes),
        }
    }

    /// Returns the key's name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the secret's fingerprint under this key.
    pub fn fingerprint(&self, secret: &Secret) -> Fingerprint {
        let mut mac = self.mac.clone();
        mac.update(secret.expose_bytes());
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        // HMAC takes keys of any length.
        Err(error) => unreachable!("{error}"),
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.id.0)
    }
}

/// A secret's fingerprint. Cannot be printed, and is compared in constant time.
#[derive(Clone)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the bytes, for the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(redacted)")
    }
}

/// A bcrypt hash in its text form. Cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(String);

impl SecretHash {
    /// Takes a hash's text, such as `$2b$10$…`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the store and for bcrypt.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::entropy::{Entropy, EntropyError};
    use super::super::value::TokenValue;
    use super::*;

    #[derive(Debug)]
    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(0);
            Ok(())
        }
    }

    #[test]
    fn a_fingerprint_depends_on_key_and_secret_and_shows_neither() {
        let value = TokenValue::mint("a_".parse().unwrap(), &Zeros).unwrap();
        let key = Key::new(KeyId("0001".into()), &[1; 32]);
        let other = Key::new(KeyId("0002".into()), &[2; 32]);
        let fingerprint = key.fingerprint(value.secret());
        assert_eq!(fingerprint, key.fingerprint(value.secret()));
        assert_ne!(fingerprint, other.fingerprint(value.secret()));
        assert_eq!(
            format!(
                "{key:?} {fingerprint:?} {:?}",
                SecretHash::new("$2b$".into())
            ),
            "Key(0001, redacted) Fingerprint(redacted) SecretHash(redacted)"
        );
    }

    #[test]
    fn keys_of_one_name_and_other_bytes_are_not_one_key() {
        // printf 'key id' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01
        let id = KeyId::of("0001", &[1; 32]);
        assert_eq!((id.name(), &*id.0), ("0001", "0001.cabf5820"));
        assert_ne!(id, KeyId::of("0001", &[2; 32]));
        assert_eq!(KeyId("0001".into()).name(), "0001");
    }

    #[test]
    fn the_mac_is_hmac_sha_256_of_the_43_characters() {
        // printf '0%.0s' {1..43} | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01
        let value = TokenValue::mint("a_".parse().unwrap(), &Zeros).unwrap();
        assert_eq!(value.secret().expose(), "0".repeat(43));
        let key = Key::new(KeyId("k".into()), &[1; 32]);
        let fingerprint = key.fingerprint(value.secret());
        let hex = fingerprint
            .as_bytes()
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(
            hex,
            "34c44e7756a0d9d1c03b06f2b540c19aee8fbf1d20a4a488b2e04b24d0ec23a6"
        );
    }
}
