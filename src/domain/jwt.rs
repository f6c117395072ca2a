//! JSON Web Tokens in the compact signed form (RFC 7515, RFC 7519): what one says. What
//! stands here is not yet believed: see [`KeySet`](super::jwk::KeySet) for who signed it
//! and [`Rules`](super::trust::Rules) for what is required of it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::bounds;
use super::session::Refusal;
use super::time::Timestamp;

/// Declares the algorithms that are accepted: `none` and those with a shared secret are
/// not among them, and never will be.
macro_rules! algorithms {
    ($($variant:ident = $text:literal,)+) => {
        /// An algorithm of a signature.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "they are those of RFC 7518, section 3.1, and RFC 8037")]
        pub enum Algorithm { $($variant,)+ }

        impl Algorithm {
            /// Returns the algorithm of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

algorithms! {
    Rs256 = "RS256",
    Rs384 = "RS384",
    Rs512 = "RS512",
    Ps256 = "PS256",
    Ps384 = "PS384",
    Ps512 = "PS512",
    Es256 = "ES256",
    Es384 = "ES384",
    EdDsa = "EdDSA",
}

/// A JWT that is well formed.
#[derive(Clone)]
pub struct Jwt {
    /// What its signature was made with, as it says.
    pub algorithm: Algorithm,
    /// The key that it names.
    pub key_id: String,
    /// Whether its header says that it is an access token (RFC 9068, section 2.1).
    pub says_access_token: bool,
    /// What it claims.
    pub claims: Claims,
    /// What was signed: its first two parts.
    signed: String,
    signature: Vec<u8>,
}

/// A session is a credential: it is never printed.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jwt(redacted)")
    }
}

/// The claims of a JWT.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims(Members);

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(redacted)")
    }
}

/// The members of a JSON object, none of which stands twice: two readers could otherwise
/// read two things. Within them, the last of several counts.
#[derive(Clone, PartialEq, Eq)]
struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Returns whether a credential is meant as a JWT: no value of a token has a full stop.
pub fn looks_like(credential: &str) -> bool {
    credential.contains('.')
}

impl Jwt {
    /// Reads a JWT.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > bounds::JWT_BYTES {
            return Err(Refusal::TooLong);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let (header, claims, signature) = match parts.as_slice() {
            [header, claims, signature] => (*header, *claims, *signature),
            // Of five parts is what is encrypted (RFC 7516).
            [_, _, _, _, _] => return Err(Refusal::Nested),
            _ => return Err(Refusal::Malformed),
        };
        let Members(header_members) = object(header)?;
        let text_of = |name: &str| match header_members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Refusal::Malformed),
        };
        if header_members.contains_key("crit") || header_members.contains_key("b64") {
            return Err(Refusal::Critical);
        }
        if header_members.contains_key("enc") || text_of("cty")?.is_some_and(is_jwt) {
            return Err(Refusal::Nested);
        }
        let algorithm = text_of("alg")?.and_then(Algorithm::named);
        let algorithm = algorithm.ok_or(Refusal::Algorithm)?;
        // Where else its key may be found (`jku`, `x5u`, `jwk`, `x5c`) is not looked at:
        // who forges a token writes its header, too.
        let key_id = text_of("kid")?.unwrap_or_default();
        if key_id.is_empty() || key_id.chars().count() > bounds::EXTERNAL_ID_CHARS {
            return Err(Refusal::NoKeyId);
        }
        let says_access_token = match text_of("typ")? {
            None => false,
            Some(typ) if is_jwt(typ) => false,
            Some(typ) if is_media_type(typ, "at+jwt") => true,
            Some(_) => return Err(Refusal::HeaderType),
        };
        Ok(Self {
            algorithm,
            key_id: key_id.to_owned(),
            says_access_token,
            claims: Claims(object(claims)?),
            signed: format!("{header}.{claims}"),
            signature: bytes(signature)?,
        })
    }

    /// Returns what was signed, and the signature.
    pub fn signed(&self) -> (&[u8], &[u8]) {
        (self.signed.as_bytes(), &self.signature)
    }
}

