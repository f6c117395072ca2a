//! Chance, as an argument.

use std::fmt;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no randomness from the operating system")]
pub struct EntropyError;

/// Gives random bytes. Nothing draws randomness but through this.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills the buffer with random bytes, or fails and leaves it unspecified.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;
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
}
