//! Who there is while it is measured: tenants, users and tokens such as products have, each
//! made anew from a seed and its number, so that what must be answered is known of each.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::base62;
use crate::domain::catalog::{Catalog, Draft, Holder, ScopeDraft};
use crate::domain::entropy::{Entropy, EntropyError};
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::principal::Role;
use crate::domain::reason::Violations;
use crate::domain::scope::{ScopeName, ScopeSet};
use crate::domain::text::Labels;
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;
use crate::domain::value::{Prefix, TokenValue};
use crate::pb;
use crate::rpc::convert::outward;
use crate::store::{NewToken, TEN};

/// How many tokens a user has.
pub(super) const TOKENS_OF_USER: u64 = TEN as u64;
/// How long those live that end.
const TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// What resource servers require: each of its values holds it.
pub(super) const REQUIRED: [&str; 2] = ["documents:read", "todos:read"];
/// The check at a value's end, and the secret before it.
const CHECK_WIDTH: usize = 6;
const SECRET_WIDTH: usize = 43;

/// The scopes of each tenant, and what each brings along.
const SCOPES: [(&str, &[&str]); 12] = [
    ("calendar:read", &[]),
    ("calendar:write", &["calendar:read"]),
    ("chat", &[]),
    ("documents:read", &[]),
    ("documents:write", &["documents:read"]),
    ("email:draft", &[]),
    ("email:read", &[]),
    ("email:send", &[]),
    ("memory:read", &[]),
    ("memory:write", &["memory:read"]),
    ("todos:read", &[]),
    ("todos:write", &["todos:read"]),
];

/// What tokens are granted: each holds what is [`REQUIRED`].
const GRANTS: [&[&str]; 5] = [
    &["documents:read", "todos:read"],
    &["chat", "documents:write", "todos:write"],
    &[
        "calendar:write",
        "documents:read",
        "email:draft",
        "todos:write",
    ],
    &[
        "chat",
        "documents:write",
        "email:read",
        "email:send",
        "memory:write",
        "todos:read",
    ],
    &[
        "calendar:read",
        "chat",
        "documents:read",
        "memory:read",
        "todos:read",
    ],
];

/// What tokens are called.
const NAMES: [&str; 5] = [
    "ci-deploy",
    "Zapier",
    "nightly export",
    "laptop",
    "mcp-client",
];

/// What values and ids are drawn from: always alike for one seed and number.
#[derive(Debug)]
struct Drawn(AtomicU64);

impl Drawn {
    fn new(seed: u64, what: u64, number: u64) -> Self {
        let start = mixed(seed ^ mixed(what.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mixed(number)));
        Self(AtomicU64::new(start))
    }
}

impl Entropy for Drawn {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in buffer.chunks_mut(8) {
            let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            for (byte, drawn) in chunk.iter_mut().zip(mixed(state).to_le_bytes()) {
                *byte = drawn;
            }
        }
        Ok(())
    }
}

/// Returns a number that looks like no other's (the last step of `SplitMix64`).
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is drawn for.
const USER: u64 = 1;
const TOKEN: u64 = 2;
const STRANGER: u64 = 3;

/// The tenants, users and tokens.
#[derive(Clone, Debug)]
pub(super) struct Population {
    seed: u64,
    tenants: u64,
    catalog: Catalog,
    grants: Vec<(ScopeSet, ScopeSet)>,
    /// When all were created.
    pub(super) created_at: Timestamp,
}

/// A user that is to be.
#[derive(Debug)]
pub(super) struct PlannedUser {
    pub(super) user_id: UserId,
    /// What its voucher calls it.
    pub(super) name: String,
    pub(super) tenant_id: TenantId,
}

/// A value that no token has, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Its lookup is nobody's.
    Unknown,
    /// Its lookup is a token's, its secret is not.
    WrongSecret,
    /// Its check does not match.
    Malformed,
}

/// It can't be planned.
#[derive(Debug, thiserror::Error)]
#[error("the tokens to be made are not as the rules want them")]
pub(super) struct Unplanned;

