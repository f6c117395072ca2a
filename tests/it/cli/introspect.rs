//! `introspect --batch`: many values at once.

use serde_json::json;

use super::client::Client;
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends! {
    many_values_are_judged_and_the_worst_counts,
    what_was_not_judged_is_told_with_its_line,
}

async fn started(backend: Backend) -> (TestServer, Client, Client) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let admin = Client::of(&t, acme.admin.value()).await;
    let gateway = Client::of(&t, t.resource_server().await.value()).await;
    gateway
        .ok(&["profile", "set", "test", "--tenant", "acme"])
        .await;
    (t, admin, gateway)
}

async fn many_values_are_judged_and_the_worst_counts(backend: Backend) {
    let (_t, admin, gateway) = started(backend).await;
    let create = |name, scope| {
        let admin = &admin;
        async move { admin.ok(&["token", "create", name, "--scope", scope]).await }
    };
    let reads = create("reads", "read").await;
    let writes = create("writes", "write").await;
    let ask = ["introspect", "--batch", "--require", "write"];

    let all = gateway.ok_with(&ask, &format!("{writes}\n{writes}")).await;
    assert_eq!(all.matches("allowed").count(), 2, "{all}");
    let lacking = format!("{writes}{reads}");
    let said = gateway.run_with(&ask, &lacking).await;
    assert_eq!((said.code, &*said.err), (Some(3), ""), "{said:#?}");
    // The lines are the file's; what surrounds a value is dropped as from one alone.
    std::fs::write(
        gateway.path("values"),
        format!("acme_none\n\n  Bearer {reads}{writes}"),
    )
    .unwrap();
    let ask = [&ask[..], &["--value-file", "values"]].concat();
    let said = gateway.run(&ask).await;
    assert_eq!((said.code, &*said.err), (Some(2), ""), "{said:#?}");
    let rows: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        ["LINE", "HINT", "ANSWER", "NAME", "USER", "MISSING"],
        ["1", "-", "inactive", "-", "-", "-"],
        ["3", &reads[..13], "lacking", "reads", "admin", "write"],
        ["4", &writes[..13], "allowed", "writes", "admin", "-"],
    ];
    for (row, expected) in rows.iter().zip(expected) {
        let shown = [row[0], row[1], row[2], row[4], row[5], row[6]];
        assert_eq!(shown, expected, "{}", said.out);
    }
    assert_eq!(rows.len(), expected.len());
    for value in [reads.trim(), writes.trim()] {
        assert!(!said.out.contains(value), "{}", said.out);
    }

    let said = gateway.run(&[&ask[..], &["--json"]].concat()).await;
    let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let allowed: Vec<_> = (0..3)
        .map(|number| &answer["results"][number]["response"]["allowed"])
        .collect();
    assert_eq!(allowed, [&json!(null), &json!(null), &json!(true)]);
    assert_eq!(said.code, Some(2));
}

async fn what_was_not_judged_is_told_with_its_line(backend: Backend) {
    let (_t, admin, gateway) = started(backend).await;
    let value = admin.ok(&["token", "create", "laptop"]).await;
    // More than one call takes.
    let many = format!("{}{value}", "acme_none\n".repeat(1500));
    let said = gateway.run_with(&["introspect", "--batch"], &many).await;
    assert_eq!(said.code, Some(2), "{}", said.err);
    let last = said.out.lines().last().unwrap();
    assert!(
        last.starts_with("1501  ") && last.contains("allowed"),
        "{last}"
    );
    assert_eq!(said.out.lines().count(), 1502);

    // What is wrong with all of them is told once.
    let wrong = ["introspect", "--batch", "--require", "a b"];
    for form in [&wrong[..], &[&wrong[..], &["--json"]].concat()] {
        let said = gateway.run_with(form, &format!("\n{value}{value}")).await;
        assert_eq!(said.code, Some(1), "{said:#?}");
        let expected = "token-authority: 2 of 2 not judged\n  line 2: --require[0]: ";
        assert!(said.err.starts_with(expected), "{}", said.err);
        assert_eq!(said.err.lines().count(), 2, "{}", said.err);
        assert!(!said.out.contains(value.trim()), "{}", said.out);
    }
    let err = gateway.fails(64, &["introspect", "--batch"]).await;
    assert!(err.contains("none of the values (standard input)"), "{err}");
    // Who may not ask gets no rows.
    let err = admin
        .fails_with(1, &["introspect", "--batch"], &value)
        .await;
    assert!(err.contains("authority:introspect"), "{err}");
}
