//! Calls that are asked again under the same request id: done once, answered alike.

use std::time::Duration;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::scene::Scene;
use super::{Authority, Call, Caller, Error};
use crate::domain::bounds;
use crate::domain::change::{ChangeNumber, Revision};
use crate::domain::ids::{InviteId, TokenId};
use crate::domain::reason::{Denial, Field};
use crate::domain::scope::Permission;
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::store::{NewRequest, RequestKey, StoredRequest, Tx};

/// How long a call is recognised.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// An id that a caller chose for a call, and what it called it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    id: String,
    digest: [u8; 32],
}

/// A call that is done already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The token whose value was given out; a value is given out once.
    pub token_id: Option<TokenId>,
    /// What was answered, as JSON.
    outcome: Option<String>,
    number: ChangeNumber,
}

impl Done {
    /// Returns the invite whose value was given out, if it was one's.
    pub fn invite_id(&self) -> Option<InviteId> {
        serde_json::from_str(self.outcome.as_deref()?).ok()
    }

    /// Returns a call that gave out a value, for the table of errors.
    pub fn sample() -> Self {
        Self {
            token_id: Some(TokenId::from(uuid::Uuid::nil())),
            outcome: None,
            number: ChangeNumber(0),
        }
    }
}

impl RequestId {
    /// Takes the id of a request and the request's bytes; `None` for an empty id.
    pub fn of(id: &str, request: &[u8]) -> Result<Option<Self>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        let id = text::line(id, bounds::REQUEST_ID_CHARS)
            .map_err(|reason| Error::field("request_id", reason))?;
        let digest = Sha256::digest(request).into();
        Ok(Some(Self { id, digest }))
    }
}

/// How far a caller may reach, so that one whose rights have been narrowed is not told
/// what came of wider ones.
fn rights(caller: &Caller) -> u8 {
    if caller.has(Permission::Operator) {
        2
    } else {
        u8::from(caller.has(Permission::TenantAdmin))
    }
}

impl Call {
    /// Returns how the call is recognised when this caller makes it.
    fn key(&self, caller: &Caller) -> Option<RequestKey> {
        let RequestId { id, digest } = self.request.clone()?;
        Some(RequestKey {
            caller_id: caller.key(),
            rpc: self.rpc.name(),
            request_id: id,
            rights: rights(caller),
            digest,
        })
    }
}

/// Returns the last instant that is forgotten.
fn forgotten(now: Timestamp) -> Timestamp {
    now.saturating_sub(KEPT)
}

/// Returns the call, if it is done; an error when another was done under its id, or by
/// wider rights.
fn done(
    found: Option<StoredRequest>,
    key: &RequestKey,
    now: Timestamp,
) -> Result<Option<Done>, Error> {
    let Some(found) = found.filter(|found| found.created_at > forgotten(now)) else {
        return Ok(None);
    };
    match found.digest.split_first() {
        Some((rights, digest)) if digest == key.digest => {
            if *rights > key.rights {
                return Err(Error::PermissionDenied(Denial::Denied));
            }
        }
        _ => return Err(Error::field("request_id", Field::RequestIdReused)),
    }
    Ok(Some(Done {
        token_id: found.token_id,
        outcome: found.outcome,
        number: found.number,
    }))
}

/// Refuses to do a call again, under the lock of its caller's token: of several at
/// once one goes on.
pub(super) async fn check_undone(
    tx: &mut Tx,
    call: &Call,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(key) = call.key(caller) else {
        return Ok(());
    };
    let found = tx.find_request(&key).await?;
    match done(found, &key, now)? {
        Some(done) => Err(Error::RequestDone(Box::new(done))),
        None => Ok(()),
    }
}

impl Scene {
    /// Returns what is to be kept of the call, so that it is answered alike when it is
    /// asked again: the outcome, or the token whose value is given out instead.
    pub(super) fn request(
        &self,
        outcome: Option<String>,
        token_id: Option<TokenId>,
    ) -> Option<NewRequest> {
        Some(NewRequest {
            key: self.call.as_ref()?.key(&self.caller)?,
            token_id,
            outcome,
            forgotten: forgotten(self.now),
        })
    }
}

impl Authority {
    /// Makes a mutation, unless it is done already under its request id: then its
    /// answer is that of the first time. A value is not given out again.
    pub async fn once<T: DeserializeOwned>(
        &self,
        call: &Call,
        mutation: impl Future<Output = Result<(T, Revision), Error>>,
    ) -> Result<(T, Revision), Error> {
        let error = match mutation.await {
            Ok(answer) => return Ok(answer),
            Err(error) => self.told_again(call, error).await,
        };
        let Error::RequestDone(done) = error else {
            return Err(error);
        };
        // What a later version of this program wrote may not be understood; that the
        // call is done is true all the same.
        let outcome = done.outcome.as_deref();
        let outcome = outcome.and_then(|outcome| serde_json::from_str(outcome).ok());
        // Who did it may not have waited to the end yet.
        self.coherence.catch_up(done.number).await;
        match outcome {
            Some(outcome) => Ok((outcome, self.revision(done.number))),
            None => Err(Error::RequestDone(done)),
        }
    }

    /// Makes a mutation that gives out a value, unless it is done already.
    pub async fn once_giving<T>(
        &self,
        call: &Call,
        mutation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match mutation.await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.told_again(call, error).await),
        }
    }

    /// Returns what a failed call is to be told: that it is done already, where it
    /// failed for what itself has done in the meantime, such as taking a name.
    async fn told_again(&self, call: &Call, error: Error) -> Error {
        let by_its_own = matches!(
            error,
            Error::InvalidArgument(_)
                | Error::NotFound(_)
                | Error::AlreadyExists(_)
                | Error::FailedPrecondition(_)
                | Error::EtagMismatch
                | Error::TokenLimit { .. }
                | Error::InviteLimit { .. }
        );
        let Some(key) = call.key(&call.caller).filter(|_| by_its_own) else {
            return error;
        };
        let found = async { self.store.snapshot().await?.find_request(&key).await };
        let Ok(found) = found.await else {
            return error;
        };
        match done(found, &key, self.clock.now()) {
            Ok(Some(done)) => Error::RequestDone(Box::new(done)),
            Ok(None) | Err(Error::PermissionDenied(_)) => error,
            Err(reused) => reused,
        }
    }
}
