//! `AuditService/VerifyAuditLog`.

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, outcome, refused,
};

both_backends!(
    an_untouched_log_is_whole,
    each_tampering_is_found_and_named,
    a_log_made_anew_is_found_by_a_head_kept_elsewhere,
    what_is_given_is_bounded,
    only_administrators_and_operators_verify,
    a_log_outlives_its_tenant,
);

async fn verify(actor: &Actor, tenant_id: &str) -> pb::VerifyAuditLogResponse {
    let request = message!(VerifyAuditLogRequest {
        tenant_id: tenant_id,
    });
    actor.verify_audit_log(request).await.unwrap()
}

/// Makes a tenant whose log has at least eight events.
async fn busy(t: &TestServer, tenant_id: &str) -> Actor {
    let tenant = t.tenant(tenant_id, pb::TenantPolicy::default()).await;
    for name in ["one", "two", "three", "four", "five"] {
        tenant.admin.issue(name, &["read"]).await;
    }
    tenant.admin
}

async fn an_untouched_log_is_whole(backend: Backend) {
    let t = TestServer::start(backend).await;
    let admin = busy(&t, "acme").await;
    let verified = verify(&admin, "active").await;
    assert!(verified.verified);
    assert_eq!(verified.flaw(), pb::AuditFlaw::Unspecified);
    assert_eq!((verified.flawed_sequence, verified.first_sequence), (0, 1));
    let head = verified.head.clone().unwrap();
    // The tenant, its catalog, its administrator and that one's token come first.
    assert_eq!((head.count, head.hash.len()), (9, 32));
    // The same again, and through the head that was seen, also when it has grown.
    assert_eq!(verify(&admin, "acme").await, verified);
    admin.issue("six", &[]).await;
    let request = message!(VerifyAuditLogRequest {
        tenant_id: "acme",
        known_head: head,
    });
    let grown = admin.verify_audit_log(request).await.unwrap();
    assert!(grown.verified);
    assert_eq!(grown.head.unwrap().count, 10);
    // The installation's own, with the tenant in it.
    assert!(verify(&t.operator(), "authority").await.verified);
}

/// What is done to the log of TENANT, which has nine events; what is found, and where.
const TAMPERINGS: [(&str, pb::AuditFlaw, i64); 17] = [
    (
        "UPDATE audit_events SET event = hash WHERE tenant_id = 'TENANT' AND sequence = 3",
        pb::AuditFlaw::Changed,
        3,
    ),
    (
        "UPDATE audit_events SET hash = event WHERE tenant_id = 'TENANT' AND sequence = 3",
        pb::AuditFlaw::Changed,
        3,
    ),
    (
        "UPDATE audit_events SET action = 'GetToken' WHERE tenant_id = 'TENANT' AND sequence = 9",
        pb::AuditFlaw::Changed,
        9,
    ),
    (
        "UPDATE audit_events SET created_at = created_at + 1
              WHERE tenant_id = 'TENANT' AND sequence = 1",
        pb::AuditFlaw::Changed,
        1,
    ),
    (
        "UPDATE audit_events SET token_id = NULL WHERE tenant_id = 'TENANT' AND sequence = 6",
        pb::AuditFlaw::Changed,
        6,
    ),
    (
        "UPDATE audit_events SET caller_id = token_id
              WHERE tenant_id = 'TENANT' AND sequence = 6",
        pb::AuditFlaw::Changed,
        6,
    ),
    (
        "UPDATE audit_heads SET hash = (SELECT hash FROM audit_events
                                             WHERE tenant_id = 'TENANT' AND sequence = 8)
              WHERE tenant_id = 'TENANT'",
        pb::AuditFlaw::Changed,
        9,
    ),
    (
        "DELETE FROM audit_events WHERE tenant_id = 'TENANT' AND sequence = 5",
        pb::AuditFlaw::Removed,
        5,
    ),
    (
        "DELETE FROM audit_events WHERE tenant_id = 'TENANT' AND sequence <= 2",
        pb::AuditFlaw::Removed,
        1,
    ),
    (
        "DELETE FROM audit_events WHERE tenant_id = 'TENANT' AND sequence = 8;
             UPDATE audit_events SET sequence = 8 WHERE tenant_id = 'TENANT' AND sequence = 9",
        pb::AuditFlaw::Reordered,
        8,
    ),
    (
        "UPDATE audit_events SET sequence = 0 WHERE tenant_id = 'TENANT' AND sequence = 4;
             UPDATE audit_events SET sequence = 4 WHERE tenant_id = 'TENANT' AND sequence = 5;
             UPDATE audit_events SET sequence = 5 WHERE tenant_id = 'TENANT' AND sequence = 0",
        pb::AuditFlaw::Reordered,
        4,
    ),
    (
        "DELETE FROM audit_events WHERE tenant_id = 'TENANT' AND sequence >= 8",
        pb::AuditFlaw::CutOff,
        8,
    ),
    (
        "DELETE FROM audit_events WHERE tenant_id = 'TENANT'",
        pb::AuditFlaw::CutOff,
        1,
    ),
    (
        "UPDATE audit_heads SET count = count - 2 WHERE tenant_id = 'TENANT'",
        pb::AuditFlaw::Added,
        8,
    ),
    (
        "DELETE FROM audit_heads WHERE tenant_id = 'TENANT'",
        pb::AuditFlaw::Added,
        1,
    ),
    (
        "INSERT INTO audit_checkpoints (tenant_id, sequence, hash, created_at)
             SELECT tenant_id, sequence, hash, created_at FROM audit_events
              WHERE tenant_id = 'TENANT' AND sequence = 4;
             DELETE FROM audit_events WHERE tenant_id = 'TENANT' AND sequence <= 4",
        pb::AuditFlaw::Unattested,
        4,
    ),
    // An event of another tenant's log in its place.
    (
        "UPDATE audit_events SET event = (SELECT e.event FROM audit_events e
                                               WHERE e.tenant_id = 'authority' AND e.sequence = 1)
              WHERE tenant_id = 'TENANT' AND sequence = 1",
        pb::AuditFlaw::Changed,
        1,
    ),
];

