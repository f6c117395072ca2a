//! Calls that race. Whatever the order, no token lives that a rule forbids, and
//! where one may win, one does: each mutation locks what it relies on.

mod changes;
mod invites;
mod owners;
mod requests;
mod revocations;
mod rotations;
mod winners;

use std::pin::Pin;

use tonic::Status;

use token_authority::pb;

use crate::support::{Actor, Backend, Tenant, TestServer, invariants, refusal};

/// How often each race is run.
const ROUNDS: usize = 40;

type Outcome = Result<pb::CreateTokenResponse, Status>;
type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the races are about.
struct Stage {
    t: TestServer,
    acme: Tenant,
    /// Who introspects.
    server: Actor,
}

impl Stage {
    async fn set(backend: Backend, policy: pb::TenantPolicy) -> Self {
        let t = TestServer::start(backend).await;
        let acme = t.tenant("acme", policy).await;
        let server = t.resource_server().await;
        Self { t, acme, server }
    }

    /// Makes a user who has no token.
    async fn user(&self, name: &str) -> String {
        let operator = self.t.operator();
        operator.create_user("acme", name, pb::Role::Member).await
    }

    async fn introspect(&self, created: &pb::CreateTokenResponse) -> pb::IntrospectResponse {
        self.server.introspect("acme", &created.value).await
    }

    /// Ends a test: nothing is half there, and the log of changes has no gap.
    async fn end(self) {
        invariants::check(&self.t.database).await;
    }
}

/// Returns a request for a token that acts as a user.
fn token(user_id: &str, name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        user_id: user_id.into(),
        name: name.into(),
        scopes: scopes.iter().map(|&scope| scope.into()).collect(),
        ..Default::default()
    }
}

/// Runs creates and a rival at once. The rival begins before, between or after them,
/// and somewhat later than that, as the round has it.
async fn race<R: Send + 'static>(
    round: usize,
    creates: Vec<(&Actor, pb::CreateTokenRequest)>,
    rival: impl Future<Output = R> + Send + 'static,
) -> (Vec<Outcome>, R) {
    let at = round % (creates.len() + 1);
    let delay = round / 3 % 8;
    let waiting = creates.first().map(|(actor, _)| (*actor).clone());
    let mut rival = Some(async move {
        for _ in 0..delay {
            // A call that comes to nothing takes a moment.
            if let Some(actor) = &waiting {
                let _ = actor.raw("/nothing/Here", Vec::new()).await;
            }
        }
        rival.await
    });
    let mut racing = None;
    let mut creating = Vec::new();
    for (number, (actor, request)) in creates.into_iter().enumerate() {
        if number == at {
            racing = rival.take().map(tokio::spawn);
        }
        let actor = actor.clone();
        creating.push(tokio::spawn(async move { actor.try_create(request).await }));
    }
    let racing = racing.or_else(|| rival.take().map(tokio::spawn)).unwrap();
    let mut outcomes = Vec::new();
    for create in creating {
        outcomes.push(create.await.unwrap());
    }
    (outcomes, racing.await.unwrap())
}

/// Runs calls at once.
async fn at_once<T: Send + 'static>(calls: impl IntoIterator<Item = Call<T>>) -> Vec<T> {
    let running: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for call in running {
        results.push(call.await.unwrap());
    }
    results
}

/// Returns what was created; each refusal must be one of those expected.
fn created(outcomes: Vec<Outcome>, expected: &[&str]) -> Vec<pb::CreateTokenResponse> {
    let mut all = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(created) => all.push(created),
            Err(status) => {
                let refusal = refusal(&status);
                assert!(
                    expected.contains(&refusal.as_str()),
                    "unexpected: {refusal}"
                );
            }
        }
    }
    all
}

/// Asserts that one succeeded, and that all others were refused like this.
fn one_wins<T: std::fmt::Debug>(results: Vec<Result<T, Status>>, others: &str) -> T {
    let (mut won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    for lost in lost {
        assert_eq!(refusal(&lost.unwrap_err()), others);
    }
    assert_eq!(won.len(), 1, "{won:?}");
    won.remove(0).unwrap()
}

/// Returns the number of a revision.
fn number(revision: &str) -> u64 {
    revision.rsplit_once('.').unwrap().1.parse().unwrap()
}
