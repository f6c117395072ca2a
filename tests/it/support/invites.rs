//! What the tests of invites share.

use prost_types::Duration;
use token_authority::pb;
use token_authority::pb::create_invite_request::Invitee;
use tonic::Status;

use super::Actor;
use super::tokens::strings;

impl Actor {
    /// Makes an invite, or is refused.
    pub(crate) async fn try_invite(
        &self,
        request: pb::CreateInviteRequest,
    ) -> Result<pb::CreateInviteResponse, Status> {
        let made = self.invites().create_invite(self.call(request)).await?;
        let made = made.into_inner();
        self.issued().add(&made.value);
        Ok(made)
    }

    /// Makes an invite.
    pub(crate) async fn invite(
        &self,
        request: pb::CreateInviteRequest,
    ) -> pb::CreateInviteResponse {
        self.try_invite(request).await.unwrap()
    }

    /// Claims an invite, or is refused.
    pub(crate) async fn try_claim(&self, value: &str) -> Result<pb::ClaimInviteResponse, Status> {
        let request = pb::ClaimInviteRequest {
            value: value.into(),
        };
        let claimed = self.invites().claim_invite(self.call(request)).await?;
        let claimed = claimed.into_inner();
        if !claimed.value.is_empty() {
            self.issued().add(&claimed.value);
        }
        Ok(claimed)
    }
}

/// Asks for an invite of somebody new to the caller's own tenant.
pub(crate) fn guest(external_id: &str) -> pb::CreateInviteRequest {
    let user = pb::NewUser {
        external_id: external_id.into(),
        ..Default::default()
    };
    pb::CreateInviteRequest {
        tenant_id: "active".into(),
        invitee: Some(Invitee::NewUser(user)),
        ..Default::default()
    }
}

/// Asks for an invite of a user to the caller's own tenant.
pub(crate) fn returning(user_id: &str) -> pb::CreateInviteRequest {
    pb::CreateInviteRequest {
        tenant_id: "active".into(),
        invitee: Some(Invitee::UserId(user_id.into())),
        ..Default::default()
    }
}

/// Asks for a first token.
#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
pub(crate) fn first(name: &str, scopes: &[&str]) -> Option<pb::FirstToken> {
    Some(pb::FirstToken {
        name: name.into(),
        scopes: strings(scopes),
        ..Default::default()
    })
}

/// Returns a length of time.
#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
pub(crate) fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

/// Names an invite of the caller's own tenant.
pub(crate) fn revocation(made: &pb::CreateInviteResponse) -> pb::RevokeInviteRequest {
    pb::RevokeInviteRequest {
        tenant_id: "active".into(),
        invite_id: made.invite.as_ref().unwrap().invite_id.clone(),
        ..Default::default()
    }
}
