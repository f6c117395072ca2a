//! `token` and `introspect`: every verb, for people and for programs.

use serde_json::json;

use super::client::{Client, field, mode};
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends! {
    a_value_is_alone_on_standard_output_and_worth_what_introspect_says,
    a_value_can_go_into_a_new_file_and_nowhere_else,
    tokens_are_listed_shown_and_explained,
    a_token_is_changed_and_rotated,
    tokens_are_revoked_alone_in_batches_and_all_at_once,
    an_exposed_value_is_revoked_by_nobody,
    the_token_that_one_calls_with_is_rotated_in_its_place,
    a_call_asked_again_is_not_made_twice,
}

async fn started(backend: Backend) -> (TestServer, Client) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::of(&t, acme.admin.value()).await;
    (t, client)
}

async fn id(client: &Client, arguments: &[&str]) -> String {
    let created = client
        .json(&[&["token", "create"], arguments].concat())
        .await;
    created["token"]["tokenId"].as_str().unwrap().to_owned()
}

async fn a_value_is_alone_on_standard_output_and_worth_what_introspect_says(backend: Backend) {
    let (t, client) = started(backend).await;
    let create = [
        "token",
        "create",
        "laptop",
        "--scope",
        "read",
        "--ttl",
        "90d",
        "--label",
        "team=search",
    ];
    let said = client.run(&create).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let value = said.out.trim_end();
    assert!(value.starts_with("acme_") && said.out == format!("{value}\n"));
    assert!(!said.err.contains(value) && said.err.contains("shown this once"));
    assert_eq!(field(&said.err, "ends"), "2026-04-01T00:00:00Z");

    let server = Client::of(&t, t.resource_server().await.value()).await;
    let ask = ["introspect", "--tenant", "acme", "--require", "read"];
    let said = server.ok_with(&ask, &format!("Bearer {value}\n")).await;
    assert_eq!(field(&said, "allowed"), "yes");
    assert_eq!(field(&said, "labels"), "team=search");
    let lacking = server
        .run_with(
            &["introspect", "--tenant", "acme", "--require", "write"],
            value,
        )
        .await;
    assert_eq!(lacking.code, Some(3), "{lacking:#?}");
    assert_eq!(field(&lacking.out, "missing"), "write");
    let dead = server.run_with(&ask, "acme_none").await;
    assert_eq!(
        (dead.code, &*dead.out),
        (Some(2), "allowed: no\nactive:  no\n")
    );
    // Who may not ask gets no answer, which is neither.
    let err = client.fails_with(1, &["introspect"], value).await;
    assert!(
        err.contains("PERMISSION_DENIED") && err.contains("authority:introspect"),
        "{err}"
    );
}

async fn a_value_can_go_into_a_new_file_and_nowhere_else(backend: Backend) {
    let (t, client) = started(backend).await;
    let create = [
        "token",
        "create",
        "laptop",
        "--scope",
        "read",
        "--value-to",
        "value",
    ];
    let said = client.run(&create).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let value = std::fs::read_to_string(client.path("value")).unwrap();
    assert_eq!(mode(&client.path("value")), 0o600);
    assert!(!said.out.contains(value.trim()) && !said.err.contains(value.trim()));
    let server = t.resource_server().await;
    assert!(server.introspect("acme", value.trim()).await.active);

    // A file that is there is left alone, and no token is made for it.
    let before = client.ok(&["token", "list"]).await;
    let err = client
        .fails(64, &["token", "create", "other", "--value-to", "value"])
        .await;
    assert!(err.contains("--value-to value: "), "{err}");
    assert_eq!(client.ok(&["token", "list"]).await, before);
    // Where no token is made, no file is left.
    client
        .fails(
            1,
            &[
                "token",
                "create",
                "other",
                "--scope",
                "none",
                "--value-to",
                "new",
            ],
        )
        .await;
    assert!(!client.path("new").exists());
    let json = client
        .json(&["token", "create", "other", "--value-to", "new"])
        .await;
    assert_eq!(json["value"], serde_json::Value::Null);
}

