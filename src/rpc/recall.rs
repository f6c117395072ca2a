//! Introspections that memory answers.

use std::sync::Arc;

use prost::Message as _;
use prost::bytes::BytesMut;

use super::answer;
use super::introspection::question;
use super::layers::{Asked, Recall};
use crate::authority::access::{Rpc, may_at_all};
use crate::authority::{Authority, Caller};
use crate::domain::bounds;
use crate::pb;

impl Recall for Arc<Authority> {
    fn recall(&self, asked: &Asked<'_>, answer: &mut BytesMut) -> Option<()> {
        let caller = self.authenticate_at_once(asked.credential)?;
        may_at_all(asked.rpc, &caller).ok()?;
        match asked.rpc {
            Rpc::Introspect => {
                let message = pb::IntrospectRequest::decode(asked.message.clone()).ok()?;
                one(self, &caller, &message, answer)?;
            }
            Rpc::BatchIntrospect => {
                let message = pb::BatchIntrospectRequest::decode(asked.message.clone()).ok()?;
                many(self, &caller, &message, answer)?;
            }
            _ => return None,
        }
        asked.note(&caller);
        Some(())
    }
}

fn one(
    authority: &Authority,
    caller: &Caller,
    message: &pb::IntrospectRequest,
    out: &mut BytesMut,
) -> Option<()> {
    // Written when the answer is known, and so once.
    let out = std::cell::RefCell::new(out);
    authority.introspect_at_once(caller, question(message), |answer| {
        answer::write(answer, &mut out.borrow_mut());
    })
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
    for message in &message.requests {
        response.clear();
        one(authority, caller, message, &mut response)?;
        answer::write_result(&response, out);
    }
    let counters = authority.counters();
    counters.batches.observe(message.requests.len());
    Some(())
}
