//! A store of a few tenants, users and tokens, which takes its time and may fail.

mod standings;

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::time::sleep;

use super::chance::{Chance, FromChance};
use crate::coherence::{Kept, Source};
use crate::domain::catalog::{Catalog, Draft, ScopeDraft};
use crate::domain::change::{Change, ChangeNumber, Revision, Version};
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::foreign::{AnyValue, ValueKey};
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::introspection::{Inactive, Record, Standing, Verifier};
use crate::domain::principal::Role;
use crate::domain::reason::Violations;
use crate::domain::text::Labels;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Owner, Revocation, RevokeReason, Token};
use crate::domain::value::{Lookup, TokenValue};
use crate::store::{Error, Followed, Known, Logged};

pub(super) const TENANTS: usize = 2;
const USERS: usize = 3;
const TOKENS: usize = 6;

/// What is answered of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Unknown,
    Over,
    Dead(Inactive),
    Alive(String),
}

const NOW: i64 = 1_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

impl Seen {
    pub(super) fn of(kept: Option<&Kept>, value: &AnyValue) -> Self {
        let Some(kept) = kept else {
            return Self::Unknown;
        };
        if kept.is_over(at(NOW)) {
            return Self::Over;
        }
        match kept.inactive(value, at(NOW)) {
            Some(why) => Self::Dead(why),
            None => Self::Alive(kept.grant.effective.to_text()),
        }
    }

    fn of_record(record: &Record, verifier: &Verifier, value: &AnyValue) -> Self {
        if record.token.is_over(verifier.ends_at, at(NOW)) {
            return Self::Over;
        }
        match record.inactive(value, at(NOW)) {
            Some(why) => Self::Dead(why),
            None => Self::Alive(record.effective_scopes().to_text()),
        }
    }
}

#[derive(Clone, Debug)]
struct SimToken {
    token: Token,
    tenant: usize,
    user: usize,
    /// Its values: which, and whether it is over.
    values: Vec<(usize, bool)>,
}

/// What the store holds.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// All values that will ever be asked for, also those of tokens to come.
    pub(super) values: Vec<TokenValue>,
    tokens: Vec<SimToken>,
    tenants: Vec<(Standing, Version)>,
    users: Vec<Owner>,
    log: Vec<(Change, Option<usize>)>,
    /// What each value was worth after each change.
    history: Vec<Vec<Seen>>,
    /// Which tenants stood then.
    stood: Vec<Vec<bool>>,
}

fn tenant_id(tenant: usize) -> TenantId {
    format!("tenant-{tenant}").parse().unwrap()
}

/// Returns a catalog in which `write` implies another scope with each version.
fn catalog(version: Version) -> Catalog {
    let scope = |name: &str, implies: Vec<String>| ScopeDraft {
        name: name.to_owned(),
        implies,
        ..ScopeDraft::default()
    };
    let implied = format!("v{}", version.0);
    let scopes = vec![
        scope("write", vec![implied.clone()]),
        scope(&implied, vec![]),
        scope("read", vec![]),
    ];
    let draft = Draft {
        scopes,
        profiles: vec![],
    };
    draft.check(&mut Violations::default())
}

