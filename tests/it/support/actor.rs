//! Who calls a server: a credential, and the clients to call with.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use token_authority::pb;
use token_authority::pb::audit_service_client::AuditServiceClient;
use token_authority::pb::introspection_service_client::IntrospectionServiceClient;
use token_authority::pb::invite_service_client::InviteServiceClient;
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
    issued: Issued,
}

/// The values that were issued, so that a test can look for every one of them.
#[derive(Clone, Default)]
pub(crate) struct Issued(Arc<Mutex<Vec<String>>>);

impl Issued {
    /// Notes one.
    pub(crate) fn add(&self, value: &str) {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.push(value.to_owned());
    }

    /// Returns all.
    pub(crate) fn all(&self) -> Vec<String> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.clone()
    }
}

macro_rules! clients {
    ($($name:ident: $client:ident,)+) => {$(
        pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
        }
    )+};
}

impl Actor {
    pub(crate) fn new(channel: Channel, credential: Option<&str>, issued: Issued) -> Self {
        Self {
            channel,
            credential: credential.map(str::to_owned),
            issued,
        }
    }

    clients! {
        tokens: TokenServiceClient,
        audit: AuditServiceClient,
        tenants: TenantServiceClient,
        users: UserServiceClient,
        scopes: ScopeServiceClient,
        invites: InviteServiceClient,
        introspection: IntrospectionServiceClient,
        me: SelfServiceClient,
    }

    /// Returns where issued values are noted.
    pub(crate) fn issued(&self) -> &Issued {
        &self.issued
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
        let created = self.tokens().create_token(self.call(request)).await?;
        let created = created.into_inner();
        self.issued.add(&created.value);
        Ok(created)
    }

    /// Calls an RPC by its path with the bytes of its request; returns those of its
    /// answer.
    pub(crate) async fn raw(&self, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client
            .ready()
            .await
            .map_err(|error| Status::unknown(error.to_string()))?;
        let answer = client.unary(self.call(message), path.parse().unwrap(), Bytes);
        let answer = answer.await?.into_inner();
        if gives_value(path) {
            let given = Given::decode(answer.as_slice()).unwrap();
            if !given.value.is_empty() {
                self.issued.add(&given.value);
            }
        }
        Ok(answer)
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

    /// Makes a token with these scopes that acts as a user; returns who presents it.
    pub(crate) async fn token_of(&self, tenant_id: &str, user_id: &str, scopes: &[&str]) -> Self {
        let created = self
            .create(pb::CreateTokenRequest {
                tenant_id: tenant_id.into(),
                user_id: user_id.into(),
                name: "of the test".into(),
                scopes: scopes.iter().map(|&scope| scope.into()).collect(),
                ..Default::default()
            })
            .await;
        Self::new(
            self.channel.clone(),
            Some(&created.value),
            self.issued.clone(),
        )
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

/// Returns whether an RPC answers with a value, as [`Given`] says.
pub(crate) fn gives_value(path: &str) -> bool {
    let (_, method) = path.rsplit_once('/').unwrap();
    let giving = [
        "CreateToken",
        "RotateToken",
        "RotateCurrentToken",
        "CreateInvite",
        "ClaimInvite",
    ];
    giving.contains(&method)
}

/// What all answers that give out a value have in common.
#[derive(prost::Message)]
struct Given {
    #[prost(string, tag = "2")]
    value: String,
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
        write!(text, "\n  {}: {reason}", violation.field).unwrap();
    }
    text
}

/// Returns the refusal of a call that must be refused.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    refusal(&result.unwrap_err())
}

/// Sends and takes messages as bytes.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(&item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; source.remaining()];
        source.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
