//! A call on its way to a use case and back.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tonic::{Extensions, Request, Response, Status};
use tracing::{Instrument as _, Span};

use super::layers::{CalledBy, Deadline, DoneIn, RequestId, TraceId, Who, guard};
use super::names::NamesTenant;
use super::status::status;
use crate::authority::access::Rpc;
use crate::authority::requests::RequestId as IdempotencyKey;
use crate::authority::sessions::{Credential, Named};
use crate::authority::{Authority, Call, Caller, Error, OpenCall};
use crate::domain::bounds;
use crate::domain::change::Revision;
use crate::domain::ids::TenantId;
use crate::domain::reason::Violations;
use crate::pb;

/// What stands beside a request whose credential is verified.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    /// The credential.
    pub(super) credential: Credential,
    /// What is called.
    pub(super) rpc: Rpc,
    /// Until when the call waits.
    pub(super) deadline: Instant,
}

/// A request that changes something, and may be asked again under an id.
pub(super) trait Mutation: prost::Message + NamesTenant {
    /// Returns the id; empty is none.
    fn request_id(&self) -> &str;

    /// Returns which tenant is named; `active` is the caller's own.
    fn tenant_id(&self) -> &str;
}

/// Says of messages that each has a `request_id`, and a `tenant_id` unless it is about
/// the caller's own token.
macro_rules! mutations {
    ($($request:ident $(of $tenant:literal)?,)+) => {$(
        impl Mutation for pb::$request {
            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn tenant_id(&self) -> &str {
                mutations!(@tenant self $($tenant)?)
            }
        }
    )+};
    (@tenant $self:ident) => { &$self.tenant_id };
    (@tenant $self:ident $tenant:literal) => { $tenant };
}

mutations! {
    CreateTokenRequest,
    UpdateTokenRequest,
    RotateTokenRequest,
    RevokeTokenRequest,
    RotateCurrentTokenRequest of "active",
    BatchRevokeTokensRequest,
    RevokeAllTokensRequest,
    ImportTokensRequest,
    RevokeCurrentTokenRequest of "active",
    CreateTenantRequest,
    UpdateTenantRequest,
    SuspendTenantRequest,
    ResumeTenantRequest,
    DeleteTenantRequest,
    CreateUserRequest,
    UpdateUserRequest,
    SuspendUserRequest,
    ResumeUserRequest,
    DeleteUserRequest,
    SetActiveTenantRequest,
    AddMemberRequest,
    UpdateMemberRequest,
    RemoveMemberRequest,
    UpdateCatalogRequest,
    CreateInviteRequest,
    RevokeInviteRequest,
}

/// Answers a call with what a looking use case comes to.
pub(super) async fn read<M, R, F>(
    authority: &Arc<Authority>,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, Call, M) -> F,
) -> Result<Response<R>, Status>
where
    M: NamesTenant,
    F: Future<Output = Result<R, Error>>,
{
    let (opened, message) = Opened::of(authority, request).await?;
    let span = span(opened.call.rpc);
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    answer(use_case.instrument(span).await, &opened.request_id)
}

/// Answers a call with what a changing use case comes to, which goes on when the
/// caller is gone, and is not begun again for a call that is asked again.
pub(super) async fn mutate<M, T, R, F>(
    authority: &Arc<Authority>,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, Call, M) -> F,
    respond: impl FnOnce(&Caller, T, String) -> R,
) -> Result<Response<R>, Status>
where
    M: Mutation,
    T: DeserializeOwned + Send + 'static,
    F: Future<Output = Result<(T, Revision), Error>> + Send + 'static,
{
    let (opened, message) = Opened::of_mutation(authority, request).await?;
    let (call, caller) = (opened.call.clone(), opened.call.caller.clone());
    let (span, tenant_id) = (span(call.rpc), named(&caller, &message));
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    let owned = Arc::clone(authority);
    let done = begun(authority, async move { owned.once(&call, use_case).await });
    let answered = done.instrument(span).await;
    let answered =
        answered.map(|(outcome, revision)| respond(&caller, outcome, revision.to_string()));
    let mut response = answer(answered, &opened.request_id)?;
    done_in(&mut response, tenant_id);
    Ok(response)
}

/// As [`mutate`], for a use case that gives out a value: asked again, it is refused.
pub(super) async fn give<M, R, F>(
    authority: &Arc<Authority>,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, Call, M) -> F,
) -> Result<Response<R>, Status>
where
    M: Mutation,
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let (opened, message) = Opened::of_mutation(authority, request).await?;
    let call = opened.call.clone();
    let (span, tenant_id) = (span(call.rpc), named(&call.caller, &message));
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    let owned = Arc::clone(authority);
    let done = begun(authority, async move {
        owned.once_giving(&call, use_case).await
    });
    let mut response = answer(done.instrument(span).await, &opened.request_id)?;
    done_in(&mut response, tenant_id);
    Ok(response)
}

/// Answers a call that needs no credential with what a changing use case comes to,
/// which goes on when the caller is gone.
pub(super) async fn open<M, R, F>(
    authority: &Arc<Authority>,
    rpc: Rpc,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, OpenCall, M) -> F,
) -> Result<Response<R>, Status>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let (_, extensions, message) = request.into_parts();
    let request_id = request_id(&extensions);
    let call = OpenCall {
        call_id: request_id.as_str().to_owned(),
        trace_id: trace_id(&extensions),
        deadline: deadline(&extensions),
    };
    let use_case = use_case(Arc::clone(authority), call, message);
    let done = begun(authority, use_case);
    answer(done.instrument(span(rpc)).await, &request_id)
}

