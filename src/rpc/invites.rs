//! `InviteService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{give, mutate, open, read};
use super::convert::page::{self, List};
use super::convert::{invite, inward, outward};
use super::tokens::token;
use crate::authority::Authority;
use crate::authority::access::Rpc;
use crate::authority::create::CreateToken;
use crate::authority::invites::{CreateInvite, Invitee, ListInvites, ShownInvite};
use crate::domain::policy::Expiry;
use crate::domain::principal::Role;
use crate::domain::reason::Violations;
use crate::domain::token::Kind;
use crate::pb;
use crate::pb::create_invite_request::Invitee as WireInvitee;
use crate::pb::invite_service_server::InviteService;

/// Serves invites.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl InviteService for Service {
    async fn create_invite(
        &self,
        request: Request<pb::CreateInviteRequest>,
    ) -> Result<Response<pb::CreateInviteResponse>, Status> {
        give(&self.0, request, |authority, call, message| async move {
            let created = authority.create_invite(call, create(message)).await?;
            Ok(pb::CreateInviteResponse {
                invite: Some(told(&created.invite)),
                value: created.value.expose(),
            })
        })
        .await
    }

    async fn list_invites(
        &self,
        request: Request<pb::ListInvitesRequest>,
    ) -> Result<Response<pb::ListInvitesResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let list = List::named("invites")
                .of_tenant(&call.caller, &message.tenant_id)
                .with("state", &message.state.to_string());
            let command = ListInvites {
                page_size: page::size(message.page_size, &mut violations),
                after: page::position(&message.page_token, &list, &mut violations),
                state: invite::state("state", message.state, &mut violations),
                tenant_id: message.tenant_id,
                violations,
            };
            let (page, now) = authority.list_invites(call, command).await?;
            Ok(pb::ListInvitesResponse {
                invites: page
                    .items
                    .iter()
                    .map(|invite| invite::invite(invite, now))
                    .collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }

    async fn revoke_invite(
        &self,
        request: Request<pb::RevokeInviteRequest>,
    ) -> Result<Response<pb::RevokeInviteResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority
                    .revoke_invite(call, &message.tenant_id, &message.invite_id)
                    .await
            },
            |_, shown, _| pb::RevokeInviteResponse {
                invite: Some(told(&shown)),
            },
        )
        .await
    }

    async fn claim_invite(
        &self,
        request: Request<pb::ClaimInviteRequest>,
    ) -> Result<Response<pb::ClaimInviteResponse>, Status> {
        open(
            &self.0,
            Rpc::ClaimInvite,
            request,
            |authority, call, message| async move {
                let claimed = authority.claim_invite(call, &message.value).await?;
                // Nothing is told of other tenants: of who claims nothing more is known than
                // that it holds the value.
                let mut user = outward::user(&claimed.user);
                for tenant_id in [&mut user.vouching_tenant_id, &mut user.active_tenant_id] {
                    if *tenant_id != claimed.member.tenant_id.as_str() {
                        tenant_id.clear();
                    }
                }
                let (first, value) = match &claimed.first {
                    Some((shown, value)) => (Some(token(shown)), value.expose()),
                    None => (None, String::new()),
                };
                Ok(pb::ClaimInviteResponse {
                    token: first,
                    value,
                    revision: claimed.revision.to_string(),
                    // As in a creation.
                    settled: true,
                    user: Some(user),
                    membership: Some(outward::membership(&claimed.member)),
                })
            },
        )
        .await
    }
}

fn told((invite, now): &ShownInvite) -> pb::Invite {
    invite::invite(invite, *now)
}

fn create(message: pb::CreateInviteRequest) -> CreateInvite {
    let mut violations = Violations::default();
    let role = inward::role("role", message.role, &mut violations);
    CreateInvite {
        tenant_id: message.tenant_id,
        invitee: message.invitee.map(|invitee| match invitee {
            WireInvitee::UserId(user_id) => Invitee::User(user_id),
            WireInvitee::NewUser(user) => Invitee::New {
                external_id: user.external_id,
                display_name: user.display_name,
            },
        }),
        role: role.unwrap_or(Role::Member),
        ttl: inward::duration("ttl", message.ttl.as_ref(), &mut violations),
        first_token: message.first_token.map(first_token),
        violations,
    }
}

fn first_token(message: pb::FirstToken) -> CreateToken {
    let mut violations = Violations::default();
    let kind = inward::kind("kind", message.kind, &mut violations);
    let expiry = match &message.ttl {
        None => Some(Expiry::Default),
        ttl => inward::duration("ttl", ttl.as_ref(), &mut violations).map(Expiry::After),
    };
    CreateToken {
        tenant_id: String::new(),
        user_id: String::new(),
        kind: kind.unwrap_or(Kind::Api),
        name: message.name,
        scopes: message.scopes,
        profile: message.profile,
        expiry,
        agent_id: message.agent_id,
        labels: message.labels.into_iter().collect(),
        violations,
    }
}
