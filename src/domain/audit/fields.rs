//! What of a record an event shows: each field as a text, none of them a secret.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FieldChange, Hash};
use crate::domain::catalog::Catalog;
use crate::domain::invite::{FirstToken, Invite};
use crate::domain::policy::{Management, Policy};
use crate::domain::principal::{Membership, Role, Tenant, User};
use crate::domain::session::TrustName;
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::domain::trust::{Sessions, TenantKeys, TenantTrust};

/// A record's fields by name; those that are empty may be left out.
pub(super) type Fields = BTreeMap<String, String>;

/// A record whose changes are written down.
pub trait Audited {
    /// Returns its fields, without what changes by itself: versions and times of
    /// update.
    fn fields(&self) -> Fields;
}

/// Returns what became of a record, field by field.
pub fn changes<A: Audited>(before: Option<&A>, after: Option<&A>) -> Vec<FieldChange> {
    let before = before.map(A::fields).unwrap_or_default();
    let mut after = after.map(A::fields).unwrap_or_default();
    let mut changes = Vec::new();
    for (field, before) in before {
        let after = after.remove(&field).unwrap_or_default();
        if after != before {
            changes.push(FieldChange {
                field,
                before,
                after,
            });
        }
    }
    changes.extend(
        after
            .into_iter()
            .filter(|(_, after)| !after.is_empty())
            .map(|(field, after)| FieldChange {
                field,
                before: String::new(),
                after,
            }),
    );
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    changes
}

/// Returns a length of time as an event tells it.
pub fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Puts named texts together.
macro_rules! fields {
    ($($name:literal: $text:expr,)+) => {
        Fields::from([$(($name.to_owned(), $text.to_string()),)+])
    };
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "MEMBER",
        Role::Admin => "ADMIN",
    }
}

impl Audited for Token {
    fn fields(&self) -> Fields {
        let owner = self.owner.as_ref();
        let revocation = self.revocation.as_ref();
        let mut fields = fields! {
            "user_id": owner.map(|owner| owner.user_id.to_string()).unwrap_or_default(),
            "kind": self.kind.as_str(),
            "name": self.name,
            "hint": self.hint,
            "scopes": self.scopes.to_text(),
            "profile": self.profile,
            "agent_id": self.agent_id,
            "expire_time": time(self.expires_at),
            "disabled": if self.disabled_at.is_some() { "true" } else { "" },
            "revoke_time": time(revocation.map(|revocation| revocation.at)),
            "revoke_reason": revocation.map(|revocation| revocation.reason.as_str()).unwrap_or_default(),
            "revoke_reason_text": revocation.map(|revocation| revocation.text.clone()).unwrap_or_default(),
        };
        for (key, value) in &self.labels {
            fields.insert(format!("labels.{key}"), value.clone());
        }
        fields
    }
}

impl Audited for Invite {
    fn fields(&self) -> Fields {
        let new_user = self.new_user.as_ref();
        let first = self.first_token.as_ref();
        let first_text = |text: fn(&FirstToken) -> String| first.map(text).unwrap_or_default();
        let mut fields = fields! {
            "invite.invite_id": self.invite_id,
            "invite.hint": self.hint,
            "invite.role": role(self.role),
            "invite.user_id": self.user_id,
            "invite.new_user.external_id": new_user.map(|user| user.external_id.clone()).unwrap_or_default(),
            "invite.new_user.display_name": new_user.map(|user| user.display_name.clone()).unwrap_or_default(),
            "invite.first_token.kind": first_text(|first| first.kind.as_str().to_owned()),
            "invite.first_token.name": first_text(|first| first.name.clone()),
            "invite.first_token.scopes": first_text(|first| first.scopes.to_text()),
            "invite.first_token.profile": first_text(|first| first.profile.clone()),
            "invite.first_token.agent_id": first_text(|first| first.agent_id.clone()),
            "invite.first_token.ttl": first_text(|first| first.ttl.map(seconds).unwrap_or_default()),
            "invite.expire_time": self.expires_at,
            "invite.claim_time": time(self.claimed_at),
            "invite.revoke_time": time(self.revoked_at),
        };
        for (key, value) in first.into_iter().flat_map(|first| &first.labels) {
            fields.insert(format!("invite.first_token.labels.{key}"), value.clone());
        }
        fields
    }
}

