//! Going through a chain: finds an event that was changed, removed, reordered or cut
//! off. Who can write to the database could make the whole chain anew; an anchor that
//! was kept elsewhere shows that, too.

use super::{Event, FieldChange, Hash, action};
use crate::domain::time::Timestamp;

/// An event's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place, as the row says.
    pub sequence: i64,
    /// The event's canonical bytes.
    pub event: Vec<u8>,
    /// The hash that is kept with it.
    pub hash: Hash,
    /// When it happened, as the row says.
    pub created_at: Timestamp,
    /// What was done, as the row says.
    pub action: String,
    /// The ids that events are found by, as the row says: the caller's token, the
    /// user and the token that it was about.
    pub ids: [String; 3],
}

/// How long a chain is said to be, and its last hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many events there have been.
    pub count: i64,
    /// The last one's hash.
    pub hash: Hash,
}

impl Head {
    /// The head of a chain without an event.
    pub const EMPTY: Self = Self {
        count: 0,
        hash: Hash::ZERO,
    };
}

/// Where a pruned chain begins: after this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place of the last event that was pruned.
    pub sequence: i64,
    /// Its hash.
    pub hash: Hash,
}

/// A head that was seen before, kept where nobody could change it.
pub type Anchor = Head;

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The event is not what was written.
    Changed,
    /// The event is missing.
    Removed,
    /// Another event stands in its place.
    Reordered,
    /// The chain ends before it.
    CutOff,
    /// The chain goes on past its head.
    Added,
    /// Events before it are gone and no event says that they were pruned.
    Unattested,
    /// The chain is another than the one that was seen before.
    OtherChain,
}

/// What became of going through a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong.
    pub flaw: Flaw,
    /// With which event.
    pub sequence: i64,
}

/// A chain that is being gone through, row by row, in the order of the rows.
#[derive(Clone, Debug)]
pub struct Proof {
    tenant_id: String,
    head: Head,
    checkpoint: Option<Checkpoint>,
    anchor: Option<Anchor>,
    last: Head,
    attested: bool,
}

impl Proof {
    /// Begins with a tenant's chain.
    pub fn begin(
        tenant_id: String,
        head: Head,
        checkpoint: Option<Checkpoint>,
        anchor: Option<Anchor>,
    ) -> Self {
        let last = checkpoint.map_or(Head::EMPTY, |checkpoint| Head {
            count: checkpoint.sequence,
            hash: checkpoint.hash,
        });
        Self {
            tenant_id,
            head,
            checkpoint,
            anchor,
            last,
            attested: checkpoint.is_none(),
        }
    }

    /// Judges the next row.
    pub fn next(&mut self, row: &Row) -> Result<(), Verdict> {
        let sequence = self.last.count.saturating_add(1);
        let found = |flaw| Verdict { flaw, sequence };
        if sequence > self.head.count {
            return Err(found(Flaw::Added));
        }
        if row.sequence != sequence {
            return Err(found(Flaw::Removed));
        }
        let event = Event::from_bytes(&row.event).ok_or(found(Flaw::Changed))?;
        if event.sequence != sequence {
            return Err(found(Flaw::Reordered));
        }
        let hash = self.last.hash.then(&row.event);
        if hash != row.hash || !self.is_told_by(&event, row) {
            return Err(found(Flaw::Changed));
        }
        self.last = Head {
            count: sequence,
            hash,
        };
        self.attested = self.attested || self.attests(&event);
        self.check_anchor()
    }

    /// Judges the whole, once there is no further row.
    pub fn end(&self) -> Result<(), Verdict> {
        let sequence = self.last.count.saturating_add(1);
        if self.last.count < self.head.count {
            return Err(Verdict {
                flaw: Flaw::CutOff,
                sequence,
            });
        }
        if self.last.hash != self.head.hash {
            return Err(Verdict {
                flaw: Flaw::Changed,
                sequence: self.last.count,
            });
        }
        if !self.attested {
            let pruned = self.checkpoint.map_or(0, |checkpoint| checkpoint.sequence);
            return Err(Verdict {
                flaw: Flaw::Unattested,
                sequence: pruned,
            });
        }
        let Some(anchor) = self.anchor else {
            return Ok(());
        };
        let pruned = self.checkpoint.map(|checkpoint| Head {
            count: checkpoint.sequence,
            hash: checkpoint.hash,
        });
        // What was pruned before its checkpoint can't be compared any more.
        let other = pruned
            .is_some_and(|pruned| pruned.count == anchor.count && pruned.hash != anchor.hash)
            // It is past the end: the chain was longer when it was seen.
            || anchor.count > self.last.count;
        if other {
            return Err(Verdict {
                flaw: Flaw::OtherChain,
                sequence: anchor.count,
            });
        }
        Ok(())
    }

    /// Returns whether the row's other columns say what the event says.
    fn is_told_by(&self, event: &Event, row: &Row) -> bool {
        let (seconds, nanos) = row.created_at.parts();
        let subject = event.subject.as_ref();
        let caller = event.caller.as_ref();
        let ids = [
            caller.map(|by| by.token_id.clone()).unwrap_or_default(),
            subject
                .map(|about| about.user_id.clone())
                .unwrap_or_default(),
            subject
                .map(|about| about.token_id.clone())
                .unwrap_or_default(),
        ];
        event.tenant_id == self.tenant_id
            && event.event_time == Some(prost_types::Timestamp { seconds, nanos })
            && event.action == row.action
            && ids == row.ids
    }

    /// Returns whether an event says that the chain was pruned up to its checkpoint.
    fn attests(&self, event: &Event) -> bool {
        let Some(checkpoint) = self.checkpoint else {
            return false;
        };
        let says = |change: &FieldChange, field: &str, text: &str| {
            change.field == field && change.after == text
        };
        event.action == action::PRUNE
            && event
                .changes
                .iter()
                .any(|change| says(change, "sequence", &checkpoint.sequence.to_string()))
            && event
                .changes
                .iter()
                .any(|change| says(change, "hash", &checkpoint.hash.to_hex()))
    }

    fn check_anchor(&self) -> Result<(), Verdict> {
        match self.anchor {
            Some(anchor) if anchor.count == self.last.count && anchor.hash != self.last.hash => {
                Err(Verdict {
                    flaw: Flaw::OtherChain,
                    sequence: self.last.count,
                })
            }
            _ => Ok(()),
        }
    }
}
