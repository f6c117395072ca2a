//! The use cases: who may do what, and what becomes of it. Speaks domain and
//! store; knows neither SQL nor gRPC.

pub mod access;
pub mod audit;
pub mod bootstrap;
pub mod caller;
pub mod census;
pub mod claim;
pub mod counters;
pub mod create;
mod ended;
mod error;
pub mod explain;
pub mod exposed;
mod grant;
pub mod hasher;
pub mod identities;
pub mod import;
pub mod introspect;
pub mod invites;
pub mod keyring;
pub mod list;
pub mod members;
mod recognise;
mod replica;
pub mod requests;
pub mod revoke;
pub mod revoke_all;
pub mod revoke_batch;
pub mod rotate;
mod scene;
pub mod scopes;
pub mod sessions;
mod suspects;
pub mod sweeper;
pub mod tenants;
mod together;
pub mod update;
mod upgrade;
mod usage;
pub mod users;
mod verify;
pub mod whoami;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::access::Rpc;
use self::audit::Readers;
pub use self::caller::Caller;
use self::census::Census;
use self::claim::Claims;
use self::counters::Counters;
pub use self::error::Error;
use self::exposed::Exposures;
use self::hasher::Hasher;
use self::identities::Registry;
use self::keyring::Keyring;
use self::replica::Replica;
use self::requests::RequestId;
use self::sessions::Trusts;
use self::suspects::Suspects;
use self::upgrade::Upgrades;
use self::usage::Uses;
use self::verify::InFlight;
use crate::call_span;
use crate::coherence::{Allowance, Coherence};
use crate::domain::base62;
use crate::domain::change::{ChangeNumber, Revision};
use crate::domain::entropy::{self, Entropy};
use crate::domain::ids::TenantId;
use crate::domain::reason::Field;
use crate::domain::scope::ScopeSet;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::token::Token;
use crate::store::{self, Store};

/// How long closing the store may take, of the time that there is for the end.
const CLOSING: Duration = Duration::from_secs(1);

/// The authority: everything that its callers can ask for.
pub struct Authority {
    store: Arc<Store>,
    coherence: Arc<Coherence>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Replaced as a whole: who reads it waits for nobody.
    keyring: ArcSwap<Keyring>,
    replica: Replica,
    trusts: Trusts,
    registry: Registry,
    hasher: Hasher,
    in_flight: InFlight,
    suspects: Suspects,
    upgrades: Upgrades,
    uses: Uses,
    /// Told when what is to be flushed has no room any more.
    flush_wanted: Notify,
    /// The mutations that have begun, also those whose callers are gone.
    begun: TaskTracker,
    counters: Counters,
    census: ArcSwapOption<Census>,
    exposures: Exposures,
    claims: Claims,
    readers: Readers,
    incarnation: String,
    /// The highest number that this process has seen committed.
    seen: AtomicI64,
}

/// One call: who calls, and until when it waits.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What is called.
    pub rpc: Rpc,
    /// The call's `x-request-id`, for the audit log.
    pub call_id: String,
    /// The W3C trace that the call is part of, if any.
    pub trace_id: String,
    /// The id under which it may be asked again, if it has one.
    pub request: Option<RequestId>,
    /// After this nothing is begun any more; what was begun is finished.
    pub deadline: Instant,
}

/// A call that needs no credential: nobody is known to make it.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// The call's `x-request-id`, for the audit log.
    pub call_id: String,
    /// The W3C trace that the call is part of, if any.
    pub trace_id: String,
    /// After this nothing is begun any more; what was begun is finished.
    pub deadline: Instant,
}

/// A token and what it may do now.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Shown {
    /// The record.
    pub token: Token,
    /// What it may do now.
    pub effective: ScopeSet,
    /// When this was so.
    pub now: Timestamp,
}

