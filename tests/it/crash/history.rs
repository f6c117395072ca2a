//! What was acknowledged, and whether it is so.

use std::collections::BTreeMap;

use token_authority::pb;

use crate::support::{
    Actor, Backend, Database, TestServer, both_backends, invariants, self_service, tokens,
};

/// What each token is granted.
pub(super) const SCOPES: [&str; 1] = ["read"];

/// What is to be seen of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Active,
    Revoked,
}

/// A token that somebody asked for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Which of the stage's tenants it is of.
    pub(super) tenant: usize,
    /// No other has it.
    pub(super) name: String,
    pub(super) token_id: Option<String>,
    /// Its value; none where the answer with it was lost.
    pub(super) value: Option<String>,
    /// The values that it had before, which ended at once.
    pub(super) former: Vec<String>,
    /// Whether a rotation was asked for and not answered.
    pub(super) is_rotating: bool,
    /// Each state that it may be in: several where a call was not answered.
    pub(super) states: Vec<State>,
    /// Whether it was asked for or changed since it was looked at.
    pub(super) is_new: bool,
}

impl Entry {
    pub(super) fn new(tenant: usize, name: String) -> Self {
        Self {
            tenant,
            name,
            token_id: None,
            value: None,
            former: Vec::new(),
            is_rotating: false,
            states: vec![State::Absent],
            is_new: true,
        }
    }

    pub(super) fn may_be(&mut self, states: &[State]) {
        self.states = states.to_vec();
        self.is_new = true;
    }

    /// Returns whether its last call was answered.
    pub(super) fn is_known(&self) -> bool {
        self.states.len() == 1
    }
}

/// Where to look, and who looks.
pub(super) struct Stage<'a> {
    pub(super) database: &'a Database,
    /// Each tenant's administrator.
    pub(super) admins: Vec<Actor>,
    pub(super) introspector: Actor,
}

/// Looks for all tokens, and introspects the values of those that are new. Returns
/// what is not as it must be; what is seen of the others must be so from now on.
pub(super) async fn look<'a>(
    stage: &Stage<'_>,
    tokens: impl IntoIterator<Item = &'a mut Entry>,
) -> Vec<String> {
    let mut complaints = invariants::broken(stage.database).await;
    let mut listed = BTreeMap::new();
    for (tenant, admin) in stage.admins.iter().enumerate() {
        for token in list(admin).await {
            if let Some(twice) = listed.insert((tenant, token.name.clone()), token) {
                complaints.push(format!("{} is there twice", twice.name));
            }
        }
    }
    // Past the store: what is in no list is there nevertheless.
    let names = "SELECT name FROM tokens WHERE name LIKE 'round %'";
    let names = stage.database.texts(names).await;
    if names.len() != listed.len() {
        let (there, listed) = (names.len(), listed.len());
        complaints.push(format!("of {there} tokens {listed} are listed"));
    }
    for token in tokens {
        let found = listed.remove(&(token.tenant, token.name.clone()));
        complaints.extend(judge(stage, token, found.as_ref()).await);
    }
    let unasked = listed.values().map(|token| &token.name);
    complaints.extend(unasked.map(|name| format!("{name}: nobody asked for it")));
    complaints
}

/// Compares a token with what is seen of it.
async fn judge(stage: &Stage<'_>, token: &mut Entry, found: Option<&pb::Token>) -> Option<String> {
    let name = &token.name;
    let seen = match found.map(pb::Token::state) {
        None => State::Absent,
        Some(pb::TokenState::Active) => State::Active,
        Some(pb::TokenState::Revoked) => State::Revoked,
        Some(other) => return Some(format!("{name} is {other:?}")),
    };
    if !token.states.contains(&seen) {
        return Some(format!("{name} is {seen:?}, not {:?}", token.states));
    }
    if let Some(found) = found {
        let token_id = token.token_id.get_or_insert_with(|| found.token_id.clone());
        if *token_id != found.token_id || found.scopes != SCOPES {
            return Some(format!("{name} is another: {found:?}"));
        }
    }
    let shows = |value: &String| found.is_some_and(|found| value.starts_with(&found.hint));
    if std::mem::take(&mut token.is_rotating) && !token.value.as_ref().is_some_and(shows) {
        // It was rotated, and nobody was told the value.
        token.former.extend(token.value.take());
    }
    let tenant_id = format!("crash-{}", token.tenant);
    if let (Some(value), true) = (&token.value, token.is_new) {
        let answer = stage.introspector.introspect(&tenant_id, value).await;
        let active = seen == State::Active;
        if answer.active != active || (active && answer.scopes != SCOPES) {
            return Some(format!("{name} is {seen:?}, but introspected: {answer:?}"));
        }
    }
    for former in token.former.iter().filter(|_| token.is_new) {
        if stage
            .introspector
            .introspect(&tenant_id, former)
            .await
            .active
        {
            return Some(format!("{name} has a value that it had before"));
        }
    }
    token.states = vec![seen];
    token.is_new = false;
    None
}

