//! An error and its causes as one line for the log, with nothing in it that
//! looks like a secret: a driver may quote what it was given.

use std::error::Error;

/// The characters of a chain, at most.
const CHARS: usize = 1000;
/// The causes of a chain, at most: one that names itself must not loop.
const CAUSES: usize = 16;
/// So many letters and digits in a row are a value, a key or a digest: ids have
/// at most 22, a UUID's parts 12, and a value's secret with its check 61.
const SECRET_RUN: usize = 32;
/// What is shown in place of a word that looks like a secret.
const REDACTED: &str = "[redacted]";

/// Returns the error and its causes, joined by colons.
pub(crate) fn line(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let texts: Vec<String> = causes.take(CAUSES).map(ToString::to_string).collect();
    let clean: Vec<&str> = texts
        .iter()
        .flat_map(|text| [":", text.as_str()])
        .skip(1)
        .flat_map(|text| text.split(|c: char| c.is_whitespace() || c.is_control()))
        .filter(|word| !word.is_empty())
        .map(|word| if is_secret(word) { REDACTED } else { word })
        .collect();
    let line = clean.join(" ").replace(" : ", ": ");
    line.chars().take(CHARS).collect()
}

/// Returns whether the word looks like a secret or a bcrypt hash.
fn is_secret(word: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|start| word.contains(start))
        || word
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|run| run.len() >= SECRET_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        #[source]
        cause: Option<Box<Link>>,
    }

    fn link(text: &'static str, cause: Option<Link>) -> Link {
        Link {
            text,
            cause: cause.map(Box::new),
        }
    }

    #[test]
    fn causes_are_joined_from_the_outermost() {
        let error = link("load token", Some(link("no route\nto host", None)));
        assert_eq!(line(&error), "load token: no route to host");
    }

    #[test]
    fn what_looks_like_a_secret_is_redacted() {
        let value = "ody_0123456789AB0123456789012345678901234567890123456789012012abcd";
        let hash = "$2b$10$abcdefghijklmnopqrstuu./abcdefghijklmnopqrstuvwxyz12345";
        for secret in [value, hash] {
            let text: &'static str = format!("invalid input \"{secret}\", sorry").leak();
            assert_eq!(
                line(&link("parse", Some(link(text, None)))),
                "parse: invalid input [redacted] sorry"
            );
        }
    }

    #[test]
    fn ids_stay_and_the_line_is_bounded() {
        let ids = "tok_0123456789012345678901 f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(line(&link(ids, None)), ids);
        let long: &'static str = "word ".repeat(1000).leak();
        assert_eq!(line(&link(long, None)).len(), CHARS);
    }
}
