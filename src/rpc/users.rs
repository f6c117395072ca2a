//! `UserService`: users and their memberships.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{mutate, read};
use super::convert::page::{self, List};
use super::convert::{Mask, inward, outward};
use crate::authority::users::{CreateUser, ListUsers, UpdateUser};
use crate::authority::{Authority, Caller};
use crate::domain::principal::{Role, User};
use crate::domain::reason::{Field, Violations};
use crate::domain::scope::Permission;
use crate::pb;
use crate::pb::user_service_server::UserService;

/// Serves users.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl UserService for Service {
    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let role = inward::role("role", message.role, &mut violations);
                let command = CreateUser {
                    tenant_id: message.tenant_id,
                    external_id: message.external_id,
                    display_name: message.display_name,
                    role: role.unwrap_or(Role::Member),
                    violations,
                };
                authority.create_user(call, command).await
            },
            |caller, (user, member), revision| pb::CreateUserResponse {
                user: Some(user_seen_by(caller, &user)),
                membership: Some(outward::membership(&member)),
                revision,
            },
        )
        .await
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let caller = call.caller.clone();
            let (user, member) = authority
                .get_user(call, &message.tenant_id, &message.user_id)
                .await?;
            Ok(pb::GetUserResponse {
                user: Some(user_seen_by(&caller, &user)),
                membership: member.as_ref().map(outward::membership),
            })
        })
        .await
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let caller = call.caller.clone();
            let mut violations = Violations::default();
            let list = List::named("users")
                .of_tenant(&call.caller, &message.tenant_id)
                .with("external_id", &message.external_id);
            let command = ListUsers {
                page_size: page::size(message.page_size, &mut violations),
                after: page::position(&message.page_token, &list, &mut violations),
                tenant_id: message.tenant_id,
                external_id: message.external_id,
                violations,
            };
            let page = authority.list_users(call, command).await?;
            Ok(pb::ListUsersResponse {
                users: page
                    .items
                    .iter()
                    .map(|user| user_seen_by(&caller, user))
                    .collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.update_user(call, update(message)).await
            },
            |caller, user, revision| pb::UpdateUserResponse {
                    user: Some(user_seen_by(caller, &user)),
                    revision,
                },
        )
        .await
    }

    async fn suspend_user(
        &self,
        request: Request<pb::SuspendUserRequest>,
    ) -> Result<Response<pb::SuspendUserResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority
                    .suspend_user(call, &message.tenant_id, &message.user_id)
                    .await
            },
            |caller, user, revision| pb::SuspendUserResponse {
                user: Some(user_seen_by(caller, &user)),
                revision,
            },
        )
        .await
    }

    async fn resume_user(
        &self,
        request: Request<pb::ResumeUserRequest>,
    ) -> Result<Response<pb::ResumeUserResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority
                    .resume_user(call, &message.tenant_id, &message.user_id)
                    .await
            },
            |caller, user, revision| pb::ResumeUserResponse {
                user: Some(user_seen_by(caller, &user)),
                revision,
            },
        )
        .await
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let etag = inward::etag(&message.etag);
                authority
                    .delete_user(call, &message.tenant_id, &message.user_id, etag)
                    .await
            },
            |_, (), revision| pb::DeleteUserResponse { revision },
        )
        .await
    }

    async fn set_active_tenant(
        &self,
        request: Request<pb::SetActiveTenantRequest>,
    ) -> Result<Response<pb::SetActiveTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.set_active_tenant(call, &message.tenant_id).await
            },
            |_, user, _| pb::SetActiveTenantResponse {
                user: Some(outward::user(&user)),
            },
        )
        .await
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let role = inward::role("role", message.role, &mut violations);
                let role = role.unwrap_or(Role::Member);
                let (tenant_id, user_id) = (&message.tenant_id, &message.user_id);
                authority
                    .add_member(call, tenant_id, user_id, role, violations)
                    .await
            },
            |_, member, revision| pb::AddMemberResponse {
                membership: Some(outward::membership(&member)),
                revision,
            },
        )
        .await
    }

    async fn update_member(
        &self,
        request: Request<pb::UpdateMemberRequest>,
    ) -> Result<Response<pb::UpdateMemberResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let role = inward::role("role", message.role, &mut violations);
                if role.is_none() && violations.is_empty() {
                    violations.add("role", Field::Required);
                }
                let etag = inward::etag(&message.etag);
                let (tenant_id, user_id) = (&message.tenant_id, &message.user_id);
                authority
                    .update_member(call, tenant_id, user_id, role, etag, violations)
                    .await
            },
            |_, member, revision| pb::UpdateMemberResponse {
                membership: Some(outward::membership(&member)),
                revision,
            },
        )
        .await
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority
                    .remove_member(call, &message.tenant_id, &message.user_id)
                    .await
            },
            |_, (), revision| pb::RemoveMemberResponse { revision },
        )
        .await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let list = List::named("members").of_tenant(&call.caller, &message.tenant_id);
            let size = page::size(message.page_size, &mut violations);
            let after = page::position(&message.page_token, &list, &mut violations);
            let tenant_id = &message.tenant_id;
            let page = authority
                .list_members(call, tenant_id, after, size, violations)
                .await?;
            Ok(pb::ListMembersResponse {
                memberships: page.items.iter().map(outward::membership).collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }
}

/// Turns a user into a message. Other tenants than the caller's own are named to
/// operators alone.
fn user_seen_by(caller: &Caller, user: &User) -> pb::User {
    let mut message = outward::user(user);
    if !caller.has(Permission::Operator) {
        for tenant_id in [
            &mut message.vouching_tenant_id,
            &mut message.active_tenant_id,
        ] {
            if tenant_id != caller.tenant_id.as_str() {
                tenant_id.clear();
            }
        }
    }
    message
}

/// What an update may set.
const FIELDS: &[&str] = &["external_id", "display_name"];

fn update(message: pb::UpdateUserRequest) -> UpdateUser {
    let mut violations = Violations::default();
    let mut populated = Vec::new();
    if !message.external_id.is_empty() {
        populated.push("external_id");
    }
    if !message.display_name.is_empty() {
        populated.push("display_name");
    }
    let mask = Mask::read(
        message.update_mask.as_ref(),
        FIELDS,
        &populated,
        &mut violations,
    );
    UpdateUser {
        etag: inward::etag(&message.etag),
        external_id: mask.has("external_id").then_some(message.external_id),
        display_name: mask.has("display_name").then_some(message.display_name),
        tenant_id: message.tenant_id,
        user_id: message.user_id,
        violations,
    }
}
