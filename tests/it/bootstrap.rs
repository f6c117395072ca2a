//! The operator's token: the first one, and the way back in.

use std::time::Duration;

use token_authority::pb;
use tonic::{Response, Status};

use crate::support::{Actor, Backend, TestServer, both_backends, refused};

both_backends!(
    the_first_token_is_an_operators_and_ends_in_a_day,
    a_lost_operators_token_is_replaced_by_access_to_the_database,
    an_operator_may_keep_its_token,
);

async fn whoami(actor: &Actor) -> Result<Response<pb::WhoAmIResponse>, Status> {
    actor.me().who_am_i(actor.call(pb::WhoAmIRequest {})).await
}

async fn the_first_token_is_an_operators_and_ends_in_a_day(backend: Backend) {
    let t = TestServer::start(backend).await;
    let me = whoami(&t.operator()).await.unwrap().into_inner();
    let token = me.token.unwrap();
    assert_eq!(token.tenant_id, "authority");
    assert_eq!(token.kind(), pb::TokenKind::Service);
    assert_eq!(token.effective_scopes, ["authority:operator"]);
    assert_eq!((me.user, me.memberships.len()), (None, 0));

    t.advance(Duration::from_secs(24 * 60 * 60) - Duration::from_millis(1));
    assert!(whoami(&t.operator()).await.is_ok());
    t.advance(Duration::from_millis(1));
    assert_eq!(
        refused(whoami(&t.operator()).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
}

async fn a_lost_operators_token_is_replaced_by_access_to_the_database(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let server = t.resource_server().await;
    let lost = t.operator().value().to_owned();
    let value = t.replace_operator().await;

    assert!(whoami(&t.actor(&value)).await.is_ok());
    assert_eq!(
        refused(whoami(&t.actor(&lost)).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    // What the lost token made is left alone.
    assert!(whoami(&t.actor(server.value())).await.is_ok());
}

async fn an_operator_may_keep_its_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let token_id = whoami(&operator)
        .await
        .unwrap()
        .into_inner()
        .token
        .unwrap()
        .token_id;
    let request = pb::UpdateTokenRequest {
        tenant_id: "authority".into(),
        token_id,
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["expire_time".into()],
        }),
        ..Default::default()
    };
    operator
        .tokens()
        .update_token(operator.call(request))
        .await
        .unwrap();
    t.advance(Duration::from_secs(400 * 24 * 60 * 60));
    assert!(whoami(&operator).await.is_ok());
}
