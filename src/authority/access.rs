//! Who may call what: one table, a row for each RPC.

use super::{Caller, Error};
use crate::domain::ids::{TenantId, UserId};
use crate::domain::policy::{Management, Policy};
use crate::domain::reason::{Denial, Missing};
use crate::domain::scope::Permission;
use crate::tally::Closed;

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, not even a credential: none is looked at.
    Nothing,
    /// Any active token or session; of its own tenant where one is named.
    Authenticated,
    /// `authority:introspect`; a session never has it.
    Introspect,
    /// `authority:tokens.read` for one's own, where the tenant is `SELF_SERVICE`,
    /// or `authority:tenant.admin`; a session of a MEMBER or an ADMIN alike.
    TokensRead,
    /// `authority:tokens.write` for one's own, where the tenant is
    /// `SELF_SERVICE`, or `authority:tenant.admin`; a session of a MEMBER or an ADMIN
    /// alike.
    TokensWrite,
    /// `authority:tenant.admin`; a session of an ADMIN.
    TenantAdmin,
    /// `authority:operator`; a session never has it.
    Operator,
}

/// Whether an RPC changes anything: then it is not cut short once begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something.
    Mutates,
}

/// Declares the RPCs and the table.
macro_rules! table {
    ($($rpc:ident: $service:literal, $need:ident, $effect:ident;)+) => {
        /// An RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is documented where it is declared, in the protos")]
        pub enum Rpc { $($rpc,)+ }

        impl Closed for Rpc {
            const COUNT: usize = Self::ALL.len();

            fn all() -> impl Iterator<Item = Self> {
                Self::ALL.iter().copied()
            }

            fn name(self) -> &'static str {
                Self::name(self)
            }

            fn place(self) -> usize {
                self as usize
            }
        }

        impl Rpc {
            /// Each RPC that has a row.
            pub const ALL: &[Self] = &[$(Self::$rpc,)+];

            /// Returns the path that it is called by.
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$rpc => concat!("/tokenauthority.v1.", $service, "/", stringify!($rpc)),)+
                }
            }

            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$rpc => stringify!($rpc),)+ }
            }

            /// Returns what a caller needs.
            pub fn need(self) -> Need {
                match self { $(Self::$rpc => Need::$need,)+ }
            }

            /// Returns whether it changes anything.
            pub fn effect(self) -> Effect {
                match self { $(Self::$rpc => Effect::$effect,)+ }
            }

            /// Returns the RPC that is called by a path.
            pub fn from_path(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/tokenauthority.v1.", $service, "/", stringify!($rpc)) => Some(Self::$rpc),)+
                    _ => None,
                }
            }
        }
    };
}

table! {
    Introspect:         "IntrospectionService",  Introspect,    Reads;
    BatchIntrospect:    "IntrospectionService",  Introspect,    Reads;

    CreateToken:        "TokenService",          TokensWrite,   Mutates;
    GetToken:           "TokenService",          TokensRead,    Reads;
    ListTokens:         "TokenService",          TokensRead,    Reads;
    ExplainToken:       "TokenService",          TokensRead,    Reads;
    UpdateToken:        "TokenService",          TokensWrite,   Mutates;
    RotateToken:        "TokenService",          TokensWrite,   Mutates;
    RevokeToken:        "TokenService",          TokensWrite,   Mutates;
    BatchRevokeTokens:  "TokenService",          TokensWrite,   Mutates;
    RevokeAllTokens:    "TokenService",          TenantAdmin,   Mutates;

    WhoAmI:             "SelfService",           Authenticated, Reads;
    RotateCurrentToken: "SelfService",           Authenticated, Mutates;
    RevokeCurrentToken: "SelfService",           Authenticated, Mutates;
    RevokeExposedToken: "SelfService",           Nothing,       Mutates;

    CreateTenant:       "TenantService",         Operator,      Mutates;
    GetTenant:          "TenantService",         Authenticated, Reads;
    ListTenants:        "TenantService",         Operator,      Reads;
    UpdateTenant:       "TenantService",         TenantAdmin,   Mutates;
    SuspendTenant:      "TenantService",         Operator,      Mutates;
    ResumeTenant:       "TenantService",         Operator,      Mutates;
    DeleteTenant:       "TenantService",         Operator,      Mutates;

    CreateUser:         "UserService",           TenantAdmin,   Mutates;
    GetUser:            "UserService",           TenantAdmin,   Reads;
    ListUsers:          "UserService",           TenantAdmin,   Reads;
    UpdateUser:         "UserService",           TenantAdmin,   Mutates;
    SuspendUser:        "UserService",           TenantAdmin,   Mutates;
    ResumeUser:         "UserService",           TenantAdmin,   Mutates;
    DeleteUser:         "UserService",           TenantAdmin,   Mutates;
    SetActiveTenant:    "UserService",           Authenticated, Mutates;
    AddMember:          "UserService",           TenantAdmin,   Mutates;
    UpdateMember:       "UserService",           TenantAdmin,   Mutates;
    RemoveMember:       "UserService",           TenantAdmin,   Mutates;
    ListMembers:        "UserService",           TenantAdmin,   Reads;

    CreateInvite:       "InviteService",         TenantAdmin,   Mutates;
    ListInvites:        "InviteService",         TenantAdmin,   Reads;
    RevokeInvite:       "InviteService",         TenantAdmin,   Mutates;
    ClaimInvite:        "InviteService",         Nothing,       Mutates;

    ListAuditEvents:    "AuditService",          TenantAdmin,   Reads;
    VerifyAuditLog:     "AuditService",          TenantAdmin,   Reads;

    GetCatalog:         "ScopeService",          Authenticated, Reads;
    UpdateCatalog:      "ScopeService",          TenantAdmin,   Mutates;
}

