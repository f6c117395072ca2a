//! An explanation as a message.

use super::outward;
use crate::authority::explain::{Answer, ValueState};
use crate::domain::catalog::Unfit;
use crate::domain::explanation::{Explained, Withheld};
use crate::domain::introspection::Inactive;
use crate::pb;

/// Turns an explanation into a message.
pub fn answer(answer: Answer) -> pb::ExplainTokenResponse {
    let always = pb::ExplainTokenResponse {
        active: answer.inactive.is_none(),
        reason: answer.inactive.map_or_else(Default::default, reason),
        revision: answer.revision.to_string(),
        evaluate_time: Some(outward::timestamp(answer.evaluated_at)),
        ..Default::default()
    };
    let Some(known) = answer.known else {
        return always;
    };
    let (value_state, end) = match known.value {
        None => (pb::ValueState::Unspecified, None),
        Some(ValueState::Current) => (pb::ValueState::Current, None),
        Some(ValueState::InGrace(end)) => (pb::ValueState::InGrace, Some(end)),
        Some(ValueState::Ended(end)) => (pb::ValueState::Ended, Some(end)),
    };
    let shown = &known.token;
    let profile = &shown.token.profile;
    let scopes = known.scopes.into_iter();
    pb::ExplainTokenResponse {
        value_state: value_state.into(),
        value_end_time: end.map(outward::timestamp),
        token: Some(outward::token(&shown.token, &shown.effective, shown.now)),
        scopes: scopes.map(|scope| explained(scope, profile)).collect(),
        missing_scopes: known.missing.to_strings(),
        ..always
    }
}

/// Returns why something is inactive, as far as may be told: what is another's, or has
/// a wrong secret, is not told from what nobody was given.
fn reason(inactive: Inactive) -> i32 {
    let reason = match inactive {
        Inactive::Malformed => pb::InactiveReason::Malformed,
        Inactive::Unknown
        | Inactive::WrongSecret
        | Inactive::OtherTenant
        | Inactive::OtherKind
        // There is nobody to whom a deleted tenant is there.
        | Inactive::TenantDeleted => pb::InactiveReason::Unknown,
        Inactive::WrongPrefix => pb::InactiveReason::WrongPrefix,
        Inactive::ValueEnded => pb::InactiveReason::ValueEnded,
        Inactive::Revoked => pb::InactiveReason::Revoked,
        Inactive::Expired => pb::InactiveReason::Expired,
        Inactive::Disabled => pb::InactiveReason::Disabled,
        Inactive::OwnerDeleted => pb::InactiveReason::OwnerDeleted,
        Inactive::OwnerSuspended => pb::InactiveReason::OwnerSuspended,
        Inactive::OwnerLeft => pb::InactiveReason::OwnerLeft,
        Inactive::TenantSuspended => pb::InactiveReason::TenantSuspended,
    };
    reason.into()
}

fn explained(scope: Explained, profile: &str) -> pb::ScopeExplanation {
    let withheld = match scope.withheld {
        None => pb::ScopeWithheld::Unspecified,
        Some(Withheld::NotGranted) => pb::ScopeWithheld::NotGranted,
        Some(Withheld::Unfit(Unfit::NotInCatalog)) => pb::ScopeWithheld::NotInCatalog,
        Some(Withheld::Unfit(Unfit::NeedsAdminRole)) => pb::ScopeWithheld::NeedsAdminRole,
        Some(Withheld::Unfit(Unfit::ForbiddenForKind)) => pb::ScopeWithheld::ForbiddenForKind,
    };
    let names = scope.implied_by.iter();
    pb::ScopeExplanation {
        effective: scope.withheld.is_none(),
        granted: scope.granted,
        profile: if scope.in_profile { profile } else { "" }.to_owned(),
        implied_by: names.map(|name| name.as_str().to_owned()).collect(),
        withheld: withheld.into(),
        name: scope.name.into(),
    }
}
