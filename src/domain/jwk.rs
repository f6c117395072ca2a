//! The public keys of an issuer (RFC 7517, RFC 7518 section 6, RFC 8037), and whether one
//! of them signed a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

use super::bounds;
use super::jwt::{Algorithm, Jwt};
use super::session::Refusal;

/// The text is no set of keys that could verify anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Web Key Set with a public key that verifies signatures")]
pub struct ParseKeysError;

/// An issuer's keys, as far as they can verify anything here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Whether a private key stands among them.
    exposes_private: bool,
}

/// A public key. Which algorithms it verifies is its own to say, never the JWT's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    key_id: String,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
        algorithm: Algorithm,
    },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that can verify nothing here are left out: those without a `kid`,
    /// of other kinds, for other uses, too short, and shared secrets. So are private keys:
    /// what is published signs for everybody.
    pub fn parse(text: &[u8]) -> Result<Self, ParseKeysError> {
        if text.len() > bounds::JWKS_BYTES {
            return Err(ParseKeysError);
        }
        let set: RawSet = serde_json::from_slice(text).map_err(|_| ParseKeysError)?;
        if set.keys.len() > bounds::JWKS_KEYS {
            return Err(ParseKeysError);
        }
        let mut keys = Vec::new();
        let mut exposes_private = false;
        for key in set.keys {
            // Also of one that is not understood.
            let is_shared = key.get("kty").and_then(Value::as_str) == Some("oct");
            exposes_private |= is_shared || key.get("d").is_some();
            let Ok(key) = serde_json::from_value::<RawKey>(key) else {
                continue;
            };
            keys.extend(key.read());
        }
        if keys.is_empty() {
            return Err(ParseKeysError);
        }
        Ok(Self {
            keys,
            exposes_private,
        })
    }

    /// Returns whether a private or shared key stands in the set, which nobody should see.
    pub fn exposes_private(&self) -> bool {
        self.exposes_private
    }

    /// Returns whether the set has a key of this id.
    pub fn has(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.key_id == key_id)
    }

    /// Refuses a JWT that the key it names did not sign. Of several keys of one id, the
    /// first of the JWT's algorithm is meant.
    pub fn verify(&self, jwt: &Jwt) -> Result<(), Refusal> {
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.key_id == jwt.key_id)
            .peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let key = named.find(|key| key.material.algorithm() == jwt.algorithm);
        let key = key.ok_or(Refusal::Algorithm)?;
        let (signed, signature) = jwt.signed();
        if key.material.signed(signed, signature) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}

impl RawKey {
    fn read(self) -> Option<Key> {
        let verifies = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !verifies || self.d.is_some() {
            return None;
        }
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let modulus = number(self.n.as_deref()?)?;
                let exponent = number(self.e.as_deref()?)?;
                // 2,048 to 8,192 bits.
                if !(256..=1024).contains(&modulus.len()) {
                    return None;
                }
                let algorithm = match self.alg.as_deref() {
                    None => Algorithm::Rs256,
                    Some(name) => Algorithm::named(name)?,
                };
                Material::Rsa {
                    modulus,
                    exponent,
                    algorithm,
                }
            }
            ("EC", Some("P-256")) => Material::P256(self.point(32)?),
            ("EC", Some("P-384")) => Material::P384(self.point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(sized(self.x.as_deref()?, 32)?),
            _ => return None,
        };
        let said = self.alg.as_deref().map(Algorithm::named);
        let fits = said.is_none_or(|said| said == Some(material.algorithm()));
        let key_id = self.kid.filter(|id| !id.is_empty())?;
        (fits && material.is_of_its_kind()).then_some(Key { key_id, material })
    }

    /// Returns a point of a curve, uncompressed.
    fn point(&self, width: usize) -> Option<Vec<u8>> {
        let (x, y) = (
            sized(self.x.as_deref()?, width)?,
            sized(self.y.as_deref()?, width)?,
        );
        Some([&[4], x.as_slice(), y.as_slice()].concat())
    }
}

impl Material {
    /// Returns the one algorithm that this key verifies.
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { algorithm, .. } => *algorithm,
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Returns whether an RSA key names an algorithm of RSA.
    fn is_of_its_kind(&self) -> bool {
        let of_rsa = !matches!(
            self.algorithm(),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa
        );
        of_rsa == matches!(self, Self::Rsa { .. })
    }

    /// Returns whether this key signed that.
    fn signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa {
                modulus,
                exponent,
                algorithm,
            } => {
                let parameters = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return false,
                };
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, signed, signature)
            }
            Self::P256(point) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature),
            Self::P384(point) => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                .verify(signed, signature),
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, signature)
            }
        };
        verified.is_ok()
    }
}

/// Returns a number as its bytes, without leading zeros.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes.into_iter().skip(zeros).collect())
}

/// Returns bytes that are so many.
fn sized(text: &str, width: usize) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == width).then_some(bytes)
}

#[cfg(test)]
mod tests;
