//! Values that another system made, known here by bcrypt hashes that were imported: of
//! any form, under their tenant's prefix, and found by their first characters.

use std::fmt;
use std::str::FromStr;

use super::bounds;
use super::reason::Field;
use super::value::{Lookup, ParseTokenError, Prefix, Secret, TokenValue};

/// A presented value: one of this authority's own form, or one that may have been
/// imported. Cannot be printed.
#[derive(Clone, Debug)]
pub enum AnyValue {
    /// Of this authority's form; never one that was imported.
    Native(TokenValue),
    /// Of another form.
    Foreign(ForeignValue),
}

/// A value of another form. Cannot be printed.
#[derive(Clone)]
pub struct ForeignValue(Secret);

/// What a presented value is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueKey {
    /// One of this authority's form: by its lookup, which no other value has.
    Lookup(Lookup),
    /// An imported one: by the characters that it begins with, which others may share.
    Hint(String),
}

impl ForeignValue {
    /// Returns as much of the value as a hint may show. One that shows more finds nothing.
    pub fn beginning(&self) -> &str {
        let text = self.0.expose();
        let shown = text.len().saturating_sub(bounds::HIDDEN_BY_HINT);
        beginning(text.get(..shown).unwrap_or_default())
    }
}

impl fmt::Debug for ForeignValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignValue(redacted)")
    }
}

impl AnyValue {
    /// Returns what bcrypt and HMAC take: of a foreign value the whole.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Native(value) => value.secret(),
            Self::Foreign(value) => &value.0,
        }
    }

    /// Returns whether the value is under this prefix.
    pub fn is_under(&self, prefix: &Prefix) -> bool {
        match self {
            Self::Native(value) => value.prefix() == prefix,
            Self::Foreign(value) => value.0.expose().starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for AnyValue {
    type Err = ParseTokenError;

    /// Parses a presented value; [`presented`](super::value::presented) tells what is
    /// dropped before.
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        match text.parse() {
            Ok(value) => Ok(Self::Native(value)),
            Err(error) => {
                let whole = Secret::whole(text).filter(|_| may_be_foreign(text));
                let whole = whole.map(ForeignValue).ok_or(error)?;
                Ok(Self::Foreign(whole))
            }
        }
    }
}

/// Returns whether a text that is of no native form may have been imported: short enough
/// for bcrypt to have seen all of it, and under what may be a tenant's prefix, with enough
/// after it for a hint and a secret.
fn may_be_foreign(text: &str) -> bool {
    let may_be_prefix = |width: usize| {
        text.len() >= width + bounds::HINT_AFTER_PREFIX + bounds::HIDDEN_BY_HINT
            && text
                .get(..width)
                .is_some_and(|prefix| Prefix::for_tenant(prefix).is_ok())
    };
    text.len() <= bounds::FOREIGN_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && Prefix::widths().any(may_be_prefix)
}

/// Returns as much of a text as a hint may show.
pub fn beginning(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(*bounds::HINT_LENGTHS.end())
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// Checks the hint of an imported value: its first `length` characters, the tenant's
/// prefix and some more among them. Lists of values are joined by commas and blanks.
pub fn imported_hint(text: &str, length: usize, prefix: &Prefix) -> Result<String, Field> {
    let well_formed = text.len() == length
        && text
            .strip_prefix(prefix.as_str())
            .is_some_and(|after| after.len() >= bounds::HINT_AFTER_PREFIX)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',');
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(Field::InvalidHint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entropy::{Entropy, EntropyError};
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(0);
            Ok(())
        }
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn is_foreign(text: &str) -> bool {
        matches!(text.parse(), Ok(AnyValue::Foreign(_)))
    }

    #[test]
    fn what_is_of_native_form_is_never_foreign() {
        let native = TokenValue::mint(prefix("sk-"), &Zeros).unwrap().expose();
        let parsed: AnyValue = native.parse().unwrap();
        assert!(matches!(parsed, AnyValue::Native(_)));
        assert_eq!(parsed.secret().expose().len(), 43);
        assert!(parsed.is_under(&prefix("sk-")));
        // With a wrong checksum it is of another form.
        assert!(is_foreign(&native.replace('0', "1")));
    }

    #[test]
    fn a_foreign_value_is_short_printable_and_under_a_prefix() {
        for good in [
            "sk-proj_abc.DEF/ghi+jkl=",
            "ody_a|b.0123456789abcdef",
            &format!("sk-{}", "x".repeat(20)),
            &format!("sk-{}", "x".repeat(69)),
        ] {
            assert!(is_foreign(good), "{good}");
        }
        for bad in [
            "",
            "sk-",
            "nonsense",
            "ab_x1",
            &format!("sk-{}", "x".repeat(19)),
            "eyJhbGciOiJub25lIn0.e30.",
            "sk-a b0123456789abcdef01234",
            "sk-ä0123456789abcdef01234",
            "ta_0123456789abcdef01234",
            "inv_0123456789abcdef01234",
            &format!("sk-{}", "x".repeat(70)),
        ] {
            assert!(!is_foreign(bad), "{bad}");
        }
    }

    #[test]
    fn a_foreign_value_is_under_each_prefix_that_begins_it_and_shows_none_of_itself() {
        let value: AnyValue = "sk-proj_0123456789abcdef".parse().unwrap();
        assert!(value.is_under(&prefix("sk-")) && value.is_under(&prefix("sk-proj_")));
        assert!(!value.is_under(&prefix("ody_")));
        assert_eq!(value.secret().expose(), "sk-proj_0123456789abcdef");
        assert_eq!(format!("{value:?}"), "Foreign(ForeignValue(redacted))");
    }

    #[test]
    fn a_value_is_looked_for_by_what_leaves_enough_of_it_out() {
        for (length, shown) in [(23, 7), (24, 8), (47, 31), (48, 32), (49, 32), (72, 32)] {
            let text = format!("sk-{}", "x".repeat(length - 3));
            let Ok(AnyValue::Foreign(value)) = text.parse() else {
                panic!("{text}")
            };
            assert_eq!(value.beginning(), &text[..shown]);
        }
    }

    #[test]
    fn a_hint_is_as_long_as_said_and_under_the_prefix() {
        let of = |text: &str, length| imported_hint(text, length, &prefix("sk-"));
        assert_eq!(of("sk-abcd", 7).as_deref(), Ok("sk-abcd"));
        for (text, length) in [
            ("sk-abcd", 6),
            ("sk-abcd", 8),
            ("sk-abc", 6),
            ("sk-", 3),
            ("ody_abcd", 8),
            ("sk-a,cd", 7),
            ("sk-a cd", 7),
            ("sk-\u{e4}bcd", 8),
            ("", 4),
        ] {
            assert_eq!(of(text, length), Err(Field::InvalidHint), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,90}") {
            let _ = text.parse::<AnyValue>();
            prop_assert!(text.starts_with(beginning(&text)));
            prop_assert!(beginning(&text).chars().count() <= 32);
        }
    }
}
