//! Introspection: who is this, and what may they do?

use std::net::IpAddr;
use std::sync::Arc;

use super::counters::Outcome;
use super::{Authority, Caller, Error};
use crate::domain::bounds;
use crate::domain::change::Revision;
use crate::domain::foreign::AnyValue;
use crate::domain::ids::TenantId;
use crate::domain::introspection::{Inactive, Introspection, Question};
use crate::domain::reason::{Field, Violations};
use crate::domain::scope::{ScopeName, ScopeSet};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Use};
use crate::domain::value::presented;

/// What is asked for.
#[derive(Clone)]
pub struct Introspect {
    /// The presented value.
    pub token: String,
    /// The tenant that it must belong to, or `active`; empty is the caller's.
    pub tenant_id: String,
    /// What it must be allowed to do.
    pub required_scopes: Vec<String>,
    /// The kind that it must be of.
    pub expected_kind: Option<Kind>,
    /// What the answer must reflect; empty is anything.
    pub min_revision: String,
    /// Where the value came from; empty when the caller doesn't say.
    pub client_address: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// What the value is worth.
    pub introspection: Introspection,
    /// A lower bound of what was applied before the evaluation.
    pub revision: Revision,
    /// When the evaluation took place.
    pub evaluated_at: Timestamp,
}

/// A checked question.
struct Asked {
    question: Question,
    min_revision: Option<Revision>,
    client_address: Option<IpAddr>,
}

impl Authority {
    /// Judges a presented value. That it is worth nothing is an answer; that the
    /// store can't be asked is an error, never that answer. The caller must have
    /// been let in by [`access::may_at_all`](super::access::may_at_all).
    pub async fn introspect(
        self: &Arc<Self>,
        caller: &Caller,
        command: Introspect,
    ) -> Result<Answer, Error> {
        let answered = self.judge(caller, command).await;
        let outcome = answered
            .as_ref()
            .map_or(Outcome::Failed, |answer| Outcome::of(&answer.introspection));
        self.counters.introspections.mine().tick(outcome);
        answered
    }

    async fn judge(
        self: &Arc<Self>,
        caller: &Caller,
        command: Introspect,
    ) -> Result<Answer, Error> {
        let asked = check(caller, &command)?;
        let answer = |introspection, revision, evaluated_at| Answer {
            introspection,
            revision,
            evaluated_at,
        };
        let inactive = |reason| Introspection::Inactive(reason);

        let Ok(value) = presented(&command.token).parse::<AnyValue>() else {
            // What has not even the form of an imported value never reaches the store,
            // unless a revision is to be checked.
            let revision = match asked.min_revision {
                None => self.seen(),
                Some(least) => {
                    let head = self.see(self.store.get_head().await?);
                    check_revision(&least, &head)?;
                    head
                }
            };
            return Ok(answer(
                inactive(Inactive::Malformed),
                revision,
                self.clock.now(),
            ));
        };
        let (revision, candidates) = self.find_candidates(&value).await?;
        if let Some(least) = &asked.min_revision {
            check_revision(least, &revision)?;
        }
        let recognised = self.recognise_for(caller.bound_to(), &value, candidates);
        let (record, verifier) = match recognised.await? {
            Ok(recognised) => recognised,
            Err(reason) => return Ok(answer(inactive(reason), revision, self.clock.now())),
        };
        // Not before: a hash may have waited for its turn, and an end have passed.
        let now = self.clock.now();
        let bound = caller
            .bound_to()
            .is_none_or(|bound| *bound == record.token.tenant_id);
        if record.token.is_over(verifier.ends_at, now) {
            // Who asks for another tenant is not named in this one's log.
            let by = bound.then_some(caller);
            let address = asked.client_address.filter(|_| bound);
            self.note_ended_use(&record, &verifier, by, address).await;
            return Ok(answer(inactive(Inactive::ValueEnded), revision, now));
        }
        let introspection = if bound {
            asked.question.judge(record, &value, now)
        } else {
            inactive(Inactive::OtherTenant)
        };
        if let Introspection::Active(active) = &introspection {
            let presented_there = Use {
                at: now,
                by: caller.token_id(),
                address: asked.client_address,
            };
            self.note_use(active.token.token_id, presented_there);
        }
        Ok(answer(introspection, revision, now))
    }
}

/// Checks the question's fields, all of them.
fn check(caller: &Caller, command: &Introspect) -> Result<Asked, Error> {
    let mut violations = command.violations.clone();
    let tenant_id: Option<TenantId> = match command.tenant_id.as_str() {
        "" if caller.bound_to().is_none() => {
            violations.add("tenant_id", Field::Required);
            None
        }
        "" | "active" => Some(caller.tenant_id.clone()),
        text => violations.check(
            "tenant_id",
            text.parse().map_err(|_| Field::InvalidTenantId),
        ),
    };
    let required_scopes = required_scopes(&command.required_scopes, &mut violations);
    let min_revision = match command.min_revision.as_str() {
        "" => None,
        text => violations.check(
            "min_revision",
            text.parse().map_err(|_| Field::InvalidRevision),
        ),
    };
    let client_address = match command.client_address.as_str() {
        "" => None,
        text => violations.check("client_address", address(text)),
    };
    if !violations.is_empty() {
        return Err(violations.into());
    }
    let question = Question {
        tenant_id,
        expected_kind: command.expected_kind,
        required_scopes,
    };
    Ok(Asked {
        question,
        min_revision,
        client_address,
    })
}

/// Reads an address; an IPv4 one that is written as IPv6 is told as what it is.
fn address(text: &str) -> Result<IpAddr, Field> {
    let address = text.parse::<IpAddr>().map_err(|_| Field::InvalidAddress)?;
    Ok(address.to_canonical())
}

/// Reads the scopes that are required.
pub(super) fn required_scopes(texts: &[String], violations: &mut Violations) -> ScopeSet {
    let mut required_scopes = ScopeSet::default();
    if texts.len() > bounds::TOKEN_SCOPES {
        violations.add("required_scopes", Field::TooMany);
        return required_scopes;
    }
    for (at, text) in texts.iter().enumerate() {
        let name = text.parse::<ScopeName>().map_err(|_| Field::InvalidScope);
        if let Some(name) = violations.check(&format!("required_scopes[{at}]"), name) {
            required_scopes.insert(name);
        }
    }
    required_scopes
}

/// Refuses a revision above the head, or of another store.
fn check_revision(least: &Revision, head: &Revision) -> Result<(), Error> {
    if least.incarnation == head.incarnation && least.number <= head.number {
        Ok(())
    } else {
        Err(Error::field("min_revision", Field::InvalidRevision))
    }
}