/// Returns all tokens of a tenant that clients asked for.
async fn list(admin: &Actor) -> Vec<pb::Token> {
    let mut request = pb::ListTokensRequest {
        tenant_id: "active".into(),
        page_size: 1000,
        name_contains: "round ".into(),
        show_revoked: true,
        ..Default::default()
    };
    let mut tokens = Vec::new();
    loop {
        let page = tokens::list(admin, request.clone()).await.unwrap();
        tokens.extend(page.tokens);
        if page.next_page_token.is_empty() {
            return tokens;
        }
        request.page_token = page.next_page_token;
    }
}

both_backends!(what_was_lost_or_came_to_be_is_complained_of);

/// The proof that the judge can complain: of histories that are not true.
async fn what_was_lost_or_came_to_be_is_complained_of(backend: Backend) {
    let t = TestServer::start(backend).await;
    let admin = t.tenant("crash-0", self_service()).await.admin;
    let stage = Stage {
        database: &t.database,
        admins: vec![admin.clone()],
        introspector: t.resource_server().await,
    };
    let [mut active, mut revoked] =
        ["active", "revoked"].map(|name| Entry::new(0, format!("round 0 {name}")));
    for token in [&mut active, &mut revoked] {
        token.create(&admin).await.unwrap();
    }
    revoked.revoke(&admin).await.unwrap();
    let mut unknown = Entry::new(0, String::from("round 0 unknown"));
    unknown.may_be(&[State::Absent, State::Active]);
    let truth = [active, revoked, unknown];
    let complaints = |mut history: Vec<Entry>| {
        let stage = &stage;
        async move { look(stage, &mut history).await }
    };
    assert_eq!(complaints(truth.to_vec()).await, [""; 0]);

    let mut undone = truth.to_vec();
    undone[0].may_be(&[State::Revoked]);
    let expected = ["round 0 active is Active, not [Revoked]"];
    assert_eq!(complaints(undone).await, expected);

    let mut lost = truth.to_vec();
    lost[2].may_be(&[State::Active]);
    let expected = ["round 0 unknown is Absent, not [Active]"];
    assert_eq!(complaints(lost).await, expected);

    let mut other = truth.to_vec();
    other[1].value.clone_from(&truth[0].value);
    let complaint = complaints(other).await.remove(0);
    let expected = "round 0 revoked is Revoked, but introspected: ";
    assert!(complaint.starts_with(expected), "{complaint}");

    let unasked = truth[..1].to_vec();
    let expected = ["round 0 revoked: nobody asked for it"];
    assert_eq!(complaints(unasked).await, expected);

    let mut forgotten = truth.to_vec();
    forgotten[0].rotate(&admin).await.unwrap();
    assert_eq!(complaints(forgotten.clone()).await, [""; 0]);
    let rotated = forgotten[0].clone();
    // A rotation that was not answered, and one that was and came undone.
    forgotten[0].value.clone_from(&truth[0].value);
    forgotten[0].former.clear();
    forgotten[0].is_rotating = true;
    assert_eq!(complaints(forgotten.clone()).await, [""; 0]);
    forgotten[0].is_rotating = false;
    let complaint = complaints(forgotten.clone()).await.remove(0);
    let expected = "round 0 active is Active, but introspected: ";
    assert!(complaint.starts_with(expected), "{complaint}");
    forgotten[0].value = None;
    forgotten[0].former.extend(rotated.value);
    let expected = ["round 0 active has a value that it had before"];
    assert_eq!(complaints(forgotten).await, expected);

    let half = "DELETE FROM secrets WHERE token_id =
                (SELECT token_id FROM tokens WHERE name = 'round 0 active')";
    t.database.execute(half).await;
    let complaint = complaints(truth.to_vec()).await.remove(0);
    let expected = "a token that has not exactly one current value: round 0 active";
    assert_eq!(complaint, expected);
}
