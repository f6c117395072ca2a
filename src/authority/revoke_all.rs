//! Revoking all tokens of a tenant or of a user, whatever their number.

use std::collections::BTreeSet;

use super::access::Rpc;
use super::scene::Deed;
use super::users::parse_user_id;
use super::{Authority, Call, Error, named_tenant};
use crate::domain::change::{Change, Revision};
use crate::domain::reason::Violations;
use crate::domain::text;
use crate::domain::token::{Kind, RevokeReason};
use crate::store::Epoch;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RevokeAllTokens {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Only this user's; empty is everybody's.
    pub user_id: String,
    /// Only these kinds; empty is every kind but WEBHOOK.
    pub kinds: Vec<Kind>,
    /// Why.
    pub reason: RevokeReason,
    /// More on why.
    pub reason_text: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Revokes all tokens that exist already: an epoch for each kind, or one for all
    /// kinds, and no row of a token is touched.
    pub async fn revoke_all_tokens(
        &self,
        call: Call,
        command: RevokeAllTokens,
    ) -> Result<((), Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut violations = command.violations;
        let user_id = match command.user_id.as_str() {
            "" => None,
            text => violations.check("user_id", parse_user_id(text)),
        };
        let text = violations.check("reason_text", text::prose(&command.reason_text));
        let mut scene = self
            .begin(&call, Rpc::RevokeAllTokens, &tenant_id, user_id.as_slice())
            .await?;
        let (Some(text), true) = (text, violations.is_empty()) else {
            return Err(violations.into());
        };
        if let Some(user_id) = user_id {
            scene.user(user_id).await?;
        }
        let kinds = chosen(&command.kinds);
        let epoch = |kind| Epoch {
            tenant_id: Some(tenant_id.clone()),
            user_id,
            kind,
            reason: command.reason,
            text: text.clone(),
        };
        let epochs: Vec<Epoch> = if kinds.len() == Kind::ALL.len() {
            vec![epoch(None)]
        } else {
            kinds.iter().map(|kind| epoch(Some(*kind))).collect()
        };
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let mut act = scene.act();
        act.user_id = user_id;
        let act = act
            .with("kinds", names.join(" "))
            .with("revoke_reason", command.reason.as_str())
            .with("revoke_reason_text", text.as_str());
        let change = match user_id {
            Some(user_id) => Change::MemberChanged(tenant_id.clone(), user_id),
            None => Change::TenantChanged(tenant_id.clone()),
        };
        let deed = Deed::of(act).altering([change]).revoking(epochs);
        let revision = self.close_scene(scene, deed, &()).await?;
        Ok(((), revision))
    }
}

/// Returns the kinds that are meant: those named, or all but WEBHOOK.
fn chosen(named: &[Kind]) -> BTreeSet<Kind> {
    if named.is_empty() {
        let all = Kind::ALL.iter().copied();
        all.filter(|kind| *kind != Kind::Webhook).collect()
    } else {
        named.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_go_only_where_they_are_named() {
        assert_eq!(
            chosen(&[]),
            BTreeSet::from([Kind::Api, Kind::Agent, Kind::Service])
        );
        let twice = [Kind::Webhook, Kind::Api, Kind::Webhook];
        assert_eq!(chosen(&twice), BTreeSet::from([Kind::Webhook, Kind::Api]));
    }
}
