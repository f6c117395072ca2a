//! A tenant's catalog: its scopes, what they imply, who may hold them, and the
//! profiles that bundle them.

mod draft;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::draft::{Draft, ProfileDraft, ScopeDraft};
use super::principal::Role;
use super::reason::Field;
use super::scope::{Permission, ScopeName, ScopeSet};
use super::token::Kind;

/// A scope of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// What people read.
    #[serde(default)]
    pub description: String,
    /// What comes along with it.
    #[serde(default)]
    pub implies: BTreeSet<ScopeName>,
    /// Whether only an administrator may hold it.
    #[serde(default)]
    pub admins_only: bool,
    /// The kinds of tokens that never hold it.
    #[serde(default)]
    pub forbidden_kinds: BTreeSet<Kind>,
}

/// A named bundle of scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What people read.
    #[serde(default)]
    pub description: String,
    /// What it stands for.
    pub scopes: BTreeSet<ScopeName>,
}

/// A checked catalog: no cycle, no unknown name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The scopes.
    #[serde(default)]
    pub scopes: BTreeMap<ScopeName, Scope>,
    /// The profiles.
    #[serde(default)]
    pub profiles: BTreeMap<ScopeName, Profile>,
}

/// Why a holder may not hold a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unfit {
    /// The catalog has no such scope.
    NotInCatalog,
    /// Tokens of the holder's kind never hold it.
    ForbiddenForKind,
    /// Only an administrator may hold it.
    NeedsAdminRole,
}

impl From<Unfit> for Field {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NotInCatalog => Self::UnknownScope,
            Unfit::ForbiddenForKind => Self::ScopeForbiddenForKind,
            Unfit::NeedsAdminRole => Self::ScopeAboveRole,
        }
    }
}

/// Who holds a grant: what limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The user's role; `None` for SERVICE, which no role limits, and for who is no
    /// member.
    pub role: Option<Role>,
    /// The token's kind.
    pub kind: Kind,
    /// Whether the token is of the reserved tenant.
    pub authority: bool,
}

impl Catalog {
    /// Returns what was granted and all that it implies. Names that the catalog
    /// no longer has imply nothing.
    pub fn closure(&self, granted: &ScopeSet) -> ScopeSet {
        let mut closure = ScopeSet::default();
        let mut open: Vec<&ScopeName> = granted.iter().collect();
        while let Some(name) = open.pop() {
            if closure.insert(name.clone())
                && let Some(scope) = self.scopes.get(name)
            {
                open.extend(&scope.implies);
            }
        }
        closure
    }

    /// Returns what the holder may do: what was granted and all that it implies,
    /// within what the catalog lets the holder's role and kind hold.
    pub fn effective(&self, granted: &ScopeSet, holder: Holder) -> ScopeSet {
        let closure = self.closure(granted);
        let tainted = self.tainted(&closure, holder);
        let may_hold =
            |name: &&ScopeName| self.may_hold(name, holder).is_ok() && !tainted.contains(name);
        closure.iter().filter(may_hold).cloned().collect()
    }

    /// Returns those of a closure that an AGENT does not hold because they imply what is
    /// forbidden to it: an agent's run is no administrator's, under whatever name. Who is
    /// of another kind holds such a scope without what it may not have of it.
    pub fn tainted(&self, closure: &ScopeSet, holder: Holder) -> ScopeSet {
        let mut tainted = ScopeSet::default();
        if holder.kind != Kind::Agent {
            return tainted;
        }
        let mut implied_by = BTreeMap::<&ScopeName, Vec<&ScopeName>>::new();
        for name in closure {
            for implied in self.scopes.get(name).into_iter().flat_map(|s| &s.implies) {
                implied_by.entry(implied).or_default().push(name);
            }
        }
        let forbidden =
            |name: &&ScopeName| self.may_hold(name, holder) == Err(Unfit::ForbiddenForKind);
        let mut open: Vec<&ScopeName> = closure.iter().filter(forbidden).collect();
        while let Some(name) = open.pop() {
            for name in implied_by.get(name).into_iter().flatten() {
                if tainted.insert((*name).clone()) {
                    open.push(name);
                }
            }
        }
        tainted
    }

    /// Returns whether a scope of the catalog is open to a holder of this role, whatever
    /// the kind of what holds it.
    pub fn admits(&self, name: &ScopeName, role: Role) -> bool {
        let scope = self.scopes.get(name);
        scope.is_some_and(|scope| role == Role::Admin || !scope.admins_only)
    }