impl Population {
    /// Plans so many tenants of a seed.
    pub(super) fn new(seed: u64, tenants: u64, created_at: Timestamp) -> Result<Self, Unplanned> {
        let scopes = SCOPES.map(|(name, implies)| ScopeDraft {
            name: name.to_owned(),
            implies: implies.iter().map(|&name| name.to_owned()).collect(),
            ..ScopeDraft::default()
        });
        let draft = Draft {
            scopes: scopes.to_vec(),
            profiles: Vec::new(),
        };
        let mut violations = Violations::default();
        let catalog = draft.check(&mut violations);
        let mut grants = Vec::new();
        for names in GRANTS {
            let names = names.iter().map(|name| name.parse::<ScopeName>());
            let granted: BTreeSet<_> = names.collect::<Result<_, _>>().map_err(|_| Unplanned)?;
            let granted: ScopeSet = granted.into_iter().collect();
            let holder = Holder {
                role: Some(Role::Member),
                kind: Kind::Api,
                authority: false,
            };
            let effective = catalog.effective(&granted, holder);
            grants.push((granted, effective));
        }
        if !violations.is_empty() || !(1..=1000).contains(&tenants) {
            return Err(Unplanned);
        }
        Ok(Self {
            seed,
            tenants,
            catalog,
            grants,
            created_at,
        })
    }

    /// Returns the catalog of each tenant.
    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns each tenant's id and prefix.
    pub(super) fn tenants(&self) -> Result<Vec<(TenantId, Prefix)>, Unplanned> {
        let tenants = 0..self.tenants;
        tenants
            .map(|tenant| Ok((id(tenant)?, prefix(tenant)?)))
            .collect()
    }

    /// Returns the tenant of a token, by its number.
    pub(super) fn tenant_of(&self, token: u64) -> u64 {
        (token / TOKENS_OF_USER) % self.tenants
    }

    /// Returns the user of a token, by its number.
    pub(super) fn user_of(&self, token: u64) -> Result<PlannedUser, Unplanned> {
        let number = token / TOKENS_OF_USER;
        let drawn = Drawn::new(self.seed, USER, number);
        Ok(PlannedUser {
            user_id: UserId::mint(self.created_at, &drawn).map_err(|_| Unplanned)?,
            name: format!("user{number}@bench.example"),
            tenant_id: id(self.tenant_of(token))?,
        })
    }

    /// Returns a token of that number of this user, and its value.
    pub(super) fn token(
        &self,
        number: u64,
        user: &PlannedUser,
    ) -> Result<(NewToken, TokenValue), Unplanned> {
        let drawn = Drawn::new(self.seed, TOKEN, number);
        let value = TokenValue::mint(prefix(self.tenant_of(number))?, &drawn);
        let value = value.map_err(|_| Unplanned)?;
        let (granted, _) = self.grant(number)?;
        let name = pick(&NAMES, number).unwrap_or(&"laptop");
        let labels = match number % 2 {
            0 => Labels::from([
                (String::from("env"), String::from("production")),
                (String::from("team"), format!("team-{}", number % 7)),
            ]),
            _ => Labels::new(),
        };
        let token = NewToken {
            token_id: TokenId::mint(self.created_at, &drawn).map_err(|_| Unplanned)?,
            tenant_id: user.tenant_id.clone(),
            user_id: Some(user.user_id),
            kind: Kind::Api,
            name: format!("{name} {number}"),
            scopes: granted.clone(),
            profile: String::new(),
            agent_id: String::new(),
            labels,
            created_by: None,
            created_at: self.created_at,
            expires_at: (!number.is_multiple_of(4)).then(|| self.created_at.saturating_add(TTL)),
        };
        Ok((token, value))
    }

    fn grant(&self, number: u64) -> Result<&(ScopeSet, ScopeSet), Unplanned> {
        pick(&self.grants, mixed(number)).ok_or(Unplanned)
    }

    /// Returns what must be answered of a token, but when and as of which revision.
    pub(super) fn answer(&self, number: u64) -> Result<pb::IntrospectResponse, Unplanned> {
        let user = self.user_of(number)?;
        let (token, _) = self.token(number, &user)?;
        let (_, effective) = self.grant(number)?;
        Ok(pb::IntrospectResponse {
            allowed: true,
            active: true,
            token_id: token.token_id.to_string(),
            tenant_id: token.tenant_id.to_string(),
            user_id: user.user_id.to_string(),
            user_external_id: user.name,
            user_role: pb::Role::Member.into(),
            kind: outward::kind(token.kind),
            name: token.name,
            scopes: effective.to_strings(),
            labels: token.labels,
            create_time: Some(outward::timestamp(token.created_at)),
            expire_time: token.expires_at.map(outward::timestamp),
            ..Default::default()
        })
    }