impl World {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let entropy = FromChance::new(chance);
        let mint = |nth: usize| {
            let prefix = format!("t{}_", nth % TENANTS).parse().unwrap();
            TokenValue::mint(prefix, &entropy).unwrap()
        };
        let standing = |tenant: usize| Standing {
            prefix: format!("t{tenant}_").parse().unwrap(),
            suspended: false,
            deleted: false,
        };
        let user = |_| Owner {
            user_id: UserId::mint(at(1), &entropy).unwrap(),
            external_id: String::from("someone"),
            role: Some(Role::Member),
            suspended: false,
            deleted: false,
        };
        let mut world = Self {
            values: (0..2 * TOKENS * TENANTS).map(mint).collect(),
            tokens: Vec::new(),
            tenants: (0..TENANTS).map(|t| (standing(t), Version(1))).collect(),
            users: (0..USERS).map(user).collect(),
            log: Vec::new(),
            history: Vec::new(),
            stood: Vec::new(),
        };
        for _ in 0..chance.below(TOKENS) {
            world.create(chance);
        }
        world.log.clear();
        world.history = vec![world.worth()];
        world.stood = vec![world.standings()];
        world
    }

    fn create(&mut self, chance: &mut Chance) -> Option<(Change, Option<usize>)> {
        let value = self.free_values().first().copied()?;
        let (tenant, user) = (value % TENANTS, chance.below(USERS));
        let entropy = FromChance::new(chance);
        let token = Token {
            token_id: TokenId::mint(at(1), &entropy).unwrap(),
            tenant_id: tenant_id(tenant),
            owner: None,
            kind: Kind::Api,
            name: String::from("token"),
            hint: String::new(),
            scopes: ["write".parse().unwrap()].into_iter().collect(),
            profile: String::new(),
            agent_id: String::new(),
            labels: Labels::new(),
            created_by: None,
            version: Version(1),
            created_number: ChangeNumber(1),
            created_at: at(1),
            updated_at: at(1),
            expires_at: None,
            disabled_at: None,
            revocation: None,
            rotated_at: None,
            previous: Vec::new(),
            last_use: None,
        };
        let token_id = token.token_id;
        self.tokens.push(SimToken {
            token,
            tenant,
            user,
            values: vec![(value, false)],
        });
        let nth = self.tokens.len() - 1;
        // Logged by itself, or as the first of many.
        let created = if chance.is_one_of(4) {
            Change::TokensCreated(tenant_id(tenant), token_id)
        } else {
            Change::TokenCreated(tenant_id(tenant), token_id)
        };
        Some((created, Some(nth)))
    }

    /// Changes something; returns how that is logged.
    fn alter(&mut self, chance: &mut Chance) -> Option<(Change, Option<usize>)> {
        let what = chance.below(9);
        let (tenant, user) = (chance.below(TENANTS), chance.below(USERS));
        match what {
            0 => return self.create(chance),
            1 => {
                let (standing, _) = &mut self.tenants[tenant];
                standing.suspended = !standing.suspended;
                return Some((Change::TenantChanged(tenant_id(tenant)), None));
            }
            2 => {
                self.tenants[tenant].1.0 += 1;
                return Some((Change::CatalogChanged(tenant_id(tenant)), None));
            }
            3 => {
                let user = &mut self.users[user];
                user.suspended = !user.suspended;
                return Some((Change::UserChanged(user.user_id), None));
            }
            4 => {
                let user = &mut self.users[user];
                user.role = match user.role {
                    None => Some(Role::Member),
                    Some(_) => None,
                };
                // In both tenants, as one transaction can't be told from two here.
                return Some((Change::UserChanged(user.user_id), None));
            }
            _ => {}
        }
        let free = self.free_values();
        let nth = chance.below(self.tokens.len().max(1));
        let token = self.tokens.get_mut(nth)?;
        match what {
            5 => {
                token.token.revocation = Some(Revocation {
                    at: at(2),
                    reason: RevokeReason::Unspecified,
                    text: String::new(),
                });
            }
            6 => {
                let disabled = token.token.disabled_at;
                token.token.disabled_at = disabled.is_none().then(|| at(2));
            }
            7 => {
                let name = ["read", "write"][chance.below(2)];
                token.token.scopes = [name.parse().unwrap()].into_iter().collect();
            }
            _ => {
                let value = free.into_iter().find(|nth| nth % TENANTS == token.tenant)?;
                token.values.iter_mut().for_each(|(_, over)| *over = true);
                token.values.push((value, false));
            }
        }
        let changed = Change::TokenChanged(tenant_id(token.tenant), token.token.token_id);
        Some((changed, Some(nth)))
    }

    fn free_values(&self) -> Vec<usize> {
        let taken: Vec<_> = self.tokens.iter().flat_map(|t| &t.values).collect();
        let free = |nth: &usize| !taken.iter().any(|(value, _)| value == nth);
        (0..self.values.len()).filter(free).collect()
    }

    pub(super) fn find(&self, lookup: &Lookup) -> Option<(Record, Verifier, Version)> {
        let nth = self.values.iter().position(|v| v.lookup() == lookup)?;
        let mut all = self.tokens.iter();
        let (token, over) = all.find_map(|token| {
            let value = token.values.iter().find(|(value, _)| *value == nth);
            value.map(|(_, over)| (token, *over))
        })?;
        let (standing, version) = self.tenants[token.tenant].clone();
        let record = Record {
            token: Token {
                owner: Some(self.users[token.user].clone()),
                ..token.token.clone()
            },
            tenant: standing,
            catalog: catalog(version),
        };
        let verifier = Verifier {
            secret_id: uuid::Uuid::from_u128(nth as u128).into(),
            secret_hash: SecretHash::new(String::new()),
            fingerprint: Some((KeyId(String::from("0001.x")), Fingerprint::from([0; 32]))),
            ends_at: over.then(|| at(2)),
            reused: false,
        };
        Some((record, verifier, version))
    }

    fn worth(&self) -> Vec<Seen> {
        let worth = |value: &TokenValue| match self.find(value.lookup()) {
            None => Seen::Unknown,
            Some((record, verifier, _)) => {
                let value = AnyValue::Native(value.clone());
                Seen::of_record(&record, &verifier, &value)
            }
        };
        self.values.iter().map(worth).collect()
    }

    fn keys_of(&self, token: Option<usize>) -> Vec<ValueKey> {
        let values = token.map(|nth| &self.tokens[nth].values);
        let values = values.into_iter().flatten();
        let key = |(value, _): &(usize, bool)| self.values[*value].lookup().clone();
        values.map(key).map(ValueKey::Lookup).collect()
    }

    fn head(&self) -> Revision {
        Revision {
            incarnation: "0".repeat(22),
            number: ChangeNumber(i64::try_from(self.log.len()).unwrap()),
        }
    }
}

