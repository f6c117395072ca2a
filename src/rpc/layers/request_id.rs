//! The id of a call in logs and answers: the header `x-request-id`.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use prost::bytes::Bytes;

use crate::domain::entropy::Entropy;
use crate::domain::{base62, value};

/// The header that carries the id, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The characters of an id that a caller gives, at most.
const GIVEN_CHARS: usize = 64;
/// The characters of an id of our own: 16 bytes in base62.
const MINTED_CHARS: usize = 22;

/// The id of a call: the caller's own, or a random one.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes an id that a caller gave: 1 to 64 of `A-Z a-z 0-9 _ . -`, so that it
    /// can stand in any log.
    pub fn given(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let well_formed = (1..=GIVEN_CHARS).contains(&text.len()) && text.bytes().all(good);
        // A short value would pass, too, and stand in the log.
        (well_formed && !value::stands_in(text))
            .then(|| HeaderValue::from_str(text).ok().map(Self))
            .flatten()
    }

    /// Mints an id. Without randomness it is [`RequestId::unknown`]: no call fails
    /// for want of a name.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut drawn = [0; 16];
        let drawn = entropy.fill_distinct(&mut drawn).map(|()| drawn);
        // Letters and digits alone need no check.
        let minted = drawn.ok().and_then(|bytes| {
            let text = Bytes::from(base62::encode(&bytes, MINTED_CHARS));
            HeaderValue::from_maybe_shared(text).ok()
        });
        minted.map_or_else(Self::unknown, Self)
    }

    /// Returns the id of a call that has none.
    pub fn unknown() -> Self {
        Self(HeaderValue::from_static("unknown"))
    }

    /// Returns the id of the call with this header: the caller's, or a new one.
    pub(super) fn of(header: Option<&HeaderValue>, entropy: &dyn Entropy) -> Self {
        header
            .and_then(|value| value.to_str().ok())
            .and_then(Self::given)
            .unwrap_or_else(|| Self::mint(entropy))
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Returns the id as a header has it.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Puts the id into a response's headers.
    pub(super) fn stamp(self, headers: &mut HeaderMap) {
        let mut id = self.0;
        // Each is another: in the peers' tables of headers it would only push out those that
        // come again (RFC 7541, section 6.2.3: never indexed).
        id.set_sensitive(true);
        headers.insert(HEADER, id);
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::EntropyError;
    use crate::rpc::testing::Always;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }

    fn of(given: &'static [u8]) -> String {
        let value = HeaderValue::from_bytes(given).unwrap();
        RequestId::of(Some(&value), &Always(1)).to_string()
    }

    #[test]
    fn a_callers_id_is_kept_where_it_is_harmless() {
        assert_eq!(of(b"a-1_B.2"), "a-1_B.2");
        let minted = RequestId::mint(&Always(1)).to_string();
        assert_eq!(minted.len(), MINTED_CHARS);
        for bad in [
            b"".as_slice(),
            b"a b",
            b"a/b",
            b"\xff",
            b"a\"b",
            &[b'a'; 65],
        ] {
            assert_eq!(of(bad), minted, "{bad:?}");
        }
    }

    #[test]
    fn a_call_without_an_id_gets_one_and_never_fails_for_it() {
        assert_eq!(RequestId::of(None, &Always(1)), RequestId::mint(&Always(1)));
        assert_eq!(RequestId::mint(&Dry).as_str(), "unknown");
    }

    proptest! {
        #[test]
        fn whatever_is_taken_comes_back_unchanged(text in "\\PC{0,70}") {
            if let Some(id) = RequestId::given(&text) {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }

    #[test]
    fn a_value_is_no_id_of_a_call() {
        use crate::domain::value::TokenValue;

        let value = TokenValue::mint("a_".parse().unwrap(), &Always(1)).unwrap();
        assert!(value.expose().len() <= GIVEN_CHARS);
        assert!(RequestId::given(&value.expose()).is_none());
    }
}
