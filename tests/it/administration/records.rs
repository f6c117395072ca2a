//! `tenant`, `user` and `member`: each verb, as people and as programs see it.

use token_authority::pb;

use super::Client;
use crate::support::{Backend, TestServer, both_backends};

both_backends!(
    a_tenant_goes_through_its_life,
    a_user_and_its_membership_go_through_their_lives,
    what_is_destroyed_is_destroyed_only_by_who_means_it,
    a_failure_names_the_flag_and_what_to_do,
    lists_are_whole_and_names_drive_no_terminal,
    a_change_that_is_asked_again_is_made_once,
);

/// Returns a field of a record.
fn field<'a>(record: &'a str, name: &str) -> &'a str {
    let name = format!("{name}:");
    let line = record.lines().find(|line| line.starts_with(&name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {record}"));
    line[name.len()..].trim()
}

async fn a_tenant_goes_through_its_life(backend: Backend) {
    let t = TestServer::start(backend).await;
    let client = Client::new(&t, &t.operator());
    let create = "tenant create acme --token-prefix acme_ --display-name Acme --expiry-required \
                  --max-ttl 90d --default-ttl 36h --max-tokens-per-user 5 --self-rotation=true \
                  --unique-names=false --token-management self-service --max-grace 0s \
                  --retention 30d --tokens-may-not-mint --admins-act-for-admins";
    let words: Vec<&str> = create.split_whitespace().collect();
    let created = client.run(&words).await.ok();
    let expected = [
        ("tenant", "acme"),
        ("name", "Acme"),
        ("state", "active"),
        ("prefix", "acme_"),
        ("token management", "self-service"),
        ("expiry required", "true"),
        ("default ttl", "1d 12h"),
        ("max ttl", "90d"),
        ("max tokens per user", "5"),
        ("unique names", "false"),
        ("tokens may not mint", "true"),
        ("admins act for admins", "true"),
        ("max grace", "0s"),
        ("self rotation", "true"),
        ("retention", "30d"),
    ];
    for (name, value) in expected {
        assert_eq!(field(&created, name), value, "{name}");
    }
    assert_eq!(client.run(&["tenant", "get", "acme"]).await.ok(), created);
    let flagged = ["tenant", "get", "--tenant", "acme"];
    assert_eq!(client.run(&flagged).await.ok(), created);

    // What is not given stays; what is unset goes.
    let etag = field(&created, "etag");
    let update = [
        "tenant",
        "update",
        "acme",
        "--default-ttl",
        "unset",
        "--max-ttl",
        "1d",
        "--expiry-required=false",
        "--etag",
        etag,
    ];
    let updated = client.run(&update).await.ok();
    assert_eq!(field(&updated, "default ttl"), "unset");
    assert_eq!(field(&updated, "max ttl"), "1d");
    assert_eq!(field(&updated, "expiry required"), "false");
    assert_eq!(field(&updated, "retention"), "30d");
    let said = client.run(&update).await.failed(1);
    assert!(said.contains("ETAG_MISMATCH"), "{said}");

    let suspended = client
        .run(&["tenant", "suspend", "acme", "--yes"])
        .await
        .ok();
    assert_eq!(field(&suspended, "state"), "suspended");
    let resumed = client.run(&["tenant", "resume", "acme"]).await.ok();
    assert_eq!(field(&resumed, "state"), "active");
    let deleted = client
        .run(&["tenant", "delete", "acme", "--yes"])
        .await
        .ok();
    assert_eq!(
        deleted,
        "The tenant acme is deleted, with all its tokens.\n"
    );
    let said = client.run(&["tenant", "get", "acme"]).await.failed(1);
    assert!(said.contains("TENANT_NOT_FOUND"), "{said}");
}

async fn a_user_and_its_membership_go_through_their_lives(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &acme.admin);
    let create = [
        "user",
        "create",
        "ada",
        "--display-name",
        "Ada L",
        "--role",
        "admin",
    ];
    let created = client.run(&create).await.ok();
    assert_eq!(field(&created, "external id"), "ada");
    assert_eq!(field(&created, "name"), "Ada L");
    assert_eq!(field(&created, "role"), "admin of acme");
    let user_id = field(&created, "user");
    assert_eq!(client.run(&["user", "get", user_id]).await.ok(), created);

    let update = [
        "user",
        "update",
        user_id,
        "--display-name",
        "",
        "--external-id",
        "ada2",
    ];
    let updated = client.run(&update).await.ok();
    assert_eq!(field(&updated, "name"), "-");
    assert_eq!(field(&updated, "external id"), "ada2");
    let listed = client
        .run(&["user", "list", "--external-id", "ada2"])
        .await
        .ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let suspended = client
        .run(&["user", "suspend", user_id, "--yes"])
        .await
        .ok();
    assert_eq!(field(&suspended, "state"), "suspended");
    let resumed = client.run(&["user", "resume", user_id]).await.ok();
    assert_eq!(field(&resumed, "state"), "active");

    let demoted = ["member", "update", user_id, "--role", "member"];
    let demoted = client.run(&demoted).await.ok();
    assert_eq!(field(&demoted, "role"), "member");
    let members = client.run(&["member", "list"]).await.ok();
    assert!(members.starts_with("USER "), "{members}");
    assert!(
        members.contains(&format!("{user_id}  member  ")),
        "{members}"
    );
    let removed = client
        .run(&["member", "remove", user_id, "--yes"])
        .await
        .ok();
    assert!(removed.contains("is no member any more"), "{removed}");
    let added = ["member", "add", user_id, "--role", "admin"];
    let added = client.run(&added).await.ok();
    assert_eq!(
        (field(&added, "tenant"), field(&added, "role")),
        ("acme", "admin")
    );

    let active = client
        .run(&["user", "set-active-tenant", "acme"])
        .await
        .ok();
    assert_eq!(field(&active, "active tenant"), "acme");
    let deleted = client.run(&["user", "delete", user_id, "--yes"]).await.ok();
    assert!(deleted.contains("all its tokens are revoked"), "{deleted}");
    let said = client.run(&["user", "get", user_id]).await.failed(1);
    assert!(said.contains("USER_NOT_FOUND"), "{said}");
}

