//! `catalog`: documents, read, compared and applied.

use token_authority::pb;

use super::Client;
use crate::support::{Actor, Backend, TestServer, both_backends};

both_backends!(
    a_products_document_comes_back_as_it_says,
    what_is_only_looked_at_writes_nothing,
    a_scope_in_use_stays_and_its_tokens_are_named,
    a_document_is_of_the_tenant_that_it_names,
    a_refused_rule_is_shown_with_its_line,
);

const CATALOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogs");

fn path(product: &str) -> String {
    format!("{CATALOGS}/{product}.toml")
}

async fn catalog(operator: &Actor, tenant_id: &str) -> pb::Catalog {
    let request = pb::GetCatalogRequest {
        tenant_id: tenant_id.into(),
    };
    let answer = operator.scopes().get_catalog(operator.call(request)).await;
    answer.unwrap().into_inner().catalog.unwrap()
}

async fn tenant(operator: &Actor, tenant_id: &str) -> pb::Tenant {
    let request = pb::GetTenantRequest {
        tenant_id: tenant_id.into(),
    };
    let answer = operator.tenants().get_tenant(operator.call(request)).await;
    answer.unwrap().into_inner().tenant.unwrap()
}

/// Returns how many events a tenant's log has.
async fn events(operator: &Actor, tenant_id: &str) -> usize {
    let request = pb::ListAuditEventsRequest {
        tenant_id: tenant_id.into(),
        ..Default::default()
    };
    let call = operator.call(request);
    let answer = operator.audit().list_audit_events(call).await.unwrap();
    answer.into_inner().events.len()
}

