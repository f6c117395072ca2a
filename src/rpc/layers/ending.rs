//! How a call ended: the one place where that is told, to the log and to the trace.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Response;
use opentelemetry::trace::Status as SpanStatus;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;
use tracing::field::display;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::trace::Trace;
use crate::authority::Caller;
use crate::authority::access::{Effect, Rpc};
use crate::call_span::CallSpan;
use crate::domain::identity::IdentityName;
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::rpc::status::{Failure, Severity, code_name};

/// Who calls, once that is known. Beside a request, and kept by whoever tells of the
/// call, which may end without an answer of the service's.
#[derive(Clone, Debug, Default)]
pub(in crate::rpc) struct CalledBy(Arc<OnceLock<Who>>);

/// Who calls: a token, an identity, or the user of a session and whose trust vouches; and
/// in which tenant.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct Who {
    pub(super) token_id: Option<TokenId>,
    pub(super) session: Option<(UserId, String)>,
    pub(super) identity: Option<IdentityName>,
    pub(super) tenant_id: TenantId,
}

impl From<&Caller> for Who {
    fn from(caller: &Caller) -> Self {
        let trust = caller.session().map(|(trust, _)| trust);
        Self {
            token_id: caller.token_id(),
            session: caller.user_id.zip(trust),
            identity: caller.identity_name().cloned(),
            tenant_id: caller.tenant_id.clone(),
        }
    }
}

impl CalledBy {
    /// Notes who calls.
    pub(in crate::rpc) fn note(&self, who: Who) {
        // Nobody is authenticated twice.
        let _ = self.0.set(who);
    }

    fn get(&self) -> Option<&Who> {
        self.0.get()
    }
}

impl Who {
    fn user_id(&self) -> Option<&UserId> {
        self.session.as_ref().map(|(user_id, _)| user_id)
    }

    fn trust(&self) -> Option<&str> {
        self.session.as_ref().map(|(_, trust)| trust.as_str())
    }
}

/// The tenant in which something was done. Beside a response.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct DoneIn(pub(in crate::rpc) TenantId);

/// What failed of a call that did not. Beside a response.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct PartlyFailed {
    /// How many of its parts.
    pub(in crate::rpc) parts: usize,
    /// The worst failure, the first of several.
    pub(in crate::rpc) worst: Failure,
    /// Its code.
    pub(in crate::rpc) code: Code,
}

impl PartlyFailed {
    /// Adds the failure of one more part.
    pub(in crate::rpc) fn add(all: &mut Option<Self>, code: Code, failure: Failure) {
        let parts = all.as_ref().map_or(0, |all| all.parts) + 1;
        *all = match all.take() {
            // The least is the worst.
            Some(all) if all.worst.severity() <= failure.severity() => Some(Self { parts, ..all }),
            _ => Some(Self {
                parts,
                worst: failure,
                code,
            }),
        };
    }
}

/// A call that is under way. Dropped before it was answered, it tells that its
/// caller is gone, or that it was cut.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// None for a path that nobody serves.
    rpc: Option<Rpc>,
    began: Instant,
    called_by: CalledBy,
    call: Arc<CallSpan>,
    exported: bool,
    cut: CancellationToken,
    told: bool,
}

/// How a call ended.
#[derive(Debug)]
struct Ended<'a> {
    code: Code,
    took: Duration,
    failure: Option<&'a Failure>,
    partly: Option<&'a PartlyFailed>,
    caller: Option<&'a Who>,
    tenant: Option<&'a DoneIn>,
    /// Not by its caller's going.
    cut: bool,
}

impl UnderWay {
    /// Begins with a call.
    pub(super) fn new(
        rpc: Option<Rpc>,
        called_by: CalledBy,
        call: Arc<CallSpan>,
        trace: &Trace,
        cut: CancellationToken,
    ) -> Self {
        Self {
            rpc,
            began: Instant::now(),
            called_by,
            call,
            exported: trace.exported,
            cut,
            told: false,
        }
    }

    /// Tells how the call was answered.
    pub(super) fn answered(mut self, response: &Response<Body>) {
        self.told = true;
        let extensions = response.extensions();
        let status = extensions.get::<Status>();
        let source = status.and_then(std::error::Error::source);
        self.tell(&Ended {
            code: status.map_or_else(|| bare_code(response), Status::code),
            took: self.began.elapsed(),
            failure: source.and_then(|source| source.downcast_ref()),
            partly: extensions.get(),
            caller: self.called_by.get(),
            tenant: extensions.get(),
            cut: false,
        });
    }

    /// Tells that the call was answered as it should be.
    pub(super) fn answered_well(mut self) {
        self.told = true;
        self.tell(&Ended {
            code: Code::Ok,
            took: self.began.elapsed(),
            failure: None,
            partly: None,
            caller: self.called_by.get(),
            tenant: None,
            cut: false,
        });
    }

    fn tell(&self, ended: &Ended<'_>) {
        let mutates = self.rpc.is_some_and(|rpc| rpc.effect() == Effect::Mutates);
        if ended.is_told(mutates) {
            self.call.get().in_scope(|| ended.log(mutates));
        }
        if self.exported {
            ended.trace(self.call.get());
        }
    }
}

