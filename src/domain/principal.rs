//! Who there is: tenants, users, their memberships.

use serde::{Deserialize, Serialize};

use super::change::Version;
use super::ids::{TenantId, UserId};
use super::policy::Policy;
use super::session::TrustName;
use super::time::Timestamp;
use super::trust::Sessions;
use super::value::Prefix;

/// What a member is in a tenant; an administrator may do what a member may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// An ordinary member.
    Member,
    /// An administrator.
    Admin,
}

/// A tenant: one product or customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// What people call it.
    pub display_name: String,
    /// What its values begin with.
    pub prefix: Prefix,
    /// Its rules for tokens.
    pub policy: Policy,
    /// Whose sessions it takes.
    #[serde(default)]
    pub sessions: Sessions,
    /// The record's version.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
    /// Since when it is deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A user: whoever tokens act as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub user_id: UserId,
    /// What its voucher calls it.
    pub external_id: String,
    /// What people call it.
    pub display_name: String,
    /// The tenant that vouches for it; the reserved one where a trust does.
    pub vouching_tenant_id: TenantId,
    /// The installation-wide trust that vouches for it.
    pub vouching_trust: Option<TrustName>,
    /// What `active` stands for in its sessions.
    pub active_tenant_id: TenantId,
    /// The record's version.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
}

/// A user's membership of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// What it is there.
    pub role: Role,
    /// The record's version.
    pub version: Version,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