/// Returns a catalog in words: each scope with what it implies, its role and its
/// forbidden kinds, then each profile with its scopes.
fn words(catalog: &pb::Catalog) -> Vec<String> {
    let scopes = catalog.scopes.iter().map(|scope| {
        let role = scope.minimum_role().as_str_name();
        let kinds: Vec<_> = scope
            .forbidden_kinds()
            .map(|kind| kind.as_str_name())
            .collect();
        assert!(!scope.description.is_empty(), "{}", scope.name);
        format!(
            "{} > {} {role} {}",
            scope.name,
            scope.implies.join(" "),
            kinds.join(" ")
        )
    });
    let profiles = catalog
        .profiles
        .iter()
        .map(|profile| format!("{} = {}", profile.name, profile.scopes.join(" ")));
    let replaced = scopes.chain(profiles).map(|line| {
        let line = line
            .replace("ROLE_MEMBER", "")
            .replace("ROLE_UNSPECIFIED", "");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    replaced.collect()
}

async fn a_products_document_comes_back_as_it_says(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let client = Client::new(&t, &operator);
    for product in ["odysseus", "sk-platform", "openindex"] {
        let path = path(product);
        let created = client.run(&["tenant", "create", "--from", &path]).await;
        assert!(created.ok().starts_with("tenant: "), "{product}");
        let applied = client.run(&["catalog", "apply", &path, "--yes"]).await.ok();
        assert!(applied.starts_with(&format!("{product}:")), "{applied}");
        let diff = client.run(&["catalog", "diff", &path]).await.ok();
        assert_eq!(diff, format!("{product}: nothing to change\n"));
        // What is exported is what is there, and is read back.
        let exported = client
            .run(&["catalog", "export", "--tenant", product])
            .await;
        let exported = exported.ok();
        let again = ["catalog", "apply", "-"];
        let again = client.run_with(&again, &exported).await.ok();
        assert_eq!(again, format!("{product}: nothing to change\n"));
    }

    let odysseus = tenant(&operator, "odysseus").await;
    assert_eq!(odysseus.display_name, "Odysseus");
    assert_eq!(odysseus.token_prefix, "ody_");
    let expected = pb::TenantPolicy {
        token_management: pb::TokenManagement::AdminsOnly.into(),
        unique_names: true,
        ..Default::default()
    };
    assert_eq!(odysseus.policy, Some(expected));
    assert_eq!(
        words(&catalog(&operator, "odysseus").await),
        [
            "calendar:read >",
            "calendar:write > calendar:read",
            "chat >",
            "documents:read >",
            "documents:write > documents:read",
            "email:draft >",
            "email:read >",
            "email:send >",
            "memory:read >",
            "memory:write > memory:read",
            "todos:read >",
            "todos:write > todos:read",
            "chat = chat",
            "codex_email_drafts = documents:read documents:write email:draft email:read",
            "codex_todos = todos:read todos:write",
        ]
    );

    let sk = tenant(&operator, "sk-platform").await;
    assert_eq!(sk.token_prefix, "sk-");
    let expected = pb::TenantPolicy {
        token_management: pb::TokenManagement::SelfService.into(),
        expiry_required: true,
        ..Default::default()
    };
    assert_eq!(sk.policy, Some(expected));
    assert_eq!(words(&catalog(&operator, "sk-platform").await), [""; 0]);

    let openindex = tenant(&operator, "openindex").await;
    assert_eq!(openindex.token_prefix, "oi_pat_");
    let expected = pb::TenantPolicy {
        token_management: pb::TokenManagement::SelfService.into(),
        ..Default::default()
    };
    assert_eq!(openindex.policy, Some(expected));
    assert_eq!(
        words(&catalog(&operator, "openindex").await),
        [
            "admin > read_write ROLE_ADMIN TOKEN_KIND_AGENT",
            "read_write > authority:tokens.read authority:tokens.write",
        ]
    );
}

async fn what_is_only_looked_at_writes_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let client = Client::new(&t, &operator);
    t.tenant("odysseus", pb::TenantPolicy::default()).await;
    let path = path("odysseus");
    let before = (
        catalog(&operator, "odysseus").await,
        tenant(&operator, "odysseus").await,
        events(&operator, "odysseus").await,
    );
    let shown = client.run(&["catalog", "diff", &path]).await;
    assert_eq!(shown.code, Some(2), "{shown:?}");
    let differences = shown.out;
    for line in [
        "odysseus:\n",
        "~ tenant display_name: odysseus -> Odysseus\n",
        "~ policy unique_names: false -> true\n",
        "- scope admin\n",
        "+ scope todos:write\n    description: Create, change and delete to-dos\n    implies: todos:read\n",
        "- profile editor\n",
    ] {
        assert!(differences.contains(line), "no {line:?} in {differences}");
    }
    let dry = ["catalog", "apply", &path, "--dry-run"];
    let said = client.run(&dry).await.ok();
    assert_eq!(
        said,
        format!("{differences}A dry run: nothing was changed.\n")
    );
    let said = client.run(&["catalog", "apply", &path]).await.failed(64);
    assert!(
        said.contains("Change the tenant odysseus so?") && said.contains("--yes"),
        "{said}"
    );
    let json = ["catalog", "apply", &path, "--dry-run", "--json"];
    let json = client.run(&json).await.ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changed"], false);
    assert_eq!(json["tenantId"], "odysseus");
    let removed = serde_json::json!({"fate": "removed", "noun": "scope", "name": "admin"});
    let listed = json["differences"].as_array().unwrap();
    assert!(listed.contains(&removed), "{json:#}");
    // What is wrong is told whole, and nothing is asked of the server.
    let wrong = "[[scope]]\nname = 'a'\nimplied = []\n[policy]\nmax_ttl = 'long'\n";
    let said = client
        .run_with(&["catalog", "apply", "-", "--yes"], wrong)
        .await;
    let said = said.failed(64);
    assert!(said.contains("standard input has 2 problem(s):"), "{said}");
    assert!(
        said.contains("standard input:3: no such key \"implied\""),
        "{said}"
    );
    assert!(said.contains("standard input:5: \"long\""), "{said}");

    let after = (
        catalog(&operator, "odysseus").await,
        tenant(&operator, "odysseus").await,
        events(&operator, "odysseus").await,
    );
    assert_eq!(before, after);
}

async fn a_scope_in_use_stays_and_its_tokens_are_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let client = Client::new(&t, &operator);
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let created = acme.admin.issue("reads a\u{202e}lot", &["read"]).await;
    let token_id = created.token.unwrap().token_id;
    let file = "tenant = 'acme'\ndisplay_name = 'New'\n[[scope]]\nname = 'write'\n";
    let apply = ["catalog", "apply", "-", "--yes"];
    let said = client.run_with(&apply, file).await.failed(1);
    for expected in [
        "SCOPE_IN_USE",
        "  scope \"read\": an unrevoked token was granted",
        &format!("  {token_id} (reads a\\u{{202e}}lot) was granted read\n"),
        "token revoke",
        "  nothing was changed\n",
        "x-request-id: ",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert_eq!(catalog(&operator, "acme").await.scopes.len(), 3);
    assert_eq!(tenant(&operator, "acme").await.display_name, "acme");

    acme.admin.revoke("active", &token_id).await;
    client.run_with(&apply, file).await.ok();
    assert_eq!(catalog(&operator, "acme").await.scopes.len(), 1);
    assert_eq!(tenant(&operator, "acme").await.display_name, "New");
}

async fn a_document_is_of_the_tenant_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let client = Client::new(&t, &operator);
    t.tenant("acme", pb::TenantPolicy::default()).await;
    let zeta = t.tenant("zeta", pb::TenantPolicy::default()).await;
    let names = "tenant = 'acme'\n[[scope]]\nname = 'x'\n";
    let nameless = "[[scope]]\nname = 'y'\n";
    let apply = ["catalog", "apply", "-", "--yes"];
    let said = client.run_with(&apply, names).await.ok();
    assert!(said.starts_with("acme:\n"), "{said}");
    assert_eq!(words_of(&operator, "acme").await, ["x"]);
    // A flag wins, and so does one's own tenant where nothing names another.
    let flag = ["catalog", "diff", "-", "--tenant", "zeta"];
    let said = client.run_with(&flag, names).await;
    assert!(said.out.starts_with("zeta:\n"), "{said:?}");
    let admin = Client::new(&t, &zeta.admin);
    let said = admin.run_with(&apply, nameless).await.ok();
    assert!(said.starts_with("zeta:\n"), "{said}");
    assert_eq!(words_of(&operator, "zeta").await, ["y"]);
    // Another's document is no way into its tenant.
    let said = admin.run_with(&apply, names).await.failed(1);
    assert!(said.contains("TENANT_NOT_FOUND"), "{said}");
}

