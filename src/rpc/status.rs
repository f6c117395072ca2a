//! The only map from a failure to a status: its code, its reason, the constant
//! sentence, the details and the level at which it is logged stand in one match,
//! so that no two lists can disagree. A cause goes along for the log, and is never sent.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt};

use super::chain;
use super::layers::RequestId;
use crate::authority::Error;
use crate::authority::requests::Done;
use crate::domain::identity;
use crate::domain::ids::{InviteId, TokenId};
use crate::domain::reason::Violations;
use crate::domain::session::Refusal;

/// Whose reasons these are, in each `ErrorInfo`.
pub const DOMAIN: &str = "tokenauthority";
/// When to ask again after the store was unavailable.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How many bytes violations may take in the details. Those travel in base64 as
/// one header, and clients refuse a status whose headers exceed their bound, in
/// grpc-java 8 KiB: a caller with a thousand mistakes would read of none.
const VIOLATION_BYTES: usize = 5 * 1024;
/// The metadata that says how many violations found no room.
const OMITTED: &str = "omitted_violations";

/// At which level a failure is logged; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// A fault of ours.
    Error,
    /// A fault of what we depend on.
    Warn,
    /// Somebody was turned away.
    Info,
    /// An ordinary refusal.
    Debug,
}

/// What is told beside code, reason and sentence.
#[derive(Clone, Copy, Debug)]
pub(super) enum Detail<'e> {
    /// Nothing.
    Nothing,
    /// What is wrong with which field.
    Violations(&'e Violations),
    /// When to ask again.
    Retry(Duration),
    /// How many somebody may have, at most: who, the bound's name, and the bound.
    Quota(&'static str, &'static str, u32),
    /// Which token it is about.
    Token(TokenId),
    /// Which invite it is about.
    Invite(InviteId),
    /// The id to quote.
    RequestId,
}

impl Detail<'_> {
    /// Returns what a call gave out that is done already.
    fn given_by(done: &Done) -> Self {
        match (done.token_id, done.invite_id()) {
            (Some(token_id), _) => Self::Token(token_id),
            (None, Some(invite_id)) => Self::Invite(invite_id),
            (None, None) => Self::Nothing,
        }
    }
}

/// What is refused that was presented, and why.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Session(Refusal),
    Identity(identity::Refusal),
}

/// All that is to be said about a failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'e> {
    /// The status code.
    pub(super) code: Code,
    /// The reason's name.
    pub(super) reason: &'static str,
    /// What the caller reads.
    pub(super) sentence: &'static str,
    /// What is told beside it.
    pub(super) detail: Detail<'e>,
    /// How it is logged.
    pub(super) severity: Severity,
    /// Why a session or a certificate is refused: logged, never sent.
    refusal: Option<Refused>,
    /// Its cause: logged, never sent.
    cause: Option<&'e (dyn std::error::Error + 'static)>,
}

impl<'e> Outcome<'e> {
    /// Describes a failure that has no cause to be logged.
    fn plain(code: Code, reason: &'static str, sentence: &'static str) -> Self {
        Self {
            code,
            reason,
            sentence,
            detail: Detail::Nothing,
            severity: Severity::Debug,
            refusal: None,
            cause: None,
        }
    }

