//! What each command that changes something takes.

use super::failure::Failure;
use super::invite;
use super::session::Session;
use crate::authority::access::Rpc;

/// Makes a retry safe.
#[derive(Debug, clap::Args)]
pub(super) struct RequestArguments {
    /// The call's id: asked again under it within a day, the call is not made again.
    /// Without it, the id is a new one
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestArguments {
    /// Returns the call's id.
    pub(super) fn id(self, session: &Session) -> Result<String, Failure> {
        session.request_id(self.request_id)
    }
}

/// Guards a change.
#[derive(Debug, clap::Args)]
pub(super) struct EtagArguments {
    /// Only if this is still the version: the `etag` of an earlier answer
    #[arg(long, value_name = "ETAG")]
    etag: Option<String>,
}

impl EtagArguments {
    /// Returns the version; empty is any.
    pub(super) fn etag(self) -> String {
        self.etag.unwrap_or_default()
    }
}

/// Returns how a field is given to the commands that administer, where that is another
/// way than to all others: `policy.max_ttl` as `--max-ttl`, a user by its place.
pub(super) fn flag(field: &str, rpc: Rpc) -> Option<String> {
    if let Some(rule) = field.strip_prefix("policy.") {
        return Some(format!("--{}", rule.replace('_', "-")));
    }
    if rpc == Rpc::CreateInvite {
        return invite::flag(field);
    }
    match (rpc, field) {
        (
            Rpc::GetUser
            | Rpc::UpdateUser
            | Rpc::SuspendUser
            | Rpc::ResumeUser
            | Rpc::DeleteUser
            | Rpc::AddMember
            | Rpc::UpdateMember
            | Rpc::RemoveMember,
            "user_id",
        )
        | (Rpc::CreateUser, "external_id")
        | (
            Rpc::CreateTenant
            | Rpc::SuspendTenant
            | Rpc::ResumeTenant
            | Rpc::DeleteTenant
            | Rpc::SetActiveTenant,
            "tenant_id",
        )
        | (Rpc::RevokeInvite, "invite_id") => Some(field.to_owned()),
        (Rpc::ListAuditEvents, "token_id") => Some(String::from("--token")),
        (Rpc::ListAuditEvents, "caller_token_id") => Some(String::from("--caller")),
        (Rpc::ListAuditEvents, "start_time") => Some(String::from("--since")),
        (Rpc::ListAuditEvents, "end_time") => Some(String::from("--until")),
        _ => None,
    }
}