async fn words_of(operator: &Actor, tenant_id: &str) -> Vec<String> {
    let catalog = catalog(operator, tenant_id).await;
    catalog.scopes.into_iter().map(|scope| scope.name).collect()
}

async fn a_refused_rule_is_shown_with_its_line(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let client = Client::new(&t, &operator);
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    acme.admin.issue("a token", &[]).await;
    // The prefix stays, since there has been a token; the catalog is another matter.
    let file = "tenant = 'acme'\ntoken_prefix = 'new_'\n[[scope]]\nname = 'x'\n";
    let apply = ["catalog", "apply", "-", "--yes"];
    let said = client.run_with(&apply, file).await.failed(1);
    assert!(said.contains("PREFIX_IN_USE"), "{said}");
    assert!(
        said.contains("the catalog was changed as shown, names and rules were not"),
        "{said}"
    );
    assert_eq!(words_of(&operator, "acme").await, ["x"]);
    // What only the server can judge is shown with its line: with the present default.
    let file = "tenant = 'acme'\n[policy]\ndefault_ttl = '10d'\n";
    client.run_with(&apply, file).await.ok();
    let file = "tenant = 'acme'\n\n[policy]\nmax_ttl = '9d'\n";
    let said = client.run_with(&apply, file).await.failed(1);
    assert!(said.contains("TTL_TOO_LONG"), "{said}");
    assert!(
        said.contains("standard input:3: policy.default_ttl: "),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use super::*;

    both_backends!(
        an_edit_that_comes_between_is_not_overwritten,
        only_yes_is_yes,
    );

    async fn an_edit_that_comes_between_is_not_overwritten(backend: Backend) {
        let t = TestServer::start(backend).await;
        let operator = t.operator();
        let client = Client::new(&t, &operator);
        t.tenant("acme", pb::TenantPolicy::default()).await;
        client.file("acme.toml", "tenant = 'acme'\n[[scope]]\nname = 'mine'\n");
        let edit = async || {
            let request = pb::UpdateCatalogRequest {
                tenant_id: "acme".into(),
                catalog: Some(pb::Catalog {
                    scopes: vec![pb::Scope {
                        name: "theirs".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            };
            operator.update_catalog(request).await.unwrap();
        };
        let apply = ["catalog", "apply", "acme.toml"];
        let (code, said) = client.answer(&apply, edit, "y").await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ETAG_MISMATCH"), "{said}");
        assert!(
            said.contains("somebody changed it meanwhile; run this again"),
            "{said}"
        );
        assert_eq!(words_of(&operator, "acme").await, ["theirs"]);
        // So does an edit of the names alone, for the names.
        client.file(
            "acme.toml",
            "tenant = 'acme'\ndisplay_name = 'Mine'\n[[scope]]\nname = 'theirs'\n",
        );
        let edit = async || {
            let request = pb::UpdateTenantRequest {
                tenant_id: "acme".into(),
                display_name: "Theirs".into(),
                ..Default::default()
            };
            let call = operator.call(request);
            operator.tenants().update_tenant(call).await.unwrap();
        };
        let (code, said) = client.answer(&apply, edit, "y").await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ETAG_MISMATCH"), "{said}");
        assert_eq!(tenant(&operator, "acme").await.display_name, "Theirs");
    }

    async fn only_yes_is_yes(backend: Backend) {
        let t = TestServer::start(backend).await;
        let operator = t.operator();
        let client = Client::new(&t, &operator);
        t.tenant("acme", pb::TenantPolicy::default()).await;
        client.file("acme.toml", "tenant = 'acme'\n[[scope]]\nname = 'mine'\n");
        for (arguments, answer) in [
            (&["catalog", "apply", "acme.toml"][..], "n"),
            (&["tenant", "suspend", "acme"], ""),
            (&["tenant", "delete", "acme"], "yup"),
        ] {
            let (code, said) = client.answer(arguments, async || {}, answer).await;
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("nothing was done"), "{said}");
        }
        assert_eq!(catalog(&operator, "acme").await.scopes.len(), 3);
        let state = tenant(&operator, "acme").await.state();
        assert_eq!(state, pb::TenantState::Active);

        let suspend = ["tenant", "suspend", "acme"];
        let (code, said) = client.answer(&suspend, async || {}, "y").await;
        assert_eq!(code, Some(0), "{said}");
        let state = tenant(&operator, "acme").await.state();
        assert_eq!(state, pb::TenantState::Suspended);
    }
}
