//! Which tenant a message names: a session is settled there.

use crate::pb;

/// A request's message.
pub(super) trait NamesTenant {
    /// Returns the tenant as the message has it; `None` for a message that names none that
    /// there is.
    fn names(&self) -> Option<&str>;
}

/// Says of messages which tenant they name. Without a line here a call does not compile.
macro_rules! names {
    (named { $($named:ident,)+ } none { $($none:ident,)+ }) => {
        $(impl NamesTenant for pb::$named {
            fn names(&self) -> Option<&str> {
                Some(&self.tenant_id)
            }
        })+
        $(impl NamesTenant for pb::$none {
            fn names(&self) -> Option<&str> {
                None
            }
        })+
    };
}

names! {
    named {
    CreateTokenRequest,
    GetTokenRequest,
    ListTokensRequest,
    ExplainTokenRequest,
    UpdateTokenRequest,
    RotateTokenRequest,
    RevokeTokenRequest,
    BatchRevokeTokensRequest,
    RevokeAllTokensRequest,
    GetTenantRequest,
    UpdateTenantRequest,
    SuspendTenantRequest,
    ResumeTenantRequest,
    DeleteTenantRequest,
    CreateUserRequest,
    GetUserRequest,
    ListUsersRequest,
    UpdateUserRequest,
    SuspendUserRequest,
    ResumeUserRequest,
    DeleteUserRequest,
    SetActiveTenantRequest,
    AddMemberRequest,
    UpdateMemberRequest,
    RemoveMemberRequest,
    ListMembersRequest,
    CreateInviteRequest,
    ListInvitesRequest,
    RevokeInviteRequest,
    ListAuditEventsRequest,
    VerifyAuditLogRequest,
    GetCatalogRequest,
    UpdateCatalogRequest,
    }
    none {
    // No session comes that far: who introspects presents a token.
    IntrospectRequest,
    BatchIntrospectRequest,
    WhoAmIRequest,
    RotateCurrentTokenRequest,
    RevokeCurrentTokenRequest,
    // The tenant that it names is not there yet.
    CreateTenantRequest,
    ListTenantsRequest,
    }
}
