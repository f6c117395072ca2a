//! `SelfService/WhoAmI`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{at, number, presenting, service, strings, ttl, wanted, who_am_i};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    the_whole_answer_to_a_member,
    a_service_has_no_user_and_no_memberships,
    each_membership_is_told_and_the_active_tenant_is_the_tokens,
    nobody_is_told_nothing,
);

async fn me(actor: &Actor) -> pb::WhoAmIResponse {
    who_am_i(actor, pb::WhoAmIRequest {}).await.unwrap()
}

#[expect(clippy::too_many_lines, reason = "the answer is shown whole")]
async fn the_whole_answer_to_a_member(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    // Neither scope nor SELF_SERVICE is needed to know who one is.
    let alice = t.member(&acme, "alice", &[]).await;
    t.advance(Duration::from_millis(2_500));
    let answer = me(&alice.actor).await;
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(answer, @r#"
        WhoAmIResponse {
            token: Some(
                Token {
                    token_id: "tok_0322SbK0O8gHrYUHCIwKw4",
                    tenant_id: "acme",
                    user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
                    kind: Api,
                    name: "of the test",
                    hint: "acme_mTb0Ny15",
                    state: Active,
                    scopes: [],
                    effective_scopes: [],
                    profile: "",
                    agent_id: "",
                    labels: {},
                    created_by: "tok_0322SbK0OBqe94chtpxlTv",
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    expire_time: None,
                    revoke_time: None,
                    revoke_reason: Unspecified,
                    revoke_reason_text: "",
                    etag: "1",
                    rotate_time: None,
                    previous_values: [],
                    last_used_time: None,
                    last_used_by: "",
                    last_used_address: "",
                },
            ),
            tenant: Some(
                Tenant {
                    tenant_id: "acme",
                    display_name: "acme",
                    state: Active,
                    token_prefix: "acme_",
                    policy: Some(
                        TenantPolicy {
                            token_management: SelfService,
                            expiry_required: false,
                            default_ttl: None,
                            max_ttl: None,
                            max_tokens_per_user: 0,
                            unique_names: false,
                            tokens_may_not_mint: false,
                            admins_act_for_admins: false,
                            max_grace: None,
                            self_rotation: false,
                            retention: None,
                            oidc_trust: None,
                            admitted_trusts: [],
                        },
                    ),
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                },
            ),
            user: Some(
                User {
                    user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
                    external_id: "alice",
                    display_name: "",
                    state: Active,
                    vouching_tenant_id: "acme",
                    active_tenant_id: "acme",
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                    vouching_trust: "",
                },
            ),
            memberships: [
                Membership {
                    tenant_id: "acme",
                    user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
                    role: Member,
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                },
            ],
            revision: "7MuGYCBLSp65szV8sDRrUE.7",
            evaluate_time: Some(
                Timestamp {
                    seconds: 1767225602,
                    nanos: 500000000,
                },
            ),
            session: None,
            identity: None,
        }
        "#);
    }
    let bytes = prost::Message::encode_to_vec(&answer);
    let value = alice.actor.value();
    let secret = &value.as_bytes()[value.len() - 49..][..8];
    assert!(!bytes.windows(8).any(|part| part == secret));
}

async fn a_service_has_no_user_and_no_memberships(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme
        .admin
        .create(service("acme", "worker", &["admin"]))
        .await;
    let answer = me(&t.actor(&created.value)).await;
    assert_eq!(answer.token, created.token);
    assert_eq!(answer.tenant.unwrap().tenant_id, "acme");
    assert_eq!((answer.user, answer.memberships), (None, Vec::new()));
    assert_eq!(number(&answer.revision), number(&created.revision));
    assert_eq!(answer.evaluate_time, Some(at(0)));

    let answer = me(&t.operator()).await;
    assert_eq!(answer.tenant.unwrap().tenant_id, "authority");
    let token = answer.token.unwrap();
    assert_eq!(token.scopes, ["authority:operator"]);
    assert_eq!(
        (token.created_by, token.user_id),
        (String::new(), String::new())
    );
}

async fn each_membership_is_told_and_the_active_tenant_is_the_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("globex", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let request = pb::AddMemberRequest {
        tenant_id: "globex".into(),
        user_id: alice.user_id.clone(),
        role: pb::Role::Admin.into(),
        ..Default::default()
    };
    let operator = t.operator();
    let added = operator.users().add_member(operator.call(request)).await;
    added.unwrap();
    let abroad = t
        .token_of("globex", &alice.user_id, &["authority:tenant.admin"])
        .await;
    for (actor, tenant_id) in [(&alice.actor, "acme"), (&abroad, "globex")] {
        let answer = me(actor).await;
        assert_eq!(answer.token.unwrap().tenant_id, tenant_id);
        assert_eq!(answer.tenant.unwrap().tenant_id, tenant_id);
        assert_eq!(answer.user.unwrap().user_id, alice.user_id);
        let mut roles: Vec<_> = answer
            .memberships
            .iter()
            .map(|member| (member.tenant_id.as_str(), member.role()))
            .collect();
        roles.sort_unstable();
        assert_eq!(
            roles,
            [("acme", pb::Role::Member), ("globex", pb::Role::Admin)]
        );
    }
    // `active` is the token's own tenant.
    let created = abroad.create(wanted("another", &[])).await;
    assert_eq!(created.token.unwrap().tenant_id, "globex");
}

async fn nobody_is_told_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let carol = t.member(&acme, "carol", &[]).await;
    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    });
    let brief = t.actor(&brief.await.value);
    let hook = acme.admin.create(pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &[])
    });
    let hook = t.actor(&hook.await.value);
    assert_eq!(me(&brief).await.token.unwrap().name, "brief");
    assert_eq!(me(&alice.actor).await.user.unwrap().external_id, "alice");

    t.advance(Duration::from_secs(1));
    let operator = t.operator();
    crate::support::tokens::suspend_user(&operator, "acme", &alice.user_id).await;
    crate::support::tokens::remove_member(&operator, "acme", &carol.user_id).await;
    let unknown = t.actor(&format!("acme_{}", "0".repeat(61)));
    for actor in [
        &brief,
        &hook,
        &alice.actor,
        &carol.actor,
        &unknown,
        &t.nobody(),
    ] {
        assert_eq!(
            refused(who_am_i(actor, pb::WhoAmIRequest {}).await),
            "Unauthenticated CALLER_UNAUTHENTICATED"
        );
    }
    crate::support::tokens::suspend_tenant(&operator, "acme").await;
    assert_eq!(
        refused(who_am_i(&acme.admin, pb::WhoAmIRequest {}).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    let padded = presenting(
        pb::WhoAmIRequest {},
        &format!("bearer   {} ", operator.value()),
    );
    let answer = operator.me().who_am_i(padded).await.unwrap().into_inner();
    assert_eq!(
        answer.token.unwrap().scopes,
        strings(&["authority:operator"])
    );
}
