//! `AuditService`.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::call::read;
use super::convert::inward;
use super::convert::page::{self, List};
use crate::authority::audit::ListAuditEvents;
use crate::authority::{Authority, Caller};
use crate::domain::audit::{Anchor, Flaw, Hash, Head, Row};
use crate::domain::bounds;
use crate::domain::reason::{Field, Violations};
use crate::domain::text;
use crate::pb;
use crate::pb::audit_service_server::AuditService;
use crate::store::EventFilter;

/// Serves the audit log.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let list = list(&message, &call.caller);
            let page = authority
                .list_audit_events(call, listing(message, &list))
                .await?;
            Ok(pb::ListAuditEventsResponse {
                events: page.items.iter().map(event).collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }

    async fn verify_audit_log(
        &self,
        request: Request<pb::VerifyAuditLogRequest>,
    ) -> Result<Response<pb::VerifyAuditLogResponse>, Status> {
        read(
            &self.0,
            request,
            |authority, call, message: pb::VerifyAuditLogRequest| async move {
                let mut violations = Violations::default();
                let known = message.known_head.as_ref();
                let anchor = known.and_then(|head| anchor(head, &mut violations));
                let verified = authority
                    .verify_audit_log(call, &message.tenant_id, anchor, violations)
                    .await?;
                let flaw = verified.verdict.err();
                Ok(pb::VerifyAuditLogResponse {
                    verified: flaw.is_none(),
                    flaw: flaw.map(|verdict| name(verdict.flaw)).unwrap_or_default(),
                    flawed_sequence: flaw.map(|verdict| verdict.sequence).unwrap_or_default(),
                    head: Some(head(verified.head)),
                    first_sequence: verified.first.unwrap_or_default(),
                })
            },
        )
        .await
    }
}

/// Turns a row into a message: its bytes are such a message already. Of one that was
/// tampered with as much is shown as can be read.
fn event(row: &Row) -> pb::AuditEvent {
    let event = pb::AuditEvent::decode(row.event.as_slice());
    pb::AuditEvent {
        hash: row.hash.0.to_vec(),
        ..event.unwrap_or_else(|_| pb::AuditEvent {
            sequence: row.sequence,
            ..Default::default()
        })
    }
}

fn head(head: Head) -> pb::AuditHead {
    pb::AuditHead {
        count: head.count,
        hash: head.hash.0.to_vec(),
    }
}

fn anchor(head: &pb::AuditHead, violations: &mut Violations) -> Option<Anchor> {
    let hash = Hash::try_from(head.hash.as_slice()).map_err(|_| Field::OutOfRange);
    let hash = violations.check("known_head.hash", hash);
    let count = if head.count < 0 {
        Err(Field::OutOfRange)
    } else {
        Ok(head.count)
    };
    let count = violations.check("known_head.count", count);
    Some(Anchor {
        count: count?,
        hash: hash?,
    })
}

fn name(flaw: Flaw) -> i32 {
    match flaw {
        Flaw::Changed => pb::AuditFlaw::Changed,
        Flaw::Removed => pb::AuditFlaw::Removed,
        Flaw::Reordered => pb::AuditFlaw::Reordered,
        Flaw::CutOff => pb::AuditFlaw::CutOff,
        Flaw::Added => pb::AuditFlaw::Added,
        Flaw::Unattested => pb::AuditFlaw::Unattested,
        Flaw::OtherChain => pb::AuditFlaw::OtherChain,
        Flaw::KnownHeadPruned => pb::AuditFlaw::KnownHeadPruned,
    }
    .into()
}

/// Returns what a page token of this request is good for.
fn list(message: &pb::ListAuditEventsRequest, caller: &Caller) -> List {
    let time = |at: Option<&prost_types::Timestamp>| {
        at.map(|at| format!("{}.{}", at.seconds, at.nanos))
            .unwrap_or_default()
    };
    List::named("audit_events")
        .of_tenant(caller, &message.tenant_id)
        .with("action", &message.action)
        .with("caller_token_id", &message.caller_token_id)
        .with("user_id", &message.user_id)
        .with("token_id", &message.token_id)
        .with("start_time", &time(message.start_time.as_ref()))
        .with("end_time", &time(message.end_time.as_ref()))
}

fn listing(message: pb::ListAuditEventsRequest, list: &List) -> ListAuditEvents {
    let mut violations = Violations::default();
    let of = &mut violations;
    let action = of.check(
        "action",
        text::line(&message.action, bounds::SCOPE_NAME_BYTES),
    );
    let filter = EventFilter {
        action: action.filter(|action| !action.is_empty()),
        caller_id: inward::optional_id("caller_token_id", &message.caller_token_id, of),
        user_id: inward::optional_id("user_id", &message.user_id, of),
        token_id: inward::optional_id("token_id", &message.token_id, of),
        from: inward::timestamp("start_time", message.start_time.as_ref(), of),
        until: inward::timestamp("end_time", message.end_time.as_ref(), of),
    };
    ListAuditEvents {
        page_size: page::size(message.page_size, &mut violations),
        after: page::position(&message.page_token, list, &mut violations),
        tenant_id: message.tenant_id,
        filter,
        violations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Act, By, Event, Origin};
    use crate::domain::time::Timestamp;

    /// What is hashed is the published message: whoever has events and hashes can verify
    /// them without this program.
    #[test]
    fn canonical_bytes_are_those_of_the_published_message() {
        let act = Act::new("CreateToken", "acme".parse().unwrap())
            .user(uuid::Uuid::from_u128(1).into())
            .token(uuid::Uuid::from_u128(2).into())
            .with("name", "laptop")
            .with("scopes", "read write");
        let origin = Origin {
            by: Some(By {
                token_id: "tok_x".into(),
                tenant_id: "acme".into(),
                user_id: "usr_x".into(),
                trust: "installation/main".into(),
                identity: "chat".into(),
            }),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            call_id: "call".into(),
        };
        let at = Timestamp::from_millis(1_767_225_600_123).unwrap();
        let event = Event {
            tenant_id: "acme".into(),
            sequence: 300,
            omitted_changes: 7,
            ..Event::of(&act, &origin, at)
        };
        let published = pb::AuditEvent::decode(event.to_bytes().as_slice()).unwrap();
        assert_eq!(published.encode_to_vec(), event.to_bytes());
        assert_eq!(
            (published.sequence, published.action.as_str()),
            (300, "CreateToken")
        );
        let caller = published.caller.unwrap();
        assert_eq!(
            (caller.token_id.as_str(), caller.trust.as_str()),
            ("tok_x", "installation/main")
        );
        assert_eq!(caller.identity, "chat");
        assert_eq!(published.subject.unwrap().tenant_id, "acme");
        assert_eq!(published.changes.len(), 2);
        assert_eq!(
            (published.trace_id, published.call_id, published.hash),
            (origin.trace_id, origin.call_id, vec![])
        );
    }
}