/// Runs what changes something in a task of its own. A panic is kept within it: past the
/// task, the call would not know its place any more.
fn begun<T: Send + 'static>(
    authority: &Authority,
    mutation: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send {
    // On the heap: a mutation's state is large, and would be copied on its way into
    // the task.
    authority.once_begun(unbroken(Box::pin(mutation)))
}

/// Returns what a mutation comes to; a panic is a fault of ours, which knows its place.
async fn unbroken<T>(mutation: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = guard(mutation).await;
    done.unwrap_or_else(|panicked| Err(Error::internal(panicked)))
}

/// Turns what a use case comes to into an answer.
pub(super) fn answer<R>(
    result: Result<R, Error>,
    request_id: &RequestId,
) -> Result<Response<R>, Status> {
    result
        .map(Response::new)
        .map_err(|error| status(&error, request_id))
}

/// A call without its message: who calls, and what its answer is known by.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) call: Call,
    pub(super) request_id: RequestId,
}

impl Opened {
    /// Takes a request apart, and settles who calls. That nobody was authenticated for it
    /// is a fault of ours: the RPC has no row in the access table.
    pub(super) async fn of<T: NamesTenant>(
        authority: &Arc<Authority>,
        request: Request<T>,
    ) -> Result<(Self, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let request_id = request_id(&extensions);
        let none = || Error::internal("no caller beside the request");
        let arrived = extensions.get::<Arrived>().ok_or_else(none);
        let settled = match arrived {
            Ok(arrived) => {
                let named = Named::read(message.names());
                let caller = settle(authority, arrived, named, &extensions).await;
                caller.map(|caller| (arrived, caller))
            }
            Err(error) => Err(error),
        };
        let (arrived, caller) = settled.map_err(|error| status(&error, &request_id))?;
        let call = Call {
            caller,
            rpc: arrived.rpc,
            deadline: arrived.deadline,
            call_id: request_id.as_str().to_owned(),
            trace_id: trace_id(&extensions),
            request: None,
        };
        Ok((Self { call, request_id }, message))
    }

    /// Takes a request apart that changes something.
    async fn of_mutation<M: Mutation>(
        authority: &Arc<Authority>,
        request: Request<M>,
    ) -> Result<(Self, M), Status> {
        let (mut opened, message) = Self::of(authority, request).await?;
        let id = message.request_id();
        // No field of a request is a map without an order, so equal ones have equal bytes.
        let bytes = if id.is_empty() {
            Vec::new()
        } else {
            message.encode_to_vec()
        };
        let request = IdempotencyKey::of(id, &bytes);
        opened.call.request = request.map_err(|error| status(&error, &opened.request_id))?;
        Ok((opened, message))
    }
}

/// Returns who calls, in the tenant that is named, and notes it for whoever tells of the
/// call.
async fn settle(
    authority: &Arc<Authority>,
    arrived: &Arrived,
    named: Named,
    extensions: &Extensions,
) -> Result<Caller, Error> {
    let session = match &arrived.credential {
        Credential::Known(caller) => return Ok(Caller::clone(caller)),
        Credential::Session(session) => session,
    };
    let span = tracing::debug_span!("authority", rpc = "SettleSession");
    let settled = authority.settle(session, named).instrument(span);
    let settled = timeout_at(arrived.deadline, settled).await;
    let caller = settled.map_err(|_| Error::DeadlineExceeded)??;
    if let Some(called_by) = extensions.get::<CalledBy>() {
        called_by.note(Who::from(&caller));
    }
    Ok(caller)
}

fn request_id(extensions: &Extensions) -> RequestId {
    extensions.get().cloned().unwrap_or_else(RequestId::unknown)
}

/// Returns until when a call waits: without the layer that sets it, not for ever.
pub(super) fn deadline(extensions: &Extensions) -> Instant {
    let deadline = extensions.get::<Deadline>();
    deadline.map_or_else(
        || Instant::now() + bounds::DEADLINE_DEFAULT,
        |deadline| deadline.0,
    )
}

/// Returns the trace that the call is part of; empty where it is of none.
fn trace_id(extensions: &Extensions) -> String {
    let id = extensions.get::<TraceId>();
    id.map(ToString::to_string).unwrap_or_default()
}

/// Returns the span of a use case.
pub(super) fn span(rpc: Rpc) -> Span {
    tracing::debug_span!("authority", rpc = rpc.name())
}

/// Returns which tenant a request names, if it may be one.
fn named<M: Mutation>(caller: &Caller, message: &M) -> Option<TenantId> {
    caller.tenant_named(message.tenant_id()).parse().ok()
}

/// Notes beside a response in which tenant something was done.
fn done_in<R>(response: &mut Response<R>, tenant_id: Option<TenantId>) {
    if let Some(tenant_id) = tenant_id {
        response.extensions_mut().insert(DoneIn(tenant_id));
    }
}

/// Refuses what was wrong on the wire.
pub(super) fn clean(violations: Violations) -> Result<(), Error> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::chain;
    use crate::rpc::testing::{Capture, hook};

    #[tokio::test]
    async fn a_panic_in_a_mutations_task_is_one_failure_that_knows_its_place() {
        hook();
        let capture = Capture::begin();
        let ids: Vec<u8> = Vec::new();
        let mutation = async move { Ok(ids[0]) };
        let error = tokio::spawn(unbroken(mutation)).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{error:?}");
        let line = chain::line(&error);
        assert!(line.contains("call.rs:"), "{line}");
        assert_eq!(capture.end(), [""; 0], "the call's own line tells of it");
    }
}
