//! `token import`: from a file, in parts, again, and of what is wrong each line.

use std::time::Duration;

use token_authority::pb;

use super::Client;
use crate::support::import::{foreign, hash};
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends!(
    a_file_is_imported_once_however_often,
    what_is_there_already_is_left_out_and_the_rest_imported,
    what_is_wrong_is_told_by_its_line,
);

/// Returns a line about a value.
fn line(number: usize, more: &str) -> String {
    let value = foreign("acme", number);
    let (hint, hash) = (&value[..24], hash(&value));
    format!(r#"{{"secret_hash":"{hash}","hint":"{hint}","name":"{number}",{more}}}"#)
}

async fn a_file_is_imported_once_however_often(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let server = t.resource_server().await;
    let client = Client::new(&t, &acme.admin);
    let mut lines = vec![
        line(0, r#""user_external_id":"alice","scopes":["read"]"#),
        String::new(),
        line(1, &format!(r#""user_id":"{}","ttl":"30d""#, alice.user_id)),
    ];
    // More than a part has.
    lines.extend((2..1002).map(|number| line(number, r#""kind":"service""#)));
    client.file("tokens", &lines.join("\n"));
    let judged = client
        .run(&["token", "import", "tokens", "--validate-only"])
        .await;
    assert_eq!(judged.ok(), "1002 could be imported; nothing was.\n");
    assert!(!server.introspect("acme", &foreign("acme", 0)).await.active);

    let import = ["token", "import", "tokens"];
    let done = client.run(&import).await.ok();
    assert!(done.contains("imported:"), "{done}");
    assert!(done.contains("1002"), "{done}");
    for (number, user_id) in [(0, &*alice.user_id), (1, &alice.user_id), (1001, "")] {
        let answer = server.introspect("acme", &foreign("acme", number)).await;
        assert!(answer.active);
        assert_eq!(
            (&*answer.user_id, answer.name),
            (user_id, number.to_string())
        );
    }
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM secrets WHERE lookup IS NULL";
    assert_eq!(t.database.texts(count).await, ["1002"]);
    client.run(&import).await.ok();
    assert_eq!(t.database.texts(count).await, ["1002"]);
    // Nor after a line was added.
    lines.push(line(1002, r#""kind":"service""#));
    let again = client
        .run_with(&["token", "import", "-"], &lines[..1001].join("\n"))
        .await;
    let again = again.ok();
    assert!(again.contains("imported before:"), "{again}");
    assert_eq!(t.database.texts(count).await, ["1002"]);
}

async fn what_is_there_already_is_left_out_and_the_rest_imported(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        // So that what is there has its name, too.
        unique_names: true,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let own = |number| line(number, &format!(r#""user_id":"{}""#, alice.user_id));
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM secrets WHERE lookup IS NULL";
    let client = Client::new(&t, &acme.admin);
    let import = ["token", "import", "-"];
    let told = |said: &str| {
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let (told, _) = words.split_once(" revision").unwrap();
        told.to_owned()
    };
    let file = |numbers: &[usize]| {
        numbers
            .iter()
            .copied()
            .map(own)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let first = client.run_with(&import, &file(&[0, 1, 2])).await.ok();
    assert_eq!(told(&first), "imported: 3 imported before: 0");
    // By another token of the tenant, under no id that is known, and of other lines.
    let boss = t
        .operator()
        .create_user("acme", "boss", pb::Role::Admin)
        .await;
    let colleague = t.token_of("acme", &boss, &["authority:tenant.admin"]).await;
    let colleague = Client::new(&t, &colleague);
    let again = colleague.run_with(&import, &file(&[0, 1, 2])).await.ok();
    assert_eq!(told(&again), "imported: 0 imported before: 3");
    // The same lines in another tenant are another import.
    let globex = t.tenant("globex", self_service()).await;
    let here = ["token", "import", "-", "--tenant", "acme"];
    let there = ["token", "import", "-", "--tenant", "globex"];
    let operator = Client::new(&t, &t.operator());
    let services = line(7, r#""kind":"service""#);
    operator.run_with(&here, &services).await.ok();
    let said = operator.run_with(&there, &services).await.failed(1);
    assert!(said.contains("INVALID_HINT"), "{said} {}", globex.tenant_id);
    t.advance(Duration::from_secs(25 * 60 * 60));
    let judge = ["token", "import", "-", "--validate-only"];
    let judged = client.run_with(&judge, &file(&[3, 2, 1, 0])).await.ok();
    assert_eq!(
        judged,
        "1 could be imported; nothing was. 3 were imported before.\n"
    );
    for given in [
        &import[..],
        &["token", "import", "-", "--request-id", "moved"],
    ] {
        let numbers = if given.len() == 3 {
            [3, 2, 1]
        } else {
            [4, 3, 2]
        };
        for imported in [1, 0] {
            let moved = client.run_with(given, &file(&numbers)).await.ok();
            let before = 3 - imported;
            let expected = format!("imported: {imported} imported before: {before}");
            assert_eq!(told(&moved), expected);
        }
    }
    assert_eq!(t.database.texts(count).await, ["6"]);
    // What is wrong with the others is told by the file's lines.
    let wrong = line(6, r#""kind":"service","scopes":["nowhere"]"#);
    let wrong = format!("{}\n{wrong}", file(&[1, 2, 5]));
    let said = client.run_with(&import, &wrong).await.failed(1);
    assert!(said.contains("line 4: scopes[0]: "), "{said}");
    assert!(!said.contains("line 1"), "{said}");
    assert_eq!(t.database.texts(count).await, ["6"]);
}

async fn what_is_wrong_is_told_by_its_line(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::new(&t, &acme.admin);
    let lines = [
        line(0, r#""kind":"service""#),
        String::new(),
        line(1, r#""kind":"service","scopes":["nowhere"]"#),
        line(2, r#""user_id":"""#),
    ];
    client.file("tokens", &lines.join("\n"));
    let said = client.run(&["token", "import", "tokens"]).await.failed(1);
    assert!(said.contains("UNKNOWN_SCOPE"), "{said}");
    assert!(said.contains("line 3: scopes[0]: "), "{said}");
    assert!(said.contains("line 4: user_id: "), "{said}");
    let judge = ["token", "import", "tokens", "--validate-only"];
    let judged = client.run(&judge).await.failed(1);
    assert!(judged.contains("line 3: scopes[0]: "), "{judged}");
    assert!(judged.contains("nothing was"), "{judged}");

    // What the server need not see, and nothing of it repeated.
    let secret = hash("secret");
    client.file("tokens", &format!("{}\n\"{secret}\"\n{{}}\n", lines[0]));
    let said = client.run(&["token", "import", "tokens"]).await;
    assert!(said.code != Some(0));
    assert!(said.err.contains("line 2: not an object"), "{said:?}");
    assert!(said.err.contains("line 3: missing field"), "{said:?}");
    assert!(!said.err.contains(&secret), "{said:?}");
    client.file("tokens", &line(0, r#""user_external_id":"nobody""#));
    let said = client.run(&["token", "import", "tokens"]).await;
    assert!(said.err.contains("line 1: user_external_id: "), "{said:?}");
    let none = "SELECT CAST(COUNT(*) AS TEXT) FROM secrets WHERE lookup IS NULL";
    assert_eq!(t.database.texts(none).await, ["0"]);
}