impl Claims {
    /// Returns a claim by its name, or, where that begins with `/`, by a JSON pointer
    /// (RFC 6901) to it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Some(path) = name.strip_prefix('/') else {
            return self.0.0.get(name);
        };
        let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
        match path.split_once('/') {
            None => self.0.0.get(&unescaped(path)),
            Some((first, rest)) => self
                .0
                .0
                .get(&unescaped(first))?
                .pointer(&format!("/{rest}")),
        }
    }

    /// Returns a claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Returns whether a claim is this text, or a list that has it.
    pub fn says(&self, name: &str, text: &str) -> bool {
        match self.get(name) {
            Some(Value::String(said)) => said == text,
            Some(Value::Array(said)) => said.iter().any(|said| said.as_str() == Some(text)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                false
            }
        }
    }

    /// Returns a claim that is an instant (RFC 7519, section 2: `NumericDate`), in whole
    /// seconds; an error for one that is none.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(claim) = self.get(name) else {
            return Ok(None);
        };
        let seconds = match (claim.as_i64(), claim.as_f64()) {
            (Some(seconds), _) => Some(seconds),
            (None, Some(seconds)) => format!("{:.0}", seconds.floor()).parse().ok(),
            (None, None) => None,
        };
        let at = seconds.and_then(|seconds| Timestamp::from_parts(seconds, 0));
        at.map(Some).ok_or(Refusal::Malformed)
    }
}

/// Returns whether a header's `typ` or `cty` says: a JWT.
fn is_jwt(text: &str) -> bool {
    is_media_type(text, "jwt")
}

/// Returns whether a text names this subtype of `application` (RFC 7515, section 4.1.9).
fn is_media_type(text: &str, subtype: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.strip_prefix("application/").unwrap_or(&text) == subtype
}

