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
    /// When it happened, in milliseconds since the Unix epoch, as the row says.
    pub created_at: i64,
    /// What was done, as the row says.
    pub action: String,
    /// The ids that events are found by, as the row says: the caller's token, the
    /// user and the token that it was about.
    pub ids: [String; 3],
}

impl Row {
    /// Returns whether the event happened at an instant or before, as it says itself.
    pub fn is_event_before(&self, until: Timestamp) -> bool {
        let at = Event::from_bytes(&self.event).and_then(|event| event.event_time);
        let at = at.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos));
        at.is_some_and(|at| at <= until)
    }
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
    /// What was seen before has been pruned: whether the chain is the same can't be said.
    KnownHeadPruned,
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
        if row.sequence < sequence {
            return Err(Verdict {
                flaw: Flaw::Added,
                sequence: row.sequence,
            });
        }
        if row.sequence > sequence {
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
        if anchor.count < pruned.map_or(0, |pruned| pruned.count) {
            return Err(Verdict {
                flaw: Flaw::KnownHeadPruned,
                sequence: anchor.count,
            });
        }
        let other = (anchor.count == 0 && anchor.hash != Hash::ZERO)
            || pruned
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
        let at = Timestamp::from_millis(row.created_at).map(|at| {
            let (seconds, nanos) = at.parts();
            prost_types::Timestamp { seconds, nanos }
        });
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
            && at.is_some()
            && event.event_time == at
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Act, Origin};

    fn event(sequence: i64, act: &Act) -> (Event, Timestamp) {
        let at = Timestamp::from_millis(1000 + sequence).unwrap();
        let event = Event {
            tenant_id: "acme".into(),
            sequence,
            ..Event::of(act, &Origin::default(), at)
        };
        (event, at)
    }

    /// Returns a chain of so many events, and its head.
    fn chain(length: i64) -> (Vec<Row>, Head) {
        let act = Act::new("UpdateTenant", "acme".parse().unwrap());
        let mut head = Head::EMPTY;
        let rows = (1..=length).map(|sequence| {
            let (event, created_at) = event(sequence, &act);
            let bytes = event.to_bytes();
            head = Head {
                count: sequence,
                hash: head.hash.then(&bytes),
            };
            Row {
                sequence,
                event: bytes,
                hash: head.hash,
                created_at: created_at.millis(),
                action: event.action,
                ids: Default::default(),
            }
        });
        (rows.collect(), head)
    }

    fn go_through(
        rows: &[Row],
        head: Head,
        checkpoint: Option<Checkpoint>,
        anchor: Option<Anchor>,
    ) -> Result<(), Verdict> {
        let mut proof = Proof::begin("acme".into(), head, checkpoint, anchor);
        for row in rows {
            proof.next(row)?;
        }
        proof.end()
    }

    fn told(result: Result<(), Verdict>) -> (Flaw, i64) {
        let verdict = result.unwrap_err();
        (verdict.flaw, verdict.sequence)
    }

    #[test]
    fn a_whole_chain_is_whole_and_an_empty_one_too() {
        let (rows, head) = chain(9);
        assert_eq!(go_through(&rows, head, None, Some(head)), Ok(()));
        assert_eq!(go_through(&[], Head::EMPTY, None, None), Ok(()));
    }

    #[test]
    fn whatever_is_done_to_an_event_is_found_there() {
        let (rows, head) = chain(5);
        for at in 0..rows.len() {
            let sequence = rows[at].sequence;
            let with = |change: fn(&mut Row)| {
                let mut rows = rows.clone();
                change(&mut rows[at]);
                told(go_through(&rows, head, None, None))
            };
            let changed = (Flaw::Changed, sequence);
            assert_eq!(with(|row| row.event[0] ^= 1), changed);
            assert_eq!(with(|row| row.event.push(0)), changed);
            assert_eq!(with(|row| row.event.clear()).1, sequence);
            assert_eq!(with(|row| row.hash = Hash([1; 32])), changed);
            assert_eq!(with(|row| row.action = "RevokeToken".into()), changed);
            assert_eq!(with(|row| row.ids[2] = "tok_x".into()), changed);
            assert_eq!(with(|row| row.created_at = -1), changed);

            let mut removed = rows.clone();
            removed.remove(at);
            let flaw = if at + 1 == rows.len() {
                Flaw::CutOff
            } else {
                Flaw::Removed
            };
            assert_eq!(
                told(go_through(&removed, head, None, None)),
                (flaw, sequence)
            );

            if at > 0 {
                let mut swapped = rows.clone();
                swapped.swap(at - 1, at);
                swapped[at - 1].sequence = sequence - 1;
                swapped[at].sequence = sequence;
                assert_eq!(
                    told(go_through(&swapped, head, None, None)),
                    (Flaw::Reordered, sequence - 1)
                );
            }
        }
    }

    #[test]
    fn the_head_says_where_a_chain_ends() {
        let (rows, head) = chain(5);
        assert_eq!(
            told(go_through(&rows[..3], head, None, None)),
            (Flaw::CutOff, 4)
        );
        let (longer, _) = chain(6);
        assert_eq!(
            told(go_through(&longer, head, None, None)),
            (Flaw::Added, 6)
        );
        let other = Head {
            hash: Hash([7; 32]),
            ..head
        };
        assert_eq!(
            told(go_through(&rows, other, None, None)),
            (Flaw::Changed, 5)
        );
    }

    #[test]
    fn what_stands_before_the_first_event_is_found() {
        let (rows, head) = chain(3);
        for place in [0, -7] {
            let mut forged = rows.clone();
            forged.insert(
                0,
                Row {
                    sequence: place,
                    ..rows[0].clone()
                },
            );
            assert_eq!(
                told(go_through(&forged, head, None, None)),
                (Flaw::Added, place)
            );
        }
        let nothing = Head {
            count: 0,
            hash: Hash([7; 32]),
        };
        assert_eq!(
            told(go_through(&rows, head, None, Some(nothing))),
            (Flaw::OtherChain, 0)
        );
        assert_eq!(go_through(&rows, head, None, Some(Head::EMPTY)), Ok(()));
    }

    #[test]
    fn a_chain_made_anew_is_not_the_one_that_was_seen() {
        let (rows, head) = chain(5);
        let seen = Head {
            count: 3,
            hash: rows[2].hash,
        };
        assert_eq!(go_through(&rows, head, None, Some(seen)), Ok(()));
        let other = Head {
            hash: Hash([7; 32]),
            ..seen
        };
        assert_eq!(
            told(go_through(&rows, head, None, Some(other))),
            (Flaw::OtherChain, 3)
        );
        let shorter = Head {
            count: 2,
            hash: rows[1].hash,
        };
        assert_eq!(
            told(go_through(&rows[..2], shorter, None, Some(seen))),
            (Flaw::OtherChain, 3)
        );
    }

    #[test]
    fn a_pruned_chain_begins_where_an_event_says_so() {
        let (rows, _) = chain(5);
        let checkpoint = Checkpoint {
            sequence: 2,
            hash: rows[1].hash,
        };
        let pruned = Act::new(action::PRUNE, "acme".parse().unwrap())
            .with("sequence", "2")
            .with("hash", checkpoint.hash.to_hex());
        let (event, created_at) = event(6, &pruned);
        let bytes = event.to_bytes();
        let hash = rows[4].hash.then(&bytes);
        let last = Row {
            sequence: 6,
            event: bytes,
            hash,
            created_at: created_at.millis(),
            action: event.action,
            ids: Default::default(),
        };
        let head = Head { count: 6, hash };
        let mut left = rows[2..].to_vec();
        left.push(last);
        assert_eq!(go_through(&left, head, Some(checkpoint), None), Ok(()));
        // A head at the checkpoint can be compared, one before it can't any more.
        let seen = |at: usize| Head {
            count: rows[at].sequence,
            hash: rows[at].hash,
        };
        let went = |at| go_through(&left, head, Some(checkpoint), Some(seen(at)));
        assert_eq!(went(1), Ok(()));
        assert_eq!(told(went(0)), (Flaw::KnownHeadPruned, 1));
        let seen = Head {
            count: 2,
            hash: Hash([9; 32]),
        };
        assert_eq!(
            told(go_through(&left, head, Some(checkpoint), Some(seen))),
            (Flaw::OtherChain, 2)
        );
        // Without that event, and with another checkpoint, it is a cut.
        let (rows, head) = chain(5);
        assert_eq!(
            told(go_through(&rows[2..], head, Some(checkpoint), None)),
            (Flaw::Unattested, 2)
        );
        assert_eq!(
            told(go_through(&rows[2..], head, None, None)),
            (Flaw::Removed, 1)
        );
    }
}
