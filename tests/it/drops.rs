//! Calls that are dropped: at each point where a mutation waits, and by clients that
//! go. What was asked for is done as a whole or not at all, and nothing is held up.

mod cut;
mod mutations;
mod relay;
mod wire;

use std::collections::BTreeMap;

use token_authority::authority::access::{Effect, Rpc};

use self::cut::{Cutter, Moment};
use self::mutations::Installation;
use crate::support::{Backend, Reader, both_backends, invariants};

both_backends!(a_mutation_dropped_wherever_it_waits_is_done_as_a_whole_or_not_at_all);

/// A mutation may wait once more or once less than the last time, as connections have
/// seen its statements before or not. So it is cut this often beyond its end.
const BEYOND: usize = 3;

async fn a_mutation_dropped_wherever_it_waits_is_done_as_a_whole_or_not_at_all(backend: Backend) {
    let cutter = Cutter::new();
    let installation = Installation::new(backend).await;
    let mut reader = installation.database.reader().await;
    let mut done = 0;
    for &rpc in Rpc::ALL {
        if rpc.effect() == Effect::Mutates {
            for moment in [Moment::Asleep, Moment::Woken] {
                let mut cuts = Cuts::new(&installation, &mut reader, rpc).await;
                cuts.make(&cutter, moment).await;
                done += cuts.done;
            }
        }
    }
    invariants::check(&installation.database).await;
    assert!(done > 0, "no call was cut while it committed");
}

/// The cuts of a mutation.
struct Cuts<'a> {
    installation: &'a Installation,
    reader: &'a mut Reader,
    rpc: Rpc,
    /// What becomes of the rows when it is not cut.
    whole: BTreeMap<String, usize>,
    /// How many left nothing.
    undone: usize,
    /// How many left all.
    done: usize,
}

impl<'a> Cuts<'a> {
    async fn new(installation: &'a Installation, reader: &'a mut Reader, rpc: Rpc) -> Self {
        let subject = installation.subject(rpc).await;
        let before = reader.rows().await;
        let outcome = installation.mutate(rpc, &subject).await;
        outcome.unwrap_or_else(|error| panic!("{}: {error:?}", rpc.path()));
        let whole = before.became(&reader.rows().await);
        assert!(!whole.is_empty(), "{} changes nothing", rpc.path());
        Self {
            installation,
            reader,
            rpc,
            whole,
            undone: 0,
            done: 0,
        }
    }

    /// Drops the mutation where it first waits, where it waits next and so on, until it
    /// waits no more.
    async fn make(&mut self, cutter: &Cutter, moment: Moment) {
        let (rpc, what) = (self.rpc, self.rpc.path());
        let mut subject = self.installation.subject(rpc).await;
        let mut before = self.reader.rows().await;
        let mut ended = 0;
        for waits in 1.. {
            let mutation = self.installation.mutate(rpc, &subject);
            let outcome = cutter.cut(mutation, waits, moment).await;
            let became = before.became(&self.reader.rows().await);
            match outcome {
                None if became.is_empty() => {
                    self.undone += 1;
                    continue;
                }
                None => self.done += 1,
                Some(Ok(())) => ended += 1,
                Some(Err(error)) => panic!("{what} after {waits} cuts: {error:?}"),
            }
            assert_eq!(
                became, self.whole,
                "{what}, cut {moment:?} where it waits for the {waits}th time: neither all nor \
                 nothing"
            );
            if ended == BEYOND {
                break;
            }
            // This one has changed.
            subject = self.installation.subject(rpc).await;
            before = self.reader.rows().await;
        }
        // It begins, locks, reads, writes.
        let undone = self.undone;
        assert!(undone > 4, "{what} waits {undone} times before it commits");
    }
}
