//! Who calls a server: a credential, and the clients to call with.

use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use token_authority::pb;
use token_authority::pb::introspection_service_client::IntrospectionServiceClient;
use token_authority::pb::scope_service_client::ScopeServiceClient;
use token_authority::pb::self_service_client::SelfServiceClient;
use token_authority::pb::tenant_service_client::TenantServiceClient;
use token_authority::pb::token_service_client::TokenServiceClient;
use token_authority::pb::user_service_client::UserServiceClient;

/// A caller.
#[derive(Clone)]
pub(crate) struct Actor {
    channel: Channel,
    credential: Option<String>,
}

macro_rules! clients {
    ($($name:ident: $client:ident,)+) => {$(
        pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
        }
    )+};
}

impl Actor {
    pub(crate) fn new(channel: Channel, credential: Option<&str>) -> Self {
        Self {
            channel,
            credential: credential.map(str::to_owned),
        }
    }

    clients! {
        tokens: TokenServiceClient,
        tenants: TenantServiceClient,
        users: UserServiceClient,
        scopes: ScopeServiceClient,
        introspection: IntrospectionServiceClient,
        me: SelfServiceClient,
    }

    /// Returns the channel, for calls that no client makes.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Returns the value that this caller presents.
    pub(crate) fn value(&self) -> &str {
        self.credential.as_deref().unwrap()
    }

    /// Returns a request by this caller.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(credential) = &self.credential {
            let bearer = format!("Bearer {credential}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }

    /// Creates a token.
    pub(crate) async fn create(&self, request: pb::CreateTokenRequest) -> pb::CreateTokenResponse {
        self.try_create(request).await.unwrap()
    }

    /// Creates a token, or is refused.
    pub(crate) async fn try_create(
        &self,
        request: pb::CreateTokenRequest,
    ) -> Result<pb::CreateTokenResponse, Status> {
        Ok(self
            .tokens()
            .create_token(self.call(request))
            .await?
            .into_inner())
    }

    /// Creates a token for the caller's own user.
    pub(crate) async fn issue(&self, name: &str, scopes: &[&str]) -> pb::CreateTokenResponse {
        self.create(pb::CreateTokenRequest {
            tenant_id: "active".into(),
            name: name.into(),
            scopes: scopes.iter().map(|&scope| scope.into()).collect(),
            ..Default::default()
        })
        .await
    }

    /// Revokes a token of a tenant.
    pub(crate) async fn revoke(&self, tenant_id: &str, token_id: &str) -> pb::RevokeTokenResponse {
        let request = pb::RevokeTokenRequest {
            tenant_id: tenant_id.into(),
            token_id: token_id.into(),
            ..Default::default()
        };
        self.tokens()
            .revoke_token(self.call(request))
            .await
            .unwrap()
            .into_inner()
    }

    /// Creates a user and returns its id.
    pub(crate) async fn create_user(
        &self,
        tenant_id: &str,
        external_id: &str,
        role: pb::Role,
    ) -> String {
        let request = pb::CreateUserRequest {
            tenant_id: tenant_id.into(),
            external_id: external_id.into(),
            role: role.into(),
            ..Default::default()
        };
        let created = self.users().create_user(self.call(request)).await.unwrap();
        created.into_inner().user.unwrap().user_id
    }

    /// Asks what a value is worth.
    pub(crate) async fn introspect(&self, tenant_id: &str, value: &str) -> pb::IntrospectResponse {
        self.try_introspect(pb::IntrospectRequest {
            token: value.into(),
            tenant_id: tenant_id.into(),
            ..Default::default()
        })
        .await
        .unwrap()
    }

    /// Asks what a value is worth, or is refused.
    pub(crate) async fn try_introspect(
        &self,
        request: pb::IntrospectRequest,
    ) -> Result<pb::IntrospectResponse, Status> {
        Ok(self
            .introspection()
            .introspect(self.call(request))
            .await?
            .into_inner())
    }
}

/// Returns a refusal as its code and reason, and its violations with theirs.
pub(crate) fn refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    let reason = info.map_or("no ErrorInfo", |info| info.reason.as_str());
    let mut text = format!("{:?} {reason}", status.code());
    let violations = details
        .bad_request()
        .map_or(&[][..], |bad| bad.field_violations.as_slice());
    for violation in violations {
        let reason = info.and_then(|info| info.metadata.get(&violation.field));
        let reason = reason.map_or("?", String::as_str);
        text.push_str(&format!("\n  {}: {reason}", violation.field));
    }
    text
}

/// Returns the refusal of a call that must be refused.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    refusal(&result.unwrap_err())
}
