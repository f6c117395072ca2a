//! What must not be found anywhere, and where to look.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Database, TestServer};

/// Everything that bcrypt made.
pub(super) const HASHES: &str =
    "SELECT secret_hash FROM secrets UNION ALL SELECT secret_hash FROM invites";

/// What must not be found.
pub(super) struct Needles {
    pub(super) values: Vec<String>,
    derived: Vec<String>,
}

impl Needles {
    pub(super) async fn of(t: &TestServer) -> Self {
        let issued = t.issued();
        assert!(
            issued.len() >= 8,
            "few values were issued: {}",
            issued.len()
        );
        let mut values = Vec::new();
        for value in issued {
            let end = value.len() - 6;
            values.push(value[end - 43..end].to_owned());
            values.push(value);
        }
        let hashes = t.database.texts(HASHES).await;
        assert_eq!(hashes.len() * 2, values.len(), "a value was not collected");
        let mut derived = hashes;
        let hex = match t.database {
            Database::Sqlite(_) => "lower(hex(fingerprint))",
            Database::Postgres { .. } => "encode(fingerprint, 'hex')",
        };
        let fingerprints = format!("SELECT {hex} FROM secrets UNION ALL SELECT {hex} FROM invites");
        let mut digests: Vec<Vec<u8>> = Vec::new();
        for hex in t.database.texts(&fingerprints).await {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            digests.push((0..hex.len()).step_by(2).map(byte).collect());
        }
        for entry in std::fs::read_dir(t.keyring()).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            digests.push(STANDARD.decode(text.trim()).unwrap());
        }
        for bytes in digests {
            assert_eq!(bytes.len(), 32);
            let hex = bytes
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            derived.push(hex.to_uppercase());
            derived.push(hex);
            let base64 = STANDARD.encode(&bytes);
            derived.push(base64.trim_end_matches('=').to_owned());
            derived.push(base64.replace('+', "-").replace('/', "_").replace('=', ""));
            derived.push(String::from_utf8_lossy(&bytes).into_owned());
            derived.push(format!("{bytes:?}").replace(' ', ""));
        }
        Self { values, derived }
    }

    /// Looks in the words of a text; tells what stood around.
    pub(super) fn assert_absent(&self, what: &str, text: &str, words: &str) {
        for needle in self.values.iter().chain(&self.derived) {
            assert!(
                !words.contains(needle),
                "{needle} stands in {what}: {:?}",
                text.lines().find(|line| line.contains(needle))
            );
        }
    }
}

/// Returns the long words of a text, each once: of a log of many megabytes only these
/// could hold what is looked for. Lists of numbers are words, too.
pub(super) fn words(text: &str) -> String {
    let text = text.replace(", ", ",");
    let words: BTreeSet<&str> = text
        .split([' ', '\n', '"'])
        .filter(|word| word.len() >= 20)
        .collect();
    words.into_iter().collect::<Vec<_>>().join("\n")
}
