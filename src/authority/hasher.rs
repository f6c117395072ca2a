//! bcrypt on threads of its own: few, of low priority, with a bounded queue that
//! is fair among tenants.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Error;
use crate::domain::bounds;
use crate::domain::entropy::{self, Entropy};
use crate::domain::fingerprint::SecretHash;
use crate::domain::ids::TenantId;
use crate::domain::reason::Field;
use crate::tally::{Counter, Distribution, Times};

/// The lowest cost that bcrypt knows: for tests.
pub const COST_MIN: u32 = 4;
/// The highest cost that is let be: a second a value on one core.
pub const COST_MAX: u32 = 14;

/// How much may be hashed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// bcrypt's cost, 4 to 14: the time doubles with each.
    pub cost: u32,
    /// How many threads hash.
    pub threads: usize,
    /// How many values may wait.
    pub queue: usize,
}

impl Default for Settings {
    /// Cost 10; half the cores, at least one.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cost: 10,
            threads: (cores / 2).max(1),
            queue: 256,
        }
    }
}

/// What a thread computes, and whom it tells.
enum Job {
    Hash {
        secret: String,
        salt: [u8; 16],
        tell: oneshot::Sender<Result<SecretHash, Failed>>,
    },
    Verify {
        secret: String,
        hash: SecretHash,
        tell: oneshot::Sender<Result<bool, Failed>>,
    },
}

/// bcrypt refused its input. It says nothing of it.
#[derive(Debug, thiserror::Error)]
#[error("bcrypt refused its input")]
struct Failed;

impl Job {
    /// Returns whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { tell, .. } => tell.is_closed(),
            Self::Verify { tell, .. } => tell.is_closed(),
        }
    }

    fn run(self, cost: u32, done: impl FnOnce()) {
        // Nobody may be waiting any more; then nobody is told.
        match self {
            Self::Hash { secret, salt, tell } => {
                let hash = bcrypt::non_truncating_hash_with_salt(&secret, cost, salt)
                    .map(|parts| SecretHash::new(parts.format_for_version(bcrypt::Version::TwoB)));
                done();
                let _ = tell.send(hash.map_err(|_| Failed));
            }
            Self::Verify { secret, hash, tell } => {
                let matches = matches(&secret, &hash);
                done();
                let _ = tell.send(matches.map_err(|_| Failed));
            }
        }
    }
}

/// Returns whether the secret is the hash's. bcrypt takes 72 bytes and cuts off the rest;
/// where nothing is left, nothing is cut off, though the crate takes the end of the text
/// for a byte.
fn matches(secret: &str, hash: &SecretHash) -> bcrypt::BcryptResult<bool> {
    if secret.len() == bounds::FOREIGN_BYTES {
        return bcrypt::verify(secret, hash.expose());
    }
    bcrypt::non_truncating_verify(secret, hash.expose())
}

/// Reads an imported hash: of `$2a$`, `$2b$` or `$2y$`, and of a cost that this service's
/// threads are meant for.
pub(super) fn read_hash(text: String, own_cost: u32) -> Result<SecretHash, Field> {
    let known = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .filter_map(|version| text.strip_prefix(version))
        .any(|rest| rest.bytes().take(2).all(|byte| byte.is_ascii_digit()));
    let parts: bcrypt::HashParts = text.parse().map_err(|_| Field::InvalidHash)?;
    if !known {
        return Err(Field::InvalidHash);
    }
    let most = own_cost.max(*bounds::IMPORTED_COST.end());
    if !(*bounds::IMPORTED_COST.start()..=most).contains(&parts.get_cost()) {
        return Err(Field::HashCost);
    }
    Ok(SecretHash::new(text))
}

/// A job that waits, and since when.
struct Waiting {
    job: Job,
    since: Instant,
}

/// What waits, by tenant, and whose turn it is.
#[derive(Default)]
struct Queue {
    jobs: HashMap<TenantId, VecDeque<Waiting>>,
    turns: VecDeque<TenantId>,
    waiting: usize,
    closed: bool,
}