async fn tokens_are_listed_shown_and_explained(backend: Backend) {
    let (_t, client) = started(backend).await;
    let hostile = "a\u{202e}b";
    let token_id = id(&client, &[hostile, "--scope", "write"]).await;
    id(&client, &["hook", "--kind", "webhook"]).await;
    let listed = client.ok(&["token", "list"]).await;
    assert!(
        listed.contains("a\\u{202e}b") && !listed.contains(hostile),
        "{listed}"
    );
    assert!(
        listed.starts_with("TOKEN  ") && listed.contains(&token_id),
        "{listed}"
    );
    assert!(!listed.contains("hook"), "{listed}");
    // Page by page: what the line below the table says leads to the rest.
    let first = client.ok(&["token", "list", "--limit", "1"]).await;
    let (first, page_token) = first
        .trim_end()
        .split_once("\nThere are more: --page-token ")
        .unwrap();
    let rest = ["token", "list", "--page-token", page_token];
    let rest = client.ok(&rest).await;
    let rows = |table: &str| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let ids = |rows: Vec<String>| -> Vec<String> {
        let ids = rows.iter().map(|row| row.split(' ').next().unwrap());
        ids.map(str::to_owned).collect()
    };
    assert_eq!(ids([rows(first), rows(&rest)].concat()), ids(rows(&listed)));
    let json = client.json(&["token", "list", "--limit", "1"]).await;
    assert_eq!(json["nextPageToken"], page_token);
    let hooks = client.ok(&["token", "list", "--kind", "webhook"]).await;
    assert!(hooks.contains("hook"), "{hooks}");
    for filter in [
        ["--state", "disabled"],
        ["--name-contains", "zz"],
        ["--unused-since", "2027-01-01T00:00:00Z"],
        ["--expire-before", "2027-01-01T00:00:00Z"],
    ] {
        let none = client.ok(&[&["token", "list"], &filter[..]].concat()).await;
        assert_eq!(
            none.lines().count(),
            if filter[0] == "--unused-since" { 3 } else { 1 },
            "{none}"
        );
    }

    // As grpcurl prints it: names in lowerCamelCase, enums by name, what is empty left out.
    let json = client.json(&["token", "get", &token_id]).await;
    let token = &json["token"];
    assert_eq!(token["kind"], "TOKEN_KIND_API");
    assert_eq!(token["effectiveScopes"], json!(["read", "write"]));
    assert_eq!(token["name"], hostile);
    assert_eq!(token.get("expireTime"), None);
    let listed = client
        .json(&["token", "list", "--name-contains", "b"])
        .await;
    assert_eq!(listed, json!({ "tokens": [token] }));

    let said = client.ok(&["token", "get", &token_id]).await;
    assert_eq!(field(&said, "effective"), "read, write");
    let said = client
        .ok(&["token", "explain", &token_id, "--require", "admin"])
        .await;
    assert_eq!(field(&said, "missing"), "admin");
    assert!(
        said.contains("read   yes        no       -        write       -"),
        "{said}"
    );
    let said = client.ok_with(&["token", "explain"], "acme_zzz").await;
    assert_eq!(
        (field(&said, "active"), field(&said, "because")),
        ("no", "malformed")
    );
}

async fn a_token_is_changed_and_rotated(backend: Backend) {
    let (t, client) = started(backend).await;
    let token_id = id(&client, &["laptop", "--scope", "read", "--label", "a=b"]).await;
    let update = ["token", "update", &token_id];
    let err = client.fails(64, &update).await;
    assert!(err.contains("nothing is given"), "{err}");
    let changed = [
        "--name",
        "desk",
        "--scope",
        "write",
        "--expire-time",
        "2027-01-01T00:00:00Z",
        "--disable",
    ];
    let said = client.ok(&[&update[..], &changed].concat()).await;
    assert_eq!(
        (field(&said, "name"), field(&said, "state")),
        ("desk", "disabled")
    );
    assert_eq!(
        (field(&said, "labels"), field(&said, "ends")),
        ("a=b", "2027-01-01T00:00:00Z")
    );
    let cleared = ["--clear", "expire-time", "--clear", "labels", "--enable"];
    let said = client.ok(&[&update[..], &cleared].concat()).await;
    assert_eq!(
        (field(&said, "state"), field(&said, "ends")),
        ("active", "-")
    );
    assert!(!said.contains("labels"), "{said}");
    let err = client
        .fails(1, &[&update[..], &["--name", "x", "--etag", "1"]].concat())
        .await;
    assert!(
        err.contains("ETAG_MISMATCH") && err.contains("look at it again"),
        "{err}"
    );

    let said = client
        .run(&["token", "rotate", &token_id, "--grace", "1h"])
        .await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        field(&said.err, "in grace").ends_with("until 2026-01-01T01:00:00Z"),
        "{said:#?}"
    );
    let server = t.resource_server().await;
    assert!(server.introspect("acme", said.out.trim()).await.active);
}

async fn tokens_are_revoked_alone_in_batches_and_all_at_once(backend: Backend) {
    let (_t, client) = started(backend).await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(id(&client, &[name]).await);
    }
    let revoke = [
        "token",
        "revoke",
        &ids[0],
        "--reason",
        "no-longer-needed",
        "--reason-text",
        "moved",
    ];
    assert_eq!(
        field(&client.ok(&revoke).await, "revoked"),
        "2026-01-01T00:00:00Z"
    );
    let shown = client.ok(&["token", "get", &ids[0]]).await;
    assert!(
        field(&shown, "revoked").ends_with("no-longer-needed: moved"),
        "{shown}"
    );

    let missing = "tok_0000000000000000000000";
    let list = format!("{}\n\n {}\n{missing}\n", ids[0], ids[1]);
    let said = client.ok_with(&["token", "batch-revoke"], &list).await;
    assert_eq!(
        (field(&said, "revoked"), field(&said, "missing")),
        ("1", missing)
    );
    client.fails(64, &["token", "batch-revoke"]).await;
    // A thousand make a call; of a list with what is no id, none is made.
    let mut list = format!("{}\n", ids[2]) + &format!("{missing}\n").repeat(1000);
    list.push_str("tok_none\n");
    let err = client
        .fails_with(64, &["token", "batch-revoke"], &list)
        .await;
    assert!(err.contains("line 1002: tok_none: "), "{err}");
    let longest = "r".repeat(128);
    let again = ["token", "batch-revoke", "--request-id", &longest];
    client.ok_with(&again, missing).await;

    // Nobody is there to be asked.
    let err = client.fails(64, &["token", "revoke-all"]).await;
    assert!(
        err.contains("your own tenant") && err.contains("--yes"),
        "{err}"
    );
    let shown = client.ok(&["token", "get", &ids[2]]).await;
    assert_eq!(field(&shown, "state"), "active");
    client.ok(&["token", "revoke-all", "--yes"]).await;
    // The caller's own went with them.
    let err = client.fails(1, &["token", "get", &ids[2]]).await;
    assert!(err.contains("the token of the profile test"), "{err}");
}

