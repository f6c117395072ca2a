//! The promise, tried: many tasks introspect, change and go away over a store that takes
//! its time, and each answer is held against what the store was like. No answer may be as
//! if a change had not happened that was told to be done before the call began.

mod chance;
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::chance::Chance;
use self::world::{Seen, Sim, TENANTS, World};
use super::lease::Lease;
use super::memory::{Memory, Rule};
use super::records::Capacity;
use super::{Coherence, Standing};
use crate::domain::catalog::Catalog;
use crate::domain::change::ChangeNumber;
use crate::domain::foreign::ValueKey;
use crate::domain::introspection::Verifier;
use crate::domain::value::TokenValue;
use crate::store::Known;

/// How many worlds are tried, each as its number has it.
const WORLDS: u64 = 3000;
/// What no world lasts, by its own clock: longer than that, somebody waits for ever.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Returns what some store knows of some value, what verifies it, and its tenant's catalog.
pub(super) fn any_known() -> (Known, Verifier, Catalog) {
    let known = |number| {
        let world = World::new(&mut Chance::new(number));
        let mut lookups = world.values.iter().map(TokenValue::lookup);
        lookups.find_map(|lookup| {
            let (record, verifier, version) = world.find(lookup)?;
            let known = Known {
                key: ValueKey::Lookup(lookup.clone()),
                token: record.token,
                tenant: record.tenant,
                catalog: version,
            };
            Some((known, verifier, record.catalog))
        })
    };
    (0..WORLDS).find_map(known).unwrap()
}

/// What is going on in a world.
struct Going {
    sim: Arc<Sim>,
    coherence: Arc<Coherence<Sim>>,
    /// What is remembered of each tenant.
    standings: [Standing; TENANTS],
    /// The last change that was told to be done.
    done: Mutex<ChangeNumber>,
    wrong: Mutex<Vec<String>>,
    /// The answers that were held against the world.
    checked: Mutex<u64>,
}

impl Going {
    async fn change(self: Arc<Self>, mut chance: Chance) {
        for _ in 0..chance.below(12) {
            sleep(chance.moment()).await;
            let number = self.sim.change(&mut chance);
            // Its outcome is not known: nothing is told, and nothing that was known holds.
            if chance.is_one_of(20) {
                self.coherence.doubt();
                continue;
            }
            sleep(chance.moment() / 4).await;
            self.coherence.catch_up(number).await;
            let mut done = self.done.lock().unwrap();
            *done = number.max(*done);
        }
    }

    async fn ask(self: Arc<Self>, mut chance: Chance) {
        for _ in 0..chance.below(25) {
            sleep(chance.moment() / 2).await;
            if chance.is_one_of(4) {
                self.ask_standing(chance.below(TENANTS)).await;
                continue;
            }
            let asked = self.ask_once(&mut chance);
            if chance.is_one_of(6) {
                // Who asked goes away.
                let _ = timeout(chance.moment() / 2, asked).await;
            } else {
                asked.await;
            }
        }
    }

    async fn ask_standing(&self, tenant: usize) {
        let done = *self.done.lock().unwrap();
        let read = self.sim.standing(tenant);
        let asked = self.coherence.ask_standing(&self.standings[tenant], read);
        // The store was away, which is no answer.
        let Ok(Some(stands)) = asked.await else {
            return;
        };
        *self.checked.lock().unwrap() += 1;
        if !self.sim.stood(tenant, stands, done) {
            let told = format!("tenant {tenant} stands: {stands} after {}", done.0);
            self.wrong.lock().unwrap().push(told);
        }
    }

    fn ask_once(&self, chance: &mut Chance) -> impl Future<Output = ()> + use<'_> {
        let value = self.sim.any_value(chance);
        async move {
            let done = *self.done.lock().unwrap();
            let recalled = self
                .coherence
                .recall(&value, |_, kept| Seen::of(kept.first(), &value));
            let seen = match recalled {
                Some(seen) => seen,
                None => match self.coherence.read(&value).await {
                    Ok((_, read)) => Seen::of(read.first().map(|fresh| &fresh.kept), &value),
                    // The store was away, which is no answer.
                    Err(_) => return,
                },
            };
            *self.checked.lock().unwrap() += 1;
            if !self.sim.was(&value, &seen, done) {
                let told = format!("{seen:?} after {}", done.0);
                self.wrong.lock().unwrap().push(told);
            }
        }
    }
}

