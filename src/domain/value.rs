//! A token's value, or an invite's: `<prefix><lookup 12><secret 43><check 6>`, base62
//! after the prefix.

mod find;

use std::fmt;
use std::str::FromStr;

use super::base62;
use super::bounds;
use super::entropy::{self, Entropy, EntropyError};
use super::short::Short;

pub use find::{Finder, Found, stands_in};

const LOOKUP_WIDTH: usize = 12;
const SECRET_WIDTH: usize = 43;
const CHECK_WIDTH: usize = 6;
const TAIL_WIDTH: usize = LOOKUP_WIDTH + SECRET_WIDTH + CHECK_WIDTH;
/// How much of the lookup is visible in a hint.
const HINT_WIDTH: usize = 8;
const PREFIX_MAX: usize = 16;

/// The text is no value. It says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTokenError {
    /// Longer than any value may be.
    #[error("longer than 256 bytes")]
    TooLong,
    /// Not of the format.
    #[error("not of the format of a value")]
    Malformed,
    /// The last six characters are not the checksum of those before.
    #[error("the checksum does not match")]
    Checksum,
}

/// The text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePrefixError {
    /// Not of the form `[a-z][a-z0-9_-]{0,14}[_-]`.
    #[error("not of the form of a prefix")]
    Malformed,
    /// One of the authority's own.
    #[error("reserved")]
    Reserved,
}

/// What every value of a tenant begins with, such as `ody_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(Short<PREFIX_MAX>);

/// The prefix of the reserved tenant.
const AUTHORITY: &str = "ta_";
/// The prefix of invites' values.
const INVITE: &str = "inv_";

impl Prefix {
    /// Takes one of the authority's own, which are short enough.
    fn of(text: &str) -> Self {
        match Short::new(text) {
            Some(text) => Self(text),
            None => unreachable!("a prefix of {} bytes", text.len()),
        }
    }

    /// Returns how many characters a prefix may have.
    pub(super) fn widths() -> impl Iterator<Item = usize> {
        2..=PREFIX_MAX
    }

    /// Returns the prefix of the reserved tenant.
    pub fn authority() -> Self {
        Self::of(AUTHORITY)
    }

    /// Returns the prefix of invites' values, which no tenant has.
    pub fn invite() -> Self {
        Self::of(INVITE)
    }

    /// Returns whether what bears it is an invite's value.
    pub fn is_invite(&self) -> bool {
        *self == Self::invite()
    }

    /// Parses the prefix of a new tenant: the reserved ones, and those that one
    /// of them begins or that begin one, are refused.
    pub fn for_tenant(text: &str) -> Result<Self, ParsePrefixError> {
        let prefix: Self = text.parse()?;
        let taken = [AUTHORITY, INVITE];
        if taken
            .iter()
            .any(|reserved| text.starts_with(reserved) || reserved.starts_with(text))
        {
            return Err(ParsePrefixError::Reserved);
        }
        Ok(prefix)
    }

    /// Returns the prefix's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Prefix {
    type Error = ParsePrefixError;

    fn try_from(text: String) -> Result<Self, ParsePrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.as_str().to_owned()
    }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        let bytes = text.as_bytes();
        let inner = |byte: &u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        };
        let well_formed = (2..=PREFIX_MAX).contains(&bytes.len())
            && bytes.iter().all(inner)
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|byte| matches!(byte, b'_' | b'-'));
        let text = Short::new(text).filter(|_| well_formed);
        text.map(Self).ok_or(ParsePrefixError::Malformed)
    }
}

/// The public, indexed part of a value: 12 random characters, 71 bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup(Short<LOOKUP_WIDTH>);

impl Lookup {
    /// Returns the one that the store calls this.
    pub fn from_stored(text: &str) -> Option<Self> {
        let well_formed = text.len() == LOOKUP_WIDTH && base62::is_base62(text);
        Short::new(text).filter(|_| well_formed).map(Self)
    }

    /// Returns the lookup's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The secret part of a value: 256 random bits in 43 characters; of one that another
/// system made, the whole. Cannot be printed.
#[derive(Clone)]
pub struct Secret(Short<{ bounds::FOREIGN_BYTES }>);

impl Secret {
    /// Takes a value that another system made.
    pub(super) fn whole(text: &str) -> Option<Self> {
        Short::new(text).map(Self)
    }

