//! Who may call what, for every RPC of the compiled descriptor: nobody without a
//! credential, nobody of another tenant, nobody without the permission, and who has
//! it. An RPC without a row in the access table, or without a case here, fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use prost_reflect::{MethodDescriptor, Value};
use token_authority::authority::access::{Need, Rpc};
use token_authority::pb;

use crate::support::invites::guest;
use crate::support::raw::{call, methods, path};
use crate::support::{Actor, Backend, Tenant, TestServer, both_backends, refusal, self_service};

both_backends!(every_rpc_is_for_those_who_may_and_for_nobody_else);

#[test]
fn every_rpc_has_a_row_and_every_row_an_rpc() {
    let compiled: Vec<String> = methods().iter().map(path).collect();
    for path in &compiled {
        assert!(
            Rpc::from_path(path).is_some(),
            "{path} has no row in authority/access.rs: say there who may call it, and add its \
             case to this file"
        );
    }
    for rpc in Rpc::ALL {
        assert!(
            compiled.iter().any(|path| path == rpc.path()),
            "{} has a row in authority/access.rs, but there is no such RPC",
            rpc.path()
        );
    }
}

/// What calls are about: a tenant with a user and a token, and a stranger.
pub(crate) struct Scene<'a> {
    t: &'a TestServer,
    pub(crate) tenant: Tenant,
    pub(crate) user_id: String,
    pub(crate) token_id: String,
    pub(crate) value: String,
    pub(crate) outsider_id: String,
    pub(crate) invite: pb::CreateInviteResponse,
    guests: AtomicUsize,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(t: &'a TestServer, name: &str) -> Self {
        let tenant = t.tenant(name, policy()).await;
        let user = t.member(&tenant, "user", &[]).await;
        let created = tenant
            .admin
            .create(pb::CreateTokenRequest {
                tenant_id: "active".into(),
                user_id: user.user_id.clone(),
                name: "target".into(),
                ..Default::default()
            })
            .await;
        // Vouched for by the tenant and no member of it any more.
        let outsider_id = t
            .operator()
            .create_user(name, "outsider", pb::Role::Member)
            .await;
        let request = pb::RemoveMemberRequest {
            tenant_id: name.into(),
            user_id: outsider_id.clone(),
            ..Default::default()
        };
        let mut users = tenant.admin.users();
        users
            .remove_member(tenant.admin.call(request))
            .await
            .unwrap();
        Self {
            t,
            invite: tenant.admin.invite(guest("guest")).await,
            guests: AtomicUsize::new(0),
            user_id: user.user_id,
            token_id: created.token.unwrap().token_id,
            value: created.value,
            tenant,
            outsider_id,
        }
    }

    /// Returns a user's token, of either role, with just these scopes.
    async fn token(&self, role: pb::Role, scopes: &[&str]) -> Actor {
        let tenant_id = &self.tenant.tenant_id;
        let name = format!("{}{}", role.as_str_name(), scopes.concat());
        let operator = self.t.operator();
        let user_id = operator.create_user(tenant_id, &name, role).await;
        self.t.token_of(tenant_id, &user_id, scopes).await
    }

    /// Returns a service's token, of this tenant, with just these scopes.
    async fn service(&self, scopes: &[&str]) -> Actor {
        let created = self
            .t
            .operator()
            .create(pb::CreateTokenRequest {
                tenant_id: self.tenant.tenant_id.clone(),
                kind: pb::TokenKind::Service.into(),
                name: "service".into(),
                scopes: scopes.iter().map(|&scope| scope.into()).collect(),
                ..Default::default()
            })
            .await;
        self.t.actor(&created.value)
    }

    /// Returns who may call this RPC.
    pub(crate) async fn right(&self, rpc: Rpc) -> Actor {
        match rpc.need() {
            Need::Nothing => self.t.nobody(),
            Need::Introspect => self.service(&["authority:introspect"]).await,
            Need::Operator => self.t.operator(),
            Need::Authenticated | Need::TokensRead | Need::TokensWrite | Need::TenantAdmin => {
                self.tenant.admin.clone()
            }
        }
    }

    /// Does what must have been done for this RPC to change anything.
    pub(crate) async fn prepare(&self, rpc: Rpc) {
        let before = if rpc == Rpc::ResumeTenant {
            Rpc::SuspendTenant
        } else if rpc == Rpc::ResumeUser {
            Rpc::SuspendUser
        } else {
            return;
        };
        let (operator, fields) = (self.t.operator(), self.request(before));
        call(&operator, &method(before), &fields).await.unwrap();
    }

    /// As [`request`](Self::request), and good once more where one is good once.
    async fn another(&self, rpc: Rpc) -> Vec<(&'static str, Value)> {
        if rpc != Rpc::ClaimInvite {
            return self.request(rpc);
        }
        let number = self.guests.fetch_add(1, Ordering::SeqCst);
        let made = self.tenant.admin.invite(guest(&format!("guest-{number}")));
        vec![("value", Value::String(made.await.value))]
    }

    /// Returns the id of an invite that is open.
    pub(crate) fn invite_id(&self) -> &str {
        &self.invite.invite.as_ref().unwrap().invite_id
    }

    /// Returns a request's fields that make a call of this RPC succeed for who may.
    pub(crate) fn request(&self, rpc: Rpc) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::String(text.to_owned());
        let tenant = ("tenant_id", text(&self.tenant.tenant_id));
        let user = ("user_id", text(&self.user_id));
        let token = ("token_id", text(&self.token_id));
        let name = ("display_name", text("New"));
        // Without `_`: an RPC that is added does not compile before it has a case.
        match rpc {
            Rpc::Introspect => vec![tenant, ("token", text(&self.value))],
            Rpc::BatchIntrospect => {
                let method = method(rpc);
                let requests = method.input().get_field_by_name("requests").unwrap();
                let kind = requests.kind();
                let mut request =
                    prost_reflect::DynamicMessage::new(kind.as_message().unwrap().clone());
                request.set_field_by_name("tenant_id", tenant.1);
                request.set_field_by_name("token", text(&self.value));
                vec![("requests", Value::List(vec![Value::Message(request)]))]
            }
            Rpc::WhoAmI | Rpc::RevokeCurrentToken | Rpc::ListTenants => vec![],
            Rpc::CreateToken => {
                let kind = Value::EnumNumber(pb::TokenKind::Api.into());
                vec![tenant, user, ("name", text("new")), ("kind", kind)]
            }
            Rpc::GetToken | Rpc::RotateToken | Rpc::RevokeToken | Rpc::ExplainToken => {
                vec![tenant, token]
            }
            Rpc::RotateCurrentToken => vec![("grace_period", minute(rpc))],
            Rpc::RevokeExposedToken => vec![("value", text(&self.value))],
            Rpc::BatchRevokeTokens => {
                vec![tenant, ("token_ids", Value::List(vec![token.1]))]
            }
            Rpc::ImportTokens => {
                let tokens = imported(rpc, &self.tenant.tenant_id, &self.user_id);
                vec![tenant, ("hint_length", Value::I32(32)), ("tokens", tokens)]
            }
            Rpc::UpdateToken => vec![tenant, token, ("name", text("renamed"))],
            Rpc::CreateTenant => {
                let fresh = format!("{}-2", self.tenant.tenant_id);
                let prefix = format!("x{}_", self.tenant.tenant_id.replace('-', ""));
                vec![("tenant_id", text(&fresh)), ("token_prefix", text(&prefix))]
            }
            Rpc::GetTenant
            | Rpc::ListAuditEvents
            | Rpc::VerifyAuditLog
            | Rpc::SuspendTenant
            | Rpc::ResumeTenant
            | Rpc::DeleteTenant
            | Rpc::ListTokens
            | Rpc::ListInvites
            | Rpc::ListUsers
            | Rpc::ListMembers
            | Rpc::GetCatalog
            | Rpc::SetActiveTenant => vec![tenant],
            Rpc::UpdateTenant => vec![tenant, name],
            Rpc::CreateUser => vec![tenant, ("external_id", text("new"))],
            Rpc::GetUser
            | Rpc::SuspendUser
            | Rpc::ResumeUser
            | Rpc::DeleteUser
            | Rpc::RevokeAllTokens
            | Rpc::RemoveMember => vec![tenant, user],
            Rpc::UpdateUser => vec![tenant, user, name],
            Rpc::AddMember => vec![tenant, ("user_id", text(&self.outsider_id))],
            Rpc::UpdateMember => {
                let role = Value::EnumNumber(pb::Role::Admin.into());
                vec![tenant, user, ("role", role)]
            }
            Rpc::CreateInvite => {
                let field = method(rpc).input().get_field_by_name("new_user").unwrap();
                let kind = field.kind();
                let mut user =
                    prost_reflect::DynamicMessage::new(kind.as_message().unwrap().clone());
                user.set_field_by_name("external_id", text("new"));
                vec![tenant, ("new_user", Value::Message(user))]
            }
            Rpc::RevokeInvite => vec![tenant, ("invite_id", text(self.invite_id()))],
            Rpc::ClaimInvite => vec![("value", text(&self.invite.value))],
            Rpc::UpdateCatalog => {
                let field = method(rpc).input().get_field_by_name("catalog").unwrap();
                let kind = field.kind();
                let catalog =
                    prost_reflect::DynamicMessage::new(kind.as_message().unwrap().clone());
                vec![tenant, ("catalog", Value::Message(catalog))]
            }
        }
    }
}

