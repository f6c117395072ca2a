//! The calls that read the audit log.

use token_authority::pb;

use super::flow::Flow;
use super::{People, TENANT};

/// Reads and verifies the log of what was done so far.
pub(super) async fn read(flow: &mut Flow, people: &People) {
    let request = pb::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        page_size: 1000,
        ..Default::default()
    };
    flow.good(&people.admin, "AuditService/ListAuditEvents", &request)
        .await;
    let request = pb::VerifyAuditLogRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    flow.good(&people.admin, "AuditService/VerifyAuditLog", &request)
        .await;
}
