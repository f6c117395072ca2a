//! Chance, as an argument.

use std::cell::Cell;
use std::fmt;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no randomness from the operating system")]
pub struct EntropyError;

/// Gives random bytes. Nothing draws randomness but through this.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills the buffer with random bytes, or fails and leaves it unspecified.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;

    /// Fills the buffer with bytes that have only to differ from all others, and may be
    /// guessed: where there is a cheaper way to such, it is gone.
    fn fill_distinct(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        self.fill(buffer)
    }
}

/// Draws so many random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyError> {
    let mut buffer = [0; N];
    entropy.fill(&mut buffer)?;
    Ok(buffer)
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(buffer).map_err(|_| EntropyError)
    }

    /// Asks the system once a thread.
    fn fill_distinct(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        thread_local! {
            static SEQUENCE: Cell<Option<Sequence>> = const { Cell::new(None) };
        }
        let mut sequence = match SEQUENCE.get() {
            Some(sequence) => sequence,
            None => Sequence::new(self)?,
        };
        for chunk in buffer.chunks_mut(8) {
            let drawn = sequence.next().to_le_bytes();
            chunk
                .iter_mut()
                .zip(drawn)
                .for_each(|(to, from)| *to = from);
        }
        SEQUENCE.set(Some(sequence));
        Ok(())
    }
}

/// Numbers that don't come again: xoroshiro128++.
#[derive(Clone, Copy)]
struct Sequence([u64; 2]);

impl Sequence {
    /// Begins anywhere but at zero, where it would stay.
    fn new(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let [first, second] = [bytes(entropy)?, bytes(entropy)?].map(u64::from_le_bytes);
        Ok(Self([first | 1, second]))
    }

    fn next(&mut self) -> u64 {
        let [first, mut second] = self.0;
        let drawn = first
            .wrapping_add(second)
            .rotate_left(17)
            .wrapping_add(first);
        second ^= first;
        self.0 = [
            first.rotate_left(49) ^ second ^ (second << 21),
            second.rotate_left(28),
        ];
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_has_only_to_differ_differs_on_all_threads() {
        let draw = || {
            let mut drawn = [0; 16];
            OsEntropy.fill_distinct(&mut drawn).unwrap();
            drawn
        };
        let draw_many = move || (0..1000).map(|_| draw()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw_many).join().unwrap();
        let all: HashSet<_> = draw_many().into_iter().chain(other).collect();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut sequence = Sequence([1, 2]);
        assert_eq!(sequence.next(), 393_217);
    }
}