/// Returns the code that a response says in its head. One to a path that nobody serves
/// says it in a header; one without that has a message, and the status comes after it:
/// of a call with one message it is OK, and a stream has begun well. What is not even
/// HTTP's success is not known.
pub(super) fn bare_code(response: &Response<Body>) -> Code {
    match response.headers().get(Status::GRPC_STATUS) {
        Some(code) => Code::from_bytes(code.as_bytes()),
        None if response.status().is_success() => Code::Ok,
        None => Code::Unknown,
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.told {
            self.tell(&Ended {
                code: Code::Cancelled,
                took: self.began.elapsed(),
                failure: None,
                partly: None,
                caller: self.called_by.get(),
                tenant: None,
                cut: self.cut.is_cancelled(),
            });
        }
    }
}

impl Ended<'_> {
    /// Returns whether there is something to tell: that it failed, or changed something.
    fn is_told(&self, mutates: bool) -> bool {
        mutates || self.code != Code::Ok || self.partly.is_some()
    }

    /// Logs what failed, and what changed something: one line.
    fn log(&self, mutates: bool) {
        let duration_ms = self.took.as_secs_f64() * 1000.0;
        let duration_ms = (duration_ms * 1000.0).round() / 1000.0;
        let token_id = self.caller.and_then(|who| who.token_id).map(display);
        let user_id = self.caller.and_then(Who::user_id).map(display);
        let trust = self.caller.and_then(Who::trust);
        let identity = self.caller.and_then(|who| who.identity.as_ref());
        let identity = identity.map(IdentityName::as_str);
        let caller_tenant = self.caller.map(|who| display(&who.tenant_id));
        /// Logs at a level, which the macros want to be a constant.
        macro_rules! event {
            ($level:ident, $failure:expr, $code:expr, $parts:expr, $words:literal) => {
                tracing::$level!(
                    error.reason = $failure.map(Failure::reason),
                    error.code = code_name($code),
                    error.chain = $failure.and_then(Failure::chain),
                    error.parts = $parts,
                    session.refusal = $failure.and_then(Failure::of_session),
                    identity.refusal = $failure.and_then(Failure::of_identity),
                    duration_ms,
                    caller.token.id = token_id,
                    caller.user.id = user_id,
                    caller.trust = trust,
                    caller.identity = identity,
                    caller.tenant.id = caller_tenant,
                    $words
                )
            };
        }
        macro_rules! failed {
            ($failure:expr, $severity:expr, $code:expr, $parts:expr, $words:literal) => {
                match $severity {
                    Severity::Error => event!(error, $failure, $code, $parts, $words),
                    Severity::Warn => event!(warn, $failure, $code, $parts, $words),
                    Severity::Info => event!(info, $failure, $code, $parts, $words),
                    Severity::Debug => event!(debug, $failure, $code, $parts, $words),
                }
            };
        }
        let none: Option<u64> = None;
        match (self.code, self.partly) {
            (Code::Ok, Some(partly)) => failed!(
                Some(&partly.worst),
                partly.worst.severity(),
                partly.code,
                u64::try_from(partly.parts).ok(),
                "parts of the call failed"
            ),
            (Code::Ok, None) if mutates => tracing::info!(
                duration_ms,
                caller.token.id = token_id,
                caller.user.id = user_id,
                caller.trust = trust,
                caller.identity = identity,
                caller.tenant.id = caller_tenant,
                tenant.id = self.tenant.map(|tenant| display(&tenant.0)),
                "the call was done"
            ),
            (Code::Ok, None) => {}
            // Not the caller's doing, so never the least: somebody may look for it.
            (Code::Cancelled, _) if self.cut => failed!(
                self.failure,
                Severity::Info,
                self.code,
                none,
                "the call was cut"
            ),
            // What has begun goes on, so whether it was done stands in the audit log.
            (Code::Cancelled, _) if mutates => failed!(
                self.failure,
                Severity::Info,
                self.code,
                none,
                "the caller is gone"
            ),
            (Code::Cancelled, _) => failed!(
                self.failure,
                Severity::Debug,
                self.code,
                none,
                "the caller is gone"
            ),
            // Without a failure of ours it is a request that can't be read, or a path
            // that nobody serves.
            (code, _) => failed!(
                self.failure,
                self.failure.map_or(Severity::Debug, Failure::severity),
                code,
                none,
                "the call failed"
            ),
        }
    }

    /// Tells the trace, in the words of OpenTelemetry's conventions. A refusal is an
    /// answer and no error of this service.
    fn trace(&self, span: &Span) {
        let code: i32 = self.code.into();
        span.set_attribute("rpc.grpc.status_code", i64::from(code));
        if let Some(who) = self.caller {
            if let Some(token_id) = who.token_id {
                span.set_attribute("caller.token.id", token_id.to_string());
            }
            if let Some((user_id, trust)) = &who.session {
                span.set_attribute("caller.user.id", user_id.to_string());
                span.set_attribute("caller.trust", trust.clone());
            }
            if let Some(name) = &who.identity {
                span.set_attribute("caller.identity", name.to_string());
            }
            span.set_attribute("caller.tenant.id", who.tenant_id.to_string());
        }
        if let Some(tenant) = self.tenant {
            span.set_attribute("tenant.id", tenant.0.to_string());
        }
        let partly = self.partly.map(|partly| &partly.worst);
        let reason = self.failure.or(partly).map(Failure::reason);
        if let Some(reason) = reason {
            span.set_attribute("error.type", reason);
        }
        if matches!(
            self.code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ) {
            span.set_status(SpanStatus::error(reason.unwrap_or(code_name(self.code))));
        }
    }
}
