//! What is counted of memory.

use crate::tally::{Closed as _, Counter, Each, Striped, closed};

closed! {
    /// Where what is known of a presented value came from.
    pub enum Recall {
        /// From memory: its record.
        Kept = "kept",
        /// From memory: that nobody was given it.
        Unknown = "unknown",
        /// From the store.
        Read = "read",
    }
}

closed! {
    /// Why a record left memory.
    pub enum Eviction {
        /// A change may have altered it.
        Change = "change",
        /// Another needed its room.
        Room = "room",
    }
}

/// All that is counted of memory.
#[derive(Debug, Default)]
pub struct Counters {
    /// Where what is known of presented values came from.
    pub recalls: Striped<Each<Recall, { Recall::COUNT }>>,
    /// Records that left memory.
    pub evictions: Each<Eviction, { Eviction::COUNT }>,
    /// Statements that read what was not in memory, several values each.
    pub reads: Counter,
    /// Calls that waited for what another had asked for.
    pub joined: Counter,
    /// What was read and given to nobody, as a change raced with it.
    pub raced: Counter,
    /// Changes that were applied.
    pub applied: Counter,
    /// Times that all of memory was dropped.
    pub dropped: Counter,
}