impl Authority {
    /// Takes the store in hand; a new one gets its incarnation. The keyring will be
    /// reloaded once a period, here and by every other replica.
    pub async fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        keyring: Keyring,
        reload_period: Duration,
        hasher: Hasher,
        memory: Option<Allowance>,
    ) -> Result<Self, Error> {
        let drawn: [u8; 16] = entropy::bytes(&*entropy)?;
        let waits = memory.as_ref().is_some_and(|memory| memory.alone.may_end());
        if waits {
            replica::outlast(&store).await?;
        }
        store.insert_head(&base62::encode(&drawn, 22)).await?;
        let head = store.get_head().await?;
        let store = Arc::new(store);
        let coherence = Coherence::start(Arc::clone(&store), head.number, memory);
        let authority = Self {
            replica: Replica::new(reload_period, clock.now())?,
            trusts: Trusts::none(),
            registry: Registry::default(),
            store,
            coherence: Arc::new(coherence),
            clock,
            entropy,
            keyring: ArcSwap::from_pointee(keyring),
            hasher,
            in_flight: InFlight::default(),
            suspects: Suspects::default(),
            upgrades: Upgrades::default(),
            uses: Uses::default(),
            flush_wanted: Notify::new(),
            begun: TaskTracker::new(),
            counters: Counters::default(),
            census: ArcSwapOption::empty(),
            exposures: Exposures::default(),
            claims: Claims::default(),
            readers: Readers::default(),
            incarnation: head.incarnation,
            seen: AtomicI64::new(head.number.0),
        };
        authority.agree(&authority.keyring.load_full()).await?;
        Ok(authority)
    }

    /// Returns once the store has answered; an error when it can't.
    pub async fn ready(&self) -> Result<(), Error> {
        self.store.get_head().await?;
        Ok(())
    }

    /// Stops using the store, once what is under way is done: writes what is to be
    /// flushed and takes leave of the other replicas, if the store lets it in time.
    /// An error is of these; the store is closed all the same. It takes no longer than
    /// until then, whatever still waits for the store: that ends with the process.
    pub async fn close(&self, until: Instant) -> Result<(), Error> {
        let last = async {
            self.begun.close();
            self.begun.wait().await;
            let flushed = self.flush_usage().await;
            let left = self.leave().await.and(flushed);
            self.coherence.release().await;
            left
        };
        let before = until.checked_sub(CLOSING).unwrap_or(until);
        let done = timeout_at(before, last).await;
        let closed = timeout_at(until, self.store.close()).await;
        let closed = closed.map_err(|_| Error::DeadlineExceeded);
        done.unwrap_or(Err(Error::DeadlineExceeded)).and(closed)
    }

    /// Runs a mutation in a task of its own: once it has begun, no caller's going and
    /// no cancellation leaves it half done, and the store is not closed under it.
    pub async fn once_begun<T: Send + 'static>(
        &self,
        mutation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match self
            .begun
            .spawn(mutation.instrument(call_span::current()))
            .await
        {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                // To the layer that answers for panics.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(Error::internal(error)),
            },
        }
    }

    /// Returns what has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns what the store has counted since the start.
    pub fn store_counters(&self) -> &store::Counters {
        self.store.counters()
    }

    /// Returns how many connections to the database there are now.
    pub fn connections(&self) -> store::Connections {
        self.store.connections()
    }

    /// Returns what the threads that hash have to do.
    pub fn hashing(&self) -> hasher::Load {
        self.hasher.load()
    }

    /// Returns the keyring.
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// Returns what time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the highest number of the log of changes that this process has seen
    /// committed.
    pub fn head(&self) -> ChangeNumber {
        self.seen().number
    }

    /// Returns a lower bound of what is committed, from memory.
    fn seen(&self) -> Revision {
        self.revision(ChangeNumber(self.seen.load(Ordering::Acquire)))
    }

    /// Returns the revision of a number.
    fn revision(&self, number: ChangeNumber) -> Revision {
        Revision {
            incarnation: self.incarnation.clone(),
            number,
        }
    }

    /// Asks the store for its head.
    async fn store_head(&self) -> Result<Revision, Error> {
        let head = self.coherence.head().await?;
        Ok(self.see(head))
    }

    /// Waits until what was committed is true wherever this process answers, and returns
    /// its revision. Where nobody knows whether it was committed, nothing that was known
    /// before is answered any more.
    async fn settled(&self, closed: Result<Revision, store::Error>) -> Result<Revision, Error> {
        match closed {
            Ok(revision) => {
                self.coherence.catch_up(revision.number).await;
                Ok(self.see(revision))
            }
            Err(error) => {
                if matches!(error, store::Error::Uncertain(_)) {
                    self.coherence.doubt();
                }
                Err(error.into())
            }
        }
    }

    /// Keeps answers in memory as long as the process runs.
    pub fn keep_answers(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.coherence).keep()
    }

    /// Returns what is in memory, and what is counted of it.
    pub fn coherence(&self) -> &Coherence {
        &self.coherence
    }

    /// Remembers that a number is committed.
    fn see_number(&self, number: ChangeNumber) {
        self.seen.fetch_max(number.0, Ordering::AcqRel);
    }

    /// Remembers that a revision is committed, and returns it.
    fn see(&self, revision: Revision) -> Revision {
        if revision.incarnation == self.incarnation {
            self.see_number(revision.number);
        }
        revision
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

/// Returns which tenant a caller names; `active` stands for its own.
fn named_tenant(caller: &Caller, text: &str) -> Result<TenantId, Error> {
    let reason = if text.is_empty() {
        Field::Required
    } else {
        Field::InvalidTenantId
    };
    let tenant_id = caller.tenant_named(text).parse();
    tenant_id.map_err(|_| Error::field("tenant_id", reason))
}
