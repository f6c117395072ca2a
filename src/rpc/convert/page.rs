//! Pages: their size, and the token that says where the next one begins. A token
//! grants nothing, so it is not signed; it is bound to its list and filters, and a
//! damaged one is refused rather than understood as another place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::authority::Caller;
use crate::domain::audit::Sequence;
use crate::domain::bounds;
use crate::domain::ids::{InviteId, TenantId, TokenId, UserId};
use crate::domain::reason::{Field, Violations};
use crate::domain::time::Timestamp;
use crate::store::Position;

/// The first byte of a token: how the rest is laid out.
const VERSION: u8 = 1;
/// The bytes of the digest at a token's end.
const DIGEST_BYTES: usize = 8;

/// An id by which a list is ordered, after the time.
pub trait Key: Sized {
    /// Returns the id's bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// Returns the id of these bytes, if they are one's.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// Makes ids that are UUIDs keys of lists.
macro_rules! uuid_keys {
    ($($id:ty),+) => {$(
        impl Key for $id {
            fn to_bytes(&self) -> Vec<u8> {
                self.uuid().as_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self::from)
            }
        }
    )+};
}

uuid_keys!(TokenId, UserId, InviteId);

impl Key for TenantId {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_str().as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

impl Key for Sequence {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(i64::from_be_bytes).map(Self)
    }
}

/// What a list is of: its name, its tenant and its filters. A page token is good
/// for the same list alone.
#[derive(Clone, Debug)]
pub struct List(Sha256);

impl List {
    /// Begins with the list's name, such as `tokens`.
    pub fn named(name: &'static str) -> Self {
        let mut list = Self(Sha256::new());
        list.part(name);
        list
    }

    /// Adds a filter, or the tenant, and its value; one that is not set is added
    /// with its empty value or not at all, but always alike.
    #[must_use]
    pub fn with(mut self, filter: &'static str, value: &str) -> Self {
        self.part(filter);
        self.part(value);
        self
    }

    /// Adds the tenant that a call names: by whatever name, it is the same list for
    /// the same tenant.
    #[must_use]
    pub fn of_tenant(self, caller: &Caller, named: &str) -> Self {
        self.with("tenant_id", caller.tenant_named(named))
    }

    /// Adds a part with its length before it, so that no two lists of parts run
    /// together into one.
    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    /// Returns the digest over the list and a place in it.
    fn digest(&self, place: &[u8]) -> [u8; DIGEST_BYTES] {
        let digest = self.0.clone().chain_update(place).finalize();
        let mut first = [0; DIGEST_BYTES];
        for (to, from) in first.iter_mut().zip(digest) {
            *to = from;
        }
        first
    }
}

/// Returns the size of a page: the default when none is asked for, at most
/// [`bounds::PAGE_MAX`]; a negative one is a violation.
pub fn size(asked: i32, violations: &mut Violations) -> u32 {
    match u32::try_from(asked) {
        Ok(0) => bounds::PAGE_DEFAULT,
        Ok(asked) => asked.min(bounds::PAGE_MAX),
        Err(_) => {
            violations.add("page_size", Field::OutOfRange);
            bounds::PAGE_DEFAULT
        }
    }
}

