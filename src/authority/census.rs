//! How many tokens there are, of which kind and state: counted now and then, for
//! metrics.

use std::sync::Arc;
use std::time::Duration;

use super::{Authority, Error};
use crate::domain::fingerprint::KeyId;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, State};
use crate::store::Counted;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Within how long active tokens are said to expire.
pub const EXPIRING_WITHIN_DAYS: [u32; 3] = [1, 7, 30];
/// For how long active tokens are said to be unused.
pub const UNUSED_FOR_DAYS: u32 = 90;

/// All that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// The tokens of each kind in each state.
    pub tokens: Vec<(Kind, State, i64)>,
    /// The active ones that expire within [`EXPIRING_WITHIN_DAYS`].
    pub expiring: [i64; 3],
    /// The active ones that were not used for [`UNUSED_FOR_DAYS`], nor made since.
    pub unused: i64,
    /// The values whose fingerprint is under each key.
    pub fingerprints: Vec<(KeyId, i64)>,
    /// The live tokens that were imported and whose value was not presented yet.
    pub imports_pending: i64,
    /// When it was taken.
    pub taken_at: Timestamp,
}

impl Authority {
    /// Returns what was counted last, if anything was.
    pub fn census(&self) -> Option<Arc<Census>> {
        self.census.load_full()
    }

    /// Counts.
    pub async fn take_census(&self) -> Result<Arc<Census>, Error> {
        let now = self.clock.now();
        let within = EXPIRING_WITHIN_DAYS.map(|days| now.saturating_add(DAY * days));
        let unused_since = now.saturating_sub(DAY * UNUSED_FOR_DAYS);
        let mut tx = self.store.snapshot().await?;
        let counted = tx.count_tokens(now, within, unused_since).await?;
        let fingerprints = tx.list_fingerprint_keys().await?;
        let imports_pending = tx.count_imports_pending(now).await?;
        // Also those of which there are none: a series that ends is not one at zero.
        let each = Kind::ALL
            .iter()
            .flat_map(|kind| State::ALL.map(|state| (*kind, state, 0)));
        let mut census = Census {
            tokens: each.collect(),
            expiring: [0; 3],
            unused: 0,
            fingerprints,
            imports_pending,
            taken_at: now,
        };
        for Counted {
            kind,
            state,
            count,
            expiring,
            unused,
        } in counted
        {
            for (_, _, total) in census
                .tokens
                .iter_mut()
                .filter(|(of, in_state, _)| (*of, *in_state) == (kind, state))
            {
                *total = count;
            }
            if state == State::Active {
                for (total, some) in census.expiring.iter_mut().zip(expiring) {
                    *total += some;
                }
                census.unused += unused;
            }
        }
        let census = Arc::new(census);
        self.census.store(Some(Arc::clone(&census)));
        Ok(census)
    }
}
