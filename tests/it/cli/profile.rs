//! `profile` and `whoami`: where servers and tokens are kept, and which are called with.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::client::{Client, field, mode};
use crate::support::{Backend, Provider, TestServer, both_backends, self_service};

const FILE: &str = ".config/token-authority/profiles.toml";

both_backends! {
    a_profile_is_kept_for_its_owner_alone_and_says_no_more_than_the_hint,
    a_flag_wins_over_the_environment_and_that_over_the_profile,
    whoami_says_who_where_and_until_when,
    a_profile_may_keep_a_session_and_its_first_token_after_that,
}

async fn a_profile_is_kept_for_its_owner_alone_and_says_no_more_than_the_hint(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let value = acme.admin.value();
    let client = Client::of(&t, &format!("{value}\n")).await;
    assert_eq!(mode(&client.path(".config/token-authority")), 0o700);
    assert_eq!(mode(&client.path(FILE)), 0o600);

    client
        .ok(&["profile", "set", "test", "--tenant", "acme"])
        .await;
    let shown = client.ok(&["profile", "show"]).await;
    assert_eq!(field(&shown, "address"), t.address.to_string());
    assert_eq!(field(&shown, "tenant"), "acme");
    assert_eq!(field(&shown, "token"), format!("{}…", &value[..13]));
    let listed = client.ok(&["profile", "list"]).await;
    let json = client.json(&["profile", "show"]).await;
    let expected = json!({
        "name": "test", "inUse": true, "address": t.address.to_string(),
        "tokenHint": &value[..13], "tenant": "acme",
    });
    assert_eq!(json, json!({ "profile": expected }));
    let all = client.json(&["profile", "list"]).await;
    assert_eq!(all, json!({ "profiles": [expected] }));
    for said in [shown, listed] {
        assert!(!said.contains(value), "{said}");
    }

    client.ok(&["profile", "set", "other"]).await;
    let err = client.fails(64, &["profile", "use", "none"]).await;
    assert_eq!(
        err,
        "token-authority: no profile \"none\"\n  there are: other, test\n"
    );
    client.ok(&["profile", "use", "other"]).await;
    let err = client
        .fails(1, &["whoami", "--address", &t.address.to_string()])
        .await;
    assert!(err.contains("no token was given"), "{err}");
    client.ok(&["whoami", "--profile", "test"]).await;
    client.ok(&["profile", "remove", "test"]).await;
    assert!(
        !std::fs::read_to_string(client.path(FILE))
            .unwrap()
            .contains("token =")
    );

    // What others could read or replace is not called with.
    let permit = |name: &str, mode| {
        std::fs::set_permissions(client.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    permit(FILE, 0o640);
    let err = client.fails(64, &["whoami"]).await;
    assert!(
        err.contains("can be read by others") && err.contains("chmod 600 "),
        "{err}"
    );
    permit(FILE, 0o600);
    permit(".config/token-authority", 0o777);
    let err = client.fails(64, &["whoami"]).await;
    assert!(
        err.contains("can be changed by others") && err.contains("chmod 700 "),
        "{err}"
    );
}

async fn a_flag_wins_over_the_environment_and_that_over_the_profile(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let other = t.tenant("other", self_service()).await;
    let mut client = Client::of(&t, acme.admin.value()).await;
    std::fs::write(client.path("token"), format!("{}\n", t.operator().value())).unwrap();
    let tenant = async |client: &Client, arguments: &[&str]| {
        let said = client.ok(&[&["whoami"], arguments].concat()).await;
        field(&said, "tenant").to_owned()
    };
    assert_eq!(tenant(&client, &[]).await, "acme");
    client.set("TA_TOKEN", other.admin.value());
    assert_eq!(tenant(&client, &[]).await, "other");
    assert_eq!(
        tenant(&client, &["--token-file", "token"]).await,
        "authority"
    );
    // One that is asked for by name is called with its own token.
    assert_eq!(tenant(&client, &["--profile", "test"]).await, "acme");
    client.set("TA_TOKEN_FILE", "token");
    let err = client.fails(64, &["whoami"]).await;
    assert!(
        err.contains("TA_TOKEN and TA_TOKEN_FILE are both set"),
        "{err}"
    );
    client.set("TA_TOKEN", "");
    assert_eq!(tenant(&client, &[]).await, "authority");
    client.set("TA_PROFILE", "none");
    client.fails(64, &["whoami"]).await;
}

async fn whoami_says_who_where_and_until_when(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::of(&t, acme.admin.value()).await;
    let said = client.ok(&["whoami"]).await;
    assert_eq!(field(&said, "server"), format!("http://{}", t.address));
    assert_eq!(field(&said, "profile"), "test");
    assert_eq!(field(&said, "user"), format!("admin ({})", acme.admin_id));
    assert_eq!(field(&said, "scopes"), "authority:tenant.admin");
    assert_eq!(field(&said, "ends"), "-");
    assert_eq!(field(&said, "member of"), "acme (admin)");
    let json = client.json(&["whoami"]).await;
    assert_eq!(json["user"]["externalId"], "admin");
    assert_eq!(json["token"]["state"], "TOKEN_STATE_ACTIVE");
    assert_eq!(json["token"]["createTime"], "2026-01-01T00:00:00Z");

    // Not loopback by its name. What a profile allows, it allows for its own address.
    let address = format!("http://0.0.0.0:{}", t.address.port());
    let set = [
        "profile",
        "set",
        "test",
        "--plaintext",
        "--token",
        "--address",
        &address,
    ];
    client.ok_with(&set, acme.admin.value()).await;
    client.ok(&["whoami"]).await;
    let err = client
        .fails(64, &["whoami", "--address", "http://0.0.0.0:1"])
        .await;
    assert!(err.contains("plain text over a network"), "{err}");
    // Nor does it outlive it.
    let moved = ["profile", "set", "test", "--address", "http://0.0.0.0:1"];
    let err = client.fails(64, &moved).await;
    assert!(err.contains("give that one's with it"), "{err}");
    let moved = [&moved[..], &["--token"]].concat();
    let err = client.fails_with(64, &moved, acme.admin.value()).await;
    assert!(err.contains("add --plaintext"), "{err}");
    client.ok(&["whoami"]).await;
}

#[tokio::test]
async fn a_profiles_token_goes_to_its_server_alone() {
    let mut client = Client::new();
    let mut servers = Vec::new();
    for name in ["own", "none"] {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap().to_string();
        let set = ["profile", "set", name, "--address", &address];
        if name == "own" {
            client
                .ok_with(&[&set[..], &["--token"]].concat(), "secret")
                .await;
        } else {
            client.ok(&set).await;
        }
        servers.push(own);
    }
    client
        .ok_with(&["profile", "set", "bare", "--token"], "secret")
        .await;
    client.ok(&["profile", "use", "own"]).await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let refused = async |client: &Client, arguments: &[&str], expected: &str| {
        let err = client.fails(64, &[&["whoami"], arguments].concat()).await;
        assert!(err.contains(expected), "{err}");
    };
    let is_own = "the token of the profile own is for ";
    refused(&client, &["--address", &address], is_own).await;
    refused(
        &client,
        &["--profile", "own", "--address", &address],
        is_own,
    )
    .await;
    let is_bare = "the token of the profile bare is for ";
    refused(
        &client,
        &["--profile", "bare", "--address", &address],
        is_bare,
    )
    .await;
    client.set("TA_ADDRESS", &address);
    refused(&client, &[], is_own).await;
    client.set("TA_PROFILE", "bare");
    refused(&client, &[], is_bare).await;
    client.set("TA_TOKEN", "another");
    let is_none = "the profile none has no token, and TA_TOKEN is not for it";
    refused(&client, &["--profile", "none"], is_none).await;
    // Nobody was so much as connected to.
    for server in servers.iter().chain([&other]) {
        server.set_nonblocking(true).unwrap();
        let came = server.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(came, Err(std::io::ErrorKind::WouldBlock));
    }
}

#[tokio::test]
async fn a_home_that_is_none_has_no_profiles() {
    let mut client = Client::new();
    client.set("HOME", "/dev/null");
    client.set("TA_TOKEN", "secret");
    let err = client
        .fails(1, &["whoami", "--address", "127.0.0.1:1"])
        .await;
    assert!(err.contains("no connection to"), "{err}");
    let err = client.fails(64, &["whoami", "--timeout", "12000y"]).await;
    assert!(err.contains("must be a day or less"), "{err}");
}

#[tokio::test]
async fn a_directory_that_others_can_change_gets_no_token() {
    let client = Client::new();
    let directory = client.path(".config/token-authority");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    let set = ["profile", "set", "a", "--token"];
    let err = client.fails_with(64, &set, "secret").await;
    assert!(err.contains("can be changed by others"), "{err}");
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
}

#[tokio::test]
async fn what_could_not_be_called_with_is_not_kept() {
    let client = Client::new();
    for (arguments, expected) in [
        (&["--address", "tokens.example.com"][..], "has no port"),
        (
            &["--address", "http://tokens.example.com:1"],
            "add --plaintext",
        ),
        (&["--ca", "none.pem"], "none.pem: No such file"),
        (&["--client-cert", "."], "go together"),
        (&["--token"], "the token is empty"),
    ] {
        let arguments = [&["profile", "set", "a"], arguments].concat();
        let err = client.fails(64, &arguments).await;
        assert!(err.contains(expected), "{err}");
    }
    let set = ["profile", "set", "a", "--token"];
    let err = client.fails_with(64, &set, "two words").await;
    assert!(err.contains("no token, by its characters"), "{err}");
    assert!(!client.path(FILE).exists());
    client.fails(64, &["profile", "set", "a/b"]).await;
}

async fn a_profile_may_keep_a_session_and_its_first_token_after_that(backend: Backend) {
    let provider = Provider::start("https://id.example").await;
    let trust = provider.trust();
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let admin = Client::of(&t, acme.admin.value()).await;
    // The document of a tenant says whose sessions it takes.
    let document = "[policy]\nadmitted_trusts = [\"main\"]\n\n[policy.oidc_trust]\n\
                    issuer = \"https://own.example\"\naudience = \"own\"\n\
                    jwks_url = \"https://own.example/keys\"\n\
                    required_claims = { typ = \"Bearer\" }\n";
    std::fs::write(admin.path("acme.toml"), document).unwrap();
    let apply = ["catalog", "apply", "acme.toml", "--tenant", "acme", "--yes"];
    admin.ok(&apply).await;
    assert!(admin.ok(&apply).await.contains("nothing"));
    let shown = admin.ok(&["tenant", "get", "acme"]).await;
    assert_eq!(field(&shown, "admitted trusts"), "[\"main\"]");
    assert_eq!(
        field(&shown, "oidc trust"),
        "{ issuer = \"https://own.example\", audience = \"own\", \
         required_claims = { \"typ\" = \"Bearer\" }, jwks_url = \"https://own.example/keys\" }"
    );

    let session = provider.session(&t, "alice");
    let client = Client::of(&t, &session).await;
    client
        .ok(&["profile", "set", "test", "--tenant", "acme"])
        .await;
    let profile = client.ok(&["profile", "show"]).await;
    assert_eq!(field(&profile, "token"), "a session, kept until it ends");
    assert!(!profile.contains(&session), "{profile}");
    let value = client.ok(&["token", "create", "first"]).await;
    let said = client.ok(&["whoami"]).await;
    assert_eq!(field(&said, "session of"), "installation/main");
    assert_eq!(field(&said, "role"), "member");
    assert_eq!(field(&said, "ends"), "2026-01-01T00:05:00Z");
    assert_eq!(field(&said, "member of"), "acme (member)");
    let listed = admin.ok(&["audit", "list"]).await;
    assert!(listed.contains("installation/main (usr_"), "{listed}");
    let client = Client::of(&t, &value).await;
    let said = client.ok(&["whoami"]).await;
    assert!(field(&said, "token").ends_with("(first)"), "{said}");
}
