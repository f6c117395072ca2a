//! `invite`: each verb, as people and as programs see it.

use super::Client;
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends!(
    a_guest_joins_by_what_an_administrator_was_given,
    an_invite_is_listed_and_revoked,
    who_exists_is_invited_by_its_id_and_given_no_token,
    a_value_can_go_into_a_new_file_and_nowhere_else,
    a_call_asked_again_gives_no_second_value,
    what_is_wrong_is_said_of_the_flag_that_it_came_by,
);

/// Returns a field of a record.
fn field<'a>(record: &'a str, name: &str) -> &'a str {
    let name = format!("{name}:");
    let line = record.lines().find(|line| line.starts_with(&name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {record}"));
    line[name.len()..].trim()
}

async fn started(backend: Backend) -> (TestServer, Client) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::new(&t, &acme.admin);
    (t, client)
}

async fn a_guest_joins_by_what_an_administrator_was_given(backend: Backend) {
    let (t, client) = started(backend).await;
    let create = "invite create ada --display-name Ada --role member --ttl 3d --first-token laptop \
                  --scope read --first-token-ttl 90d --label team=search";
    let words: Vec<&str> = create.split_whitespace().collect();
    let made = client.run(&words).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let value = made.out.trim_end();
    assert!(value.starts_with("inv_") && made.out == format!("{value}\n"));
    assert!(!made.err.contains(value) && made.err.contains("shown this once"));
    for (name, expected) in [
        ("tenant", "acme"),
        ("state", "open"),
        ("role", "member"),
        ("external id", "ada"),
        ("name", "Ada"),
        ("first token", "laptop"),
        ("scopes", "read"),
        ("lives", "90d"),
        ("ends", "2026-01-04T00:00:00Z"),
    ] {
        assert_eq!(field(&made.err, name), expected, "{name}");
    }

    // A guest has no token; what this machine calls with is not shown to the server.
    client.file("token", "nonsense");
    let claimed = client.run_with(&["invite", "claim"], &made.out).await;
    assert_eq!(claimed.code, Some(0), "{claimed:?}");
    let first = claimed.out.trim_end();
    assert!(first.starts_with("acme_") && claimed.out == format!("{first}\n"));
    assert!(!claimed.err.contains(first) && !claimed.err.contains(value));
    for (name, expected) in [
        ("external id", "ada"),
        ("tenant", "acme"),
        ("role", "member"),
        ("name", "laptop"),
        ("ends", "2026-04-01T00:00:00Z"),
    ] {
        assert_eq!(field(&claimed.err, name), expected, "{name}");
    }
    let answer = t.resource_server().await.introspect("acme", first).await;
    assert!(answer.active);
    assert_eq!(answer.user_id, field(&claimed.err, "user"));

    let again = client.run_with(&["invite", "claim"], value).await;
    let said = again.failed(1);
    assert!(said.contains("INVITE_NOT_FOUND"), "{said}");
    assert!(!said.contains(value), "{said}");
}

async fn an_invite_is_listed_and_revoked(backend: Backend) {
    let (_t, client) = started(backend).await;
    let create = ["invite", "create", "ada", "--json"];
    let made = client.run(&create).await.ok();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let invite_id = made["invite"]["inviteId"].as_str().unwrap();
    let value = made["value"].as_str().unwrap();
    let listed = client.run(&["invite", "list"]).await.ok();
    assert!(listed.starts_with("INVITE "), "{listed}");
    let row = format!("{invite_id}  open   ada  member  inv_");
    assert!(listed.contains(&row), "{listed}");
    assert!(!listed.contains(value), "{listed}");

    let revoked = client.run(&["invite", "revoke", invite_id]).await.ok();
    assert_eq!(field(&revoked, "state"), "revoked");
    assert_eq!(field(&revoked, "revoked"), "2026-01-01T00:00:00Z");
    for (state, lines) in [("open", 1), ("revoked", 2)] {
        let listed = client.run(&["invite", "list", "--state", state]).await;
        assert_eq!(listed.ok().lines().count(), lines, "{state}");
    }
    let said = client.run_with(&["invite", "claim"], value).await;
    assert!(said.failed(1).contains("INVITE_NOT_FOUND"));
    // A value is no id, and is not repeated.
    let said = client.run(&["invite", "revoke", value]).await.failed(64);
    assert!(said.contains("begins with ivt_"), "{said}");
    assert!(!said.contains(value), "{said}");
}