    /// Returns whether such a holder may hold the scope itself, whatever it implies.
    pub fn may_hold(&self, name: &ScopeName, holder: Holder) -> Result<(), Unfit> {
        // No role limits SERVICE; a user who is no member any more has none either.
        let admin = holder.kind == Kind::Service || holder.role == Some(Role::Admin);
        if let Some(permission) = name.permission() {
            let by_kind = match permission {
                Permission::Introspect | Permission::TokensRead | Permission::TokensWrite => {
                    holder.kind != Kind::Webhook
                }
                Permission::TenantAdmin => matches!(holder.kind, Kind::Api | Kind::Service),
                Permission::Operator => holder.kind == Kind::Service,
            };
            return if permission == Permission::Operator && !holder.authority {
                Err(Unfit::NotInCatalog)
            } else if !by_kind {
                Err(Unfit::ForbiddenForKind)
            } else if permission == Permission::TenantAdmin && !admin {
                Err(Unfit::NeedsAdminRole)
            } else {
                Ok(())
            };
        }
        match self.scopes.get(name) {
            None => Err(Unfit::NotInCatalog),
            Some(scope) if scope.forbidden_kinds.contains(&holder.kind) => {
                Err(Unfit::ForbiddenForKind)
            }
            // An agent's run is no administrator's, whoever runs it.
            Some(scope) if scope.admins_only && holder.kind == Kind::Agent => {
                Err(Unfit::ForbiddenForKind)
            }
            Some(scope) if scope.admins_only && !admin => Err(Unfit::NeedsAdminRole),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason::Violations;
    use super::*;
    use proptest::prelude::*;

    fn scope(name: &str, implies: &[&str]) -> ScopeDraft {
        ScopeDraft {
            name: name.to_owned(),
            implies: implies.iter().map(|&name| name.to_owned()).collect(),
            ..ScopeDraft::default()
        }
    }

    fn judge(scopes: Vec<ScopeDraft>, profiles: Vec<ProfileDraft>) -> (Catalog, Vec<String>) {
        let mut violations = Violations::default();
        let catalog = Draft { scopes, profiles }.check(&mut violations);
        let said = violations
            .iter()
            .map(|v| format!("{} {}", v.field, v.reason.as_str()))
            .collect();
        (catalog, said)
    }

    fn set(names: &[&str]) -> ScopeSet {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    const MEMBER: Holder = Holder {
        role: Some(Role::Member),
        kind: Kind::Api,
        authority: false,
    };
    const ADMIN: Holder = Holder {
        role: Some(Role::Admin),
        kind: Kind::Api,
        authority: false,
    };

    #[test]
    fn a_write_scope_brings_its_read_scope() {
        let scopes = vec![scope("read", &[]), scope("write", &["read"])];
        let (catalog, said) = judge(scopes, vec![]);
        assert_eq!(said, [""; 0]);
        let effective = catalog.effective(&set(&["write"]), MEMBER);
        assert_eq!(effective, set(&["read", "write"]));
    }

    #[test]
    fn what_is_wrong_is_said_all_at_once() {
        let (_, said) = judge(
            vec![
                scope("a", &["b"]),
                scope("b", &["a"]),
                scope("c", &["a", "nowhere", "bad name"]),
                scope("authority:introspect", &[]),
                scope("c", &["authority:tenant.admin", "authority:tokens.read"]),
            ],
            vec![ProfileDraft {
                name: "p".into(),
                scopes: vec!["zzz".into()],
                ..Default::default()
            }],
        );
        assert_eq!(
            said,
            [
                "catalog.scopes[2].implies[2] INVALID_SCOPE",
                "catalog.scopes[3].name RESERVED_SCOPE",
                "catalog.scopes[4].name DUPLICATE_NAME",
                "catalog.scopes[0].implies SCOPE_CYCLE",
                "catalog.scopes[1].implies SCOPE_CYCLE",
                "catalog.scopes[2].implies[1] UNKNOWN_SCOPE",
                "catalog.scopes[4].implies[0] RESERVED_SCOPE",
                "catalog.profiles[0].scopes[0] UNKNOWN_SCOPE",
            ]
        );
    }

    #[test]
    fn tenant_admin_comes_only_from_a_scope_for_administrators() {
        let draft = ScopeDraft {
            admins_only: true,
            ..scope("admin", &["authority:tenant.admin"])
        };
        let (catalog, said) = judge(vec![draft], vec![]);
        assert_eq!(said, [""; 0]);
        assert!(
            catalog
                .effective(&set(&["admin"]), ADMIN)
                .has(Permission::TenantAdmin)
        );
        assert!(catalog.effective(&set(&["admin"]), MEMBER).is_empty());
        let agent = Holder {
            kind: Kind::Agent,
            ..ADMIN
        };
        assert!(
            !catalog
                .effective(&set(&["admin"]), agent)
                .has(Permission::TenantAdmin)
        );
    }

    #[test]
    fn an_agent_holds_nothing_that_is_or_implies_an_administrators() {
        let admin = ScopeDraft {
            admins_only: true,
            ..scope("admin", &["read"])
        };
        let no_agents = ScopeDraft {
            forbidden_kinds: vec![Kind::Agent],
            ..scope("no_agents", &[])
        };
        let (catalog, said) = judge(
            vec![
                scope("read", &[]),
                admin,
                no_agents,
                scope("super", &["admin"]),
                scope("hyper", &["super", "write"]),
                scope("write", &["read"]),
                scope("sly", &["no_agents"]),
            ],
            vec![],
        );
        assert_eq!(said, [""; 0]);
        let agent = Holder {
            kind: Kind::Agent,
            ..ADMIN
        };
        for (granted, left) in [
            (vec!["admin"], vec!["read"]),
            (vec!["hyper"], vec!["read", "write"]),
            (vec!["sly", "write"], vec!["read", "write"]),
        ] {
            assert_eq!(catalog.effective(&set(&granted), agent), set(&left));
        }
        // Another kind loses no more than what it may not have.
        assert_eq!(
            catalog.effective(&set(&["super"]), MEMBER),
            set(&["read", "super"])
        );
        assert_eq!(
            catalog.effective(&set(&["super"]), ADMIN),
            set(&["admin", "read", "super"])
        );
    }

    #[test]
    fn a_demoted_holder_keeps_what_its_role_allows() {
        let admin = ScopeDraft {
            admins_only: true,
            ..scope("admin", &["read_write"])
        };
        let (catalog, _) = judge(vec![admin, scope("read_write", &[])], vec![]);
        let granted = set(&["admin"]);
        assert_eq!(
            catalog.effective(&granted, ADMIN),
            set(&["admin", "read_write"])
        );
        assert_eq!(catalog.effective(&granted, MEMBER), set(&["read_write"]));
    }

    #[test]
    fn operator_exists_in_the_reserved_tenant_alone() {
        let granted = set(&["authority:operator"]);
        let service = Holder {
            role: None,
            kind: Kind::Service,
            authority: false,
        };
        assert!(Catalog::default().effective(&granted, service).is_empty());
        let operator = Holder {
            authority: true,
            ..service
        };
        assert!(
            Catalog::default()
                .effective(&granted, operator)
                .has(Permission::Operator)
        );
    }

    proptest! {
        #[test]
        fn the_algebra_of_scopes(
            edges in proptest::collection::vec((0usize..12, 0usize..12), 0..30),
            left in proptest::collection::btree_set(0usize..12, 0..6),
            right in proptest::collection::btree_set(0usize..12, 0..6),
            admins_only in proptest::collection::btree_set(0usize..12, 0..4),
        ) {
            let name = |i: &usize| format!("s{i}").parse::<ScopeName>().unwrap();
            let scopes = (0..12).map(|i| ScopeDraft {
                admins_only: admins_only.contains(&i),
                // Only from the lower to the higher: never a cycle.
                implies: edges.iter().filter(|(a, b)| *a == i && a < b).map(|(_, b)| format!("s{b}")).collect(),
                ..scope(&format!("s{i}"), &[])
            }).collect();
            let (catalog, said) = judge(scopes, vec![]);
            prop_assert!(said.is_empty());
            let (left, right): (ScopeSet, ScopeSet) =
                (left.iter().map(name).collect(), right.iter().map(name).collect());
            let both: ScopeSet = left.iter().chain(right.iter()).cloned().collect();

            let closed = catalog.closure(&left);
            prop_assert_eq!(&catalog.closure(&closed), &closed, "closing twice changes nothing");
            prop_assert!(left.minus(&closed).is_empty(), "nothing granted is lost");
            prop_assert!(catalog.closure(&left).minus(&catalog.closure(&both)).is_empty(), "monotone");
            let member = catalog.effective(&left, MEMBER);
            prop_assert!(member.minus(&catalog.effective(&left, ADMIN)).is_empty(), "an administrator holds no less");
            prop_assert!(member.minus(&closed).is_empty(), "never beyond the grant");
        }

        #[test]
        fn a_cycle_is_found_exactly_when_there_is_one(
            edges in proptest::collection::btree_set((0usize..7, 0usize..7), 0..14),
        ) {
            let scopes = (0..7).map(|i| ScopeDraft {
                implies: edges.iter().filter(|(a, _)| *a == i).map(|(_, b)| format!("s{b}")).collect(),
                ..scope(&format!("s{i}"), &[])
            }).collect();
            let (_, said) = judge(scopes, vec![]);
            let mut reach = [[false; 7]; 7];
            for (a, b) in &edges { reach[*a][*b] = true; }
            for k in 0..7 { for i in 0..7 { for j in 0..7 {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }}}
            prop_assert_eq!(!said.is_empty(), (0..7).any(|i| reach[i][i]));
        }
    }
}
