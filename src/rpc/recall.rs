//! Introspections that memory answers.

use std::cell::RefCell;
use std::sync::Arc;

use prost::Message as _;
use prost::bytes::BytesMut;

use super::answer;
use super::introspection::question;
use super::layers::{Asked, Fetching, Recall};
use crate::authority::access::{Rpc, may_at_all};
use crate::authority::counters::Outcome;
use crate::authority::identities::Certified;
use crate::authority::{Authority, Caller};
use crate::domain::bounds;
use crate::domain::peer::Peer;
use crate::pb;

impl Recall for Arc<Authority> {
    fn certify(&self, peer: &Peer) -> Certified {
        Authority::certify(self, peer)
    }

    fn recall(&self, asked: &Asked<'_>, answer: &mut BytesMut) -> Option<()> {
        let caller = caller(self, asked)?;
        if asked.rpc == Rpc::Introspect {
            let message = pb::IntrospectRequest::decode(asked.message.clone()).ok()?;
            let outcome = one(self, &caller, &message, answer)?;
            self.count_introspection(outcome);
        } else {
            let message = pb::BatchIntrospectRequest::decode(asked.message.clone()).ok()?;
            many(self, &caller, &message, answer)?;
        }
        asked.note(&caller);
        Some(())
    }

    fn fetch(&self, asked: &Asked<'_>) -> Option<Fetching> {
        if asked.rpc != Rpc::Introspect {
            return None;
        }
        caller(self, asked)?;
        let message = pb::IntrospectRequest::decode(asked.message.clone()).ok()?;
        Some(Box::pin(Authority::fetch(self, &message.token)?))
    }
}

/// Returns who calls, if memory knows, and that it may.
fn caller(authority: &Authority, asked: &Asked<'_>) -> Option<Arc<Caller>> {
    let caller = match asked.credential {
        Some(credential) => authority.authenticate_at_once(credential)?,
        None => authority.identify_at_once(asked.certified?)?,
    };
    may_at_all(asked.rpc, &caller).ok()?;
    Some(caller)
}

fn one(
    authority: &Authority,
    caller: &Caller,
    message: &pb::IntrospectRequest,
    out: &mut BytesMut,
) -> Option<Outcome> {
    // Written when the answer is known, and so once.
    let out = RefCell::new(out);
    let judged = authority.introspect_at_once(caller, &question(message), |answer| {
        answer::write(answer, &mut out.borrow_mut());
    });
    judged.map(|(outcome, ())| outcome)
}

fn many(
    authority: &Authority,
    caller: &Caller,
    message: &pb::BatchIntrospectRequest,
    out: &mut BytesMut,
) -> Option<()> {
    if !(1..=bounds::BATCH).contains(&message.requests.len()) {
        return None;
    }
    let mut response = BytesMut::with_capacity(512);
    let mut outcomes = Vec::with_capacity(message.requests.len());
    for message in &message.requests {
        response.clear();
        outcomes.push(one(authority, caller, message, &mut response)?);
        answer::write_result(&response, out);
    }
    // Not before: one that memory does not answer sends all of them the long way.
    let counters = authority.counters();
    counters.batches.observe(message.requests.len());
    for outcome in outcomes {
        authority.count_introspection(outcome);
    }
    Some(())
}