impl Queue {
    /// Adds a job; gives it back when the queue, or the tenant's share of it, is
    /// full. A tenant's share is half, so that one tenant's rush leaves room.
    fn push(&mut self, tenant_id: &TenantId, job: Job, most: usize) -> Result<(), Job> {
        let share = most.div_ceil(2);
        let held = self.jobs.get(tenant_id).map_or(0, VecDeque::len);
        if self.waiting >= most || held >= share {
            return Err(job);
        }
        if held == 0 {
            self.turns.push_back(tenant_id.clone());
        }
        self.jobs
            .entry(tenant_id.clone())
            .or_default()
            .push_back(Waiting {
                job,
                since: Instant::now(),
            });
        self.waiting += 1;
        Ok(())
    }

    /// Takes the next job: of the tenants in turn, one each.
    fn pop(&mut self) -> Option<Waiting> {
        while let Some(tenant_id) = self.turns.pop_front() {
            let Some(jobs) = self.jobs.get_mut(&tenant_id) else {
                continue;
            };
            let job = jobs.pop_front();
            if jobs.is_empty() {
                self.jobs.remove(&tenant_id);
            } else {
                self.turns.push_back(tenant_id);
            }
            if let Some(waiting) = job {
                self.waiting -= 1;
                if !waiting.job.is_abandoned() {
                    return Some(waiting);
                }
            }
        }
        None
    }
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    settings: Settings,
    /// How many threads hash just now.
    busy: AtomicUsize,
    counters: Counters,
}

/// All that is counted here.
#[derive(Debug, Default)]
struct Counters {
    waits: Times,
    runs: Times,
    refused: Counter,
}