async fn who_exists_is_invited_by_its_id_and_given_no_token(backend: Backend) {
    let (_t, client) = started(backend).await;
    let created = client.run(&["user", "create", "ada"]).await.ok();
    let user_id = field(&created, "user");
    client
        .run(&["member", "remove", user_id, "--yes"])
        .await
        .ok();
    let made = client.run(&["invite", "create", "--user", user_id]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    client.file("value", &made.out);
    let claim = ["invite", "claim", "--value-file", "value"];
    let claim = [&claim[..], &["--value-to", "first"]].concat();
    let claimed = client.run(&claim).await.ok();
    assert_eq!(field(&claimed, "user"), user_id);
    assert!(!claimed.contains("token:"), "{claimed}");
    // There is no value, and so no file.
    assert!(!client.path("first").exists());
}

async fn a_value_can_go_into_a_new_file_and_nowhere_else(backend: Backend) {
    let (t, client) = started(backend).await;
    let create = ["invite", "create", "ada", "--first-token", "first"];
    let made = client
        .run(&[&create[..], &["--value-to", "invite"]].concat())
        .await
        .ok();
    let value = std::fs::read_to_string(client.path("invite")).unwrap();
    assert!(!made.contains(value.trim()), "{made}");
    // Without a place for the token's value nothing is claimed.
    let claim = ["invite", "claim", "--value-file", "invite", "--value-to"];
    let said = client.run(&[&claim[..], &["invite"]].concat()).await;
    assert!(said.failed(64).contains("--value-to invite: "));
    let said = client.run(&[&claim[..], &["first"]].concat()).await.ok();
    let first = std::fs::read_to_string(client.path("first")).unwrap();
    assert!(!said.contains(first.trim()), "{said}");
    let server = t.resource_server().await;
    assert!(server.introspect("acme", first.trim()).await.active);
}

async fn a_call_asked_again_gives_no_second_value(backend: Backend) {
    let (_t, client) = started(backend).await;
    let create = ["invite", "create", "ada", "--request-id", "r-1", "--json"];
    let made = client.run(&create).await.ok();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let invite_id = made["invite"]["inviteId"].as_str().unwrap();
    let said = client.run(&create).await.failed(1);
    assert!(said.contains("REQUEST_ALREADY_DONE"), "{said}");
    let hint = format!("token-authority invite revoke {invite_id}");
    assert!(said.contains(&hint), "{said}");
    let listed = client.run(&["invite", "list"]).await.ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

async fn what_is_wrong_is_said_of_the_flag_that_it_came_by(backend: Backend) {
    let (t, client) = started(backend).await;
    let create = [
        "invite",
        "create",
        "",
        "--ttl",
        "31d",
        "--first-token",
        "",
        "--scope",
        "none",
        "--first-token-ttl",
        "9000d",
    ];
    let said = client.run(&create).await.failed(1);
    for expected in [
        "  external_id: ",
        "  --ttl: ",
        "  --first-token: ",
        "  --scope[0]: ",
        "  --first-token-ttl: ",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    for wrong in [
        &["invite", "create"][..],
        &["invite", "create", "ada", "--user", "usr_x"],
        &["invite", "create", "ada", "--scope", "read"],
    ] {
        client.run(wrong).await.failed(64);
    }
    let said = client.run(&["invite", "revoke", "x"]).await.failed(1);
    assert!(said.contains("  invite_id: "), "{said}");
    // Whether it was claimed can't be known where nobody answered.
    let made = client.run(&["invite", "create", "ada"]).await;
    let slow = ["invite", "claim", "--timeout", "1ms"];
    let mut raw = t.database.raw().await;
    let hold = match backend {
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN; UPDATE tenants SET updated_at = updated_at",
    };
    raw.execute(hold).await.unwrap();
    let said = client.run_with(&slow, &made.out).await.failed(1);
    raw.execute("ROLLBACK").await.unwrap();
    assert!(
        said.contains("whether it was claimed is not known"),
        "{said}"
    );
}
