//! Lines of the log: one for each call that failed or changed something.

use token_authority::pb;

use crate::support::tokens::wanted;
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    what_was_done_is_one_line_and_a_read_is_none,
    what_failed_is_one_line_that_names_its_caller,
    a_batch_is_one_line_however_much_of_it_failed,
    what_can_not_be_read_is_one_line,
);

/// Returns the lines that tell of calls, those of a request's id alone.
fn lines(t: &TestServer, request_id: &str) -> Vec<String> {
    let id = format!("request.id=\"{request_id}\"");
    let told = |line: &&str| line.contains(&id) && line.contains("::layers::ending: ");
    t.logs
        .text()
        .lines()
        .filter(told)
        .map(str::to_owned)
        .collect()
}

/// Names a call.
fn named<T>(mut request: tonic::Request<T>, id: &str) -> tonic::Request<T> {
    let metadata = request.metadata_mut();
    metadata.insert("x-request-id", id.parse().unwrap());
    request
}

fn assert_holds(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

async fn what_was_done_is_one_line_and_a_read_is_none(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let call = named(
        t.operator().call(pb::CreateTokenRequest {
            tenant_id: "acme".into(),
            user_id: acme.admin_id.clone(),
            ..wanted("laptop", &["read"])
        }),
        "r-1",
    );
    t.operator().tokens().create_token(call).await.unwrap();
    let told = lines(&t, "r-1");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_holds(
        &told[0],
        &[
            " INFO ",
            "the call was done",
            "TokenService/CreateToken",
            "duration_ms=",
            "caller.token.id=",
            "caller.tenant.id=authority",
            " tenant.id=acme",
        ],
    );
    let read = named(acme.admin.call(pb::WhoAmIRequest {}), "r-2");
    acme.admin.me().who_am_i(read).await.unwrap();
    assert_eq!(lines(&t, "r-2"), [""; 0]);
}

async fn what_failed_is_one_line_that_names_its_caller(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let request = || pb::CreateTenantRequest::default();
    let call = named(acme.admin.call(request()), "r-1");
    let told = refused(acme.admin.tenants().create_tenant(call).await);
    assert!(told.starts_with("PermissionDenied"), "{told}");
    let told = lines(&t, "r-1");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_holds(
        &told[0],
        &[
            " INFO ",
            "the call failed",
            "error.code=\"PERMISSION_DENIED\"",
            "error.reason=\"PERMISSION_DENIED\"",
            "caller.tenant.id=acme",
            "duration_ms=",
        ],
    );
    let call = named(t.nobody().call(request()), "r-2");
    refused(t.nobody().tenants().create_tenant(call).await);
    let told = lines(&t, "r-2");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!told[0].contains("caller."), "{told:?}");

    t.database
        .execute("ALTER TABLE log_head RENAME TO lost_head")
        .await;
    let call = named(acme.admin.call(pb::WhoAmIRequest {}), "r-3");
    refused(acme.admin.me().who_am_i(call).await);
    let told = lines(&t, "r-3");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_holds(&told[0], &[" ERROR ", "error.chain=", "log_head"]);
}

async fn a_batch_is_one_line_however_much_of_it_failed(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let resources = t.resource_server().await;
    let good = pb::IntrospectRequest {
        token: acme.admin.value().into(),
        tenant_id: "acme".into(),
        ..Default::default()
    };
    let bad = pb::IntrospectRequest {
        tenant_id: "no such thing".into(),
        ..good.clone()
    };
    for (id, requests, expected) in [
        ("r-1", vec![good.clone(), good.clone()], None),
        ("r-2", vec![bad.clone(), good, bad], Some("error.parts=2")),
    ] {
        let call = resources.call(pb::BatchIntrospectRequest { requests });
        let mut client = resources.introspection();
        client.batch_introspect(named(call, id)).await.unwrap();
        let told = lines(&t, id);
        assert_eq!(told.len(), usize::from(expected.is_some()), "{told:?}");
        if let Some(expected) = expected {
            let reason = "error.reason=\"INVALID_TENANT_ID\"";
            assert_holds(
                &told[0],
                &[" DEBUG ", "parts of the call failed", expected, reason],
            );
        }
    }
}

async fn what_can_not_be_read_is_one_line(backend: Backend) {
    let t = TestServer::start(backend).await;
    let before = t.logs.text().matches("::layers::ending: ").count();
    let path = "/tokenauthority.v1.SelfService/RotateCurrentToken";
    assert!(t.operator().raw(path, vec![0xff]).await.is_err());
    let text = t.logs.text();
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("::layers::ending: "))
        .collect();
    assert_eq!(told.len(), before + 1, "{told:#?}");
    assert_holds(
        told[before],
        &[" DEBUG ", "the call failed", "RotateCurrentToken"],
    );
}
