//! The keys of issuers, kept in memory: fetched when they are needed, at most once in a
//! period, and kept while their provider is away.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Flight;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::CandidateKeys;
use crate::domain::jwk::{KeySet, ParseKeysError};
use crate::domain::jwt::Jwt;
use crate::domain::session::Refusal;
use crate::domain::time::Timestamp;

/// How often keys are fetched, at most: whoever makes up keys' ids makes no more of it.
const PERIOD: Duration = Duration::from_secs(60);
/// After how long keys are fetched again although the one that is named is there: it may
/// have been withdrawn.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// For how long keys are believed that could not be fetched again.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a call waits for keys.
const PATIENCE: Duration = Duration::from_secs(6);
/// The issuers whose keys are kept, at most.
const SOURCES: usize = 1000;

/// Why keys could not be fetched: for the log.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Keys on their way.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send>>;

/// Fetches keys, within a bound of time and size of its own.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    /// Fetches the keys that are there.
    fn fetch(&self, source: &KeySource) -> Fetching;
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// From a URL; one that a tenant gave is fetched with more care.
    Url {
        /// The URL.
        url: String,
        /// Whether a tenant gave it.
        of_tenant: bool,
    },
    /// From a file, which the operator alone may name.
    File(PathBuf),
}

impl KeySource {
    fn is_of_tenant(&self) -> bool {
        matches!(
            self,
            Self::Url {
                of_tenant: true,
                ..
            }
        )
    }
}

/// For the log: the URL without what it asks for, which may hold a secret.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, .. } => f.write_str(url.split('?').next().unwrap_or_default()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The keys of all issuers.
#[derive(Debug)]
pub(super) struct Keys {
    fetcher: Arc<dyn FetchKeys>,
    sources: Mutex<HashMap<KeySource, Arc<Source>>>,
}

#[derive(Debug, Default)]
struct Source {
    /// Held while keys are fetched, by who fetches them.
    flight: Arc<Flight<()>>,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The last good set, and when it came.
    set: Option<(Arc<KeySet>, Timestamp)>,
    /// When a fetch last began.
    tried_at: Option<Timestamp>,
    /// Whether the last one failed.
    failing: bool,
}

impl State {
    /// Returns the keys, unless they are too old to be believed.
    fn keys(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        let (keys, came_at) = self.set.as_ref()?;
        (now.saturating_since(*came_at) < KEPT).then_some(keys)
    }

    /// Returns whether keys may be fetched again.
    fn may_try(&self, now: Timestamp) -> bool {
        self.tried_at
            // A clock that was set back keeps nobody waiting.
            .is_none_or(|tried_at| tried_at > now || now.saturating_since(tried_at) >= PERIOD)
    }

    /// Returns whether there is no reason to fetch keys for this one.
    fn suffices(&self, key_id: &str, now: Timestamp) -> bool {
        let came_at = self.set.as_ref().map(|(_, came_at)| *came_at);
        let is_fresh = |came_at: Timestamp| came_at <= now && now.saturating_since(came_at) < FRESH;
        let fresh = came_at.is_some_and(is_fresh);
        fresh && self.keys(now).is_some_and(|keys| keys.has(key_id))
    }
}

impl Source {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    pub(super) fn new(fetcher: Arc<dyn FetchKeys>) -> Self {
        Self {
            fetcher,
            sources: Mutex::default(),
        }
    }

    /// Returns whether there is no need to wait for keys.
    pub(super) fn suffice(&self, keys: &CandidateKeys, jwt: &Jwt, now: Timestamp) -> bool {
        match keys {
            CandidateKeys::Inline(_) => true,
            CandidateKeys::Source(source) => self.source(source).state().suffices(&jwt.key_id, now),
        }
    }

    /// Refuses a JWT that no key from there signed.
    pub(super) async fn verify(
        &self,
        source: &KeySource,
        jwt: &Jwt,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let kept = self.source(source);
        if !kept.state().suffices(&jwt.key_id, now) {
            // What comes of it shows in the state: another call may have fetched, too.
            let _ = timeout(PATIENCE, self.refresh(source, &kept, &jwt.key_id, now)).await;
        }
        let keys = kept.state().keys(now).cloned();
        keys.ok_or(Refusal::KeysUnavailable)?.verify(jwt)
    }

