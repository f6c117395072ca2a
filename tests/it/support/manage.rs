//! The calls that manage tenants, users and catalogs, and what all of them obey.

use tonic::Status;

use token_authority::pb;

use super::actor::{Actor, refused};
use super::server::{Tenant, TestServer, self_service};

/// Makes a message of some of its fields, each turned into what the field takes.
macro_rules! message {
    ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = token_authority::pb::$name::default();
        $(message.$field = $value.into();)*
        message
    }};
}

pub(crate) use message;

macro_rules! calls {
    ($($name:ident = $client:ident.$rpc:ident($request:ident) -> $response:ident;)+) => {
        impl Actor {$(
            pub(crate) async fn $name(
                &self,
                request: pb::$request,
            ) -> Result<pb::$response, Status> {
                Ok(self.$client().$rpc(self.call(request)).await?.into_inner())
            }
        )+}
    };
}

calls! {
    create_tenant = tenants.create_tenant(CreateTenantRequest) -> CreateTenantResponse;
    get_tenant = tenants.get_tenant(GetTenantRequest) -> GetTenantResponse;
    list_tenants = tenants.list_tenants(ListTenantsRequest) -> ListTenantsResponse;
    update_tenant = tenants.update_tenant(UpdateTenantRequest) -> UpdateTenantResponse;
    suspend_tenant = tenants.suspend_tenant(SuspendTenantRequest) -> SuspendTenantResponse;
    resume_tenant = tenants.resume_tenant(ResumeTenantRequest) -> ResumeTenantResponse;
    delete_tenant = tenants.delete_tenant(DeleteTenantRequest) -> DeleteTenantResponse;

    try_create_user = users.create_user(CreateUserRequest) -> CreateUserResponse;
    get_user = users.get_user(GetUserRequest) -> GetUserResponse;
    list_users = users.list_users(ListUsersRequest) -> ListUsersResponse;
    update_user = users.update_user(UpdateUserRequest) -> UpdateUserResponse;
    suspend_user = users.suspend_user(SuspendUserRequest) -> SuspendUserResponse;
    resume_user = users.resume_user(ResumeUserRequest) -> ResumeUserResponse;
    delete_user = users.delete_user(DeleteUserRequest) -> DeleteUserResponse;
    set_active_tenant = users.set_active_tenant(SetActiveTenantRequest) -> SetActiveTenantResponse;
    add_member = users.add_member(AddMemberRequest) -> AddMemberResponse;
    update_member = users.update_member(UpdateMemberRequest) -> UpdateMemberResponse;
    remove_member = users.remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
    list_members = users.list_members(ListMembersRequest) -> ListMembersResponse;

    list_audit_events = audit.list_audit_events(ListAuditEventsRequest) -> ListAuditEventsResponse;
    verify_audit_log = audit.verify_audit_log(VerifyAuditLogRequest) -> VerifyAuditLogResponse;

    list_invites = invites.list_invites(ListInvitesRequest) -> ListInvitesResponse;
    revoke_invite = invites.revoke_invite(RevokeInviteRequest) -> RevokeInviteResponse;

    get_catalog = scopes.get_catalog(GetCatalogRequest) -> GetCatalogResponse;
    update_catalog = scopes.update_catalog(UpdateCatalogRequest) -> UpdateCatalogResponse;
}

/// Returns the mask of these paths.
pub(crate) fn mask(paths: &[&str]) -> prost_types::FieldMask {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    prost_types::FieldMask { paths }
}

/// Checks that `call`, which names the tenant `acme`, is refused to all but its
/// administrators and operators. Makes the tenant `guards`.
pub(crate) async fn administrators_only(
    t: &TestServer,
    acme: &Tenant,
    call: impl AsyncFn(Actor) -> String,
) {
    let member = ["write", "authority:tokens.read", "authority:tokens.write"];
    let member = t.member(acme, "guard", &member).await.actor;
    let guards = t.tenant("guards", self_service()).await;
    let cases = [
        (t.nobody(), "Unauthenticated CALLER_UNAUTHENTICATED"),
        (t.actor("acme_x"), "Unauthenticated CALLER_UNAUTHENTICATED"),
        (member, "PermissionDenied PERMISSION_DENIED"),
        (guards.admin, "NotFound TENANT_NOT_FOUND"),
        (t.resource_server().await, "NotFound TENANT_NOT_FOUND"),
    ];
    for (caller, expected) in cases {
        assert_eq!(call(caller).await, expected);
    }
}

/// Checks that `call`, which names the tenant `acme`, is refused to all but operators.
pub(crate) async fn operators_only(
    t: &TestServer,
    acme: &Tenant,
    call: impl AsyncFn(Actor) -> String,
) {
    let denied = "PermissionDenied PERMISSION_DENIED";
    assert_eq!(call(acme.admin.clone()).await, denied);
    administrators_only(t, acme, call).await;
}

/// Reads a list to its end: the ids on each page.
pub(crate) async fn pages(read: impl AsyncFn(String) -> (Vec<String>, String)) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = read(token).await;
        pages.push(page);
        if next.is_empty() {
            return pages;
        }
        assert!(pages.len() < 100, "the list has no end: {pages:?}");
        token = next;
    }
}

/// Returns a user's tokens of a tenant, revoked ones too, as names, states and reasons.
pub(crate) async fn tokens_of(actor: &Actor, tenant_id: &str, user_id: &str) -> Vec<String> {
    let request = message!(ListTokensRequest {
        tenant_id: tenant_id,
        user_id: user_id,
        show_revoked: true,
    });
    let listed = actor.tokens().list_tokens(actor.call(request)).await;
    let tokens = listed.unwrap().into_inner().tokens;
    let described = tokens.iter().map(|token| {
        let (state, reason) = (token.state(), token.revoke_reason());
        assert_eq!(
            token.revoke_time.is_some(),
            state == pb::TokenState::Revoked
        );
        format!("{} {state:?} {reason:?}", token.name)
    });
    described.collect()
}

/// Makes of a user that acme vouches for a member of another tenant, by an operator.
pub(crate) async fn share(t: &TestServer, user_id: &str, tenant_id: &str) -> Actor {
    let request = message!(AddMemberRequest {
        tenant_id: tenant_id,
        user_id: user_id,
    });
    t.operator().add_member(request).await.unwrap();
    t.token_of(tenant_id, user_id, &["read"]).await
}

/// Checks that a change of `acme` is refused unless it builds on the present version:
/// `call` takes an etag and tells of the refusal, or `None` when it was made.
pub(crate) async fn guarded_by_etag(present: &str, call: impl AsyncFn(&str) -> Option<String>) {
    let stale = (present.parse::<i64>().unwrap() + 1).to_string();
    for etag in [
        stale.as_str(),
        "0",
        "-1",
        &format!("0{present}"),
        "\"1\"",
        "*",
    ] {
        let refusal = call(etag).await;
        assert_eq!(refusal.as_deref(), Some("Aborted ETAG_MISMATCH"), "{etag}");
    }
    assert_eq!(call(present).await, None);
}

/// Tells of a refusal, or `None` when the call was served.
pub(crate) fn outcome<T: std::fmt::Debug>(result: Result<T, Status>) -> Option<String> {
    match result {
        Ok(_) => None,
        Err(status) => Some(refused(Err::<T, _>(status))),
    }
}
