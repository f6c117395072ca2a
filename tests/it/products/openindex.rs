//! D, `OpenIndex`: personal access tokens, and those of agents.

mod invites;

use std::time::Duration;

use token_authority::pb;

use self::invites::d6_an_invite_is_claimed_once_without_a_token;
use super::stage::DAY;
use super::{Stage, kept, walks};
use crate::cli::client::{Client, field};
use crate::support::import::{batch, imported};
use crate::support::invites::{first, guest};
use crate::support::tokens::{
    at, id, import, list, own_id, revoke, scopes, set_catalog, set_role, strings, ttl, update,
    wanted, who_am_i,
};
use crate::support::{Backend, message, refused};

walks!(
    d1_there_are_two_scopes_and_one_is_for_administrators,
    d2_a_token_is_created_with_one_of_the_same_user,
    d3_without_an_end_a_token_does_not_end,
    d4_a_list_is_of_ones_own_and_deletion_is_immediate,
    d5_what_may_administer_is_no_agents,
    d6_an_invite_is_claimed_once_without_a_token,
    d7_a_profile_keeps_address_token_and_agent,
);

const ESCALATION: &str = "PermissionDenied SCOPE_ESCALATION";
const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// What `read_write` brings along.
const READ_WRITE: [&str; 3] = [
    "authority:tokens.read",
    "authority:tokens.write",
    "read_write",
];

async fn d1_there_are_two_scopes_and_one_is_for_administrators(backend: Backend) {
    let stage = Stage::set(backend).await;
    let openindex = &stage.openindex;
    let request = message!(GetCatalogRequest {
        tenant_id: "openindex"
    });
    let catalog = openindex.admin.get_catalog(request).await.unwrap().catalog;
    let scopes = catalog.unwrap().scopes;
    let names: Vec<_> = scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["admin", "read_write"]);

    let chief = stage.admin(openindex, "chief", &["admin"]).await;
    let answer = stage
        .ask(openindex, chief.actor.value(), &["read_write"])
        .await;
    assert!(answer.allowed && chief.actor.value().starts_with("oi_pat_"));
    let all = [&["admin"], &READ_WRITE[..]].concat();
    assert_eq!(answer.scopes, all);
    let member = stage.member(openindex, "member", &["read_write"]).await;
    let answer = stage.ask(openindex, member.actor.value(), &["admin"]).await;
    assert!(!answer.allowed);
    assert_eq!(answer.scopes, READ_WRITE);
    // Nobody gives a member more: not the member, not its administrators.
    let request = wanted("more", &["admin"]);
    let above = "InvalidArgument SCOPE_ABOVE_ROLE\n  scopes[0]: SCOPE_ABOVE_ROLE";
    assert_eq!(
        refused(member.actor.try_create(request.clone()).await),
        above
    );
    for by in [&openindex.admin, &stage.t.operator()] {
        let on_behalf = pb::CreateTokenRequest {
            tenant_id: "openindex".into(),
            user_id: member.user_id.clone(),
            ..request.clone()
        };
        assert_eq!(refused(by.try_create(on_behalf).await), above);
    }
    // Who is no administrator any more holds nothing of it, but the rest.
    set_role(
        &openindex.admin,
        "openindex",
        &chief.user_id,
        pb::Role::Member,
    )
    .await;
    let answer = stage.ask(openindex, chief.actor.value(), &["admin"]).await;
    assert!(answer.active && !answer.allowed);
    assert!(!answer.scopes.contains(&"admin".to_owned()));
}