/// A store that takes its time.
#[derive(Debug)]
pub(super) struct Sim {
    world: Mutex<World>,
    chance: Mutex<Chance>,
    lookups: HashMap<Lookup, usize>,
}

impl Sim {
    pub(super) fn new(world: World, chance: Chance) -> Self {
        let values = world.values.iter().enumerate();
        Self {
            lookups: values.map(|(nth, v)| (v.lookup().clone(), nth)).collect(),
            world: Mutex::new(world),
            chance: Mutex::new(chance),
        }
    }

    /// Commits a change; returns its number.
    pub(super) fn change(&self, chance: &mut Chance) -> ChangeNumber {
        let mut world = self.world.lock().unwrap();
        if let Some(logged) = world.alter(chance) {
            world.log.push(logged);
            let worth = world.worth();
            world.history.push(worth);
            let standings = world.standings();
            world.stood.push(standings);
        }
        world.head().number
    }

    pub(super) fn nth_value(&self, nth: usize) -> AnyValue {
        AnyValue::Native(self.world.lock().unwrap().values[nth].clone())
    }

    pub(super) fn any_value(&self, chance: &mut Chance) -> AnyValue {
        let world = self.world.lock().unwrap();
        AnyValue::Native(world.values[chance.below(world.values.len())].clone())
    }

    /// Returns whether a value was worth this at some time since a change.
    pub(super) fn was(&self, value: &AnyValue, seen: &Seen, since: ChangeNumber) -> bool {
        let AnyValue::Native(value) = value else {
            return false;
        };
        let world = self.world.lock().unwrap();
        let since = usize::try_from(since.0).unwrap();
        let nth = self.lookups[value.lookup()];
        world.history[since..]
            .iter()
            .any(|worth| worth[nth] == *seen)
    }