impl Audited for Policy {
    fn fields(&self) -> Fields {
        let length = |duration: Option<Duration>| duration.map(seconds).unwrap_or_default();
        let yes = |flag: bool| if flag { "true" } else { "" };
        // Taken apart whole, so that a new rule is not forgotten here.
        let Self {
            management,
            expiry_required,
            default_ttl,
            max_ttl,
            max_tokens_per_user,
            unique_names,
            tokens_may_not_mint,
            admins_act_for_admins,
            max_grace,
            self_rotation,
            retention,
        } = self;
        fields! {
            "policy.token_management": match management {
                Management::AdminsOnly => "ADMINS_ONLY",
                Management::SelfService => "SELF_SERVICE",
            },
            "policy.expiry_required": yes(*expiry_required),
            "policy.default_ttl": length(*default_ttl),
            "policy.max_ttl": length(*max_ttl),
            "policy.max_tokens_per_user": max_tokens_per_user.map(|most| most.to_string()).unwrap_or_default(),
            "policy.unique_names": yes(*unique_names),
            "policy.tokens_may_not_mint": yes(*tokens_may_not_mint),
            "policy.admins_act_for_admins": yes(*admins_act_for_admins),
            "policy.max_grace": length(*max_grace),
            "policy.self_rotation": yes(*self_rotation),
            "policy.retention": length(*retention),
        }
    }
}

impl Audited for Tenant {
    fn fields(&self) -> Fields {
        let mut fields = fields! {
            "display_name": self.display_name,
            "token_prefix": self.prefix.as_str(),
            "suspend_time": time(self.suspended_at),
        };
        fields.extend(self.policy.fields());
        fields.extend(self.sessions.fields());
        fields
    }
}

impl Audited for Sessions {
    fn fields(&self) -> Fields {
        let Self { own, admits } = self;
        let admits: Vec<&str> = admits.iter().map(TrustName::as_str).collect();
        let mut fields = fields! { "policy.admitted_trusts": admits.join(" "), };
        let Some(TenantTrust {
            rules,
            keys,
            admins,
            provision,
        }) = own
        else {
            return fields;
        };
        // Serializing these to JSON cannot fail: they hold texts and lists.
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        let keys = match keys {
            TenantKeys::Url(url) => url.clone(),
            // So that a change shows that is beyond what is shown of a text.
            TenantKeys::Inline(text) => Hash::ZERO.then(text.as_bytes()).to_hex(),
        };
        fields.extend(fields! {
            "policy.oidc_trust": json(serde_json::to_string(rules)),
            "policy.oidc_trust.keys": keys,
            "policy.oidc_trust.admins": admins.as_ref().map(|admins| json(serde_json::to_string(admins))).unwrap_or_default(),
            "policy.oidc_trust.provision_role": provision.map(role).unwrap_or_default(),
        });
        fields
    }
}

/// Which tenants it is of beside the log's own is for nobody to read there.
impl Audited for User {
    fn fields(&self) -> Fields {
        fields! {
            "external_id": self.external_id,
            "display_name": self.display_name,
            "suspend_time": time(self.suspended_at),
        }
    }
}

impl Audited for Membership {
    fn fields(&self) -> Fields {
        fields! { "role": role(self.role), }
    }
}

impl Audited for Catalog {
    fn fields(&self) -> Fields {
        // Serializing these to JSON cannot fail: they hold texts, flags and lists.
        let scopes = self.scopes.iter().map(|(name, scope)| {
            let text = serde_json::to_string(scope).unwrap_or_default();
            (format!("scopes.{}", name.as_str()), text)
        });
        let profiles = self.profiles.iter().map(|(name, profile)| {
            let text = serde_json::to_string(profile).unwrap_or_default();
            (format!("profiles.{}", name.as_str()), text)
        });
        // So that a change shows that is left out for want of room.
        let document = serde_json::to_vec(self).unwrap_or_default();
        let digest = Hash::ZERO.then(&document).to_hex();
        scopes
            .chain(profiles)
            .chain([("digest".to_owned(), digest)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_said() {
        let policy = Policy::default();
        let strict = Policy {
            unique_names: true,
            max_tokens_per_user: Some(3),
            ..policy
        };
        let said = |before: Option<&Policy>, after: Option<&Policy>| {
            changes(before, after)
                .iter()
                .map(|change| format!("{} {}->{}", change.field, change.before, change.after))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            said(Some(&policy), Some(&strict)),
            [
                "policy.max_tokens_per_user ->3",
                "policy.unique_names ->true"
            ]
        );
        assert_eq!(said(Some(&strict), Some(&strict)), [""; 0]);
        assert_eq!(
            said(None, Some(&policy)),
            ["policy.token_management ->ADMINS_ONLY"]
        );
        assert_eq!(
            said(Some(&policy), None),
            ["policy.token_management ADMINS_ONLY->"]
        );
    }
}