async fn d2_a_token_is_created_with_one_of_the_same_user(backend: Backend) {
    let stage = Stage::set(backend).await;
    let openindex = &stage.openindex;
    let ada = stage.member(openindex, "ada", &["read_write"]).await;
    let bob = stage.member(openindex, "bob", &["read_write"]).await;
    stage.t.advance(Duration::from_secs(7));
    let request = pb::CreateTokenRequest {
        expiry: ttl(DAY),
        ..wanted("laptop", &["read_write"])
    };
    let created = ada.actor.create(request.clone()).await;
    let token = created.token.clone().unwrap();
    assert!(token.token_id.starts_with("tok_"));
    assert!(created.value.starts_with("oi_pat_"));
    assert_eq!(token.name, "laptop");
    assert_eq!(token.scopes, ["read_write"]);
    assert_eq!(token.expire_time, Some(at(7 + DAY)));
    assert_eq!(token.create_time, Some(at(7)));
    assert_eq!(token.user_id, ada.user_id);
    assert_eq!(token.created_by, own_id(&ada.actor).await);
    assert!(
        stage
            .ask(openindex, &created.value, &["read_write"])
            .await
            .allowed
    );
    // Which makes the next, as long as it is good itself.
    let next = stage.t.actor(&created.value);
    let second = next.create(wanted("second", &["read_write"])).await;
    assert_eq!(second.token.unwrap().user_id, ada.user_id);
    kept(&stage, openindex, &ada.actor, &created).await;
    ada.actor.revoke("active", &id(&created)).await;
    assert_eq!(
        refused(next.try_create(request.clone()).await),
        UNAUTHENTICATED
    );

    // Not with one of another user, nor with one that may not make any, nor with none.
    let for_ada = pb::CreateTokenRequest {
        user_id: ada.user_id.clone(),
        ..request.clone()
    };
    let denied = "PermissionDenied PERMISSION_DENIED";
    assert_eq!(refused(bob.actor.try_create(for_ada).await), denied);
    let bare = ada.actor.issue("bare", &[]).await;
    let bare = stage.t.actor(&bare.value);
    assert_eq!(refused(bare.try_create(request.clone()).await), denied);
    let nobody = stage.t.nobody();
    assert_eq!(refused(nobody.try_create(request).await), UNAUTHENTICATED);
    // And with no more than that one holds.
    let script = stage.admin(openindex, "script", &["read_write"]).await;
    let more = script.actor.try_create(wanted("more", &["admin"]));
    assert_eq!(refused(more.await), ESCALATION);
}

async fn d3_without_an_end_a_token_does_not_end(backend: Backend) {
    let stage = Stage::set(backend).await;
    let openindex = &stage.openindex;
    let ada = stage.member(openindex, "ada", &["read_write"]).await;
    let endless = ada.actor.issue("endless", &["read_write"]).await;
    assert_eq!(endless.token.unwrap().expire_time, None);
    let request = pb::CreateTokenRequest {
        expiry: ttl(DAY),
        ..wanted("a day's", &["read_write"])
    };
    let ending = ada.actor.create(request).await;
    // Fifty years: an end would have come.
    stage.t.advance(Duration::from_secs(1_577_836_800));
    let answer = stage.ask(openindex, &endless.value, &[]).await;
    assert!(answer.allowed);
    assert_eq!(answer.expire_time, None);
    assert!(!stage.active(openindex, &ending.value).await);
}

async fn d4_a_list_is_of_ones_own_and_deletion_is_immediate(backend: Backend) {
    let stage = Stage::set(backend).await;
    let openindex = &stage.openindex;
    let ada = stage.member(openindex, "ada", &["read_write"]).await;
    let bob = stage.member(openindex, "bob", &["read_write"]).await;
    let mut values = vec![ada.actor.value().to_owned()];
    for name in ["one", "two", "three"] {
        stage.t.advance(Duration::from_secs(1));
        values.push(ada.actor.issue(name, &["read_write"]).await.value);
    }
    let bobs = id(&bob.actor.issue("bob's", &["read_write"]).await);
    // Page by page, all of one's own.
    let pages = crate::support::pages(async |page_token| {
        let request = pb::ListTokensRequest {
            tenant_id: "active".into(),
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = list(&ada.actor, request).await.unwrap();
        for value in &values {
            assert!(!format!("{page:?}").contains(&value[15..]));
        }
        let names = page.tokens.into_iter().map(|token| {
            assert_eq!(token.user_id, ada.user_id);
            token.name
        });
        (names.collect(), page.next_page_token)
    });
    assert_eq!(
        pages.await,
        [&["three", "two", "one"][..], &["ada's first"]]
    );
    for others in [
        message!(ListTokensRequest {
            tenant_id: "active",
            user_id: bob.user_id.as_str()
        }),
        message!(ListTokensRequest {
            tenant_id: "active",
            name_contains: "bob"
        }),
    ] {
        let listed = list(&ada.actor, others).await;
        assert!(listed.is_err() || listed.unwrap().tokens.is_empty());
    }

    // Its agents' are its own, too, and listed where that kind is named.
    for (member, name) in [(&ada, "ada's run"), (&bob, "bob's run")] {
        member.actor.create(run(name, &["read_write"])).await;
    }
    let agents = message!(ListTokensRequest {
        tenant_id: "active",
        kind: pb::TokenKind::Agent,
    });
    let agents = list(&ada.actor, agents).await.unwrap().tokens;
    let agents = agents.iter().map(|token| (&*token.name, token.kind()));
    assert_eq!(
        agents.collect::<Vec<_>>(),
        [("ada's run", pb::TokenKind::Agent)]
    );

    let gone = ada.actor.issue("gone", &["read_write"]).await;
    let holder = stage.t.actor(&gone.value);
    own_id(&holder).await;
    ada.actor.revoke("active", &id(&gone)).await;
    assert!(!stage.active(openindex, &gone.value).await);
    assert_eq!(
        refused(who_am_i(&holder, pb::WhoAmIRequest {}).await),
        UNAUTHENTICATED
    );
    // Another's is not there to be deleted.
    let request = message!(RevokeTokenRequest {
        tenant_id: "active",
        token_id: bobs
    });
    assert_eq!(
        refused(revoke(&ada.actor, request).await),
        "NotFound TOKEN_NOT_FOUND"
    );
}

/// Asks for an agent's token.
fn run(name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        agent_id: "agent-7".into(),
        ..wanted(name, scopes)
    }
}