/// Returns whether a call names the tenant that it acts in.
pub(crate) fn names_tenant(rpc: Rpc) -> bool {
    !matches!(
        rpc,
        Rpc::Introspect
            | Rpc::BatchIntrospect
            | Rpc::WhoAmI
            | Rpc::RotateCurrentToken
            | Rpc::RevokeCurrentToken
            | Rpc::RevokeExposedToken
            | Rpc::ClaimInvite
            | Rpc::ListTenants
            | Rpc::CreateTenant
    )
}

pub(crate) fn method(rpc: Rpc) -> MethodDescriptor {
    let found = methods()
        .into_iter()
        .find(|method| path(method) == rpc.path());
    found.unwrap()
}

/// Returns a token of the user's to be imported.
fn imported(rpc: Rpc, tenant_id: &str, user_id: &str) -> Value {
    let field = method(rpc).input().get_field_by_name("tokens").unwrap();
    let kind = field.kind();
    let mut token = prost_reflect::DynamicMessage::new(kind.as_message().unwrap().clone());
    let (hint, hash) = crate::support::import::hint_and_hash(tenant_id);
    for (name, text) in [
        ("hint", hint.as_str()),
        ("secret_hash", hash.as_str()),
        ("user_id", user_id),
        ("name", "imported"),
    ] {
        token.set_field_by_name(name, Value::String(text.to_owned()));
    }
    Value::List(vec![Value::Message(token)])
}

