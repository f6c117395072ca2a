//! Invites, both ways.

use super::outward::{duration, kind, role, timestamp};
use crate::domain::invite::{FirstToken, Invite, NewUser, State};
use crate::domain::reason::{Field, Violations};
use crate::domain::time::Timestamp;
use crate::pb;

/// Reads an invite's state; `None` when it is unspecified.
pub fn state(field: &str, number: i32, violations: &mut Violations) -> Option<State> {
    let state = pb::InviteState::try_from(number).map_err(|_| Field::UnknownEnum);
    match violations.check(field, state)? {
        pb::InviteState::Unspecified => None,
        pb::InviteState::Open => Some(State::Open),
        pb::InviteState::Claimed => Some(State::Claimed),
        pb::InviteState::Revoked => Some(State::Revoked),
        pb::InviteState::Expired => Some(State::Expired),
    }
}

/// Turns an invite into a message, as of `now`.
pub fn invite(invite: &Invite, now: Timestamp) -> pb::Invite {
    let state = match invite.state(now) {
        State::Open => pb::InviteState::Open,
        State::Claimed => pb::InviteState::Claimed,
        State::Revoked => pb::InviteState::Revoked,
        State::Expired => pb::InviteState::Expired,
    };
    pb::Invite {
        invite_id: invite.invite_id.to_string(),
        tenant_id: invite.tenant_id.to_string(),
        state: state.into(),
        hint: invite.hint.clone(),
        role: role(invite.role),
        user_id: invite.user_id.to_string(),
        new_user: invite.new_user.as_ref().map(new_user),
        first_token: invite.first_token.as_ref().map(first_token),
        created_by: invite
            .created_by
            .map(|token_id| token_id.to_string())
            .unwrap_or_default(),
        creator_user_id: invite
            .creator_id
            .map(|user_id| user_id.to_string())
            .unwrap_or_default(),
        create_time: Some(timestamp(invite.created_at)),
        expire_time: Some(timestamp(invite.expires_at)),
        claim_time: invite.claimed_at.map(timestamp),
        token_id: invite
            .token_id
            .map(|token_id| token_id.to_string())
            .unwrap_or_default(),
        revoke_time: invite.revoked_at.map(timestamp),
    }
}

fn new_user(user: &NewUser) -> pb::NewUser {
    pb::NewUser {
        external_id: user.external_id.clone(),
        display_name: user.display_name.clone(),
    }
}

fn first_token(first: &FirstToken) -> pb::FirstToken {
    pb::FirstToken {
        kind: kind(first.kind),
        name: first.name.clone(),
        scopes: first.scopes.to_strings(),
        profile: first.profile.clone(),
        ttl: first.ttl.map(duration),
        agent_id: first.agent_id.clone(),
        labels: first.labels.clone(),
    }
}