    /// Returns what is kept of a source.
    fn source(&self, source: &KeySource) -> Arc<Source> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = sources.get(source) {
            return Arc::clone(kept);
        }
        if sources.len() >= SOURCES {
            // Of the tenants', the one whose keys nobody has asked for longest.
            let oldest = sources
                .iter()
                .filter(|(source, _)| source.is_of_tenant())
                .min_by_key(|(_, kept)| kept.state().tried_at)
                .map(|(source, _)| source.clone());
            if let Some(oldest) = oldest {
                sources.remove(&oldest);
            }
        }
        let kept = Arc::<Source>::default();
        sources.insert(source.clone(), Arc::clone(&kept));
        kept
    }

    /// Fetches keys, unless that was done in this period, once those are there that
    /// somebody else is fetching.
    async fn refresh(&self, source: &KeySource, kept: &Arc<Source>, key_id: &str, now: Timestamp) {
        let state = kept.state().clone();
        // Whoever can be answered does not wait, nor does anybody for who was silent the last
        // time: sessions of one issuer would wait for whatever another tenant's trust names.
        let goes_on = state.failing || state.keys(now).is_some_and(|keys| keys.has(key_id));
        let flight = match Arc::clone(&kept.flight).try_lock_owned() {
            Ok(flight) => flight,
            Err(_) if goes_on => return,
            Err(_) => Arc::clone(&kept.flight).lock_owned().await,
        };
        {
            let mut state = kept.state();
            if !state.may_try(now) {
                return;
            }
            state.tried_at = Some(now);
        }
        let (fetching, kept, of) = (self.fetcher.fetch(source), Arc::clone(kept), source.clone());
        // A task of its own: a caller that goes away takes no fetch with it, for which the
        // others would have to wait a period.
        let fetched = tokio::spawn(
            async move {
                let fetched = fetching.await;
                take(&kept, fetched, &of, now);
                drop(flight);
            }
            .in_current_span(),
        );
        // It ends by itself, and a panic in it is told by its place.
        let _ = fetched.await;
    }
}

/// Keeps what came, and tells when that becomes otherwise.
fn take(kept: &Source, fetched: Result<Vec<u8>, FetchError>, of: &KeySource, now: Timestamp) {
    let parsed = fetched.and_then(|bytes| {
        KeySet::parse(&bytes).map_err(|error: ParseKeysError| FetchError::from(error))
    });
    let mut state = kept.state();
    let failed_before = state.failing;
    state.failing = parsed.is_err();
    match parsed {
        Ok(keys) => {
            state.set = Some((Arc::new(keys), now));
            if failed_before {
                tracing::info!(keys = %of, "the keys of an issuer are there again");
            }
        }
        // A tenant's provider is its own to look at.
        Err(error) if !failed_before && of.is_of_tenant() => {
            tracing::info!(error, keys = %of, "the keys of a tenant's issuer can't be had");
        }
        Err(error) if !failed_before => {
            tracing::warn!(error, keys = %of, "the keys of an issuer can't be had");
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tokio::time::Instant;

    use super::*;

    /// Fails at once the first time, and is silent after that.
    #[derive(Debug, Default)]
    struct Silent(AtomicUsize);

    impl FetchKeys for Silent {
        fn fetch(&self, _source: &KeySource) -> Fetching {
            if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Box::pin(async { Err(FetchError::from("away")) });
            }
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_waits_for_who_was_silent_the_last_time() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let (header, claims) = (part(r#"{"alg":"ES256","kid":"k"}"#), part("{}"));
        let jwt = Jwt::parse(&format!("{header}.{claims}.{}", part("s"))).unwrap();
        let source = KeySource::File(PathBuf::from("keys"));
        let fetcher = Arc::<Silent>::default();
        let keys = Keys::new(Arc::clone(&fetcher) as Arc<dyn FetchKeys>);
        let now = Timestamp::from_millis(1_767_225_600_000).unwrap();
        let later = now.saturating_add(PERIOD);
        let away = Err(Refusal::KeysUnavailable);

        let began = Instant::now();
        assert_eq!(keys.verify(&source, &jwt, now).await, away);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let first = async {
            assert_eq!(keys.verify(&source, &jwt, later).await, away);
            began.elapsed()
        };
        let second = async {
            assert_eq!(keys.verify(&source, &jwt, later).await, away);
            began.elapsed()
        };
        assert_eq!(tokio::join!(first, second), (PATIENCE, Duration::ZERO));
        assert_eq!(fetcher.0.load(Ordering::SeqCst), 2);
    }
}
