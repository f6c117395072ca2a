//! Whether a tenant stands, for those who act in it without a token that would be in memory:
//! remembered for as long as no change may have touched a tenant.

use std::sync::atomic::{AtomicU64, Ordering};

use super::source::Source;
use super::{Coherence, Memory};

/// What is remembered of one tenant. It begins with nothing.
#[derive(Debug, Default)]
pub struct Standing(AtomicU64);

impl Standing {
    /// Remembers what was read after this turn had begun.
    fn note(&self, turn: u64, stands: bool) {
        let noted = turn << 1 | u64::from(stands);
        self.0.store(noted, Ordering::Release);
    }

    /// Returns what was read in this turn.
    fn of(&self, turn: u64) -> Option<bool> {
        let noted = self.0.load(Ordering::Acquire);
        (noted >> 1 == turn).then_some(noted & 1 == 1)
    }
}

impl<S: Source> Coherence<S> {
    /// Returns the turn that it is; `None` where memory may not be used. Another begins with
    /// each change that may have touched a tenant, before it is told to be done.
    fn turn(&self) -> Option<u64> {
        let memory = self.memory.as_ref();
        // Before it is looked at: what is dropped meanwhile was true when this began.
        let memory = memory.filter(|memory| memory.is_trusted());
        memory.map(Memory::turn)
    }

    /// Returns whether a tenant stands, if memory knows.
    pub fn stands(&self, standing: &Standing) -> Option<bool> {
        standing.of(self.turn()?)
    }

    /// As [`stands`](Self::stands), or by what `read` finds; `None` of a tenant that is not
    /// there, which is not remembered.
    pub async fn ask_standing<E>(
        &self,
        standing: &Standing,
        read: impl Future<Output = Result<Option<bool>, E>>,
    ) -> Result<Option<bool>, E> {
        // Before it is read: a change that comes later begins another.
        let turn = self.turn();
        if let Some(stands) = turn.and_then(|turn| standing.of(turn)) {
            return Ok(Some(stands));
        }
        let stands = read.await?;
        if let (Some(turn), Some(stands)) = (turn, stands) {
            standing.note(turn, stands);
        }
        Ok(stands)
    }
}