    /// Returns the characters that bcrypt takes.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the same as the bytes that HMAC takes.
    pub(super) fn expose_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A whole value, in plain. Neither `Debug` nor `Display` shows it.
#[derive(Clone)]
pub struct TokenValue {
    prefix: Prefix,
    lookup: Lookup,
    secret: Secret,
}

impl TokenValue {
    /// Mints a new value.
    pub fn mint(prefix: Prefix, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let lookup = base62::random(entropy, LOOKUP_WIDTH)?;
        let secret: [u8; 32] = entropy::bytes(entropy)?;
        let secret = base62::encode(&secret, SECRET_WIDTH);
        match (Short::new(&lookup), Short::new(&secret)) {
            (Some(lookup), Some(secret)) => Ok(Self {
                prefix,
                lookup: Lookup(lookup),
                secret: Secret(secret),
            }),
            // They are as wide as was asked for.
            _ => unreachable!("a lookup or secret that is too long"),
        }
    }

    /// Returns the value with another prefix: the secret does not depend on it.
    #[must_use]
    pub fn under(self, prefix: Prefix) -> Self {
        Self { prefix, ..self }
    }

    /// Returns the value itself, to be handed to its owner and to nobody else.
    pub fn expose(&self) -> String {
        let mut text = self.unchecked();
        let check = check(&text);
        text.extend(check.iter().copied().map(char::from));
        text
    }

    /// Returns the value without its check.
    fn unchecked(&self) -> String {
        let parts = [
            self.prefix.as_str(),
            self.lookup.as_str(),
            self.secret.expose(),
        ];
        parts.concat()
    }

    /// Returns the visible part: the prefix and the first 8 characters.
    pub fn hint(&self) -> String {
        let visible = self.lookup.as_str().get(..HINT_WIDTH).unwrap_or_default();
        format!("{}{visible}", self.prefix.as_str())
    }

    /// Returns the prefix that the value bears.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Returns the indexed part.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Returns the secret part.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl FromStr for TokenValue {
    type Err = ParseTokenError;

    /// Parses a presented value; [`presented`] tells what is dropped before.
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        if text.len() > bounds::VALUE_BYTES {
            return Err(ParseTokenError::TooLong);
        }
        let at = text
            .len()
            .checked_sub(TAIL_WIDTH)
            .ok_or(ParseTokenError::Malformed)?;
        let (prefix, tail) = text
            .split_at_checked(at)
            .ok_or(ParseTokenError::Malformed)?;
        if !base62::is_base62(tail) {
            return Err(ParseTokenError::Malformed);
        }
        let malformed = ParseTokenError::Malformed;
        let prefix: Prefix = prefix.parse().map_err(|_| malformed)?;
        let (lookup, rest) = tail.split_at(LOOKUP_WIDTH);
        let (secret, given) = rest.split_at(SECRET_WIDTH);
        let (checked, _) = text.split_at(text.len() - CHECK_WIDTH);
        if check(checked) != given.as_bytes() {
            return Err(ParseTokenError::Checksum);
        }
        Ok(Self {
            prefix,
            lookup: Lookup(Short::new(lookup).ok_or(malformed)?),
            secret: Secret(Short::new(secret).ok_or(malformed)?),
        })
    }
}

impl fmt::Debug for TokenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenValue(redacted)")
    }
}

/// Returns the CRC-32/ISO-HDLC of the text in six characters.
fn check(text: &str) -> [u8; CHECK_WIDTH] {
    let mut check = [0; CHECK_WIDTH];
    base62::write_number(crc32fast::hash(text.as_bytes()).into(), &mut check);
    check
}

/// Drops surrounding blanks and a leading `Bearer `, in any case, from what
/// somebody presented or pasted.
pub fn presented(text: &str) -> &str {
    let text = text.trim();
    match text.split_at_checked(6) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("bearer") && rest.starts_with([' ', '\t']) =>
        {
            rest.trim_start()
        }
        _ => text,
    }
}

