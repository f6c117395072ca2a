//! Importing tokens that another system made: by the bcrypt hashes of their values, which
//! are not known here before they are presented.

use std::collections::{HashMap, HashSet};

use super::access::Rpc;
use super::create::CreateToken;
use super::hasher::read_hash;
use super::scene::{Deed, Scene, shown};
use super::{Authority, Call, Error, Shown, named_tenant};
use crate::domain::bounds;
use crate::domain::change::{Change, Revision};
use crate::domain::fingerprint::SecretHash;
use crate::domain::foreign::imported_hint;
use crate::domain::ids::{SecretId, TokenId, UserId};
use crate::domain::policy::Expiry;
use crate::domain::reason::{Field, Missing, Obstacle, Taken, Violations};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Token};
use crate::store::{ImportedSecret, NewToken};

/// The creations that are logged one by one: everybody waits for the lock of the log. More
/// are logged as one change of the whole tenant.
const MOST_CHANGES: usize = 50;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ImportTokens {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// How many characters of its value each hint is.
    pub hint_length: i32,
    /// Which tokens.
    pub tokens: Vec<ImportedToken>,
}

/// A token to be imported.
#[derive(Clone)]
pub struct ImportedToken {
    /// What it is to be: as in a creation, but that its user must be named.
    pub token: CreateToken,
    /// The bcrypt hash of its value.
    pub secret_hash: String,
    /// The first characters of its value.
    pub hint: String,
    /// When the other system made it; `None` is now.
    pub created_at: Option<Timestamp>,
}

impl std::fmt::Debug for ImportedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportedToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A token that was judged good to be imported.
struct Planned {
    token: NewToken,
    hint: String,
    secret_hash: SecretHash,
}

impl Authority {
    /// Imports tokens, all or none, in one change.
    pub async fn import_tokens(
        &self,
        call: Call,
        command: ImportTokens,
    ) -> Result<(Vec<Shown>, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        check_count(&command)?;
        let mut users: Vec<UserId> = command
            .tokens
            .iter()
            .filter_map(|imported| imported.token.user_id.parse().ok())
            .collect();
        users.sort_unstable();
        users.dedup();
        let mut scene = self
            .begin(&call, Rpc::ImportTokens, &tenant_id, &users)
            .await?;
        let planned = self.plan_import(&mut scene, &command).await?;
        let catalog = scene.catalog().await?;
        let length = i64::from(command.hint_length);
        scene.tx.insert_hint_length(&tenant_id, length).await?;
        let mut deed = Deed::default();
        let mut tokens = Vec::with_capacity(planned.len());
        for planned in planned {
            let secret = ImportedSecret {
                secret_id: SecretId::mint(scene.now, &*self.entropy)?,
                hint: planned.hint,
                secret_hash: planned.secret_hash,
            };
            let (tx, new) = (&mut scene.tx, planned.token);
            tx.insert_imported_token(&new, &secret).await?;
            let token = scene.token_of(new, secret.hint).await?;
            let act = scene.act_on(&token).changed(None, Some(&token));
            deed.acts.push(act);
            deed.changes
                .push(Change::TokenCreated(tenant_id.clone(), token.token_id));
            tokens.push(shown(token, &catalog, scene.now));
            // A large catalog makes this long: others have their turn.
            tokio::task::yield_now().await;
        }
        let first = tokens.iter().map(|shown| shown.token.token_id).min();
        if let Some(first) = first.filter(|_| deed.changes.len() > MOST_CHANGES) {
            deed.changes = vec![Change::TokensCreated(tenant_id, first)];
        }
        let imported = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
        let revision = self.close_scene(scene, deed, &tokens).await?;
        self.counters.tokens_imported.add(imported);
        Ok((tokens, revision))
    }

    /// Judges an import and imports nothing: returns the tokens as they would be.
    pub async fn judge_import(
        &self,
        call: Call,
        command: ImportTokens,
    ) -> Result<(Vec<Shown>, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        check_count(&command)?;
        let mut look = self.look(&call, Rpc::ImportTokens, &tenant_id).await?;
        let planned = self.plan_import(&mut look, &command).await?;
        let revision = self.see(look.tx.get_head().await?);
        let catalog = look.catalog().await?;
        let mut tokens = Vec::with_capacity(planned.len());
        for planned in planned {
            let token = look.token_of(planned.token, planned.hint).await?;
            tokens.push(shown(token, &catalog, look.now));
            tokio::task::yield_now().await;
        }
        Ok((tokens, revision))
    }

    /// Judges all that is asked for, each as a creation is judged, and says all that is
    /// wrong at once.
    async fn plan_import(
        &self,
        scene: &mut Scene,
        command: &ImportTokens,
    ) -> Result<Vec<Planned>, Error> {
        scene.forbid_reserved()?;
        let mut violations = Violations::default();
        let length = scene.check_hint_length(command, &mut violations).await?;
        let catalog = scene.catalog().await?;
        scene.together.keep(catalog);
        let mut hints = Hints::default();
        let mut planned = Vec::with_capacity(command.tokens.len());
        for (at, imported) in command.tokens.iter().enumerate() {
            let before = violations.len();
            let path = |field: &str| format!("tokens[{at}].{field}");
            let prefix = &scene.tenant.prefix;
            let hint = length.map(|length| imported_hint(&imported.hint, length, prefix));
            let hint = hint.and_then(|hint| violations.check(&path("hint"), hint));
            let hash = read_hash(imported.secret_hash.clone(), self.hasher.cost());
            let hash = violations.check(&path("secret_hash"), hash);
            if let (Some(hint), Some(hash)) = (&hint, &hash)
                && let Err((field, reason)) = hints.add(scene, hint, hash).await?
            {
                violations.add(path(field), reason);
            }
            let token_id = TokenId::mint(scene.now, &*self.entropy)?;
            let token = scene.plan_imported(imported, token_id).await?;
            let token = token.map_err(|wrong| {
                for violation in &wrong {
                    violations.add(path(&violation.field), violation.reason);
                }
            });
            if let (Ok(token), Some(hint), Some(secret_hash)) = (token, hint, hash)
                && violations.len() == before
            {
                planned.push(Planned {
                    token,
                    hint,
                    secret_hash,
                });
            }
        }
        if !violations.is_empty() {
            return Err(violations.into());
        }
        Ok(planned)
    }
}