/// Returns a minute's grace, so that whoever rotates itself goes on with what it has.
fn minute(rpc: Rpc) -> Value {
    let field = method(rpc)
        .input()
        .get_field_by_name("grace_period")
        .unwrap();
    let kind = field.kind();
    let mut minute = prost_reflect::DynamicMessage::new(kind.as_message().unwrap().clone());
    minute.set_field_by_name("seconds", Value::I64(60));
    Value::Message(minute)
}

/// Returns a policy under which each RPC succeeds for who may.
fn policy() -> pb::TenantPolicy {
    pb::TenantPolicy {
        self_rotation: true,
        ..self_service()
    }
}

/// The permissions that do not suffice for a need, each alone.
fn short_of(need: Need) -> &'static [&'static str] {
    match need {
        Need::Nothing | Need::Authenticated => &[],
        Need::Introspect | Need::Operator => &[
            "authority:tokens.read",
            "authority:tokens.write",
            "authority:tenant.admin",
        ],
        Need::TokensRead => &["authority:tokens.write", "authority:introspect"],
        Need::TokensWrite => &["authority:tokens.read", "authority:introspect"],
        Need::TenantAdmin => &[
            "authority:tokens.read",
            "authority:tokens.write",
            "authority:introspect",
        ],
    }
}

async fn every_rpc_is_for_those_who_may_and_for_nobody_else(backend: Backend) {
    let t = TestServer::start(backend).await;
    let stranger = t.tenant("stranger", policy()).await;
    for (number, &rpc) in Rpc::ALL.iter().enumerate() {
        let scene = Scene::new(&t, &format!("tenant-{number}")).await;
        let method = method(rpc);
        let attempt = async |actor: &Actor| {
            let fields = scene.another(rpc).await;
            match call(actor, &method, &fields).await {
                Ok(_) => String::from("OK"),
                Err(status) => refusal(&status),
            }
        };
        let what = rpc.path();

        // No credential, one that was never given out, and one that is over.
        let open = rpc.need() == Need::Nothing;
        let unauthenticated = if open {
            "OK"
        } else {
            "Unauthenticated CALLER_UNAUTHENTICATED"
        };
        assert_eq!(attempt(&t.nobody()).await, unauthenticated, "{what}");
        assert_eq!(
            attempt(&t.actor("nonsense")).await,
            unauthenticated,
            "{what}"
        );
        let revoked = scene
            .tenant
            .admin
            .issue("revoked", &["authority:tenant.admin"])
            .await;
        let token_id = revoked.token.unwrap().token_id;
        scene.tenant.admin.revoke("active", &token_id).await;
        assert_eq!(
            attempt(&t.actor(&revoked.value)).await,
            unauthenticated,
            "{what}"
        );

        // Another tenant's administrator: the tenant is not there.
        let outsider = stranger
            .admin
            .issue("outsider", &["authority:tenant.admin"])
            .await;
        let outside = attempt(&t.actor(&outsider.value)).await;
        let expected = if names_tenant(rpc) {
            "NotFound TENANT_NOT_FOUND"
        } else if open || rpc.need() == Need::Authenticated {
            "OK"
        } else {
            "PermissionDenied PERMISSION_DENIED"
        };
        assert_eq!(
            outside, expected,
            "{what} by another tenant's administrator"
        );

        // One's own tenant, without the permission: whatever the user's role is.
        let bare = scene.token(pb::Role::Admin, &[]).await;
        let expected = if open || rpc.need() == Need::Authenticated {
            "OK"
        } else {
            "PermissionDenied PERMISSION_DENIED"
        };
        assert_eq!(
            attempt(&bare).await,
            expected,
            "{what} without a permission"
        );
        for permission in short_of(rpc.need()) {
            let short = scene.token(pb::Role::Admin, &[permission]).await;
            let denied = "PermissionDenied PERMISSION_DENIED";
            assert_eq!(attempt(&short).await, denied, "{what} with {permission}");
        }

        // A member with the permission for its own reaches nobody else's.
        let own = match rpc.need() {
            Need::TokensRead => Some("authority:tokens.read"),
            Need::TokensWrite => Some("authority:tokens.write"),
            Need::Nothing
            | Need::Authenticated
            | Need::Introspect
            | Need::TenantAdmin
            | Need::Operator => None,
        };
        if let Some(own) = own {
            let member = scene.token(pb::Role::Member, &[own]).await;
            // Those that are not there are told, not refused.
            let expected = if matches!(rpc, Rpc::ListTokens | Rpc::BatchRevokeTokens) {
                "OK"
            } else if rpc == Rpc::CreateToken {
                "PermissionDenied PERMISSION_DENIED"
            } else {
                "NotFound TOKEN_NOT_FOUND"
            };
            assert_eq!(attempt(&member).await, expected, "{what} of another's");
        }

        // And who may.
        let right = scene.right(rpc).await;
        assert_eq!(attempt(&right).await, "OK", "{what} by who may");
    }
}

/// What the RPC answers to who may, and has no token.
pub(crate) fn served_without_token(rpc: Rpc) -> &'static str {
    if matches!(rpc, Rpc::RotateCurrentToken | Rpc::RevokeCurrentToken) {
        "FailedPrecondition CALLER_HAS_NO_TOKEN"
    } else {
        "OK"
    }
}

/// What who administers the tenant is answered, given what the RPC answers to who may.
pub(crate) fn to_admin(rpc: Rpc, served: &'static str) -> &'static str {
    match rpc.need() {
        Need::Introspect | Need::Operator => "PermissionDenied PERMISSION_DENIED",
        Need::Nothing
        | Need::Authenticated
        | Need::TokensRead
        | Need::TokensWrite
        | Need::TenantAdmin => served,
    }
}
