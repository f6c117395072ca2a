//! Values that stand among other things: in a log, in a document, in a command's words.

use super::{PREFIX_MAX, TAIL_WIDTH, TokenValue};
use crate::domain::base62;

/// A value that was found.
#[derive(Debug)]
pub struct Found {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The value.
    pub value: TokenValue,
}

/// Finds values in bytes that come piece by piece, and keeps no more of them than a
/// value is long. Any prefix is looked for, and the checksum decides: what has the form
/// of a value by chance passes once in four thousand million times.
#[derive(Debug)]
pub struct Finder {
    /// The end of what came, where a value may have begun.
    kept: Vec<u8>,
    /// From where in it the end of a prefix is still to be looked for.
    next: usize,
    /// The line that it begins on.
    line: u64,
}

impl Default for Finder {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            next: 0,
            line: 1,
        }
    }
}

impl Finder {
    /// Takes what comes next; returns the values that end in it.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.kept.extend_from_slice(bytes);
        let end = self.kept.len().saturating_sub(TAIL_WIDTH);
        let mut found = Vec::new();
        let (mut line, mut counted) = (self.line, 0);
        for at in self.next..end {
            if let Some(value) = value_at(&self.kept, at) {
                line += self.lines(counted, at);
                counted = at;
                found.push(Found { line, value });
            }
        }
        self.next = self.next.max(end);
        let done = self.next.saturating_sub(PREFIX_MAX - 1);
        self.line += self.lines(0, done);
        self.kept.drain(..done);
        self.next -= done;
        found
    }

    /// Returns how many lines end between two places of what is kept.
    fn lines(&self, from: usize, to: usize) -> u64 {
        let passed = self.kept.get(from..to).unwrap_or_default();
        passed.split(|byte| *byte == b'\n').skip(1).count() as u64
    }
}

/// Returns whether a value stands in the text, alone or among other things: then
/// somebody pasted it where it does not belong.
pub fn stands_in(text: &str) -> bool {
    // The shortest prefix has two characters.
    text.len() >= TAIL_WIDTH + 2 && !Finder::default().feed(text.as_bytes()).is_empty()
}

/// Returns the value whose prefix ends here.
fn value_at(bytes: &[u8], at: usize) -> Option<TokenValue> {
    if !matches!(bytes.get(at), Some(b'_' | b'-')) {
        return None;
    }
    let (start, end) = (at + 1, at + 1 + TAIL_WIDTH);
    let text = |from: usize| std::str::from_utf8(bytes.get(from..end)?).ok();
    text(start).filter(|tail| base62::is_base62(tail))?;
    (2..=PREFIX_MAX).find_map(|width| text(start.checked_sub(width)?)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::domain::entropy::{Entropy, EntropyError};

    #[derive(Debug)]
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    fn mint(prefix: &str, seed: u8) -> String {
        let prefix = prefix.parse().unwrap();
        TokenValue::mint(prefix, &Fixed(seed)).unwrap().expose()
    }

    fn all(pieces: &[&[u8]]) -> Vec<(u64, String)> {
        let mut finder = Finder::default();
        let found = pieces.iter().flat_map(|piece| finder.feed(piece));
        found
            .map(|found| (found.line, found.value.expose()))
            .collect()
    }

    proptest! {
        #[test]
        fn it_is_all_one_in_which_pieces_a_text_comes(
            cuts in prop::collection::vec(0usize..400, 0..8),
            before in "[a-z_\\-\n]{0,30}",
        ) {
            let [a, b, c] = [("sk-", 1), ("oi_pat_", 2), ("abcdefghijklmno_", 3)]
                .map(|(prefix, seed)| mint(prefix, seed));
            let text = format!("{before} {a}\n\n\"{b}\",{c}{c} \n{a}");
            let first = 1 + before.matches('\n').count() as u64;
            let expected = [(first, &a), (first + 2, &b), (first + 2, &c), (first + 2, &c), (first + 3, &a)];
            let expected = expected.map(|(line, value)| (line, value.clone()));
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]);
            let pieces: Vec<_> = pieces.collect();
            prop_assert_eq!(all(&pieces), expected);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut finder = Finder::default();
        for _ in 0..1_000 {
            assert!(finder.feed(&[b'_'; 1_000]).is_empty());
            assert!(finder.kept.len() < PREFIX_MAX + TAIL_WIDTH);
        }
    }

    #[test]
    fn what_is_no_text_may_stand_around_it() {
        let value = mint("ody_", 7);
        let text = [&[0xff, 0], value.as_bytes(), &[0, 0xff]].concat();
        assert_eq!(all(&[&text]), [(1, value.clone())]);
        assert!(stands_in(&format!("é{value}é")));
        assert!(!stands_in(&value[1..]));
        assert!(!stands_in(&value[..value.len() - 1]));
        assert!(!stands_in(""));
    }
}
