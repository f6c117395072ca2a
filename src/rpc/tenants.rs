//! `TenantService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{mutate, read};
use super::convert::page::{self, List};
use super::convert::{Mask, inward, outward, trust};
use crate::authority::Authority;
use crate::authority::tenants::{CreateTenant, PolicyChange, UpdateTenant};
use crate::domain::policy::Policy;
use crate::domain::principal::Tenant;
use crate::domain::reason::Violations;
use crate::domain::trust::Sessions;
use crate::pb;
use crate::pb::tenant_service_server::TenantService;

/// Serves tenants.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl TenantService for Service {
    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Result<Response<pb::CreateTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let mask = Mask::all(inward::POLICY_FIELDS);
                let policy = message.policy.unwrap_or_default();
                let command = CreateTenant {
                    tenant_id: message.tenant_id,
                    display_name: message.display_name,
                    prefix: message.token_prefix,
                    policy: inward::policy(&policy, &mask, &mut violations),
                    sessions: sessions(&policy, &mut violations),
                    violations,
                };
                authority.create_tenant(call, command).await
            },
            |_, tenant, revision| pb::CreateTenantResponse {
                tenant: Some(outward::tenant(&tenant)),
                revision,
            },
        )
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::GetTenantResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let tenant = authority.get_tenant(call, &message.tenant_id).await?;
            Ok(pb::GetTenantResponse {
                tenant: Some(outward::tenant(&tenant)),
            })
        })
        .await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let list = List::named("tenants");
            let size = page::size(message.page_size, &mut violations);
            let after = page::position(&message.page_token, &list, &mut violations);
            let page = authority
                .list_tenants(call, after, size, violations)
                .await?;
            Ok(pb::ListTenantsResponse {
                tenants: page.items.iter().map(listed).collect(),
                next_page_token: page::token(page.next.as_ref(), &list),
            })
        })
        .await
    }

    async fn update_tenant(
        &self,
        request: Request<pb::UpdateTenantRequest>,
    ) -> Result<Response<pb::UpdateTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.update_tenant(call, update(message)).await
            },
            |_, tenant, revision| pb::UpdateTenantResponse {
                tenant: Some(outward::tenant(&tenant)),
                revision,
            },
        )
        .await
    }

    async fn suspend_tenant(
        &self,
        request: Request<pb::SuspendTenantRequest>,
    ) -> Result<Response<pb::SuspendTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.suspend_tenant(call, &message.tenant_id).await
            },
            |_, tenant, revision| pb::SuspendTenantResponse {
                tenant: Some(outward::tenant(&tenant)),
                revision,
            },
        )
        .await
    }

    async fn resume_tenant(
        &self,
        request: Request<pb::ResumeTenantRequest>,
    ) -> Result<Response<pb::ResumeTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                authority.resume_tenant(call, &message.tenant_id).await
            },
            |_, tenant, revision| pb::ResumeTenantResponse {
                tenant: Some(outward::tenant(&tenant)),
                revision,
            },
        )
        .await
    }

    async fn delete_tenant(
        &self,
        request: Request<pb::DeleteTenantRequest>,
    ) -> Result<Response<pb::DeleteTenantResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let etag = inward::etag(&message.etag);
                authority
                    .delete_tenant(call, &message.tenant_id, etag)
                    .await
            },
            |_, (), revision| pb::DeleteTenantResponse { revision },
        )
        .await
    }
}

/// Turns a tenant into a message of a list, which has no room for everybody's keys.
fn listed(tenant: &Tenant) -> pb::Tenant {
    let mut message = outward::tenant(tenant);
    let policy = message.policy.as_mut();
    if let Some(trust) = policy.and_then(|policy| policy.oidc_trust.as_mut()) {
        trust.jwks.clear();
    }
    message
}

