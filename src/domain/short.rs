//! Short texts, kept where they stand: no allocation for what is looked at once.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A text of at most `N` bytes, of which there are at most 255.
#[derive(Clone, Copy)]
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Short<N> {
    /// Takes a text, unless it is too long.
    pub(super) fn new(text: &str) -> Option<Self> {
        let length = u8::try_from(text.len()).ok()?;
        let mut bytes = [0; N];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Some(Self { bytes, length })
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        // It was a text when it was taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns the text's bytes, which are not held to be a text again.
    pub(super) fn as_bytes(&self) -> &[u8] {
        let bytes = self.bytes.get(..usize::from(self.length));
        bytes.unwrap_or_default()
    }
}

impl<const N: usize> PartialEq for Short<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Short<N> {}

impl<const N: usize> Hash for Short<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_it_is_up_to_its_bound() {
        for text in ["", "a", "abcd", "äö"] {
            let short = Short::<4>::new(text).unwrap();
            assert_eq!((short.as_str(), short.as_bytes()), (text, text.as_bytes()));
        }
        assert_eq!(Short::<4>::new("abcde"), None);
        assert_eq!(Short::<4>::new("äöü"), None);
        assert_ne!(Short::<4>::new("a"), Short::new("a\0"));
    }
}
