//! Texts that people give, checked against their bounds.

use std::collections::BTreeMap;

use super::bounds;
use super::reason::{Field, Violations};
use super::value;

/// Returns whether the text has a character that no line of text holds.
fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Refuses a text in which a token's value stands: what is kept and shown is no place
/// for it.
fn no_value(text: &str) -> Result<(), Field> {
    if value::stands_in(text) {
        return Err(Field::HoldsValue);
    }
    Ok(())
}

/// Checks a name: 1 to 100 characters, not all blank, no control characters.
pub fn name(text: &str) -> Result<String, Field> {
    if text.chars().count() > bounds::NAME_CHARS {
        return Err(Field::TooLong);
    }
    if text.trim().is_empty() || has_control(text) {
        return Err(Field::InvalidName);
    }
    no_value(text)?;
    Ok(text.to_owned())
}

/// Checks one line of at most so many characters, which may be empty.
pub fn line(text: &str, most: usize) -> Result<String, Field> {
    if text.chars().count() > most {
        return Err(Field::TooLong);
    }
    if has_control(text) {
        return Err(Field::InvalidText);
    }
    no_value(text)?;
    Ok(text.to_owned())
}

/// Checks one line of 1 to so many characters.
pub fn required_line(text: &str, most: usize) -> Result<String, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    line(text, most)
}

/// Checks a text of at most 500 characters, which may have several lines.
pub fn prose(text: &str) -> Result<String, Field> {
    if text.chars().count() > bounds::TEXT_CHARS {
        return Err(Field::TooLong);
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(Field::InvalidText);
    }
    no_value(text)?;
    Ok(text.to_owned())
}

/// Returns the text as searches compare it, the same for all spellings that differ in
/// case alone: ß and SS, σ and ς too, which lower case by itself keeps apart.
pub fn folded(text: &str) -> String {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// A token's labels.
pub type Labels = BTreeMap<String, String>;

/// Checks labels and notes what is wrong with them.
pub fn labels(field: &str, given: Labels, violations: &mut Violations) -> Labels {
    if given.len() > bounds::LABELS {
        violations.add(field, Field::TooMany);
    }
    let wrong = given.iter().any(|(key, value)| {
        required_line(key, bounds::LABEL_KEY_CHARS).is_err()
            || line(value, bounds::LABEL_VALUE_CHARS).is_err()
    });
    if wrong {
        // Which one is not said: a key is the caller's text and is not repeated.
        violations.add(field, Field::InvalidLabel);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_characters_not_bytes() {
        assert!(name(&"ä".repeat(100)).is_ok());
        assert_eq!(name(&"a".repeat(101)), Err(Field::TooLong));
        for bad in ["", "  ", "a\0b", "a\nb"] {
            assert_eq!(name(bad), Err(Field::InvalidName), "{bad:?}");
        }
    }

    #[test]
    fn spellings_that_differ_in_case_fold_to_one() {
        for (a, b) in [("Name", "nAME"), ("STRASSE", "Straße"), ("ΟΔΟΣ", "οδος")] {
            assert_eq!(folded(a), folded(b));
        }
        // A part of a name folds to a part of the folded name.
        assert!(folded("ΟΔΟΣΟΔΟΣ").contains(&folded("ΟΔΟΣ")));
    }

    #[test]
    fn labels_are_bounded_in_number_and_size() {
        let judge = |given: Labels| {
            let mut violations = Violations::default();
            labels("labels", given, &mut violations);
            violations.iter().map(|v| v.reason).collect::<Vec<_>>()
        };
        let of = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(judge(of("team", "search")), []);
        assert_eq!(judge(of("", "x")), [Field::InvalidLabel]);
        assert_eq!(judge(of(&"k".repeat(64), "x")), [Field::InvalidLabel]);
        assert_eq!(judge(of("k", &"v".repeat(257))), [Field::InvalidLabel]);
        let many = (0..33).map(|i| (i.to_string(), String::new())).collect();
        assert_eq!(judge(many), [Field::TooMany]);
    }
}
