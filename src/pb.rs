//! The generated code, and `Debug` by hand for the messages that carry a value.
#![expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

use std::fmt;

tonic::include_proto!("tokenauthority.v1");

/// The descriptor of every service and message, for reflection and for tests.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// Stands for a value that is not shown.
const REDACTED: &str = "[redacted]";

impl fmt::Debug for IntrospectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectRequest")
            .field("token", &REDACTED)
            .field("tenant_id", &self.tenant_id)
            .field("required_scopes", &self.required_scopes)
            .field("expected_kind", &self.expected_kind)
            .field("min_revision", &self.min_revision)
            .field("client_address", &self.client_address)
            .finish()
    }
}

impl fmt::Debug for CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTokenResponse")
            .field("token", &self.token)
            .field("value", &REDACTED)
            .field("revision", &self.revision)
            .field("settled", &self.settled)
            .finish()
    }
}

impl fmt::Debug for RotateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateTokenResponse")
            .field("token", &self.token)
            .field("value", &REDACTED)
            .field("revision", &self.revision)
            .field("settled", &self.settled)
            .finish()
    }
}

impl fmt::Debug for RotateCurrentTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateCurrentTokenResponse")
            .field("token", &self.token)
            .field("value", &REDACTED)
            .field("revision", &self.revision)
            .field("settled", &self.settled)
            .finish()
    }
}

impl fmt::Debug for ListTokensRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListTokensRequest")
            .field("tenant_id", &self.tenant_id)
            .field("page_size", &self.page_size)
            .field("page_token", &self.page_token)
            .field("user_id", &self.user_id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("name_contains", &self.name_contains)
            .field("hint", &REDACTED)
            .field("expire_before", &self.expire_before)
            .field("show_revoked", &self.show_revoked)
            .field("unused_since", &self.unused_since)
            .finish()
    }
}

impl fmt::Debug for RevokeExposedTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevokeExposedTokenRequest")
            .field("value", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for ExplainTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExplainTokenRequest")
            .field("tenant_id", &self.tenant_id)
            .field("subject", &self.subject)
            .field("kind", &self.kind)
            .field("required_scopes", &self.required_scopes)
            .finish()
    }
}

impl fmt::Debug for explain_token_request::Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenId(token_id) => f.debug_tuple("TokenId").field(token_id).finish(),
            Self::Value(_) => f.debug_tuple("Value").field(&REDACTED).finish(),
        }
    }
}

impl fmt::Debug for CreateInviteResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateInviteResponse")
            .field("invite", &self.invite)
            .field("value", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for ClaimInviteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimInviteRequest")
            .field("value", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for ClaimInviteResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimInviteResponse")
            .field("token", &self.token)
            .field("value", &REDACTED)
            .field("revision", &self.revision)
            .field("settled", &self.settled)
            .field("user", &self.user)
            .field("membership", &self.membership)
            .finish()
    }
}