async fn an_exposed_value_is_revoked_by_nobody(backend: Backend) {
    let (t, client) = started(backend).await;
    let value = client.ok(&["token", "create", "lost"]).await;
    let mut finder = Client::new();
    finder.set("TA_ADDRESS", t.address.to_string());
    for value in [value.as_str(), "acme_none"] {
        let said = finder.ok_with(&["token", "revoke-exposed"], value).await;
        assert!(said.starts_with("If it was a good value"), "{said}");
    }
    let server = t.resource_server().await;
    assert!(!server.introspect("acme", value.trim()).await.active);
}

async fn the_token_that_one_calls_with_is_rotated_in_its_place(backend: Backend) {
    let (t, client) = started(backend).await;
    let service = t.resource_server().await;
    let old = service.value().to_owned();
    std::fs::write(client.path("service"), &old).unwrap();
    let rotate = ["token", "rotate-current", "--token-file", "service"];
    let said = client.run(&rotate).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let new = std::fs::read_to_string(client.path("service")).unwrap();
    assert!(
        new.trim() != old && !said.out.contains(new.trim()),
        "{said:#?}"
    );
    client.ok(&["whoami", "--token-file", "service"]).await;

    // A link stays one, and the file behind it keeps its mode.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(client.path("service"), permissions).unwrap();
    std::os::unix::fs::symlink("service", client.path("link")).unwrap();
    client
        .ok(&["token", "rotate-current", "--token-file", "link"])
        .await;
    assert!(client.path("link").is_symlink());
    assert_eq!(mode(&client.path("service")), 0o640);
    let old = std::fs::read_to_string(client.path("service")).unwrap();
    // From standard input, it is for standard output.
    let rotate = ["token", "rotate-current", "--token-file", "-"];
    let new = client.ok_with(&rotate, &old).await;
    assert!(new.trim() != old.trim() && !client.path("-").exists());
    let to = [
        "token",
        "rotate-current",
        "--token-file",
        "-",
        "--value-to",
        "-",
    ];
    client.fails_with(64, &to, &new).await;

    let set = ["profile", "set", "service", "--token"];
    client.ok_with(&set, &new).await;
    client
        .ok(&[
            "profile",
            "set",
            "service",
            "--address",
            &t.address.to_string(),
        ])
        .await;
    client
        .ok(&["token", "rotate-current", "--profile", "service"])
        .await;
    client.ok(&["whoami", "--profile", "service"]).await;
    client
        .fails(1, &["whoami", "--token-file", "service"])
        .await;

    client
        .ok(&["token", "revoke-current", "--profile", "service"])
        .await;
    let err = client.fails(1, &["whoami", "--profile", "service"]).await;
    assert!(
        err.contains("does not know the token of the profile service"),
        "{err}"
    );
}

async fn a_call_asked_again_is_not_made_twice(backend: Backend) {
    let (_t, client) = started(backend).await;
    let create = [
        "token",
        "create",
        "a",
        "--expire-time",
        "30d",
        "--request-id",
    ];
    let create = [&create[..], &["first"]].concat();
    client.ok(&create).await;
    let err = client.fails(1, &create).await;
    assert!(err.contains("REQUEST_ALREADY_DONE"), "{err}");
    let twice = ["token", "create", "b", "--label", "a=1", "--label", "a=2"];
    let err = client.fails(64, &twice).await;
    assert!(err.contains("--label a is given more than once"), "{err}");
    let create = ["token", "create", "laptop", "--request-id", "mine"];
    let value = client.ok(&create).await;
    let err = client.fails(1, &create).await;
    assert!(
        err.contains("REQUEST_ALREADY_DONE") && err.contains("token rotate tok_"),
        "{err}"
    );
    assert!(!err.contains(value.trim()), "{err}");
    let listed = client
        .ok(&["token", "list", "--name-contains", "laptop"])
        .await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    // Judged alone, nothing is made.
    let said = client
        .ok(&["token", "create", "tablet", "--validate-only"])
        .await;
    assert!(said.contains("nothing was"), "{said}");
}