/// Returns the token of the page that begins after this place; empty when there
/// is none.
pub fn token<I: Key>(next: Option<&Position<I>>, list: &List) -> String {
    let Some(position) = next else {
        return String::new();
    };
    let mut bytes = vec![VERSION];
    bytes.extend(position.created_at.millis().to_be_bytes());
    bytes.extend(position.id.to_bytes());
    bytes.extend(list.digest(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the place that a page token names; `None` for an empty one, which is
/// where the list begins. A token of another list, and a damaged one, is a
/// violation.
pub fn position<I: Key>(
    token: &str,
    list: &List,
    violations: &mut Violations,
) -> Option<Position<I>> {
    if token.is_empty() {
        return None;
    }
    let position = decode(token, list);
    if position.is_none() {
        violations.add("page_token", Field::InvalidPageToken);
    }
    position
}

/// Decodes a token of this list.
fn decode<I: Key>(token: &str, list: &List) -> Option<Position<I>> {
    if token.len() > bounds::OPAQUE_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (place, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
    if *digest != list.digest(place) {
        return None;
    }
    let (version, place) = place.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (millis, id) = place.split_first_chunk::<8>()?;
    Some(Position {
        created_at: Timestamp::from_millis(i64::from_be_bytes(*millis))?,
        id: I::from_bytes(id)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place<I>(millis: i64, id: I) -> Position<I> {
        Position {
            created_at: Timestamp::from_millis(millis).unwrap(),
            id,
        }
    }

    fn list() -> List {
        List::named("tokens").with("tenant_id", "acme")
    }

    fn read<I: Key>(token: &str, list: &List) -> Result<Option<Position<I>>, Field> {
        let mut violations = Violations::default();
        let position = position(token, list, &mut violations);
        match violations.iter().next() {
            Some(violation) => {
                assert_eq!(violation.field, "page_token");
                Err(violation.reason)
            }
            None => Ok(position),
        }
    }

    const LAST: i64 = 253_402_300_799_999;

    proptest! {
        #[test]
        fn a_token_says_its_place(millis in 0..=LAST, bits: u128) {
            let place = place(millis, TokenId::from(Uuid::from_u128(bits)));
            prop_assert_eq!(read(&token(Some(&place), &list()), &list()), Ok(Some(place)));
        }

        #[test]
        fn a_token_says_its_place_among_tenants(millis in 0..=LAST, id in "[a-z][a-z0-9-]{1,61}[a-z0-9]") {
            let place = place(millis, id.parse::<TenantId>().unwrap());
            prop_assert_eq!(read(&token(Some(&place), &list()), &list()), Ok(Some(place)));
        }

        #[test]
        fn any_other_byte_is_refused(bits: u128, at: prop::sample::Index, flip in 1u8..) {
            let place = place(7, UserId::from(Uuid::from_u128(bits)));
            let mut bytes = URL_SAFE_NO_PAD.decode(token(Some(&place), &list())).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let damaged = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(read::<UserId>(&damaged, &list()), Err(Field::InvalidPageToken));
        }

        #[test]
        fn any_other_character_is_refused(bits: u128, at: prop::sample::Index, with in "[A-Za-z0-9_=-]") {
            let place = place(7, UserId::from(Uuid::from_u128(bits)));
            let good = token(Some(&place), &list());
            let mut damaged = good.clone();
            let at = at.index(good.len());
            damaged.replace_range(at..=at, &with);
            prop_assume!(damaged != good);
            prop_assert_eq!(read::<UserId>(&damaged, &list()), Err(Field::InvalidPageToken));
        }

        #[test]
        fn a_token_of_another_list_is_refused(a in "\\PC{0,9}", b in "\\PC{0,9}", c in "\\PC{0,9}", d in "\\PC{0,9}") {
            let list = |a: &str, b: &str| List::named("tokens").with("tenant_id", a).with("name", b);
            let token = token(Some(&place(7, UserId::from(Uuid::nil()))), &list(&a, &b));
            let read = read::<UserId>(&token, &list(&c, &d));
            prop_assert_eq!(read.is_ok(), (a, b) == (c, d));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,300}") {
            let _ = read::<TokenId>(&text, &list());
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        let token = token(
            Some(&place(7, UserId::from(Uuid::nil()))),
            &List::named("tokens").with("name", "ab").with("hint", ""),
        );
        for other in [
            List::named("tokens").with("name", "a").with("hint", "b"),
            List::named("tokens").with("name", "ab"),
            List::named("users").with("name", "ab").with("hint", ""),
        ] {
            assert_eq!(read::<UserId>(&token, &other), Err(Field::InvalidPageToken));
        }
    }

    #[test]
    fn no_token_begins_the_list_and_a_strange_one_is_refused() {
        assert_eq!(read::<TokenId>("", &list()), Ok(None));
        assert_eq!(token::<TokenId>(None, &list()), "");
        let long = "A".repeat(bounds::OPAQUE_BYTES + 1);
        for bad in ["A", "AA", "!", long.as_str()] {
            assert_eq!(
                read::<TokenId>(bad, &list()),
                Err(Field::InvalidPageToken),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_token_of_another_layout_is_refused() {
        let mut bytes = vec![VERSION + 1];
        bytes.extend([0; 24]);
        bytes.extend(list().digest(&bytes));
        let token = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(
            read::<TokenId>(&token, &list()),
            Err(Field::InvalidPageToken)
        );
    }

    #[test]
    fn sizes_are_coerced() {
        let mut violations = Violations::default();
        let sizes = [0, 1, 50, 1000, 1001, i32::MAX].map(|asked| size(asked, &mut violations));
        assert_eq!(sizes, [50, 1, 50, 1000, 1000, 1000]);
        assert!(violations.is_empty());
        size(-1, &mut violations);
        let wrong = violations.iter().next().unwrap();
        assert_eq!(
            (wrong.field.as_str(), wrong.reason),
            ("page_size", Field::OutOfRange)
        );
    }
}