async fn each_tampering_is_found_and_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    for (number, (tampering, flaw, sequence)) in TAMPERINGS.into_iter().enumerate() {
        let tenant_id = format!("tenant-{number}");
        let admin = busy(&t, &tenant_id).await;
        assert!(verify(&admin, "active").await.verified);
        let tampering = tampering.replace("TENANT", &tenant_id);
        t.database.execute(&tampering).await;
        let verified = verify(&admin, "active").await;
        assert!(!verified.verified, "{tampering}");
        assert_eq!(
            (verified.flaw(), verified.flawed_sequence),
            (flaw, sequence),
            "{tampering}"
        );
        // What is left is shown all the same.
        let listed = message!(ListAuditEventsRequest {
            tenant_id: "active",
        });
        admin.list_audit_events(listed).await.unwrap();
    }
}

async fn a_log_made_anew_is_found_by_a_head_kept_elsewhere(backend: Backend) {
    let t = TestServer::start(backend).await;
    let admin = busy(&t, "acme").await;
    let known = verify(&admin, "active").await.head.unwrap();
    // A cut with the head set right is a shorter chain that is whole in itself.
    t.database
        .execute(
            "DELETE FROM audit_events WHERE tenant_id = 'acme' AND sequence >= 8;
             UPDATE audit_heads
                SET count = 7, hash = (SELECT hash FROM audit_events
                                        WHERE tenant_id = 'acme' AND sequence = 7)
              WHERE tenant_id = 'acme'",
        )
        .await;
    assert!(verify(&admin, "active").await.verified);
    let told = async || {
        let request = message!(VerifyAuditLogRequest {
            tenant_id: "acme",
            known_head: known.clone(),
        });
        let verified = admin.verify_audit_log(request).await.unwrap();
        (verified.verified, verified.flaw(), verified.flawed_sequence)
    };
    let other = pb::AuditFlaw::OtherChain;
    assert_eq!(told().await, (false, other, 9));
    // Also once it has grown past it again.
    for name in ["six", "seven", "eight"] {
        admin.issue(name, &[]).await;
    }
    assert_eq!(told().await, (false, other, 9));
    assert!(verify(&admin, "active").await.verified);
}

async fn what_is_given_is_bounded(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    for (count, hash, wrong) in [
        (-1, vec![0; 32], "known_head.count: OUT_OF_RANGE"),
        (1, vec![0; 31], "known_head.hash: OUT_OF_RANGE"),
        (1, vec![0; 33], "known_head.hash: OUT_OF_RANGE"),
    ] {
        let request = message!(VerifyAuditLogRequest {
            tenant_id: "acme",
            known_head: pb::AuditHead { count, hash },
        });
        assert_eq!(
            refused(acme.admin.verify_audit_log(request).await),
            format!("InvalidArgument OUT_OF_RANGE\n  {wrong}")
        );
    }
}

async fn only_administrators_and_operators_verify(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    administrators_only(&t, &acme, async |actor| {
        let request = message!(VerifyAuditLogRequest { tenant_id: "acme" });
        outcome(actor.verify_audit_log(request).await).unwrap_or_default()
    })
    .await;
}

async fn a_log_outlives_its_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    busy(&t, "acme").await;
    let operator = t.operator();
    let request = message!(DeleteTenantRequest { tenant_id: "acme" });
    operator.delete_tenant(request).await.unwrap();
    assert!(verify(&operator, "acme").await.verified);
    let listed = message!(ListAuditEventsRequest { tenant_id: "acme" });
    let events = operator.list_audit_events(listed).await.unwrap().events;
    assert_eq!(events[0].action, "DeleteTenant");
    let nothing = message!(VerifyAuditLogRequest {
        tenant_id: "globex",
    });
    assert_eq!(
        refused(operator.verify_audit_log(nothing).await),
        "NotFound TENANT_NOT_FOUND"
    );
}
