//! Why a token is or isn't active, and where its scopes come from.

use super::access::Rpc;
use super::introspect::required_scopes;
use super::recognise::{Proof, candidates_in};
use super::scene::{Scene, shown};
use super::update::parse_token_id;
use super::{Authority, Call, Error, Shown, named_tenant};
use crate::domain::change::Revision;
use crate::domain::explanation::{Explained, Explanation};
use crate::domain::foreign::AnyValue;
use crate::domain::ids::TokenId;
use crate::domain::introspection::{Inactive, Record, Verifier};
use crate::domain::reason::{Field, Violations};
use crate::domain::scope::ScopeSet;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Token};
use crate::domain::value::presented;

/// What is to be explained.
#[derive(Clone)]
pub enum Subject {
    /// A token, by its id.
    Token(String),
    /// A value.
    Value(String),
}

/// What is asked for.
#[derive(Clone)]
pub struct ExplainToken {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// What is to be explained.
    pub subject: Option<Subject>,
    /// The kind that it must be of; `None` finds any but WEBHOOK.
    pub kind: Option<Kind>,
    /// What is to be explained beside the grant.
    pub required_scopes: Vec<String>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// Where a value is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueState {
    /// It is its token's value.
    Current,
    /// It works until then.
    InGrace(Timestamp),
    /// It worked until then.
    Ended(Timestamp),
}

/// What is known of a token that the caller reaches.
#[derive(Debug)]
pub struct Known {
    /// Where the value is in its life, if one was asked about.
    pub value: Option<ValueState>,
    /// The record.
    pub token: Shown,
    /// Each scope of the grant's closure, and those that were required.
    pub scopes: Vec<Explained>,
    /// What was required and is not effective.
    pub missing: ScopeSet,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// Why it is inactive; `None` when it is active.
    pub inactive: Option<Inactive>,
    /// What is known; nothing of what is no value, or unknown.
    pub known: Option<Box<Known>>,
    /// What was read.
    pub revision: Revision,
    /// When the evaluation took place.
    pub evaluated_at: Timestamp,
}

/// What is to be explained, checked.
enum Asked {
    Token(TokenId),
    Value(String),
}

/// What was found of it.
struct Found {
    inactive: Option<Inactive>,
    value: Option<ValueState>,
    /// What decides over it, and the token as who manages it reads it.
    record: Option<(Record, Token)>,
}

impl Found {
    /// Returns what is found of a value that nobody was given, as far as the caller may
    /// know.
    fn nothing(why: Inactive) -> Self {
        Self {
            inactive: Some(why),
            value: None,
            record: None,
        }
    }
}

impl Authority {
    /// Explains why a token or a value is or isn't active, from one snapshot.
    pub async fn explain_token(&self, call: Call, command: ExplainToken) -> Result<Answer, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self.look(&call, Rpc::ExplainToken, &tenant_id).await?;
        let mut violations = command.violations;
        let asked = match command.subject {
            None => violations.check("subject", Err(Field::Required)),
            Some(Subject::Token(text)) => violations
                .check("token_id", parse_token_id(&text))
                .map(Asked::Token),
            Some(Subject::Value(text)) => Some(Asked::Value(text)),
        };
        let required = required_scopes(&command.required_scopes, &mut violations);
        let (Some(asked), true) = (asked, violations.is_empty()) else {
            return Err(violations.into());
        };
        let (now, revision) = (scene.now, self.see(scene.tx.get_head().await?));
        let found = match asked {
            Asked::Token(token_id) => find_token(scene, token_id, command.kind).await?,
            Asked::Value(text) => self.find_value(scene, &text, command.kind).await?,
        };
        let known = match found.record {
            None => None,
            Some((record, token)) => {
                let scopes = explain(&record, &required).await;
                let token = shown(token, &record.catalog, now);
                Some(Box::new(Known {
                    value: found.value,
                    missing: required.minus(&token.effective),
                    scopes,
                    token,
                }))
            }
        };
        Ok(Answer {
            inactive: found.inactive,
            known,
            revision,
            evaluated_at: now,
        })
    }

    /// Finds what there is of a value. What the caller does not reach, and a wrong
    /// secret, are as unknown as what nobody was given.
    async fn find_value(
        &self,
        mut scene: Scene,
        text: &str,
        kind: Option<Kind>,
    ) -> Result<Found, Error> {
        let Ok(value) = presented(text).parse::<AnyValue>() else {
            return Ok(Found::nothing(Inactive::Malformed));
        };
        let now = scene.now;
        let mut candidates = candidates_in(&mut scene.tx, &value).await?;
        candidates.retain(|(record, _)| scene.reaches(&record.token, kind));
        // Not before: whether others have a value that begins so is not told.
        if candidates.is_empty() && matches!(value, AnyValue::Foreign(_)) {
            return Ok(Found::nothing(Inactive::Malformed));
        }
        let mut tokens = Vec::with_capacity(candidates.len());
        for (record, _) in &candidates {
            tokens.push(scene.token(record.token.token_id, kind).await?);
        }
        // A hash may take its time, and others wait for the connection.
        drop(scene);
        let proofs: Vec<Proof<'_>> = candidates.iter().map(Proof::from).collect();
        let recognised = self.recognise(None, &value, &proofs).await?;
        let recognised = recognised.map(|at| candidates.into_iter().nth(at));
        let Ok(Some((record, verifier))) = recognised else {
            return Ok(Found::nothing(Inactive::Unknown));
        };
        let token = tokens
            .into_iter()
            .find(|token| token.token_id == record.token.token_id)
            .ok_or_else(|| Error::internal("a candidate without its token"))?;
        let state = state(&record, &verifier, now);
        let inactive = match state {
            ValueState::Ended(_) => Some(Inactive::ValueEnded),
            ValueState::Current | ValueState::InGrace(_) => record.inactive(&value, now),
        };
        Ok(Found {
            inactive,
            value: Some(state),
            record: Some((record, token)),
        })
    }
}

/// Finds a token that the caller reaches.
async fn find_token(
    mut scene: Scene,
    token_id: TokenId,
    kind: Option<Kind>,
) -> Result<Found, Error> {
    let token = scene.token(token_id, kind).await?;
    let record = scene.tx.find_record_by_token(token_id).await?;
    let record = record.ok_or_else(|| Error::internal("a token vanished"))?;
    Ok(Found {
        inactive: record.dead(scene.now),
        value: None,
        record: Some((record, token)),
    })
}

/// Returns where a value is in its life.
fn state(record: &Record, verifier: &Verifier, now: Timestamp) -> ValueState {
    match verifier.ends_at {
        None => ValueState::Current,
        Some(end) if record.token.is_over(Some(end), now) => ValueState::Ended(end),
        Some(end) => ValueState::InGrace(end),
    }
}

/// Explains each scope.
async fn explain(record: &Record, required: &ScopeSet) -> Vec<Explained> {
    let mut explanation = Explanation::of(&record.token, &record.catalog);
    for granted in &record.token.scopes {
        explanation.add_granted(granted);
        // A large catalog makes this long: others, and the deadline, have their turn.
        tokio::task::yield_now().await;
    }
    explanation.add_required(required);
    explanation.finish()
}
