//! What holds of every database that nobody is writing to, whatever was called, cut
//! off or killed before: read past the store.

use super::{Backend, Database, Raw, TestServer, both_backends, self_service};

/// What is never so, and who is guilty of it: a text a row.
const NEVER: [(&str, &str); 20] = [
    (
        "a token that has not exactly one current value",
        "SELECT name FROM tokens
          WHERE (SELECT COUNT(*) FROM secrets
                  WHERE secrets.token_id = tokens.token_id AND secrets.ends_at IS NULL) <> 1",
    ),
    (
        "a token that shows another hint than its current value's",
        "SELECT tokens.name FROM tokens
           JOIN secrets ON secrets.token_id = tokens.token_id
          WHERE secrets.ends_at IS NULL AND secrets.hint <> tokens.hint",
    ),
    (
        "a value without its token",
        "SELECT hint FROM secrets
          WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.token_id = secrets.token_id)",
    ),
    (
        "a token that is revoked by half",
        "SELECT name FROM tokens WHERE (revoked_at IS NULL) <> (revoke_reason IS NULL)",
    ),
    (
        "a token whose number is none that was taken",
        "SELECT name FROM tokens
          WHERE created_number <= 0 OR created_number > (SELECT number FROM log_head)",
    ),
    (
        "a token whose creation is not logged under its number",
        "SELECT name FROM tokens
          WHERE NOT EXISTS (SELECT 1 FROM changes
                             WHERE changes.number = tokens.created_number
                               AND ((changes.kind = 'token_created'
                                     AND changes.token_id = tokens.token_id)
                                    OR (changes.kind = 'tenant_changed'
                                        AND changes.tenant_id = tokens.tenant_id)))",
    ),
    (
        "a number of the log after a gap",
        "SELECT CAST(number AS TEXT) FROM changes
          WHERE number > 1
            AND NOT EXISTS (SELECT 1 FROM changes AS earlier
                             WHERE earlier.number = changes.number - 1)",
    ),
    (
        "a change of a number after a gap",
        "SELECT CAST(number AS TEXT) FROM changes
          WHERE position > 0
            AND NOT EXISTS (SELECT 1 FROM changes AS earlier
                             WHERE earlier.number = changes.number
                               AND earlier.position = changes.position - 1)",
    ),
    (
        "a head of the log that is not its last number",
        "SELECT CAST(number AS TEXT) FROM log_head
          WHERE number <> (SELECT COALESCE(MAX(changes.number), 0) FROM changes)",
    ),
    (
        "a change of a token that is not there",
        "SELECT CAST(number AS TEXT) FROM changes
          WHERE token_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.token_id = changes.token_id)",
    ),
    (
        "a change of a user that is not there",
        "SELECT CAST(number AS TEXT) FROM changes
          WHERE user_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM users WHERE users.user_id = changes.user_id)",
    ),
    (
        "a change in a tenant that is not there",
        "SELECT CAST(number AS TEXT) FROM changes
          WHERE tenant_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM tenants WHERE tenants.tenant_id = changes.tenant_id)",
    ),
    (
        "an epoch under a number that has no change",
        "SELECT CAST(number AS TEXT) FROM epochs
          WHERE NOT EXISTS (SELECT 1 FROM changes WHERE changes.number = epochs.number)",
    ),
    (
        "a tenant without a catalog",
        "SELECT tenant_id FROM tenants
          WHERE NOT EXISTS (SELECT 1 FROM catalogs WHERE catalogs.tenant_id = tenants.tenant_id)",
    ),
    (
        "a user who never was a member of the tenant that vouches for it",
        "SELECT external_id FROM users
          WHERE NOT EXISTS (SELECT 1 FROM memberships
                             WHERE memberships.user_id = users.user_id
                               AND memberships.tenant_id = users.vouching_tenant_id)",
    ),
    (
        "a deleted user whose tokens are not revoked",
        "SELECT external_id FROM users
          WHERE deleted_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM epochs
                             WHERE epochs.user_id = users.user_id AND epochs.tenant_id IS NULL)",
    ),
    (
        "a member who was removed and whose tokens are not revoked",
        "SELECT tenant_id FROM memberships
          WHERE removed_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM epochs
                             WHERE epochs.user_id = memberships.user_id
                               AND (epochs.tenant_id = memberships.tenant_id
                                    OR epochs.tenant_id IS NULL))",
    ),
    (
        "an audit log that is not as long as its head says",
        "SELECT tenant_id FROM audit_heads
          WHERE count <> (SELECT MAX(sequence) FROM audit_events
                           WHERE audit_events.tenant_id = audit_heads.tenant_id)",
    ),
    (
        "an audit log whose head has another hash than its last event",
        "SELECT audit_heads.tenant_id FROM audit_heads
           JOIN audit_events ON audit_events.tenant_id = audit_heads.tenant_id
                            AND audit_events.sequence = audit_heads.count
          WHERE audit_events.hash <> audit_heads.hash",
    ),
    (
        "an audit event after a gap",
        "SELECT tenant_id FROM audit_events
          WHERE sequence > 1
            AND NOT EXISTS (SELECT 1 FROM audit_events AS earlier
                             WHERE earlier.tenant_id = audit_events.tenant_id
                               AND earlier.sequence = audit_events.sequence - 1)",
    ),
];

