//! A tenant's rules for tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds;
use super::reason::{Field, Violations};
use super::time::Timestamp;

/// Who manages a tenant's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Management {
    /// Administrators alone.
    #[default]
    AdminsOnly,
    /// Each member its own, too.
    SelfService,
}

/// The rules, judged when a token is created or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a rule of its own, none a state"
)]
pub struct Policy {
    /// Who manages tokens.
    pub management: Management,
    /// Whether every token must end.
    pub expiry_required: bool,
    /// How long a token lives that names no end.
    pub default_ttl: Option<Duration>,
    /// How long a token may live, counted from its creation.
    pub max_ttl: Option<Duration>,
    /// How many tokens of a user may be unrevoked and unexpired at once.
    pub max_tokens_per_user: Option<u32>,
    /// Whether a user's tokens of one kind have unique names.
    pub unique_names: bool,
    /// Whether tokens may create no tokens.
    pub tokens_may_not_mint: bool,
    /// Whether administrators may create tokens that act as other administrators.
    pub admins_act_for_admins: bool,
    /// How long a rotated value may go on; `None`: as long as the service lets it.
    pub max_grace: Option<Duration>,
    /// Whether a token may rotate itself.
    pub self_rotation: bool,
    /// How long what is dead is kept; `None`: as long as is configured.
    pub retention: Option<Duration>,
}

/// When a token is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Not said: the tenant's default.
    Default,
    /// Never.
    Never,
    /// At an instant.
    At(Timestamp),
    /// After so long.
    After(Duration),
}

impl Policy {
    /// Notes what is wrong with the rules themselves.
    pub fn check(&self, violations: &mut Violations) {
        for (field, ttl) in [("default_ttl", self.default_ttl), ("max_ttl", self.max_ttl)] {
            if ttl.is_some_and(|ttl| !(bounds::TTL_MIN..=bounds::TTL_MAX).contains(&ttl)) {
                violations.add(format!("policy.{field}"), Field::OutOfRange);
            }
        }
        if let (Some(default), Some(max)) = (self.default_ttl, self.max_ttl)
            && default > max
        {
            violations.add("policy.default_ttl", Field::TtlTooLong);
        }
        if self
            .max_tokens_per_user
            .is_some_and(|most| most > bounds::TOKENS_PER_USER_MAX)
        {
            violations.add("policy.max_tokens_per_user", Field::OutOfRange);
        }
        if self.max_grace.is_some_and(|most| most > bounds::GRACE_MAX) {
            violations.add("policy.max_grace", Field::OutOfRange);
        }
        if self
            .retention
            .is_some_and(|kept| !bounds::RETENTION.contains(&kept))
        {
            violations.add("policy.retention", Field::OutOfRange);
        }
    }

    /// Refuses to let a rotated value go on for longer than the rules allow.
    pub fn check_grace(&self, asked: Duration) -> Result<Duration, Field> {
        let most = self.max_grace.unwrap_or(bounds::GRACE_MAX);
        if asked > most.min(bounds::GRACE_MAX) {
            return Err(Field::GraceTooLong);
        }
        Ok(asked)
    }

    /// Returns when a token ends that was created at `created_at` and is asked,
    /// at `now`, to end so; `None` is never. A maximum makes an end required.
    pub fn expires_at(
        &self,
        expiry: Expiry,
        created_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Field> {
        let at = match expiry {
            Expiry::At(at) => at,
            Expiry::After(ttl) if ttl < bounds::TTL_MIN => return Err(Field::TtlTooShort),
            Expiry::After(ttl) => now.saturating_add(ttl),
            Expiry::Default => match self.default_ttl {
                Some(ttl) => now.saturating_add(ttl),
                None => return self.never(),
            },
            Expiry::Never => return self.never(),
        };
        if at <= now {
            return Err(Field::ExpiryInPast);
        }
        let most = self.max_ttl.unwrap_or(bounds::TTL_MAX).min(bounds::TTL_MAX);
        if at.saturating_since(created_at) > most {
            return Err(Field::TtlTooLong);
        }
        Ok(Some(at))
    }

    /// Returns whether a token may have no end.
    fn never(&self) -> Result<Option<Timestamp>, Field> {
        if self.expiry_required || self.max_ttl.is_some() {
            Err(Field::ExpiryRequired)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[test]
    fn without_rules_a_token_may_live_for_ever() {
        let policy = Policy::default();
        assert_eq!(policy.expires_at(Expiry::Default, at(0), at(0)), Ok(None));
        assert_eq!(
            policy.expires_at(Expiry::After(DAY), at(0), at(5)),
            Ok(Some(at(86_400_005)))
        );
    }

    #[test]
    fn the_present_instant_is_not_the_future() {
        let policy = Policy::default();
        assert_eq!(
            policy.expires_at(Expiry::At(at(7)), at(0), at(7)),
            Err(Field::ExpiryInPast)
        );
        assert_eq!(
            policy.expires_at(Expiry::At(at(8)), at(0), at(7)),
            Ok(Some(at(8)))
        );
    }

    #[test]
    fn the_maximum_counts_from_creation() {
        let policy = Policy {
            max_ttl: Some(DAY),
            ..Policy::default()
        };
        let created = at(0);
        assert_eq!(
            policy.expires_at(Expiry::At(at(86_400_000)), created, at(9)),
            Ok(Some(at(86_400_000)))
        );
        assert_eq!(
            policy.expires_at(Expiry::At(at(86_400_001)), created, at(9)),
            Err(Field::TtlTooLong)
        );
        assert_eq!(
            policy.expires_at(Expiry::Never, created, at(9)),
            Err(Field::ExpiryRequired)
        );
        assert_eq!(
            policy.expires_at(Expiry::Default, created, at(9)),
            Err(Field::ExpiryRequired)
        );
    }

    #[test]
    fn a_default_satisfies_a_required_expiry() {
        let policy = Policy {
            expiry_required: true,
            ..Policy::default()
        };
        assert_eq!(
            policy.expires_at(Expiry::Default, at(0), at(0)),
            Err(Field::ExpiryRequired)
        );
        let policy = Policy {
            default_ttl: Some(DAY),
            ..policy
        };
        assert_eq!(
            policy.expires_at(Expiry::Default, at(0), at(0)),
            Ok(Some(at(86_400_000)))
        );
    }

    #[test]
    fn a_grace_is_as_long_as_the_rules_and_the_service_allow() {
        let of = |max_grace| Policy {
            max_grace,
            ..Policy::default()
        };
        let over = bounds::GRACE_MAX + Duration::from_millis(1);
        for (policy, most) in [
            (of(None), bounds::GRACE_MAX),
            (of(Some(DAY)), DAY),
            (of(Some(Duration::ZERO)), Duration::ZERO),
            (of(Some(over)), bounds::GRACE_MAX),
        ] {
            assert_eq!(policy.check_grace(Duration::ZERO), Ok(Duration::ZERO));
            assert_eq!(policy.check_grace(most), Ok(most));
            let longer = most + Duration::from_millis(1);
            assert_eq!(policy.check_grace(longer), Err(Field::GraceTooLong));
        }
    }

    #[test]
    fn ten_years_at_most_and_a_second_at_least() {
        let policy = Policy::default();
        let long = bounds::TTL_MAX + Duration::from_millis(1);
        assert_eq!(
            policy.expires_at(Expiry::After(long), at(0), at(0)),
            Err(Field::TtlTooLong)
        );
        assert_eq!(
            policy.expires_at(Expiry::After(Duration::from_millis(999)), at(0), at(0)),
            Err(Field::TtlTooShort)
        );
    }
}