    /// Returns what is asked of a value, as of this tenant.
    pub(super) fn question(value: String, tenant: u64) -> pb::IntrospectRequest {
        pb::IntrospectRequest {
            token: value,
            tenant_id: id(tenant).map(|id| id.to_string()).unwrap_or_default(),
            required_scopes: REQUIRED.map(String::from).to_vec(),
            ..Default::default()
        }
    }

    /// Returns a value that is none; the like of the token of that number.
    pub(super) fn bad(&self, bad: Bad, number: u64, like: u64) -> Result<String, Unplanned> {
        let drawn = Drawn::new(self.seed, STRANGER, number);
        let stranger = TokenValue::mint(prefix(self.tenant_of(like))?, &drawn);
        let stranger = stranger.map_err(|_| Unplanned)?.expose();
        if bad == Bad::Unknown {
            return Ok(stranger);
        }
        let (_, value) = self.token(like, &self.user_of(like)?)?;
        let value = value.expose();
        let cut = value
            .len()
            .checked_sub(SECRET_WIDTH + CHECK_WIDTH)
            .ok_or(Unplanned)?;
        let (begin, _) = value.split_at_checked(cut).ok_or(Unplanned)?;
        let (_, end) = stranger.split_at_checked(cut).ok_or(Unplanned)?;
        let (secret, check) = end.split_at_checked(SECRET_WIDTH).ok_or(Unplanned)?;
        let mut text = format!("{begin}{secret}");
        let right = base62::encode(&crc32fast::hash(text.as_bytes()).to_be_bytes(), CHECK_WIDTH);
        match bad {
            Bad::Malformed if right != check => text.push_str(check),
            Bad::Malformed => text.push_str("000000"),
            Bad::Unknown | Bad::WrongSecret => text.push_str(&right),
        }
        Ok(text)
    }
}

/// Returns the item of that number, beginning anew after the last.
fn pick<T>(items: &[T], number: u64) -> Option<&T> {
    let most = u64::try_from(items.len()).ok()?.max(1);
    items.get(usize::try_from(number % most).ok()?)
}

fn id(tenant: u64) -> Result<TenantId, Unplanned> {
    format!("bench-{tenant}").parse().map_err(|_| Unplanned)
}

fn prefix(tenant: u64) -> Result<Prefix, Unplanned> {
    format!("b{tenant:03}_").parse().map_err(|_| Unplanned)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn population(seed: u64) -> Population {
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        Population::new(seed, 3, now).unwrap()
    }

    fn value(population: &Population, number: u64) -> String {
        let user = population.user_of(number).unwrap();
        population.token(number, &user).unwrap().1.expose()
    }

    #[test]
    fn a_seed_and_a_number_make_one_value_and_no_other_makes_it() {
        let (one, other) = (population(1), population(2));
        let values: HashSet<String> = (0..100).map(|number| value(&one, number)).collect();
        assert_eq!(values.len(), 100);
        for number in 0..100 {
            assert!(values.contains(&value(&population(1), number)));
            assert!(!values.contains(&value(&other, number)));
        }
    }

    #[test]
    fn each_token_holds_what_is_required_and_is_of_its_users_tenant() {
        let population = population(1);
        for number in 0..100 {
            let answer = population.answer(number).unwrap();
            let holds = |scope: &&str| answer.scopes.iter().any(|held| held == scope);
            assert!(REQUIRED.iter().all(holds), "{answer:?}");
            let tenant = population.tenant_of(number);
            assert_eq!(answer.tenant_id, format!("bench-{tenant}"));
            assert!(value(&population, number).starts_with(&format!("b{tenant:03}_")));
        }
    }

    #[test]
    fn a_bad_value_is_bad_in_the_way_that_it_is_to_be() {
        let population = population(1);
        for number in 0..50 {
            let like: TokenValue = value(&population, number).parse().unwrap();
            let bad = |bad| population.bad(bad, number, number).unwrap();
            let unknown: TokenValue = bad(Bad::Unknown).parse().unwrap();
            assert_eq!(unknown.prefix(), like.prefix());
            assert_ne!(unknown.lookup(), like.lookup());
            let wrong: TokenValue = bad(Bad::WrongSecret).parse().unwrap();
            assert_eq!(wrong.lookup(), like.lookup());
            assert_ne!(wrong.secret().expose(), like.secret().expose());
            assert!(bad(Bad::Malformed).parse::<TokenValue>().is_err());
        }
    }

    #[test]
    fn more_tenants_than_prefixes_are_refused() {
        assert!(Population::new(1, 1001, Timestamp::MAX).is_err());
        assert!(Population::new(1, 0, Timestamp::MAX).is_err());
    }
}
