//! Introspection: who is this, and what may they do?

use std::net::IpAddr;
use std::sync::Arc;

use super::counters::Outcome;
use super::recognise::Recalled;
use super::{Authority, Caller, Error};
use crate::coherence::Kept;
use crate::domain::bounds;
use crate::domain::change::{ChangeNumber, Revision};
use crate::domain::foreign::AnyValue;
use crate::domain::ids::TenantId;
use crate::domain::introspection::Inactive;
use crate::domain::reason::{Field, Violations};
use crate::domain::scope::{ScopeName, ScopeSet};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Use};
use crate::domain::value::presented;

/// What is asked for.
#[derive(Clone)]
pub struct Introspect<'a> {
    /// The presented value.
    pub token: &'a str,
    /// The tenant that it must belong to, or `active`; empty is the caller's.
    pub tenant_id: &'a str,
    /// What it must be allowed to do.
    pub required_scopes: &'a [String],
    /// The kind that it must be of; `None` accepts any but WEBHOOK.
    pub expected_kind: Option<Kind>,
    /// What the answer must reflect; empty is anything.
    pub min_revision: &'a str,
    /// Where the value came from; empty when the caller doesn't say.
    pub client_address: &'a str,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What is answered, looked at where it is kept.
#[derive(Debug)]
pub struct Answer<'a> {
    /// What is told of an active token; of one that is not, nothing.
    pub active: Option<Active<'a>>,
    /// The store's incarnation.
    pub incarnation: &'a str,
    /// A lower bound of what was applied before the evaluation.
    pub number: ChangeNumber,
    /// When the evaluation took place.
    pub evaluated_at: Timestamp,
}

/// What is answered about an active token.
#[derive(Debug)]
pub struct Active<'a> {
    /// What is known of it.
    pub kept: &'a Kept,
    /// What was required and it may not do, sorted.
    pub missing: &'a [&'a str],
}

/// A checked question.
struct Asked<'a> {
    value: Option<AnyValue>,
    tenant_id: &'a str,
    required_scopes: &'a [String],
    expected_kind: Option<Kind>,
    client_address: Option<IpAddr>,
    caller: &'a Caller,
}

/// What a question comes to: what it counts as, and what was made of its answer.
type Came<R> = (Outcome, R);

