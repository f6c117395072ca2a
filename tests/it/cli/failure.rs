//! What a person reads when something went wrong, and what to do next.

use super::client::Client;
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends! {
    each_violation_is_told_by_its_flag,
    a_refusal_says_what_it_takes,
    no_value_is_repeated,
}

async fn each_violation_is_told_by_its_flag(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::of(&t, acme.admin.value()).await;
    let wrong = [
        "token",
        "create",
        "a\tb",
        "--scope",
        "read",
        "--scope",
        "none",
        "--ttl",
        "0s",
        "--user",
        "usr_none",
        "--scope-profile",
        "none",
        "--label",
        "=x",
        "--agent-id",
        "a",
    ];
    let err = client.fails(1, &wrong).await;
    for expected in [
        "  name: a name has 1 to 100 characters",
        "  --user: a user_id is usr_ and 22 characters",
        "  --label: a label's key",
        "  x-request-id: ",
    ] {
        assert!(err.contains(expected), "no {expected:?} in {err}");
    }
    let err = client
        .fails(
            1,
            &["token", "create", "a", "--scope", "read", "--scope", "none"],
        )
        .await;
    assert!(err.starts_with("token-authority: UNKNOWN_SCOPE: "), "{err}");
    assert!(
        err.contains("  --scope[1]: the tenant's catalog has no such scope\n"),
        "{err}"
    );
    for (arguments, expected) in [
        (
            &["token", "create", "a", "--ttl", "soon"][..],
            "not a length such as 90d",
        ),
        (&["token", "create", "a", "--label", "b"], "not KEY=VALUE"),
        (
            &["token", "list", "--state", "lost"],
            "possible values: active",
        ),
        (
            &["token", "list", "--timeout", "0s"],
            "must be more than none",
        ),
        (
            &["token", "list", "--address", "ftp://a"],
            "neither http:// nor https://",
        ),
    ] {
        let err = client.fails(64, arguments).await;
        assert!(err.contains(expected), "{err}");
    }
}

async fn a_refusal_says_what_it_takes(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let member = t.member(&acme, "ada", &["authority:tokens.read"]).await;
    let client = Client::of(&t, member.actor.value()).await;
    let err = client.fails(1, &["token", "create", "a"]).await;
    assert!(
        err.starts_with("token-authority: PERMISSION_DENIED: the caller may not do this\n"),
        "{err}"
    );
    assert!(err.contains("authority:tokens.write"), "{err}");
    let err = client.fails(1, &["token", "revoke-all", "--yes"]).await;
    assert!(
        err.contains("it needs a token with the scope authority:tenant.admin"),
        "{err}"
    );
    let err = client
        .fails(1, &["token", "get", "tok_0000000000000000000000"])
        .await;
    assert!(
        err.starts_with("token-authority: TOKEN_NOT_FOUND: there is no such token\n"),
        "{err}"
    );
    std::fs::write(client.path("token"), member.actor.value()).unwrap();
    let elsewhere = ["whoami", "--token-file", "token", "--address"];
    let err = client
        .fails(1, &[&elsewhere[..], &["127.0.0.1:1"]].concat())
        .await;
    assert!(
        err.contains("no connection to http://127.0.0.1:1: "),
        "{err}"
    );
    assert!(
        err.contains("does the server run?") && err.contains("the profile is test"),
        "{err}"
    );
    let address = format!("https://{}", t.address);
    let err = client
        .fails(1, &[&elsewhere[..], &[&address]].concat())
        .await;
    assert!(err.contains("it answers in plain text"), "{err}");
}

async fn no_value_is_repeated(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::of(&t, acme.admin.value()).await;
    let value = client.ok(&["token", "create", "laptop"]).await;
    let value = value.trim();
    for arguments in [
        &["token", "get", value][..],
        &["token", "revoke", value],
        &["token", "list", "--hint", value],
        &["introspect", value],
        &["whoami", "--token-file", value],
        &["whoami", "--profile", value],
        &["profile", "use", value],
        &["profile", "set", "x", "--token", value],
        &["profile", "set", "x", "--token-file", value],
        &["token", "create", "x", "--value-to", value],
    ] {
        let err = client.fails(64, arguments).await;
        assert!(
            !err.contains(value) && err.contains("shell's history"),
            "{err}"
        );
    }
    let err = client.fails(1, &["token", "create", value]).await;
    assert!(
        !err.contains(value) && err.contains("TOKEN_VALUE_IN_TEXT"),
        "{err}"
    );
    let err = client
        .fails_with(64, &["token", "batch-revoke"], value)
        .await;
    assert!(!err.contains(value), "{err}");
    std::fs::write(client.path("value"), value).unwrap();
    let found = client.ok(&["token", "list", "--value-file", "value"]).await;
    assert!(
        found.contains("laptop") && !found.contains(value),
        "{found}"
    );
}

#[tokio::test]
async fn an_answer_that_begins_and_never_ends_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(connection).await.unwrap();
        let mut begun = Vec::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let answer = http::Response::builder().header("content-type", "application/grpc");
            let answer = answer.body(()).unwrap();
            begun.push(respond.send_response(answer, false).unwrap());
        }
    });
    let client = Client::new();
    let ask = ["whoami", "--address", &address, "--timeout", "500ms"];
    let err = client.fails(1, &ask).await;
    assert!(
        err.contains("no answer from") && err.contains("in time"),
        "{err}"
    );
    server.await.unwrap();
}