async fn d5_what_may_administer_is_no_agents(backend: Backend) {
    use pb::TokenKind::{Agent, Api};
    let stage = Stage::set(backend).await;
    let openindex = &stage.openindex;
    let chief = stage.admin(openindex, "chief", &["admin"]).await;
    // Not created so: by whom it may, on whose behalf it may, or by a change later.
    let forbidden =
        "InvalidArgument SCOPE_FORBIDDEN_FOR_KIND\n  scopes[0]: SCOPE_FORBIDDEN_FOR_KIND";
    for by in [&chief.actor, &openindex.admin] {
        assert_eq!(
            refused(by.try_create(run("run", &["admin"])).await),
            forbidden
        );
    }
    agents_come_by_no_other_way(&stage, forbidden).await;
    let created = chief.actor.create(run("run", &["read_write"])).await;
    let wider = update(&chief.actor, scopes(&id(&created), &["admin"])).await;
    assert_eq!(refused(wider), forbidden);
    let answer = stage.ask_for(openindex, &created.value, Agent).await;
    assert!(answer.allowed);
    assert_eq!((&*answer.agent_id, answer.kind()), ("agent-7", Agent));
    assert_eq!(answer.scopes, READ_WRITE);

    // Not accepted where an agent's is asked for: one with it is another kind's.
    let api = chief.actor.issue("api", &["admin"]).await;
    assert!(stage.ask_for(openindex, &api.value, Api).await.allowed);
    let answer = stage.ask_for(openindex, &api.value, Agent).await;
    assert!(!answer.active && !answer.allowed && answer.token_id.is_empty());
    assert!(!stage.ask_for(openindex, &created.value, Api).await.active);

    // Nor does a later catalog slip it in.
    let mut catalog = {
        let request = message!(GetCatalogRequest {
            tenant_id: "openindex"
        });
        let catalog = openindex.admin.get_catalog(request).await.unwrap();
        catalog.catalog.unwrap()
    };
    let mut boss = catalog.scopes[0].clone();
    boss.name = "boss".into();
    boss.implies.clear();
    boss.forbidden_kinds.clear();
    boss.minimum_role = pb::Role::Member.into();
    catalog.scopes.push(boss);
    set_catalog(&openindex.admin, "openindex", catalog.clone()).await;
    let bossy = openindex.admin.create(run("boss", &["boss"])).await;
    let answer = stage.ask_for(openindex, &bossy.value, Agent).await;
    assert_eq!(answer.scopes, ["boss"]);
    catalog.scopes[2].implies = strings(&["admin"]);
    set_catalog(&openindex.admin, "openindex", catalog).await;
    for wanted in ["admin", "boss"] {
        let request = pb::IntrospectRequest {
            token: bossy.value.clone(),
            tenant_id: "openindex".into(),
            expected_kind: Agent.into(),
            required_scopes: strings(&[wanted]),
            ..Default::default()
        };
        let answer = stage.server.try_introspect(request).await.unwrap();
        assert!(answer.active && !answer.allowed, "{answer:?}");
        // Of what it implies, what is no administrator's is left.
        assert_eq!(answer.scopes, READ_WRITE);
    }
}