/// Lets a world go by; returns its wrong answers, and how many there were at all.
fn run(number: u64, broken: Option<Rule>) -> (Vec<String>, u64) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut chance = Chance::new(number);
        let sim = Arc::new(Sim::new(World::new(&mut chance), chance.fork()));
        let capacity = Capacity {
            bytes: usize::MAX,
            records: if chance.is_one_of(3) { 2 } else { 100 },
        };
        let lease = Lease::new((), false, Duration::ZERO);
        let mut memory = Memory::new(capacity, ChangeNumber(0), lease);
        memory.broken = broken;
        let coherence = Arc::new(Coherence::with(Arc::clone(&sim), Some(memory)));
        let keeping = tokio::spawn(Arc::clone(&coherence).keep());
        let going = Arc::new(Going {
            sim,
            coherence,
            standings: Default::default(),
            done: Mutex::new(ChangeNumber(0)),
            wrong: Mutex::default(),
            checked: Mutex::default(),
        });
        let mut all = JoinSet::new();
        for _ in 0..4 {
            all.spawn(Arc::clone(&going).change(chance.fork()));
        }
        for _ in 0..6 {
            all.spawn(Arc::clone(&going).ask(chance.fork()));
        }
        let ended = timeout(FOR_EVER, async {
            while let Some(ended) = all.join_next().await {
                ended.unwrap();
            }
        });
        assert!(
            ended.await.is_ok(),
            "somebody waits for ever in world {number}"
        );
        keeping.abort();
        let wrong = std::mem::take(&mut *going.wrong.lock().unwrap());
        (wrong, *going.checked.lock().unwrap())
    })
}

#[test]
fn no_answer_is_as_if_a_change_had_not_happened_that_was_done_before() {
    let mut checked = 0;
    for number in 0..WORLDS {
        let (wrong, answers) = run(number, None);
        assert!(wrong.is_empty(), "world {number}: {wrong:#?}");
        checked += answers;
    }
    assert!(checked > 20 * WORLDS, "{checked} answers are not many");
}

/// Returns whether some world shows what a rule prevents.
fn shows(broken: Rule) -> bool {
    (0..WORLDS).any(|number| !run(number, Some(broken)).0.is_empty())
}

#[test]
fn without_the_tag_an_old_read_is_answered() {
    assert!(shows(Rule::Tag));
}

#[test]
fn without_the_rule_of_joining_an_old_read_is_answered() {
    assert!(shows(Rule::Join));
}

#[test]
fn without_turns_what_a_tenant_was_is_answered() {
    assert!(shows(Rule::Turn));
}

#[tokio::test(start_paused = true)]
async fn calls_for_one_value_are_read_together() {
    let mut chance = Chance::new(1);
    let world = World::new(&mut chance);
    let sim = Arc::new(Sim::new(world, chance.fork()));
    let capacity = Capacity {
        bytes: usize::MAX,
        records: 100,
    };
    let lease = Lease::new((), false, Duration::ZERO);
    let memory = Memory::new(capacity, ChangeNumber(0), lease);
    let coherence = Arc::new(Coherence::with(Arc::clone(&sim), Some(memory)));
    let (value, other) = (sim.nth_value(0), sim.nth_value(1));
    let mut all = JoinSet::new();
    for value in std::iter::repeat_n(&value, 10).chain([&other]) {
        let (coherence, value) = (Arc::clone(&coherence), value.clone());
        all.spawn(async move { coherence.read(&value).await.map(|(_, kept)| kept.len()) });
    }
    let gone = all.spawn(async { std::future::pending().await });
    gone.abort();
    while let Some(ended) = all.join_next().await {
        assert!(ended.is_err() || ended.unwrap().is_ok());
    }
    let counters = coherence.counters();
    // Both values in one statement.
    assert_eq!((counters.reads.get(), counters.joined.get()), (1, 9));
}
