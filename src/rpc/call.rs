//! A call on its way to a use case and back.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tonic::{Extensions, Request, Response, Status};

use super::layers::{Deadline, RequestId};
use super::names::NamesTenant;
use super::status::status;
use crate::authority::access::Rpc;
use crate::authority::requests::RequestId as IdempotencyKey;
use crate::authority::sessions::{Credential, Named};
use crate::authority::{Authority, Call, Caller, Error, OpenCall};
use crate::domain::bounds;
use crate::domain::change::Revision;
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
pub(super) trait Mutation: prost::Message {
    /// Returns the id; empty is none.
    fn request_id(&self) -> &str;
}

/// Says of messages that each has a `request_id`.
macro_rules! mutations {
    ($($request:ident,)+) => {$(
        impl Mutation for pb::$request {
            fn request_id(&self) -> &str {
                &self.request_id
            }
        }
    )+};
}

mutations! {
    CreateTokenRequest,
    UpdateTokenRequest,
    RotateTokenRequest,
    RevokeTokenRequest,
    RotateCurrentTokenRequest,
    BatchRevokeTokensRequest,
    RevokeAllTokensRequest,
    RevokeCurrentTokenRequest,
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
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    answer(use_case.await, &opened.request_id)
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
    M: Mutation + NamesTenant,
    T: DeserializeOwned + Send + 'static,
    F: Future<Output = Result<(T, Revision), Error>> + Send + 'static,
{
    let (opened, message) = Opened::of_mutation(authority, request).await?;
    let (call, caller) = (opened.call.clone(), opened.call.caller.clone());
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    let owned = Arc::clone(authority);
    // On the heap: a mutation's state is large, and would be copied on its way into
    // the task.
    let done = authority.once_begun(Box::pin(async move { owned.once(&call, use_case).await }));
    let answered = done.await;
    let answered =
        answered.map(|(outcome, revision)| respond(&caller, outcome, revision.to_string()));
    answer(answered, &opened.request_id)
}

/// As [`mutate`], for a use case that gives out a value: asked again, it is refused.
pub(super) async fn give<M, R, F>(
    authority: &Arc<Authority>,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, Call, M) -> F,
) -> Result<Response<R>, Status>
where
    M: Mutation + NamesTenant,
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let (opened, message) = Opened::of_mutation(authority, request).await?;
    let call = opened.call.clone();
    let use_case = use_case(Arc::clone(authority), opened.call, message);
    let owned = Arc::clone(authority);
    let done = authority.once_begun(Box::pin(
        async move { owned.once_giving(&call, use_case).await },
    ));
    answer(done.await, &opened.request_id)
}

/// Answers a call that needs no credential with what a changing use case comes to,
/// which goes on when the caller is gone.
pub(super) async fn open<M, R, F>(
    authority: &Arc<Authority>,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Authority>, OpenCall, M) -> F,
) -> Result<Response<R>, Status>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let trace_id = trace_id(&request).unwrap_or_default();
    let (_, extensions, message) = request.into_parts();
    let request_id = request_id(&extensions);
    let call = OpenCall {
        call_id: request_id.as_str().to_owned(),
        trace_id,
        deadline: deadline(&extensions),
    };
    let use_case = use_case(Arc::clone(authority), call, message);
    let done = authority.once_begun(Box::pin(use_case));
    answer(done.await, &request_id)
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
        let trace_id = trace_id(&request).unwrap_or_default();
        let (_, extensions, message) = request.into_parts();
        let request_id = request_id(&extensions);
        let none = || Error::internal("no caller beside the request");
        let arrived = extensions.get::<Arrived>().ok_or_else(none);
        let settled = match arrived {
            Ok(arrived) => {
                let named = Named::read(message.tenant_id());
                let caller = caller(authority, arrived, named).await;
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
            trace_id,
            request: None,
        };
        Ok((Self { call, request_id }, message))
    }

    /// Takes a request apart that changes something.
    async fn of_mutation<M: Mutation + NamesTenant>(
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

/// Returns who calls, in the tenant that is named.
async fn caller(
    authority: &Arc<Authority>,
    arrived: &Arrived,
    named: Named,
) -> Result<Caller, Error> {
    match &arrived.credential {
        Credential::Token(caller) => Ok(caller.clone()),
        Credential::Session(session) => {
            let settled = timeout_at(arrived.deadline, authority.settle(session, named));
            settled.await.map_err(|_| Error::DeadlineExceeded)?
        }
    }
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

/// Returns the trace that the caller says the call is part of, as W3C's Trace Context
/// (level 1, section 3.2) has it in the header `traceparent`.
fn trace_id<T>(request: &Request<T>) -> Option<String> {
    let header = request.metadata().get("traceparent")?.to_str().ok()?;
    let mut parts = header.split('-');
    let (version, trace_id) = (parts.next()?, parts.next()?);
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let good = hex(version, 2)
        && version != "ff"
        && hex(trace_id, 32)
        && trace_id.bytes().any(|byte| byte != b'0');
    good.then(|| trace_id.to_owned())
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

    #[test]
    fn a_trace_is_known_by_its_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let of = |header: &str| {
            let mut request = Request::new(());
            let header = header.parse().unwrap();
            request.metadata_mut().insert("traceparent", header);
            trace_id(&request)
        };
        assert_eq!(
            of(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(),
            Some(id)
        );
        for bad in [
            "",
            "00",
            id,
            &format!("ff-{id}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{id}0-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(trace_id(&Request::new(())), None);
    }
}