/// Nor are they brought along from elsewhere, or given with an invite.
async fn agents_come_by_no_other_way(stage: &Stage, forbidden: &str) {
    use pb::TokenKind::Agent;
    let openindex = &stage.openindex;
    let brought = |scopes: &[&str]| {
        let value = format!("oi_pat_moved.{}", "s3cret/".repeat(6));
        let token = pb::ImportedToken {
            kind: Agent.into(),
            agent_id: "agent-7".into(),
            scopes: strings(scopes),
            ..imported(&value, &openindex.admin_id, "brought")
        };
        (value, batch(vec![token]))
    };
    let (_, request) = brought(&["admin"]);
    assert_eq!(
        refused(import(&openindex.admin, request).await),
        forbidden.replace("scopes[0]", "tokens[0].scopes[0]")
    );
    let (value, request) = brought(&["read_write"]);
    import(&openindex.admin, request).await.unwrap();
    assert!(stage.ask_for(openindex, &value, Agent).await.allowed);
    let invited = |scope: &str| pb::CreateInviteRequest {
        first_token: Some(pb::FirstToken {
            kind: Agent.into(),
            ..first("first", &[scope]).unwrap()
        }),
        ..guest("dora")
    };
    assert_eq!(
        refused(openindex.admin.try_invite(invited("admin")).await),
        forbidden.replace("scopes[0]", "first_token.scopes[0]")
    );
    let made = openindex.admin.invite(invited("read_write")).await;
    let claimed = stage.t.nobody().try_claim(&made.value).await.unwrap();
    let answer = stage.ask_for(openindex, &claimed.value, Agent).await;
    assert!(answer.allowed);
    assert_eq!(answer.scopes, READ_WRITE);
}

async fn d7_a_profile_keeps_address_token_and_agent(backend: Backend) {
    let mut stage = Stage::set(backend).await;
    let ada = stage.member(&stage.openindex, "ada", &["read_write"]).await;
    let sam = stage
        .member(&stage.sk, "sam", &["authority:tokens.read"])
        .await;
    let client = Client::new();
    let address = stage.t.address.to_string();
    let set = |name: &'static str, agent: &'static str| {
        let words = [
            "profile",
            "set",
            name,
            "--token",
            "--address",
            &address,
            "--agent-id",
            agent,
        ];
        words.map(str::to_owned)
    };
    for (words, member) in [
        (set("work", "agent-7"), &ada),
        (set("other", "agent-8"), &sam),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = client.ok_with(&words, member.actor.value()).await;
        assert!(!said.contains(member.actor.value()));
    }
    client.ok(&["profile", "use", "work"]).await;
    // Kept: no call names any of them.
    let said = client.ok(&["whoami"]).await;
    assert_eq!(field(&said, "server"), format!("http://{address}"));
    assert_eq!(field(&said, "profile"), "work");
    assert_eq!(field(&said, "tenant"), "openindex");
    assert_eq!(field(&said, "user"), format!("ada ({})", ada.user_id));
    let create = [
        "token",
        "create",
        "run",
        "--kind",
        "agent",
        "--scope",
        "read_write",
    ];
    let value = client.ok(&create).await;
    let answer = stage.ask_for(&stage.openindex, value.trim(), pb::TokenKind::Agent);
    let answer = answer.await;
    assert!(answer.allowed);
    assert_eq!(answer.agent_id, "agent-7");
    let said = client.ok(&["whoami", "--profile", "other"]).await;
    assert_eq!(field(&said, "tenant"), "sk-platform");
    client.ok(&["profile", "use", "other"]).await;
    let said = client.ok(&["whoami"]).await;
    assert_eq!(field(&said, "user"), format!("sam ({})", sam.user_id));

    // It tells whether the server is reached, and whether the token is good.
    let revoked = message!(RevokeTokenRequest {
        tenant_id: "sk-platform",
        token_id: own_id(&sam.actor).await,
    });
    revoke(&stage.sk.admin, revoked).await.unwrap();
    let err = client.fails(1, &["whoami"]).await;
    assert!(err.contains("the token of the profile other"), "{err}");
    stage.t.stop().await;
    let err = client.fails(1, &["whoami", "--profile", "work"]).await;
    assert!(err.contains(&address), "{err}");
    assert!(!err.contains(ada.actor.value()));
}