    /// Describes a fault of ours.
    fn internal(cause: &'e (dyn std::error::Error + 'static)) -> Self {
        Self {
            detail: Detail::RequestId,
            severity: Severity::Error,
            cause: Some(cause),
            ..Self::plain(Code::Internal, "INTERNAL", "internal error")
        }
    }

    /// Judges a failure: the one match.
    pub(super) fn of(error: &'e Error) -> Self {
        match error {
            Error::InvalidArgument(violations) => match violations.iter().next() {
                Some(first) => Self {
                    detail: Detail::Violations(violations),
                    ..Self::plain(
                        Code::InvalidArgument,
                        first.reason.as_str(),
                        first.reason.sentence(),
                    )
                },
                // Refused for nothing: whoever did so erred, not the caller.
                None => Self::internal(error),
            },
            Error::Unauthenticated | Error::SessionRefused(_) | Error::IdentityRefused(_) => Self {
                severity: Severity::Info,
                refusal: refusal(error),
                ..Self::plain(
                    Code::Unauthenticated,
                    "CALLER_UNAUTHENTICATED",
                    "the caller is not authenticated",
                )
            },
            Error::PermissionDenied(denial) => Self {
                severity: Severity::Info,
                ..Self::plain(Code::PermissionDenied, denial.as_str(), denial.sentence())
            },
            Error::NotFound(missing) => {
                Self::plain(Code::NotFound, missing.as_str(), missing.sentence())
            }
            Error::AlreadyExists(taken) => {
                Self::plain(Code::AlreadyExists, taken.as_str(), taken.sentence())
            }
            Error::RequestDone(done) => Self {
                detail: Detail::given_by(done),
                ..Self::plain(
                    Code::AlreadyExists,
                    "REQUEST_ALREADY_DONE",
                    "the request was done already, and what it gave out is given out once",
                )
            },
            Error::FailedPrecondition(obstacle) => Self::plain(
                Code::FailedPrecondition,
                obstacle.as_str(),
                obstacle.sentence(),
            ),
            Error::EtagMismatch => Self::plain(
                Code::Aborted,
                "ETAG_MISMATCH",
                "the record was changed since it was read",
            ),
            Error::TokenLimit { most } => Self {
                detail: Detail::Quota("user", "max_tokens_per_user", *most),
                ..Self::plain(
                    Code::ResourceExhausted,
                    "TOKEN_LIMIT",
                    "the user has as many tokens as the tenant allows",
                )
            },
            Error::InviteLimit { most } => Self {
                detail: Detail::Quota("tenant", "max_open_invites", *most),
                ..Self::plain(
                    Code::ResourceExhausted,
                    "INVITE_LIMIT",
                    "the tenant has as many open invites as it may have",
                )
            },
            Error::HashingBusy { retry_after } => Self {
                detail: Detail::Retry(*retry_after),
                ..Self::plain(
                    Code::ResourceExhausted,
                    "HASHING_BUSY",
                    "too many values are being hashed",
                )
            },
            Error::RateLimited { retry_after } => Self {
                detail: Detail::Retry(*retry_after),
                ..Self::plain(
                    Code::ResourceExhausted,
                    "RATE_LIMITED",
                    "too many such calls are under way",
                )
            },
            Error::DeadlineExceeded => Self::plain(
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the deadline passed before anything was written",
            ),
            Error::Unavailable(cause) => Self {
                detail: Detail::Retry(STORE_RETRY),
                severity: Severity::Warn,
                cause: Some(cause.as_ref()),
                ..Self::plain(
                    Code::Unavailable,
                    "STORE_UNAVAILABLE",
                    "the store is unavailable",
                )
            },
            Error::Internal(cause) => Self::internal(cause.as_ref()),
        }
    }

    /// Returns the details that travel with the status.
    pub(super) fn details(&self, request_id: &RequestId) -> ErrorDetails {
        let mut details = ErrorDetails::new();
        let mut metadata = HashMap::new();
        match self.detail {
            Detail::Nothing => {}
            Detail::Violations(violations) => {
                details.set_bad_request(bad_request(violations, &mut metadata));
            }
            Detail::Retry(delay) => {
                details.set_retry_info(Some(delay));
            }
            Detail::Quota(subject, bound, most) => {
                let mut violation = QuotaViolation::new(subject, self.sentence);
                violation.quota_value = most.into();
                details.set_quota_failure([violation]);
                metadata.insert(bound.to_owned(), most.to_string());
            }
            Detail::Token(token_id) => {
                let description = "rotate it to get a new value";
                details.set_resource_info("token", token_id.to_string(), "", description);
                metadata.insert("token_id".to_owned(), token_id.to_string());
            }
            Detail::Invite(invite_id) => {
                let description = "revoke it and create another";
                details.set_resource_info("invite", invite_id.to_string(), "", description);
                metadata.insert("invite_id".to_owned(), invite_id.to_string());
            }
            Detail::RequestId => {
                metadata.insert("request_id".to_owned(), request_id.as_str().to_owned());
            }
        }
        details.set_error_info(self.reason, DOMAIN, metadata);
        details
    }

    /// Returns what the log is told.
    fn failure(&self) -> Failure {
        Failure {
            reason: self.reason,
            severity: self.severity,
            refusal: self.refusal,
            chain: self.cause.map(chain::line),
        }
    }
}

