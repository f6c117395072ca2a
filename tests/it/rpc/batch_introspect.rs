//! `IntrospectionService/BatchIntrospect`.

use token_authority::pb;
use token_authority::pb::batch_introspect_result::Result as Outcome;

use crate::support::tokens::{batch, question, service, wanted};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    results_come_in_order_each_an_answer_or_a_status,
    a_batch_has_one_to_a_thousand_questions,
    a_batch_asks_no_more_than_its_caller_may,
);

async fn results_come_in_order_each_an_answer_or_a_status(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let server = t.resource_server().await;
    let required = pb::IntrospectRequest {
        required_scopes: vec!["write".into()],
        ..question("acme", alice.actor.value())
    };
    let wrong = pb::IntrospectRequest {
        required_scopes: vec!["a b".into()],
        expected_kind: 99,
        ..question("", "garbage")
    };
    let ahead = pb::IntrospectRequest {
        min_revision: format!("{}.0", "0".repeat(22)),
        ..question("acme", alice.actor.value())
    };
    let requests = vec![
        question("acme", alice.actor.value()),
        wrong.clone(),
        question("acme", "garbage"),
        required,
        ahead.clone(),
        question("globex", globex.admin.value()),
        question("acme", alice.actor.value()),
    ];
    let answered = batch(&server, pb::BatchIntrospectRequest { requests }).await;
    let told: Vec<String> = answered
        .unwrap()
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            Outcome::Response(answer) => format!(
                "{} allowed={} active={} missing={:?}",
                answer.tenant_id, answer.allowed, answer.active, answer.missing_scopes
            ),
            Outcome::Status(status) => {
                let status = tonic::Status::with_details(
                    tonic::Code::from(status.code),
                    status.message.clone(),
                    prost::Message::encode_to_vec(&status).into(),
                );
                crate::support::refusal(&status)
            }
        })
        .collect();
    // A status is what a call of its own would have answered.
    let alone = [
        refused(server.try_introspect(wrong).await),
        refused(server.try_introspect(ahead).await),
    ];
    assert_eq!([&told[1], &told[4]], [&alone[0], &alone[1]]);
    insta::allow_duplicates! {
        insta::assert_snapshot!(told.join("\n"), @r#"
        acme allowed=true active=true missing=[]
        InvalidArgument UNKNOWN_ENUM_VALUE
          expected_kind: UNKNOWN_ENUM_VALUE
          tenant_id: FIELD_REQUIRED
          required_scopes[0]: INVALID_SCOPE
         allowed=false active=false missing=[]
        acme allowed=false active=true missing=["write"]
        InvalidArgument INVALID_REVISION
          min_revision: INVALID_REVISION
        globex allowed=true active=true missing=[]
        acme allowed=true active=true missing=[]
        "#);
    }
}

async fn a_batch_has_one_to_a_thousand_questions(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let ask = async |requests| batch(&server, pb::BatchIntrospectRequest { requests }).await;
    assert_eq!(
        refused(ask(Vec::new()).await),
        "InvalidArgument FIELD_REQUIRED\n  requests: FIELD_REQUIRED"
    );
    let garbage = question("acme", "garbage");
    assert_eq!(
        refused(ask(vec![garbage; 1001]).await),
        "InvalidArgument TOO_MANY_ITEMS\n  requests: TOO_MANY_ITEMS"
    );
    // Five MiB: more than any other call may send.
    let mut requests = vec![question("acme", &"x".repeat(5 * 1024)); 999];
    requests.push(question("acme", acme.admin.value()));
    let results = ask(requests).await.unwrap().results;
    assert_eq!(results.len(), 1000);
    for (at, result) in results.into_iter().enumerate() {
        let Some(Outcome::Response(answer)) = result.result else {
            panic!("no answer: {at}");
        };
        assert_eq!(answer.active, at == 999);
    }
}

async fn a_batch_asks_no_more_than_its_caller_may(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let bound = service("acme", "resource server", &["authority:introspect"]);
    let bound = t.actor(&t.operator().create(bound).await.value);
    let requests = vec![
        question("", acme.admin.value()),
        question("globex", globex.admin.value()),
        question("", globex.admin.value()),
    ];
    let request = pb::BatchIntrospectRequest { requests };
    let results = batch(&bound, request.clone()).await.unwrap().results;
    let active: Vec<bool> = results
        .into_iter()
        .map(|result| matches!(result.result, Some(Outcome::Response(answer)) if answer.active))
        .collect();
    assert_eq!(active, [true, false, false]);

    let hook = pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &[])
    };
    let hook = t.actor(&acme.admin.create(hook).await.value);
    for (actor, refusal) in [
        (&acme.admin, "PermissionDenied PERMISSION_DENIED"),
        (&t.nobody(), "Unauthenticated CALLER_UNAUTHENTICATED"),
        (&hook, "Unauthenticated CALLER_UNAUTHENTICATED"),
    ] {
        // Decided before the questions are looked at.
        let none = pb::BatchIntrospectRequest::default();
        assert_eq!(refused(batch(actor, request.clone()).await), refusal);
        assert_eq!(refused(batch(actor, none).await), refusal);
    }
}