impl Authority {
    /// Judges a presented value, and returns what `made` makes of the answer. That it is
    /// worth nothing is an answer; that the store can't be asked is an error, never that
    /// answer. The caller must have been let in by
    /// [`access::may_at_all`](super::access::may_at_all).
    pub async fn introspect<R>(
        self: &Arc<Self>,
        caller: &Caller,
        command: Introspect<'_>,
        made: impl Fn(&Answer<'_>) -> R,
    ) -> Result<R, Error> {
        let answered = self.judge(caller, command, &made).await;
        let outcome = answered
            .as_ref()
            .map_or(Outcome::Failed, |(outcome, _)| *outcome);
        self.count_introspection(outcome);
        answered.map(|(_, answer)| answer)
    }

    /// As [`introspect`](Self::introspect), if it can be answered at once. What it came to is
    /// not [counted](Self::count_introspection).
    pub fn introspect_at_once<R>(
        &self,
        caller: &Caller,
        command: &Introspect<'_>,
        made: impl Fn(&Answer<'_>) -> R,
    ) -> Option<(Outcome, R)> {
        let (asked, min_revision) = check(caller, command).ok()?;
        let least = match min_revision {
            None => ChangeNumber(0),
            Some(least) => self.reflects(&least).then_some(least.number)?,
        };
        self.judge_at_once(&asked, least, &made)
    }

    /// Returns what has a presented value read into memory, where that is used. What comes
    /// of it [`introspect_at_once`](Self::introspect_at_once) tells.
    pub fn fetch(self: &Arc<Self>, presented_as: &str) -> Option<impl Future<Output = ()> + use<>> {
        let value: AnyValue = presented(presented_as).parse().ok()?;
        self.coherence.applied()?;
        // What is there already decided nothing, and reading it again would not either.
        let is_kept = || self.coherence.recall(&value, |_, _| ()).is_some();
        if !matches!(value, AnyValue::Native(_)) || is_kept() {
            return None;
        }
        let coherence = Arc::clone(&self.coherence);
        Some(async move {
            let _ = coherence.read(&value).await;
        })
    }

    /// Counts what an introspection came to.
    pub fn count_introspection(&self, outcome: Outcome) {
        self.counters.introspections.mine().tick(outcome);
    }

    async fn judge<R>(
        self: &Arc<Self>,
        caller: &Caller,
        command: Introspect<'_>,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Result<Came<R>, Error> {
        let (asked, min_revision) = check(caller, &command)?;
        let least = match min_revision {
            None => ChangeNumber(0),
            Some(least) => self.reflect(&least).await?,
        };
        match (self.judge_at_once(&asked, least, made), &asked.value) {
            (Some(came), _) => Ok(came),
            (None, Some(value)) => self.judge_read(&asked, value, made).await,
            (None, None) => Err(Error::internal("what is no value was not judged")),
        }
    }

    /// Judges what memory suffices for; `None` where it does not decide.
    fn judge_at_once<R>(
        &self,
        asked: &Asked<'_>,
        least: ChangeNumber,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Option<Came<R>> {
        let Some(value) = &asked.value else {
            // What has not even the form of an imported value never reaches the store.
            let number = self.head().max(least);
            return Some(self.inactive(Inactive::Malformed, number, self.clock.now(), made));
        };
        let recalled = self.coherence.recall(value, |number, kept| {
            self.judge_recalled(asked, value, kept, number, made)
        });
        recalled.flatten()
    }

    /// Judges a value by what is in memory; `None` where that does not decide.
    fn judge_recalled<R>(
        &self,
        asked: &Asked<'_>,
        value: &AnyValue,
        kept: &[Kept],
        number: ChangeNumber,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Option<Came<R>> {
        let now = self.clock.now();
        match self.recalled(value, kept, now) {
            Recalled::Good(kept) => Some(self.judge_kept(asked, value, kept, number, now, made)),
            Recalled::Worthless(reason) => Some(self.inactive(reason, number, now, made)),
            Recalled::Open => None,
        }
    }

    /// Judges a value by what the store knows of it.
    async fn judge_read<R>(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        value: &AnyValue,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Result<Came<R>, Error> {
        let (number, kept) = self.read(value).await?;
        let bound = asked.caller.bound_to();
        let recognised = self.recognise_read(bound, value, &kept).await?;
        // Not before: a hash may have waited for its turn, and an end have passed.
        let now = self.clock.now();
        let reason = match recognised {
            Err(reason) => reason,
            Ok(kept) if kept.is_over(now) => {
                // Who asks for another tenant is not named in this one's log.
                let bound = bound.is_none_or(|bound| bound == kept.tenant_id());
                let by = bound.then_some(asked.caller);
                let address = asked.client_address.filter(|_| bound);
                self.note_ended_use(value, kept, by, address).await;
                Inactive::ValueEnded
            }
            Ok(kept) => return Ok(self.judge_kept(asked, value, kept, number, now, made)),
        };
        Ok(self.inactive(reason, number, now, made))
    }

    /// Judges what is known of a value that was recognised and is not over.
    fn judge_kept<R>(
        &self,
        asked: &Asked<'_>,
        value: &AnyValue,
        kept: &Kept,
        number: ChangeNumber,
        now: Timestamp,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Came<R> {
        if let Some(reason) = asked.refuses(value, kept, now) {
            return self.inactive(reason, number, now, made);
        }
        let effective = &kept.grant.effective;
        let required = asked.required_scopes.iter().map(String::as_str);
        let mut missing: Vec<&str> = required.filter(|name| !effective.names(name)).collect();
        missing.sort_unstable();
        missing.dedup();
        let presented_there = Use {
            at: now,
            by: asked.caller.token_id(),
            address: asked.client_address,
        };
        self.note_use(kept, presented_there);
        let outcome = if missing.is_empty() {
            Outcome::Allowed
        } else {
            Outcome::LacksScope
        };
        let active = Active {
            kept,
            missing: &missing,
        };
        (outcome, made(&self.answer(Some(active), number, now)))
    }

    /// Returns what a value that is worth nothing comes to.
    fn inactive<R>(
        &self,
        reason: Inactive,
        number: ChangeNumber,
        now: Timestamp,
        made: &impl Fn(&Answer<'_>) -> R,
    ) -> Came<R> {
        let answer = self.answer(None, number, now);
        (Outcome::Inactive(reason), made(&answer))
    }

    fn answer<'a>(
        &'a self,
        active: Option<Active<'a>>,
        number: ChangeNumber,
        evaluated_at: Timestamp,
    ) -> Answer<'a> {
        Answer {
            active,
            incarnation: &self.incarnation,
            number,
            evaluated_at,
        }
    }

    /// Returns whether a revision is applied here.
    fn reflects(&self, least: &Revision) -> bool {
        let applied = self.coherence.applied();
        let here = least.incarnation == self.incarnation;
        here && applied.is_some_and(|applied| least.number <= applied)
    }

    /// Waits until a revision is applied here. One above the head, or of another store, is
    /// refused.
    async fn reflect(&self, least: &Revision) -> Result<ChangeNumber, Error> {
        if self.reflects(least) {
            return Ok(least.number);
        }
        let head = self.store_head().await?;
        if least.incarnation != head.incarnation || least.number > head.number {
            return Err(Error::field("min_revision", Field::InvalidRevision));
        }
        self.coherence.catch_up(least.number).await;
        Ok(head.number)
    }
}

impl Asked<'_> {
    /// Returns why a good value is worth nothing to who asks.
    fn refuses(&self, value: &AnyValue, kept: &Kept, now: Timestamp) -> Option<Inactive> {
        let tenant_id = kept.tenant_id();
        if self
            .caller
            .bound_to()
            .is_some_and(|bound| bound != tenant_id)
        {
            return Some(Inactive::OtherTenant);
        }
        if let Some(reason) = kept.inactive(value, now) {
            return Some(reason);
        }
        if self.tenant_id != tenant_id.as_str() {
            return Some(Inactive::OtherTenant);
        }
        let kind_fits = match self.expected_kind {
            Some(kind) => kind == kept.kind,
            None => kept.kind != Kind::Webhook,
        };
        (!kind_fits).then_some(Inactive::OtherKind)
    }
}

/// Checks the question's fields, all of them.
fn check<'a>(
    caller: &'a Caller,
    command: &Introspect<'a>,
) -> Result<(Asked<'a>, Option<Revision>), Error> {
    let mut violations = command.violations.clone();
    let tenant_id = match command.tenant_id {
        "" if caller.bound_to().is_none() => {
            violations.add("tenant_id", Field::Required);
            ""
        }
        "" | "active" => caller.tenant_id.as_str(),
        text => {
            if !TenantId::is_id(text) {
                violations.add("tenant_id", Field::InvalidTenantId);
            }
            text
        }
    };
    check_scopes(command.required_scopes, &mut violations);
    let min_revision = match command.min_revision {
        "" => None,
        text => violations.check(
            "min_revision",
            text.parse().map_err(|_| Field::InvalidRevision),
        ),
    };
    let client_address = match command.client_address {
        "" => None,
        text => violations.check("client_address", address(text)),
    };
    if !violations.is_empty() {
        return Err(violations.into());
    }
    let asked = Asked {
        value: presented(command.token).parse().ok(),
        tenant_id,
        required_scopes: command.required_scopes,
        expected_kind: command.expected_kind,
        client_address,
        caller,
    };
    Ok((asked, min_revision))
}

/// Reads an address; an IPv4 one that is written as IPv6 is told as what it is.
fn address(text: &str) -> Result<IpAddr, Field> {
    let address = text.parse::<IpAddr>().map_err(|_| Field::InvalidAddress)?;
    Ok(address.to_canonical())
}

/// Checks the scopes that are required; returns whether they are scopes, and not too many.
fn check_scopes(texts: &[String], violations: &mut Violations) -> bool {
    if texts.len() > bounds::TOKEN_SCOPES {
        violations.add("required_scopes", Field::TooMany);
        return false;
    }
    for (at, text) in texts.iter().enumerate() {
        if !ScopeName::is_name(text) {
            violations.add(format!("required_scopes[{at}]"), Field::InvalidScope);
        }
    }
    true
}

/// Reads the scopes that are required.
pub(super) fn required_scopes(texts: &[String], violations: &mut Violations) -> ScopeSet {
    if !check_scopes(texts, violations) {
        return ScopeSet::default();
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