/// Returns what is wrong with a database, once whatever was writing to it has ended.
pub(crate) async fn broken(database: &Database) -> Vec<String> {
    let mut raw = database.settled().await;
    let complaints = complaints(&mut raw).await;
    raw.close().await;
    complaints
}

async fn complaints(raw: &mut Raw) -> Vec<String> {
    let mut complaints = Vec::new();
    for (what, guilty) in NEVER {
        for who in raw.texts(guilty).await {
            complaints.push(format!("{what}: {who}"));
        }
    }
    complaints
}

/// Checks that nothing is wrong with a database.
pub(crate) async fn check(database: &Database) {
    let complaints = broken(database).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}

both_backends!(what_is_half_there_is_complained_of);

/// The proof that the rules can fail, each that a database lets anybody break.
async fn what_is_half_there_is_complained_of(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let user_id = t.member(&acme, "ada", &["read"]).await.user_id;
    acme.admin.issue("laptop", &["read"]).await;
    let removed = super::tokens::remove_member(&acme.admin, "acme", &user_id).await;
    let removed = super::tokens::number(&removed);
    check(&t.database).await;

    for (what, doctored) in doctored(removed) {
        let before = t.database.rows().await;
        let mut raw = t.database.settled().await;
        raw.execute(&doctored).await.unwrap();
        let complaints = complaints(&mut raw).await;
        // Closed without a commit.
        raw.close().await;
        assert!(
            complaints.iter().any(|one| one.contains(what)),
            "{doctored}: {complaints:#?}"
        );
        assert_eq!(t.database.rows().await, before, "{doctored} was not undone");
    }
    check(&t.database).await;
}

/// Returns what is made wrong of a database, and what is said of it.
fn doctored(removed: i64) -> Vec<(&'static str, String)> {
    let laptop = "(SELECT token_id FROM tokens WHERE name = 'laptop')";
    let created = "(SELECT created_number FROM tokens WHERE name = 'laptop')";
    vec![
        (
            "current value: laptop",
            format!("UPDATE secrets SET ends_at = 1 WHERE token_id = {laptop}"),
        ),
        (
            "current value: laptop",
            format!("DELETE FROM secrets WHERE token_id = {laptop}"),
        ),
        (
            "hint than its current value's: laptop",
            "UPDATE tokens SET hint = '?' WHERE name = 'laptop'".into(),
        ),
        (
            "revoked by half: laptop",
            "UPDATE tokens SET revoked_at = 1 WHERE name = 'laptop'".into(),
        ),
        (
            "none that was taken: laptop",
            "UPDATE tokens SET created_number = 0 WHERE name = 'laptop'".into(),
        ),
        (
            "none that was taken: laptop",
            "UPDATE tokens SET created_number = 1000 WHERE name = 'laptop'".into(),
        ),
        (
            "logged under its number: laptop",
            "UPDATE tokens SET created_number = created_number - 1 WHERE name = 'laptop'".into(),
        ),
        (
            "after a gap",
            format!("DELETE FROM changes WHERE number = {created}"),
        ),
        (
            "a change of a number after a gap",
            format!("UPDATE changes SET position = 1 WHERE number = {created}"),
        ),
        (
            "not its last number",
            "UPDATE log_head SET number = number + 1".into(),
        ),
        (
            "a token that is not there",
            format!("UPDATE changes SET token_id = user_id WHERE number = {removed}"),
        ),
        (
            "a user that is not there",
            format!("UPDATE changes SET user_id = token_id WHERE number = {created}"),
        ),
        (
            "a tenant that is not there",
            format!("UPDATE changes SET tenant_id = 'lost' WHERE number = {created}"),
        ),
        (
            "has no change",
            format!("UPDATE epochs SET number = number + 1000 WHERE number = {removed}"),
        ),
        (
            "without a catalog: acme",
            "DELETE FROM catalogs WHERE tenant_id = 'acme'".into(),
        ),
        (
            "never was a member",
            "DELETE FROM memberships WHERE tenant_id = 'acme'".into(),
        ),
        ("a deleted user", "UPDATE users SET deleted_at = 1".into()),
        ("who was removed", "DELETE FROM epochs".into()),
        (
            "as long as its head says: acme",
            "UPDATE audit_heads SET count = count + 1 WHERE tenant_id = 'acme'".into(),
        ),
        (
            "another hash than its last event: acme",
            "UPDATE audit_heads SET hash = tenant_hash FROM
               (SELECT hash AS tenant_hash FROM audit_events
                 WHERE tenant_id = 'acme' AND sequence = 1) AS first
              WHERE tenant_id = 'acme'"
                .into(),
        ),
        (
            "an audit event after a gap: acme",
            "DELETE FROM audit_events WHERE tenant_id = 'acme' AND sequence = 2".into(),
        ),
    ]
}