fn update(message: pb::UpdateTenantRequest) -> UpdateTenant {
    let mut violations = Violations::default();
    let fields: Vec<&'static str> = ["display_name", "token_prefix"]
        .iter()
        .chain(inward::POLICY_FIELDS)
        .copied()
        .collect();
    let mut populated = Vec::new();
    if !message.display_name.is_empty() {
        populated.push("display_name");
    }
    if !message.token_prefix.is_empty() {
        populated.push("token_prefix");
    }
    if let Some(policy) = &message.policy {
        populated.extend(populated_policy(policy));
    }
    let mask = Mask::read(
        message.update_mask.as_ref(),
        &fields,
        &populated,
        &mut violations,
    );
    let named = inward::POLICY_FIELDS.iter().any(|field| mask.has(field));
    let given = message.policy.unwrap_or_default();
    let oidc_trust = mask.has(inward::OIDC_TRUST).then(|| {
        let trust = given.oidc_trust.as_ref();
        trust.map(|trust| trust::read(inward::OIDC_TRUST, trust, &mut violations))
    });
    let admitted_trusts = mask.has(inward::ADMITTED_TRUSTS).then(|| {
        let admitted = &given.admitted_trusts;
        trust::admitted(inward::ADMITTED_TRUSTS, admitted, &mut violations)
    });
    let given = inward::policy(&given, &mask, &mut violations);
    let policy = named.then(|| {
        let mask = mask.clone();
        PolicyChange(Box::new(move |policy| merge(policy, given, &mask)))
    });
    UpdateTenant {
        etag: inward::etag(&message.etag),
        display_name: mask.has("display_name").then_some(message.display_name),
        prefix: mask.has("token_prefix").then_some(message.token_prefix),
        policy,
        oidc_trust,
        admitted_trusts,
        tenant_id: message.tenant_id,
        violations,
    }
}

/// Reads whose sessions a new tenant takes.
fn sessions(policy: &pb::TenantPolicy, violations: &mut Violations) -> Sessions {
    let own = policy.oidc_trust.as_ref();
    Sessions {
        own: own.map(|trust| trust::read(inward::OIDC_TRUST, trust, violations)),
        admits: trust::admitted(inward::ADMITTED_TRUSTS, &policy.admitted_trusts, violations),
    }
}

/// Returns the paths of a policy's fields that are not empty.
fn populated_policy(policy: &pb::TenantPolicy) -> impl Iterator<Item = &'static str> {
    [
        ("policy.token_management", policy.token_management != 0),
        ("policy.expiry_required", policy.expiry_required),
        ("policy.default_ttl", policy.default_ttl.is_some()),
        ("policy.max_ttl", policy.max_ttl.is_some()),
        (
            "policy.max_tokens_per_user",
            policy.max_tokens_per_user != 0,
        ),
        ("policy.unique_names", policy.unique_names),
        ("policy.tokens_may_not_mint", policy.tokens_may_not_mint),
        ("policy.admins_act_for_admins", policy.admins_act_for_admins),
        ("policy.max_grace", policy.max_grace.is_some()),
        ("policy.self_rotation", policy.self_rotation),
        ("policy.retention", policy.retention.is_some()),
        (inward::OIDC_TRUST, policy.oidc_trust.is_some()),
        (inward::ADMITTED_TRUSTS, !policy.admitted_trusts.is_empty()),
    ]
    .into_iter()
    .filter_map(|(field, given)| given.then_some(field))
}

/// Puts the fields that the mask names in place of the present ones.
fn merge(present: &mut Policy, given: Policy, mask: &Mask) {
    // Taken apart whole, so that a new field is not forgotten here.
    let Policy {
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
    } = given;
    macro_rules! put {
        ($field:ident, $path:literal) => {
            if mask.has($path) {
                present.$field = $field;
            }
        };
    }
    put!(management, "policy.token_management");
    put!(expiry_required, "policy.expiry_required");
    put!(default_ttl, "policy.default_ttl");
    put!(max_ttl, "policy.max_ttl");
    put!(max_tokens_per_user, "policy.max_tokens_per_user");
    put!(unique_names, "policy.unique_names");
    put!(tokens_may_not_mint, "policy.tokens_may_not_mint");
    put!(admins_act_for_admins, "policy.admins_act_for_admins");
    put!(max_grace, "policy.max_grace");
    put!(self_rotation, "policy.self_rotation");
    put!(retention, "policy.retention");
}
