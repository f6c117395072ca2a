//! Whether a tenant stands, for those who act in it without a token that would be in memory:
//! remembered for as long as no change may have touched a tenant.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::source::Source;
use super::{Coherence, Memory};

/// What is remembered of one tenant. It begins with nothing.
#[derive(Debug, Default)]
pub struct Standing {
    /// In which turn it was read, and what was found.
    noted: AtomicU64,
    /// Held by who reads it: the others of this turn wait for what it finds.
    reading: Mutex<()>,
}

/// What is found of a tenant: whether it stands, unless it is not there.
type Found = Result<bool, Absent>;

/// It is not there.
#[derive(Clone, Copy, Debug)]
struct Absent;

/// The same in what is noted.
const ABSENT: u64 = 2;

impl Standing {
    /// Remembers what was read after this turn had begun.
    fn note(&self, turn: u64, found: Found) {
        let found = found.map_or(ABSENT, u64::from);
        self.noted.store(turn << 2 | found, Ordering::Release);
    }

    /// Returns what was read in this turn.
    fn of(&self, turn: u64) -> Option<Found> {
        let noted = self.noted.load(Ordering::Acquire);
        let found = noted & 3;
        let found = if found == ABSENT {
            Err(Absent)
        } else {
            Ok(found == 1)
        };
        (noted >> 2 == turn).then_some(found)
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
        standing
            .of(self.turn()?)
            .map(|found| found.unwrap_or(false))
    }

    /// As [`stands`](Self::stands), or by what `read` finds; `None` of a tenant that is not
    /// there. Of those who ask in one turn, one reads.
    pub async fn ask_standing<E>(
        &self,
        standing: &Standing,
        read: impl Future<Output = Result<Option<bool>, E>>,
    ) -> Result<Option<bool>, E> {
        let noted = |turn: Option<u64>| turn.and_then(|turn| standing.of(turn));
        if let Some(found) = noted(self.turn()) {
            return Ok(found.ok());
        }
        let _one = match self.turn() {
            Some(_) => Some(standing.reading.lock().await),
            None => None,
        };
        // Before it is read: a change that comes later begins another.
        let turn = self.turn();
        if let Some(found) = noted(turn) {
            return Ok(found.ok());
        }
        let stands = read.await?;
        if let Some(turn) = turn {
            standing.note(turn, stands.ok_or(Absent));
        }
        Ok(stands)
    }
}