async fn what_is_destroyed_is_destroyed_only_by_who_means_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &t.operator());
    for command in [
        ["tenant", "suspend", "acme"],
        ["tenant", "delete", "acme"],
        ["user", "suspend", &acme.admin_id],
        ["user", "delete", &acme.admin_id],
        ["member", "remove", &acme.admin_id],
    ] {
        let command = [&command[..], &["--tenant", "acme"]].concat();
        // An answer that nobody gave at a terminal is none.
        let said = client.run_with(&command, "y\n").await.failed(64);
        assert!(said.contains("say --yes if you mean it"), "{said}");
        assert!(
            said.contains("acme") || said.contains(&acme.admin_id),
            "{said}"
        );
    }
    let mut me = acme.admin.me();
    let me = me.who_am_i(acme.admin.call(pb::WhoAmIRequest {}));
    assert!(
        me.await.is_ok(),
        "the administrator's token is active as before"
    );
}

async fn a_failure_names_the_flag_and_what_to_do(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &acme.admin);
    let update = [
        "tenant",
        "update",
        "--max-ttl",
        "9000d",
        "--max-grace",
        "31d",
    ];
    let said = client.run(&update).await.failed(1);
    for expected in [
        "OUT_OF_RANGE",
        "  --max-ttl: ",
        "  --max-grace: ",
        "  x-request-id: ",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    let said = client.run(&["user", "get", "ada"]).await.failed(1);
    assert!(
        said.contains("  user_id: a user_id is usr_ and 22 characters"),
        "{said}"
    );
    for nothing in [&["tenant", "update"][..], &["user", "update", "x"]] {
        let said = client.run(nothing).await.failed(64);
        assert!(said.contains("nothing to change"), "{said}");
    }
    let said = client.run(&["tenant", "create"]).await.failed(64);
    assert!(said.contains("which tenant?"), "{said}");
    let said = client.run(&["tenant", "list"]).await.failed(1);
    assert!(said.contains("PERMISSION_DENIED"), "{said}");
    assert!(said.contains("authority:operator"), "{said}");
    let said = client
        .run(&["tenant", "update", "--max-ttl", "9"])
        .await
        .failed(64);
    assert!(said.contains("not a length such as 90d"), "{said}");
    let operator = Client::new(&t, &t.operator());
    let said = operator.run(&["tenant", "create", "zeta"]).await.failed(1);
    assert!(
        said.contains("  --token-prefix: the field must be given"),
        "{said}"
    );
}

async fn lists_are_whole_and_names_drive_no_terminal(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &acme.admin);
    let hostile = "a\u{202e}\u{200b}b";
    for number in 0..3 {
        let request = pb::CreateUserRequest {
            tenant_id: "acme".into(),
            external_id: format!("user-{number}"),
            display_name: hostile.into(),
            ..Default::default()
        };
        let mut users = acme.admin.users();
        users.create_user(acme.admin.call(request)).await.unwrap();
    }
    let listed = client.run(&["user", "list"]).await.ok();
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert_eq!(
        listed.matches("a\\u{202e}\\u{200b}b").count(),
        3,
        "{listed}"
    );
    assert!(!listed.contains('\u{202e}'), "{listed}");
    let json = client.run(&["user", "list", "--json"]).await.ok();
    assert!(!json.contains('\u{202e}'), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["users"].as_array().unwrap().len(), 4);
    assert_eq!(json["users"][0]["displayName"], hostile);

    let page = client
        .run(&["user", "list", "--limit", "3", "--json"])
        .await
        .ok();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["users"].as_array().unwrap().len(), 3);
    let token = page["nextPageToken"].as_str().unwrap();
    let rest = ["user", "list", "--page-token", token, "--json"];
    let rest = client.run(&rest).await.ok();
    let rest: serde_json::Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(rest["users"][0], json["users"][3]);
}

async fn a_change_that_is_asked_again_is_made_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &acme.admin);
    let create = ["user", "create", "ada", "--request-id", "mine"];
    let first = client.run(&create).await.ok();
    assert_eq!(client.run(&create).await.ok(), first);
    // Without one, each call is another.
    let said = client.run(&["user", "create", "ada"]).await.failed(1);
    assert!(said.contains("EXTERNAL_ID_TAKEN"), "{said}");
}