/// What there is to do, and what was done since the start.
#[derive(Clone, Debug)]
pub struct Load {
    /// The values that wait.
    pub waiting: usize,
    /// How many may.
    pub capacity: usize,
    /// The threads that hash.
    pub busy: usize,
    /// How many there are.
    pub threads: usize,
    /// How long values waited whose turn came.
    pub waits: Distribution,
    /// How long they took then.
    pub runs: Distribution,
    /// Values that found no place in the queue.
    pub refused: u64,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that may panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let job = loop {
                if let Some(job) = queue.pop() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            let Waiting { job, since } = job;
            let began = Instant::now();
            self.counters.waits.observe(began - since);
            self.busy.fetch_add(1, Ordering::Relaxed);
            // Before the one who waits is told, who may ask what was counted.
            job.run(self.settings.cost, || {
                self.counters.runs.observe(began.elapsed());
                self.busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// The pool. Dropped, it finishes what waits and ends its threads.
pub struct Hasher {
    shared: Arc<Shared>,
    entropy: Arc<dyn Entropy>,
    threads: Vec<JoinHandle<()>>,
}

impl Hasher {
    /// Starts the threads.
    pub fn start(settings: Settings, entropy: Arc<dyn Entropy>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            settings,
            busy: AtomicUsize::new(0),
            counters: Counters::default(),
        });
        let mut threads = Vec::new();
        for number in 0..settings.threads.max(1) {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("bcrypt-{number}"));
            threads.push(thread.spawn(move || {
                // Introspection comes first. Where the system forbids it, the
                // bounded number of threads must do.
                let _ = thread_priority::set_current_thread_priority(
                    thread_priority::ThreadPriority::Min,
                );
                shared.work();
            })?);
        }
        Ok(Self {
            shared,
            entropy,
            threads,
        })
    }

    /// Hashes a secret of at most 72 bytes.
    pub async fn hash(&self, tenant_id: &TenantId, secret: &str) -> Result<SecretHash, Error> {
        let salt = entropy::bytes(&*self.entropy)?;
        let (tell, told) = oneshot::channel();
        self.queue(
            tenant_id,
            Job::Hash {
                secret: secret.to_owned(),
                salt,
                tell,
            },
        )?;
        told.await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }

    /// Returns whether the secret is the hash's.
    pub async fn verify(
        &self,
        tenant_id: &TenantId,
        secret: &str,
        hash: &SecretHash,
    ) -> Result<bool, Error> {
        let (tell, told) = oneshot::channel();
        let job = Job::Verify {
            secret: secret.to_owned(),
            hash: hash.clone(),
            tell,
        };
        self.queue(tenant_id, job)?;
        told.await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }

    /// Returns the cost of what is hashed here.
    pub(super) fn cost(&self) -> u32 {
        self.shared.settings.cost
    }

    /// Returns what there is to do, and what was done.
    pub fn load(&self) -> Load {
        let Shared {
            settings,
            counters,
            busy,
            ..
        } = &*self.shared;
        Load {
            waiting: self.shared.queue().waiting,
            capacity: settings.queue,
            busy: busy.load(Ordering::Relaxed),
            threads: self.threads.len(),
            waits: counters.waits.read(),
            runs: counters.runs.read(),
            refused: counters.refused.get(),
        }
    }

    fn queue(&self, tenant_id: &TenantId, job: Job) -> Result<(), Error> {
        let most = self.shared.settings.queue;
        if self.shared.queue().push(tenant_id, job, most).is_err() {
            self.shared.counters.refused.add(1);
            return Err(Error::HashingBusy {
                retry_after: Duration::from_secs(1),
            });
        }
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has been heard of already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::OsEntropy;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn job(name: &str) -> (Job, oneshot::Receiver<Result<SecretHash, Failed>>) {
        let (tell, told) = oneshot::channel();
        (
            Job::Hash {
                secret: name.to_owned(),
                salt: [0; 16],
                tell,
            },
            told,
        )
    }

    fn name(waiting: Waiting) -> String {
        match waiting.job {
            Job::Hash { secret, .. } | Job::Verify { secret, .. } => secret,
        }
    }

    #[test]
    fn tenants_take_turns_and_none_takes_all() {
        let mut queue = Queue::default();
        let mut waiting = Vec::new();
        for (of, named) in [("aaa", "a1"), ("aaa", "a2"), ("aaa", "a3"), ("bbb", "b1")] {
            let (job, told) = job(named);
            waiting.push(told);
            assert!(queue.push(&tenant(of), job, 6).is_ok());
        }
        assert!(
            queue.push(&tenant("aaa"), job("a4").0, 6).is_err(),
            "half is a tenant's share"
        );
        let order: Vec<String> = std::iter::from_fn(|| queue.pop().map(name)).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn a_full_queue_refuses_and_an_abandoned_job_is_passed_over() {
        let mut queue = Queue::default();
        let (first, told) = job("first");
        let (second, _kept) = job("second");
        assert!(queue.push(&tenant("aaa"), first, 2).is_ok());
        assert!(queue.push(&tenant("bbb"), second, 2).is_ok());
        assert!(queue.push(&tenant("ccc"), job("third").0, 2).is_err());
        drop(told);
        assert_eq!(queue.pop().map(name).as_deref(), Some("second"));
        assert_eq!(queue.waiting, 0);
    }

    #[tokio::test]
    async fn a_hash_verifies_its_secret_and_no_other() {
        let settings = Settings {
            cost: COST_MIN,
            threads: 1,
            queue: 8,
        };
        let hasher = Hasher::start(settings, Arc::new(OsEntropy)).unwrap();
        let hash = hasher.hash(&tenant("aaa"), "secret").await.unwrap();
        assert!(hash.expose().starts_with("$2b$04$"));
        assert!(
            hasher
                .verify(&tenant("aaa"), "secret", &hash)
                .await
                .unwrap()
        );
        assert!(!hasher.verify(&tenant("aaa"), "other", &hash).await.unwrap());
    }

    #[tokio::test]
    async fn what_bcrypt_would_cut_off_is_refused() {
        let settings = Settings {
            cost: COST_MIN,
            threads: 1,
            queue: 8,
        };
        let hasher = Hasher::start(settings, Arc::new(OsEntropy)).unwrap();
        let error = hasher
            .hash(&tenant("aaa"), &"x".repeat(73))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{error:?}");
    }
}
