//! Calls that are dropped: at each point where a mutation waits, and by clients that
//! go. What was asked for is done as a whole or not at all, and nothing is held up.

mod cut;
mod mutations;
mod relay;
mod wire;

use std::collections::BTreeMap;

use token_authority::authority::access::{Effect, Rpc};

use self::cut::{Cutter, Moment};
use self::mutations::{Installation, Mutation, Subject};
use crate::support::{Backend, Reader, both_backends, invariants};

both_backends!(
    a_mutation_dropped_wherever_it_waits_is_done_as_a_whole_or_not_at_all,
    what_is_done_by_half_is_complained_of,
);

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
            let mut cuts = Cuts::new(&installation, &mut reader, rpc, |all, subject| {
                all.mutate(rpc, subject)
            })
            .await;
            for moment in [Moment::Asleep, Moment::Woken] {
                cuts.make(&cutter, moment).await.unwrap();
            }
            done += cuts.done;
        }
    }
    invariants::check(&installation.database).await;
    assert!(done > 0, "no call was cut while it committed");
}

/// The proof that the test can fail: of what is no mutation but two.
async fn what_is_done_by_half_is_complained_of(backend: Backend) {
    let cutter = Cutter::new();
    let installation = Installation::new(backend).await;
    let mut reader = installation.database.reader().await;
    let rpc = Rpc::SuspendUser;
    let mut cuts = Cuts::new(&installation, &mut reader, rpc, |all, subject| {
        all.mutate_in_two(subject)
    })
    .await;
    for moment in [Moment::Asleep, Moment::Woken] {
        let complaint = cuts.make(&cutter, moment).await.unwrap_err();
        assert!(complaint.contains("neither all nor nothing"), "{complaint}");
    }
}

/// The cuts of a mutation.
struct Cuts<'a, M> {
    installation: &'a Installation,
    reader: &'a mut Reader,
    rpc: Rpc,
    mutate: M,
    /// What becomes of the rows when it is not cut.
    whole: BTreeMap<String, usize>,
    /// How many left nothing.
    undone: usize,
    /// How many left all.
    done: usize,
}

impl<'a, M> Cuts<'a, M>
where
    M: for<'s> Fn(&'s Installation, &'s Subject) -> Mutation<'s>,
{
    async fn new(
        installation: &'a Installation,
        reader: &'a mut Reader,
        rpc: Rpc,
        mutate: M,
    ) -> Self {
        let subject = installation.subject(rpc).await;
        let before = reader.rows().await;
        let outcome = mutate(installation, &subject).await;
        outcome.unwrap_or_else(|error| panic!("{}: {error:?}", rpc.path()));
        let whole = before.became(&reader.rows().await);
        assert!(!whole.is_empty(), "{} changes nothing", rpc.path());
        Self {
            installation,
            reader,
            rpc,
            mutate,
            whole,
            undone: 0,
            done: 0,
        }
    }

    /// Drops the mutation where it first waits, where it waits next and so on, until it
    /// waits no more. An error tells what was done by half.
    async fn make(&mut self, cutter: &Cutter, moment: Moment) -> Result<(), String> {
        let (rpc, what) = (self.rpc, self.rpc.path());
        let mut subject = self.installation.subject(rpc).await;
        let mut before = self.reader.rows().await;
        let mut ended = 0;
        for waits in 1.. {
            let mutation = (self.mutate)(self.installation, &subject);
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
            if became != self.whole {
                return Err(format!(
                    "{what}, cut {moment:?} where it waits for the {waits}th time: neither all \
                     nor nothing, but {became:?}"
                ));
            }
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
        Ok(())
    }
}