impl Scene {
    /// Judges a token as a creation is judged; what is wrong with it alone is not the end
    /// of the others' judgement.
    async fn plan_imported(
        &mut self,
        imported: &ImportedToken,
        token_id: TokenId,
    ) -> Result<Result<NewToken, Violations>, Error> {
        let mut command = imported.token.clone();
        let service = command.kind == Kind::Service;
        let unnamed = !service && command.user_id.is_empty();
        if unnamed {
            // A creation would take the caller's own.
            command.violations.add("user_id", Field::Required);
            return Ok(Err(command.violations));
        }
        let wrong = |field, reason| {
            let mut violations = Violations::default();
            violations.add(field, reason);
            Ok(Err(violations))
        };
        let mut planned = match self.plan(&command, token_id).await {
            Ok(token) => token,
            Err(Error::InvalidArgument(violations)) => return Ok(Err(violations)),
            Err(Error::NotFound(Missing::User)) => return wrong("user_id", Field::UnknownUser),
            Err(Error::FailedPrecondition(Obstacle::UserSuspended)) => {
                return wrong("user_id", Field::SuspendedUser);
            }
            Err(Error::AlreadyExists(Taken::Name)) => return wrong("name", Field::NameInUse),
            Err(Error::TokenLimit { .. }) => return wrong("user_id", Field::OverTokenLimit),
            Err(error) => return Err(error),
        };
        if let Some(created_at) = imported.created_at {
            planned.created_at = created_at;
            if let Err((field, reason)) = self.check_age(&planned, command.expiry) {
                return wrong(field, reason);
            }
        }
        self.together.add(&planned);
        Ok(Ok(planned))
    }

    /// Refuses a token of the future, and one that lives longer than the tenant allows,
    /// counted from when the other system made it.
    fn check_age(
        &self,
        token: &NewToken,
        expiry: Option<Expiry>,
    ) -> Result<(), (&'static str, Field)> {
        if token.created_at > self.now {
            return Err(("create_time", Field::OutOfRange));
        }
        let Some(end) = token.expires_at else {
            return Ok(());
        };
        let field = match expiry {
            Some(Expiry::After(_)) => "ttl",
            _ => "expire_time",
        };
        let policy = &self.tenant.policy;
        let judged = policy.expires_at(Expiry::At(end), token.created_at, self.now);
        judged.map(|_| ()).map_err(|reason| (field, reason))
    }

    /// Refuses a length of hints that is out of bounds, which is `None`, or one more than a
    /// tenant may have.
    async fn check_hint_length(
        &mut self,
        command: &ImportTokens,
        violations: &mut Violations,
    ) -> Result<Option<usize>, Error> {
        let length = usize::try_from(command.hint_length).unwrap_or_default();
        if !bounds::HINT_LENGTHS.contains(&length) {
            violations.add("hint_length", Field::OutOfRange);
            return Ok(None);
        }
        let (tx, tenant_id) = (&mut self.tx, &self.tenant.tenant_id);
        let asked = i64::from(command.hint_length);
        let others = tx.count_other_hint_lengths(tenant_id, asked).await?;
        if usize::try_from(others).unwrap_or_default() >= bounds::HINT_LENGTHS_MOST {
            violations.add("hint_length", Field::TooManyHintLengths);
        }
        Ok(Some(length))
    }

    /// Returns a planned token as it is once it is there.
    async fn token_of(&mut self, token: NewToken, hint: String) -> Result<Token, Error> {
        let owner = match token.user_id {
            Some(user_id) => Some(self.owner(user_id).await?),
            None => None,
        };
        Ok(Token {
            hint,
            ..token.into_token(owner)
        })
    }
}

/// The hashes of each hint: those that are there, and those that are to come.
#[derive(Default)]
struct Hints(HashMap<String, HashSet<String>>);

impl Hints {
    /// Adds a hash, unless it is there or its hint has as many as it may.
    async fn add(
        &mut self,
        scene: &mut Scene,
        hint: &str,
        hash: &SecretHash,
    ) -> Result<Result<(), (&'static str, Field)>, Error> {
        if !self.0.contains_key(hint) {
            let there = scene.tx.list_imported_hashes(hint).await?;
            let there = there.iter().map(|hash| hash.expose().to_owned()).collect();
            self.0.insert(hint.to_owned(), there);
        }
        let hashes = self.0.entry(hint.to_owned()).or_default();
        if hashes.contains(hash.expose()) {
            return Ok(Err(("secret_hash", Field::AlreadyImported)));
        }
        if hashes.len() >= bounds::VALUES_OF_HINT {
            return Ok(Err(("hint", Field::TooManyOfHint)));
        }
        hashes.insert(hash.expose().to_owned());
        Ok(Ok(()))
    }
}

/// Refuses a batch of none, or of too many.
fn check_count(command: &ImportTokens) -> Result<(), Error> {
    match command.tokens.len() {
        0 => Err(Error::field("tokens", Field::Required)),
        1..=bounds::BATCH => Ok(()),
        _ => Err(Error::field("tokens", Field::TooMany)),
    }
}