fn bytes(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

fn object(part: &str) -> Result<Members, Refusal> {
    let bytes = bytes(part)?;
    if let Ok(object) = serde_json::from_slice(&bytes) {
        return Ok(object);
    }
    // A JWT whose payload is another one, which says so or does not.
    let nested = std::str::from_utf8(&bytes).is_ok_and(|text| text.split('.').count() >= 3)
        && bytes.starts_with(b"eyJ");
    Err(if nested {
        Refusal::Nested
    } else {
        Refusal::Malformed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    fn refused(text: &str) -> &'static str {
        Jwt::parse(text).err().map_or("accepted", Refusal::as_str)
    }

    const HEADER: &str = r#"{"alg":"RS256","kid":"1"}"#;

    #[test]
    fn a_jwt_says_who_where_and_until_when() {
        let claims = r#"{"iss":"https://id","aud":["a","account"],"exp":1700000000.9,"typ":"Bearer","realm_access":{"roles":["admin"]},"https://x/y":"z","a/b":"c"}"#;
        let jwt = Jwt::parse(&jwt(HEADER, claims)).unwrap();
        assert_eq!(
            (jwt.algorithm, jwt.key_id.as_str()),
            (Algorithm::Rs256, "1")
        );
        assert!(!jwt.says_access_token);
        let claims = &jwt.claims;
        assert_eq!(claims.text("iss"), Some("https://id"));
        assert!(claims.says("aud", "account") && !claims.says("aud", "b"));
        assert!(claims.says("typ", "Bearer") && !claims.says("typ", "bearer"));
        assert!(claims.says("/realm_access/roles", "admin"));
        assert!(!claims.says("realm_access", "admin") && !claims.says("/no/such", "x"));
        assert_eq!(claims.text("https://x/y"), Some("z"));
        assert_eq!(claims.text("/a~1b"), Some("c"));
        assert_eq!(
            claims.time("exp"),
            Ok(Timestamp::from_parts(1_700_000_000, 0))
        );
        assert_eq!(claims.time("nbf"), Ok(None));
        assert_eq!(claims.time("typ"), Err(Refusal::Malformed));
        assert_eq!(
            format!("{jwt:?}{claims:?}"),
            "Jwt(redacted)Claims(redacted)"
        );
    }

    #[test]
    fn what_is_no_access_token_of_ours_is_refused_by_its_header() {
        for (header, why) in [
            (r#"{"alg":"none","kid":"1"}"#, "algorithm"),
            (r#"{"alg":"None","kid":"1"}"#, "algorithm"),
            (r#"{"alg":"HS256","kid":"1"}"#, "algorithm"),
            (r#"{"alg":"RSA1_5","kid":"1"}"#, "algorithm"),
            (r#"{"kid":"1"}"#, "algorithm"),
            (r#"{"alg":7,"kid":"1"}"#, "malformed"),
            (r#"{"alg":"RS256"}"#, "no_key_id"),
            (r#"{"alg":"RS256","kid":""}"#, "no_key_id"),
            (r#"{"alg":"RS256","kid":"1","crit":["exp"]}"#, "critical"),
            (r#"{"alg":"RS256","kid":"1","b64":true}"#, "critical"),
            (r#"{"alg":"RS256","kid":"1","cty":"JWT"}"#, "nested"),
            (r#"{"alg":"RS256","kid":"1","enc":"A128GCM"}"#, "nested"),
            (
                r#"{"alg":"RS256","kid":"1","typ":"dpop+jwt"}"#,
                "header_type",
            ),
            (
                r#"{"alg":"RS256","kid":"1","typ":"logout+jwt"}"#,
                "header_type",
            ),
            (r#"{"alg":"RS256","alg":"none","kid":"1"}"#, "malformed"),
            (r#"["alg"]"#, "malformed"),
            ("", "malformed"),
        ] {
            assert_eq!(refused(&jwt(header, "{}")), why, "{header}");
        }
        for typ in ["JWT", "jwt", "application/jwt"] {
            let header = format!(r#"{{"alg":"RS256","kid":"1","typ":"{typ}","jku":"https://x"}}"#);
            assert!(!Jwt::parse(&jwt(&header, "{}")).unwrap().says_access_token);
        }
        for typ in ["at+jwt", "application/at+JWT"] {
            let header = format!(r#"{{"alg":"RS256","kid":"1","typ":"{typ}"}}"#);
            assert!(Jwt::parse(&jwt(&header, "{}")).unwrap().says_access_token);
        }
    }

    #[test]
    fn what_is_no_jwt_is_refused() {
        let good = jwt(HEADER, "{}");
        let inner = jwt(HEADER, &good);
        let long = jwt(
            HEADER,
            &format!(r#"{{"x":"{}"}}"#, "x".repeat(bounds::JWT_BYTES)),
        );
        let parts: Vec<&str> = good.split('.').collect();
        for (text, why) in [
            (".", "malformed"),
            ("..", "malformed"),
            ("a.b.c.d", "malformed"),
            ("a.b.c.d.e", "nested"),
            (&*inner, "nested"),
            (&*long, "too_long"),
            (&*jwt(HEADER, r#"{"iss":"a","iss":"b"}"#), "malformed"),
            (&*jwt(HEADER, "{} "), "accepted"),
            (&*jwt(HEADER, "{}x"), "malformed"),
            (&*format!("{}=.{}.AAAA", parts[0], parts[1]), "malformed"),
            (&*format!("{}.{}.AAA=", parts[0], parts[1]), "malformed"),
            (&*format!("{}.{}.A+A/", parts[0], parts[1]), "malformed"),
            (&*format!("{}.{}.AB", parts[0], parts[1]), "malformed"),
        ] {
            assert_eq!(refused(text), why, "{text}");
        }
    }
}
