//! `audit`: the log, listed and verified.

use token_authority::pb;

use super::Client;
use crate::support::{Backend, TestServer, both_backends};

both_backends!(
    events_are_listed_by_each_filter,
    a_whole_log_is_verified_and_its_head_is_taken_again,
    a_log_that_was_changed_is_found_and_the_flaw_is_named,
);

async fn events_are_listed_by_each_filter(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &acme.admin);
    let created = acme.admin.issue("a\u{202e}b", &["read"]).await;
    let token_id = created.token.unwrap().token_id;
    acme.admin.revoke("active", &token_id).await;
    let list = async |flags: &[&str]| {
        let said = client.run(&[&["audit", "list"], flags].concat()).await.ok();
        // How wide a column is depends on what else is listed.
        let lines = said.lines().map(|line| line.split_whitespace());
        let mut lines: Vec<String> = lines
            .map(|words| words.collect::<Vec<_>>().join(" "))
            .collect();
        let heading = lines.remove(0);
        assert!(heading.starts_with("TIME ACTION "), "{heading}");
        lines
    };
    let all = list(&[]).await;
    assert_eq!(all.len(), 6, "{all:#?}");
    let revoked = &all[0];
    assert!(
        revoked.contains(" RevokeToken ") && revoked.contains(&token_id),
        "{revoked}"
    );
    assert!(all[1].contains("name: a\\u{202e}b"), "{}", all[1]);

    assert_eq!(list(&["--action", "CreateUser"]).await.len(), 1);
    assert_eq!(list(&["--user", &acme.admin_id]).await.len(), 4);
    let about = list(&["--token", &token_id]).await;
    assert_eq!(about, all[..2]);
    let mut me = acme.admin.me();
    let me = me.who_am_i(acme.admin.call(pb::WhoAmIRequest {}));
    let caller = me.await.unwrap().into_inner().token.unwrap().token_id;
    assert_eq!(list(&["--caller", &caller]).await, all[..2]);
    // The server's clock is the test's, and stands still.
    let (time, _) = revoked.split_once(' ').unwrap();
    assert_eq!(list(&["--since", time]).await.len(), 6);
    assert_eq!(list(&["--until", time]).await.len(), 0);
    assert_eq!(list(&["--until", "2999-01-01T00:00:00Z"]).await.len(), 6);

    let page = list(&["--limit", "2"]).await;
    assert_eq!(page[..2], all[..2]);
    let (_, token) = page[2].split_once("--page-token ").unwrap();
    assert_eq!(list(&["--page-token", token]).await, all[2..]);
    let full = list(&["--full", "--limit", "1"]).await;
    assert!(full.len() > 2, "{full:#?}");

    let json = client.run(&["audit", "list", "--json"]).await.ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["events"].as_array().unwrap().len(), 6);
    assert_eq!(json["events"][0]["action"], "RevokeToken");
    assert!(json.get("nextPageToken").is_none(), "{json:#}");

    let said = client
        .run(&["audit", "list", "--token", "nonsense", "--caller", "x"])
        .await;
    let said = said.failed(1);
    assert!(
        said.contains("  --token: ") && said.contains("  --caller: "),
        "{said}"
    );
}

async fn a_whole_log_is_verified_and_its_head_is_taken_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &t.operator());
    let verify = ["audit", "verify", "--tenant", "acme"];
    let said = client.run(&verify).await.ok();
    assert!(said.starts_with("The audit log is whole.\n"), "{said}");
    let (_, head) = said.split_once("--known-head ").unwrap();
    let head = head.trim();
    assert!(head.starts_with("4:"), "{head}");
    let renewed = [&verify[..], &["--known-head", head]].concat();
    assert_eq!(client.run(&renewed).await.ok(), said);

    // A head of another log.
    let other = format!("4:{}", "0".repeat(64));
    let renewed = [&verify[..], &["--known-head", &other]].concat();
    let said = client.run(&renewed).await;
    assert_eq!((said.code, &*said.err), (Some(1), ""), "{said:?}");
    assert!(
        said.out
            .contains("NOT WHOLE: the log does not go through the known head"),
        "{said:?}"
    );
    assert!(said.out.contains("event 4 (other-chain)"), "{said:?}");

    let wrong = [&verify[..], &["--known-head", "4:zz"]].concat();
    let said = client.run(&wrong).await.failed(64);
    assert!(said.contains("not a head"), "{said}");
}

async fn a_log_that_was_changed_is_found_and_the_flaw_is_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    t.tenant("acme", pb::TenantPolicy::default()).await;
    let client = Client::new(&t, &t.operator());
    let sql = "UPDATE audit_events SET event = hash WHERE tenant_id = 'acme' AND sequence = 3";
    t.database.execute(sql).await;
    let verify = ["audit", "verify", "--tenant", "acme"];
    let said = client.run(&verify).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .contains("NOT WHOLE: not what was written: event 3 (changed)\n"),
        "{said:?}"
    );
    assert!(!said.out.contains("Keep the head"), "{said:?}");
    let json = [&verify[..], &["--json"]].concat();
    let said = client.run(&json).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("event 3 (changed)"), "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["flaw"], "AUDIT_FLAW_CHANGED");
}
