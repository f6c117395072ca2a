//! What can go wrong with a call: a small, closed vocabulary.

use std::time::Duration;

use super::requests::Done;
use crate::domain::entropy::EntropyError;
use crate::domain::identity;
use crate::domain::reason::{Denial, Field, Missing, Obstacle, Taken, Violations};
use crate::domain::session::Refusal;
use crate::store;

/// A failed call. What it shows to a caller is decided in one place, `rpc::status`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are wrong: all of them.
    #[error("the request has invalid fields")]
    InvalidArgument(Violations),
    /// The caller gave no credential, or none that is good now.
    #[error("the caller is not authenticated")]
    Unauthenticated,
    /// The caller presented a session that is not good now. Why is not told.
    #[error("the session is refused")]
    SessionRefused(Refusal),
    /// The caller presented a certificate, and nothing else, that is nobody's who may act.
    /// Why is not told.
    #[error("the certificate is refused")]
    IdentityRefused(identity::Refusal),
    /// The caller may not do this.
    #[error("{}", .0.sentence())]
    PermissionDenied(Denial),
    /// There is no such thing, or the caller may not know of it.
    #[error("{}", .0.sentence())]
    NotFound(Missing),
    /// There is such a thing already.
    #[error("{}", .0.sentence())]
    AlreadyExists(Taken),
    /// The call is done already, under its request id, and its answer is not to be
    /// had again: it gave out a value.
    #[error("the request was done already")]
    RequestDone(Box<Done>),
    /// The state of something forbids it.
    #[error("{}", .0.sentence())]
    FailedPrecondition(Obstacle),
    /// The record is at another version than the given etag.
    #[error("the record was changed since it was read")]
    EtagMismatch,
    /// The user has as many tokens as the tenant allows.
    #[error("the user has as many tokens as the tenant allows")]
    TokenLimit {
        /// How many those are.
        most: u32,
    },
    /// The tenant has as many open invites as it may have.
    #[error("the tenant has as many open invites as it may have")]
    InviteLimit {
        /// How many those are.
        most: u32,
    },
    /// The queue of hashes to compute is full.
    #[error("too many values are being hashed")]
    HashingBusy {
        /// When to try again.
        retry_after: Duration,
    },
    /// As many calls of this kind are under way as are served at once.
    #[error("too many such calls are under way")]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller's deadline passed before anything was written.
    #[error("the deadline passed before anything was written")]
    DeadlineExceeded,
    /// The store, or the system's randomness, is away; what was asked may be asked
    /// again.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of this program.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Returns the failure of one field.
    pub fn field(field: &str, reason: Field) -> Self {
        let mut violations = Violations::default();
        violations.add(field, reason);
        Self::InvalidArgument(violations)
    }

    /// Returns a fault of this program.
    pub fn internal(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(what.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) | store::Error::Uncertain(_) => {
                Self::Unavailable(Box::new(error))
            }
            store::Error::Conflict(_)
            | store::Error::Corrupt { .. }
            | store::Error::Driver(_)
            | store::Error::Migrate(_)
            | store::Error::Held(_)
            | store::Error::Open(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<EntropyError> for Error {
    fn from(error: EntropyError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::InvalidArgument(violations)
    }
}
