//! The audit log under load: a chain has no gap and no fork, whoever writes at once.

use token_authority::pb;

use crate::support::{Backend, TestServer, both_backends_in_parallel, message};

both_backends_in_parallel!(a_chain_is_whole_after_many_mutations_at_once);

/// How many mutations are made, of which so many at once: 10,000 by `make audit-load`.
#[expect(
    clippy::disallowed_methods,
    reason = "make audit-load passes the number through the environment"
)]
fn mutations() -> usize {
    let given = std::env::var("AUDIT_MUTATIONS").ok();
    given.map_or(600, |given| given.parse().unwrap())
}

const AT_ONCE: usize = 20;

async fn a_chain_is_whole_after_many_mutations_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let mut tokens = Vec::new();
    for number in 0..AT_ONCE {
        let created = acme.admin.issue(&number.to_string(), &[]).await;
        tokens.push(created.token.unwrap().token_id);
    }
    let each = mutations().div_ceil(AT_ONCE);
    let before = head(&t).await.count;
    let writing = tokens.into_iter().map(|token_id| {
        // Half by the administrator, half by the operator, whose token is another.
        let actor = if token_id.ends_with(|last: char| last.is_ascii_digit()) {
            acme.admin.clone()
        } else {
            t.operator()
        };
        tokio::spawn(async move {
            for round in 0..each {
                let request = message!(UpdateTokenRequest {
                    tenant_id: "acme",
                    token_id: token_id.clone(),
                    name: format!("round {round}"),
                });
                let mut tokens = actor.tokens();
                tokens.update_token(actor.call(request)).await.unwrap();
            }
        })
    });
    for writer in writing.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let made = i64::try_from(each * AT_ONCE).unwrap();
    assert_eq!(head(&t).await.count, before + made);
}

/// Returns the head of a chain that is whole.
async fn head(t: &TestServer) -> pb::AuditHead {
    let request = message!(VerifyAuditLogRequest { tenant_id: "acme" });
    let verified = t.operator().verify_audit_log(request).await.unwrap();
    assert!(verified.verified, "{verified:?}");
    verified.head.unwrap()
}
