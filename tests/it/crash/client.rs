//! Who calls until the server is gone. What is to be killed in the middle is added
//! here: to [`Client::mutate`], and as one more method of [`Entry`] like those below.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use token_authority::pb;
use tokio::sync::mpsc::UnboundedSender;
use tonic::Status;

use super::below;
use super::history::{Entry, SCOPES, State};
use crate::support::{Actor, SeededEntropy, tokens};

/// A client, which changes its own tokens alone.
pub(super) struct Client {
    pub(super) actor: Actor,
    pub(super) tenant: usize,
    /// What the names of its tokens begin with.
    pub(super) name: String,
    pub(super) chance: SeededEntropy,
    pub(super) tokens: Vec<Entry>,
}

impl Client {
    /// Calls, one call after the other, until one fails; tells of each that was
    /// acknowledged. Returns its tokens.
    pub(super) async fn run(
        mut self,
        acknowledge: UnboundedSender<()>,
        killed: Arc<AtomicBool>,
    ) -> Vec<Entry> {
        loop {
            match self.mutate().await {
                // Nobody counts any more once the server is killed.
                Ok(()) => drop(acknowledge.send(())),
                Err(status) => {
                    let killed = killed.load(Ordering::SeqCst);
                    assert!(killed, "nobody killed the server: {status:?}");
                    return self.tokens;
                }
            }
        }
    }

    /// Makes one call of those that change something.
    async fn mutate(&mut self) -> Result<(), Status> {
        let active = |token: &&mut Entry| token.states == [State::Active];
        let count = self.tokens.iter_mut().filter(active).count();
        let drawn = below(&self.chance, 3);
        if count > 0 && drawn < 2 {
            let chosen = below(&self.chance, count);
            let token = self.tokens.iter_mut().filter(active).nth(chosen).unwrap();
            return match drawn {
                0 => token.revoke(&self.actor).await,
                _ => token.rotate(&self.actor).await,
            };
        }
        let name = format!("{} token {}", self.name, self.tokens.len());
        self.tokens.push(Entry::new(self.tenant, name));
        let token = self.tokens.last_mut().unwrap();
        token.create(&self.actor).await
    }
}

/// What is asked of a token: noted before the call is what the token may be from then
/// on, and after it what it is.
impl Entry {
    pub(super) async fn create(&mut self, actor: &Actor) -> Result<(), Status> {
        self.may_be(&[State::Absent, State::Active]);
        let request = tokens::wanted(&self.name, &SCOPES);
        let created = actor.try_create(request).await?;
        self.token_id = Some(tokens::id(&created));
        self.value = Some(created.value);
        self.may_be(&[State::Active]);
        Ok(())
    }

    pub(super) async fn rotate(&mut self, actor: &Actor) -> Result<(), Status> {
        self.is_rotating = true;
        self.may_be(&[State::Active]);
        let request = pb::RotateTokenRequest {
            tenant_id: "active".into(),
            token_id: self.token_id.clone().unwrap(),
            ..Default::default()
        };
        let rotated = tokens::rotate(actor, request).await?;
        self.former.extend(self.value.replace(rotated.value));
        self.is_rotating = false;
        Ok(())
    }

    pub(super) async fn revoke(&mut self, actor: &Actor) -> Result<(), Status> {
        self.may_be(&[State::Active, State::Revoked]);
        let request = pb::RevokeTokenRequest {
            tenant_id: "active".into(),
            token_id: self.token_id.clone().unwrap(),
            ..Default::default()
        };
        tokens::revoke(actor, request).await?;
        self.may_be(&[State::Revoked]);
        Ok(())
    }
}