    /// Looks at one moment, some time after it was asked and before it answers.
    async fn look<T>(&self, look: impl FnOnce(&World) -> T) -> Result<T, Error> {
        let (before, after, fails) = {
            let mut chance = self.chance.lock().unwrap();
            (chance.moment(), chance.moment(), chance.is_one_of(40))
        };
        sleep(before).await;
        let looked = look(&self.world.lock().unwrap());
        sleep(after).await;
        if fails {
            return Err(Error::Open(String::from("the store is away")));
        }
        Ok(looked)
    }
}

impl Source for Sim {
    type Hold = ();

    async fn hold(&self) -> Result<(), Error> {
        self.look(|_| ()).await
    }

    async fn beat((): &mut ()) -> Result<(), Error> {
        Ok(())
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.look(World::head).await
    }

    async fn settled_head(&self) -> Result<Revision, Error> {
        self.look(World::head).await
    }

    fn readers(&self) -> usize {
        4
    }

    async fn by_lookups(&self, lookups: &[Lookup]) -> Result<Vec<(Known, Verifier)>, Error> {
        let known = |world: &World, lookup: &Lookup| {
            let (record, verifier, catalog) = world.find(lookup)?;
            let known = Known {
                key: ValueKey::Lookup(lookup.clone()),
                token: record.token,
                tenant: record.tenant,
                catalog,
            };
            Some((known, verifier))
        };
        let look = |world: &World| lookups.iter().filter_map(|l| known(world, l)).collect();
        self.look(look).await
    }

    async fn by_hint(&self, _: &str) -> Result<Vec<(Known, Verifier)>, Error> {
        Ok(Vec::new())
    }

    async fn catalog(&self, tenant: &TenantId) -> Result<Option<(Version, Catalog)>, Error> {
        let look = |world: &World| {
            let nth = (0..TENANTS).find(|nth| tenant_id(*nth) == *tenant)?;
            let version = world.tenants[nth].1;
            Some((version, catalog(version)))
        };
        self.look(look).await
    }

    async fn whole_by_lookup(
        &self,
        lookup: &Lookup,
    ) -> Result<(Revision, Vec<(Record, Verifier)>), Error> {
        let look = |world: &World| {
            let found = world.find(lookup).into_iter();
            (world.head(), found.map(|(r, v, _)| (r, v)).collect())
        };
        self.look(look).await
    }

    async fn whole_by_beginning(
        &self,
        _: &str,
    ) -> Result<(Revision, Vec<(Record, Verifier)>), Error> {
        self.look(|world| (world.head(), Vec::new())).await
    }

    async fn changes(&self, after: ChangeNumber, most: u32) -> Result<Followed, Error> {
        let look = |world: &World| {
            let numbered = (1i64..).zip(&world.log);
            let upto = after.0 + i64::from(most);
            let wanted = numbered.filter(|(number, _)| (after.0 + 1..=upto).contains(number));
            let changes = wanted.map(|(number, (change, token))| Logged {
                number: ChangeNumber(number),
                change: change.clone(),
                keys: if matches!(change, Change::TokensCreated(..)) {
                    Vec::new()
                } else {
                    world.keys_of(*token)
                },
            });
            Followed {
                head: world.head(),
                changes: changes.collect(),
            }
        };
        self.look(look).await
    }

    async fn created_keys(
        &self,
        _: &TenantId,
        first: TokenId,
        _: ChangeNumber,
    ) -> Result<Vec<ValueKey>, Error> {
        let look = |world: &World| {
            let mut all = world.tokens.iter();
            world.keys_of(all.position(|token| token.token.token_id == first))
        };
        self.look(look).await
    }

    async fn each_key(&self, mut tell: impl FnMut(&ValueKey) + Send) -> Result<(), Error> {
        let all = |world: &World| {
            let each = (0..world.tokens.len()).flat_map(|nth| world.keys_of(Some(nth)));
            each.collect::<Vec<_>>()
        };
        let keys = self.look(all).await?;
        keys.iter().for_each(&mut tell);
        Ok(())
    }
}