/// What the log is told of a failure. It goes along with the status, as its source,
/// to where calls end.
#[derive(Clone)]
pub(super) struct Failure {
    reason: &'static str,
    severity: Severity,
    refusal: Option<Refused>,
    chain: Option<String>,
}

impl Failure {
    /// Returns the reason's name.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns at which level it is logged.
    pub(super) fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns why a session was refused, if one was.
    pub(super) fn of_session(&self) -> Option<&'static str> {
        match self.refusal {
            Some(Refused::Session(refusal)) => Some(refusal.as_str()),
            Some(Refused::Identity(_)) | None => None,
        }
    }

    /// Returns why a certificate was refused, if one was.
    pub(super) fn of_identity(&self) -> Option<&'static str> {
        match self.refusal {
            Some(Refused::Identity(refusal)) => Some(refusal.as_str()),
            Some(Refused::Session(_)) | None => None,
        }
    }

    /// Returns the failure and its causes, where somebody must look at them.
    pub(super) fn chain(&self) -> Option<&str> {
        self.chain.as_deref()
    }
}

// A status shows its source where it is printed: the causes are for the log alone.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Failure {}

/// Returns why a session or a certificate is refused, if one is.
fn refusal(error: &Error) -> Option<Refused> {
    if let Error::SessionRefused(refusal) = error {
        Some(Refused::Session(*refusal))
    } else if let Error::IdentityRefused(refusal) = error {
        Some(Refused::Identity(*refusal))
    } else {
        None
    }
}

/// Returns the violations that find room, in their order, and notes the reason of
/// each field, its first where it has several.
fn bad_request(
    violations: &Violations,
    metadata: &mut HashMap<String, String>,
) -> Vec<FieldViolation> {
    let mut room = VIOLATION_BYTES;
    let mut told = Vec::new();
    for violation in violations {
        let (reason, sentence) = (violation.reason.as_str(), violation.reason.sentence());
        // Field and reason stand in both details; 24 bytes frame them.
        let size = 2 * (violation.field.len() + reason.len()) + sentence.len() + 24;
        let Some(left) = room.checked_sub(size) else {
            break;
        };
        room = left;
        let mut field = FieldViolation::new(&violation.field, sentence);
        reason.clone_into(&mut field.reason);
        told.push(field);
        metadata
            .entry(violation.field.clone())
            .or_insert_with(|| reason.to_owned());
    }
    let omitted = violations.iter().count() - told.len();
    if omitted > 0 {
        metadata.insert(OMITTED.to_owned(), omitted.to_string());
    }
    told
}

/// Turns a failure into what the caller is told, and sends along what the log is told.
pub fn status(error: &Error, request_id: &RequestId) -> Status {
    let outcome = Outcome::of(error);
    let details = outcome.details(request_id);
    let mut status = Status::with_error_details(outcome.code, outcome.sentence, details);
    status.set_source(Arc::new(outcome.failure()));
    status
}

/// Turns a failure into the message that tells it inside an answer, what a call of its
/// own would have been told, and what the log is told.
pub(super) fn message(error: &Error, request_id: &RequestId) -> (tonic_types::Status, Failure) {
    let status = status(error, request_id);
    // The details are such a message already.
    let message =
        prost::Message::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        });
    (message, Outcome::of(error).failure())
}

/// Returns the code's name as gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