/// Returns what of a text a token may be searched by: no more than a hint of this
/// prefix has, so that a whole value pasted into a search goes no further.
pub fn searchable_hint(prefix: &Prefix, text: &str) -> String {
    presented(text)
        .chars()
        .take(prefix.as_str().len() + HINT_WIDTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            for (i, byte) in buffer.iter_mut().enumerate() {
                *byte = self
                    .0
                    .wrapping_mul(31)
                    .wrapping_add(u8::try_from(i % 200).unwrap());
            }
            Ok(())
        }
    }

    fn mint(seed: u8) -> TokenValue {
        TokenValue::mint("ody_".parse().unwrap(), &Fixed(seed % 40)).unwrap()
    }

    proptest! {
        #[test]
        fn parsing_a_format_gives_the_value_back(seed: u8) {
            let text = mint(seed).expose();
            let parsed: TokenValue = text.parse().unwrap();
            prop_assert_eq!(parsed.expose(), text);
        }

        #[test]
        fn any_replaced_character_is_rejected(seed: u8, at in 0usize..65, with in "[0-9A-Za-z_-]") {
            let text = mint(seed).expose();
            let mut typo = text.clone();
            typo.replace_range(at..=at, &with);
            prop_assume!(typo != text);
            prop_assert!(typo.parse::<TokenValue>().is_err());
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,300}") {
            let _ = presented(&text).parse::<TokenValue>();
            let _ = searchable_hint(&"ody_".parse().unwrap(), &text);
        }
    }

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let value = mint(3).expose();
        for text in [
            value.clone(),
            format!("Bearer {value}"),
            format!("key={value};"),
            format!("x_{value}y"),
            format!("ä{value}ä"),
        ] {
            assert!(stands_in(&text), "{text}");
        }
        for text in [
            "",
            "laptop",
            &value[..64],
            &value.to_lowercase(),
            &"a_".repeat(250),
        ] {
            assert!(!stands_in(text), "{text}");
        }
    }

    #[test]
    fn a_value_keeps_its_secret_under_another_prefix() {
        let value = mint(4);
        let (secret, lookup) = (value.secret().expose().to_owned(), value.lookup().clone());
        let moved = value.under("other_".parse().unwrap());
        let parsed: TokenValue = moved.expose().parse().unwrap();
        assert_eq!(
            (parsed.secret().expose(), parsed.lookup()),
            (&*secret, &lookup)
        );
        assert_eq!(parsed.prefix().as_str(), "other_");
    }

    #[test]
    fn a_value_has_its_documented_form() {
        let value = mint(1);
        let text = value.expose();
        assert_eq!(text.len(), 4 + 12 + 43 + 6);
        assert!(text.starts_with(&value.hint()));
        assert_eq!(value.hint().len(), 12);
        let lookup = value.lookup();
        assert_eq!(Lookup::from_stored(lookup.as_str()).as_ref(), Some(lookup));
        for bad in ["", "0123456789a", "0123456789abc", "0123456789a_"] {
            assert_eq!(Lookup::from_stored(bad), None, "{bad}");
        }
        assert_eq!(
            format!("{value:?} {:?}", value.secret()),
            "TokenValue(redacted) Secret(redacted)"
        );
    }

    #[test]
    fn bearer_and_blanks_are_dropped() {
        for text in ["x", " x ", "Bearer x", "bearer   x\n", "BEARER\tx"] {
            assert_eq!(presented(text), "x", "{text:?}");
        }
        assert_eq!(presented("Bearerx"), "Bearerx");
        assert_eq!(presented("Bearer"), "Bearer");
        assert_eq!(presented("beäre x"), "beäre x");
    }

    #[test]
    fn truncated_long_and_foreign_texts_are_refused() {
        let text = mint(3).expose();
        assert_eq!(
            text[..60].parse::<TokenValue>().unwrap_err(),
            ParseTokenError::Malformed
        );
        assert_eq!(
            "x".repeat(257).parse::<TokenValue>().unwrap_err(),
            ParseTokenError::TooLong
        );
        assert_eq!(
            "ä".repeat(70).parse::<TokenValue>().unwrap_err(),
            ParseTokenError::Malformed
        );
        assert!("".parse::<TokenValue>().is_err());
    }

    #[test]
    fn prefixes() {
        for good in ["ody_", "sk-", "oi_pat_", "a_"] {
            assert!(Prefix::for_tenant(good).is_ok(), "{good}");
        }
        for bad in ["", "_", "ody", "Ody_", "1a_", "a b_", "abcdefghijklmnop_"] {
            assert_eq!(
                Prefix::for_tenant(bad),
                Err(ParsePrefixError::Malformed),
                "{bad}"
            );
        }
        for reserved in ["ta_", "inv_", "ta_x_", "inv_-"] {
            assert_eq!(
                Prefix::for_tenant(reserved),
                Err(ParsePrefixError::Reserved),
                "{reserved}"
            );
        }
    }

    #[test]
    fn a_whole_value_in_a_search_is_cut_to_its_hint() {
        let value = mint(9);
        assert_eq!(
            searchable_hint(value.prefix(), &value.expose()),
            value.hint()
        );
        assert_eq!(searchable_hint(value.prefix(), " ody_Ax7"), "ody_Ax7");
    }
}