/// How far a caller reaches in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To all of the tenant.
    Tenant,
    /// To the tokens that act as this user.
    Own(UserId),
}

/// Returns how far the caller reaches with this RPC, before any object is read.
/// `tenant_id` is the tenant that the call names, if it names one that exists
/// already: another tenant than its own is not there for a caller, except for
/// operators, whatever the caller's permissions.
pub fn may(rpc: Rpc, caller: &Caller, tenant_id: Option<&TenantId>) -> Result<Reach, Error> {
    if caller.has(Permission::Operator) {
        return Ok(Reach::Tenant);
    }
    if tenant_id.is_some_and(|tenant_id| *tenant_id != caller.tenant_id) {
        return Err(Error::NotFound(Missing::Tenant));
    }
    let need = rpc.need();
    // The reserved tenant is the operators' alone: who only holds a service token
    // there neither reads nor writes its tokens.
    let manages = !caller.tenant_id.is_authority();
    let own = |permission| match caller.user_id {
        Some(user_id) if caller.has(permission) => Some(Reach::Own(user_id)),
        _ => None,
    };
    let whole = caller.has(Permission::TenantAdmin).then_some(Reach::Tenant);
    let reach = match need {
        Need::Authenticated => Some(Reach::Tenant),
        Need::Introspect => caller.has(Permission::Introspect).then_some(Reach::Tenant),
        Need::TokensRead if manages => whole.or_else(|| own(Permission::TokensRead)),
        Need::TokensWrite if manages => whole.or_else(|| own(Permission::TokensWrite)),
        Need::TenantAdmin if manages => whole,
        // What needs no caller reaches nothing by one.
        Need::Nothing
        | Need::TokensRead
        | Need::TokensWrite
        | Need::TenantAdmin
        | Need::Operator => None,
    };
    reach.ok_or(Error::PermissionDenied(Denial::Denied))
}

/// Refuses a caller who may not call this RPC whatever the request says, so that the
/// request need not even be read.
pub fn may_at_all(rpc: Rpc, caller: &Caller) -> Result<(), Error> {
    match rpc.need() {
        Need::Introspect => may(rpc, caller, None).map(|_| ()),
        // Which tenant is named decides whether it is denied or not there.
        Need::Nothing
        | Need::Authenticated
        | Need::TokensRead
        | Need::TokensWrite
        | Need::TenantAdmin
        | Need::Operator => Ok(()),
    }
}

/// Refuses a session that may not call this RPC whoever it is of: to introspect is for
/// tokens.
pub fn session_may_at_all(rpc: Rpc) -> Result<(), Error> {
    match rpc.need() {
        Need::Introspect => Err(Error::PermissionDenied(Denial::Denied)),
        Need::Nothing
        | Need::Authenticated
        | Need::TokensRead
        | Need::TokensWrite
        | Need::TenantAdmin
        | Need::Operator => Ok(()),
    }
}

/// Refuses one's own tokens where only administrators manage tokens.
pub(super) fn check_management(reach: Reach, policy: &Policy) -> Result<(), Error> {
    match (reach, policy.management) {
        (Reach::Own(_), Management::AdminsOnly) => Err(Error::PermissionDenied(Denial::Denied)),
        (Reach::Own(_), Management::SelfService) | (Reach::Tenant, _) => Ok(()),
    }
}
