//! What is read from a request, and what is wrong with it.

use proptest::prelude::*;

use super::super::outward;
use super::*;

/// Returns what was read, or the violations.
fn read<T>(read: impl FnOnce(&mut Violations) -> T) -> Result<T, Vec<(String, Field)>> {
    let mut violations = Violations::default();
    let value = read(&mut violations);
    if violations.is_empty() {
        Ok(value)
    } else {
        Err(violations
            .iter()
            .map(|v| (v.field.clone(), v.reason))
            .collect())
    }
}

fn wrong<T>(reason: Field) -> Result<T, Vec<(String, Field)>> {
    Err(vec![("f".to_owned(), reason)])
}

fn time(seconds: i64, nanos: i32) -> Result<Option<Timestamp>, Vec<(String, Field)>> {
    read(|v| timestamp("f", Some(&WireTime { seconds, nanos }), v))
}

fn length(seconds: i64, nanos: i32) -> Result<Option<Duration>, Vec<(String, Field)>> {
    read(|v| duration("f", Some(&WireDuration { seconds, nanos }), v))
}

proptest! {
    #[test]
    fn an_instant_comes_back(millis in 0i64..=253_402_300_799_999) {
        let at = Timestamp::from_millis(millis).unwrap();
        let wire = outward::timestamp(at);
        prop_assert_eq!(time(wire.seconds, wire.nanos), Ok(Some(at)));
    }

    #[test]
    fn any_instant_is_kept_to_the_millisecond_or_refused(seconds: i64, nanos: i32) {
        match time(seconds, nanos) {
            Ok(at) => {
                let wire = outward::timestamp(at.unwrap());
                prop_assert_eq!(wire.seconds, seconds);
                prop_assert_eq!(wire.nanos, nanos - nanos % 1_000_000);
            }
            Err(wrong) => prop_assert_eq!(wrong, [("f".to_owned(), Field::InvalidTime)]),
        }
    }

    #[test]
    fn a_duration_comes_back(millis in 1u64..=1_000_000_000_000) {
        let given = Duration::from_millis(millis);
        let wire = outward::duration(given);
        prop_assert_eq!(length(wire.seconds, wire.nanos), Ok(Some(given)));
    }

    #[test]
    fn any_duration_is_read_without_a_panic(seconds: i64, nanos: i32) {
        let _ = length(seconds, nanos);
    }

    #[test]
    fn an_etag_comes_back(version in 1i64..) {
        let version = Version(version);
        prop_assert_eq!(etag(&outward::etag(version)), Some(version));
    }

    #[test]
    fn any_other_text_is_a_version_that_no_record_has(text in "\\PC{1,30}") {
        let version = etag(&text).unwrap();
        prop_assert!(version == Version(0) || outward::etag(version) == text);
    }
}

#[test]
fn times_outside_their_bounds_are_refused() {
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)] {
        assert_eq!(time(seconds, nanos), wrong(Field::InvalidTime));
    }
    for (seconds, nanos) in [(0, 0), (-1, 0), (1, -1), (-1, -1), (0, 1_000_000_000)] {
        assert_eq!(length(seconds, nanos), wrong(Field::InvalidDuration));
    }
    assert_eq!(read(|v| timestamp("f", None, v)), Ok(None));
    assert_eq!(read(|v| duration("f", None, v)), Ok(None));
}

#[test]
fn an_etag_has_one_spelling() {
    assert_eq!(etag(""), None);
    for strange in [
        "0",
        "03",
        "+3",
        "-3",
        " 3",
        "3 ",
        "W/\"3\"",
        "99999999999999999999",
    ] {
        assert_eq!(etag(strange), Some(Version(0)), "{strange}");
    }
}

#[test]
fn ids_are_required_well_formed_and_bounded() {
    let user_id = UserId::from(uuid::Uuid::from_u128(7));
    let text = user_id.to_string();
    assert_eq!(read(|v| id("f", &text, v)), Ok(Some(user_id)));
    assert_eq!(
        read(|v| id::<TokenId>("f", &text, v)),
        wrong(Field::InvalidTokenId)
    );
    assert_eq!(
        read(|v| id::<TenantId>("f", "Acme", v)),
        wrong(Field::InvalidTenantId)
    );
    assert_eq!(read(|v| id::<UserId>("f", "", v)), wrong(Field::Required));
    assert_eq!(read(|v| optional_id::<UserId>("f", "", v)), Ok(None));
    assert_eq!(
        read(|v| optional_id::<UserId>("f", "usr_", v)),
        wrong(Field::InvalidUserId)
    );
    let long = "a".repeat(bounds::OPAQUE_BYTES + 1);
    assert_eq!(
        read(|v| id::<TenantId>("f", &long, v)),
        wrong(Field::TooLong)
    );
}

#[test]
fn enums_come_back_and_strange_numbers_are_refused() {
    for given in Kind::ALL {
        assert_eq!(
            read(|v| kind("f", outward::kind(*given), v)),
            Ok(Some(*given))
        );
    }
    for given in [
        State::Active,
        State::Disabled,
        State::Expired,
        State::Revoked,
    ] {
        assert_eq!(
            read(|v| state("f", outward::state(given), v)),
            Ok(Some(given))
        );
    }
    for given in [Role::Member, Role::Admin] {
        assert_eq!(
            read(|v| role("f", outward::role(given), v)),
            Ok(Some(given))
        );
    }
    for given in [Management::AdminsOnly, Management::SelfService] {
        let number = outward::management(given);
        assert_eq!(read(|v| management("f", number, v)), Ok(Some(given)));
    }
    for given in RevokeReason::ALL {
        let expected = match given {
            RevokeReason::Unspecified => Ok(None),
            RevokeReason::OwnerGone => wrong(Field::OutOfRange),
            RevokeReason::Compromised
            | RevokeReason::Superseded
            | RevokeReason::NoLongerNeeded
            | RevokeReason::Administrative => Ok(Some(*given)),
        };
        let number = outward::revoke_reason(*given);
        assert_eq!(read(|v| revoke_reason("f", number, v)), expected);
    }
    assert_eq!(read(|v| kind("f", 0, v)), Ok(None));
    for strange in [-1, 99] {
        assert_eq!(read(|v| kind("f", strange, v)), wrong(Field::UnknownEnum));
        assert_eq!(read(|v| state("f", strange, v)), wrong(Field::UnknownEnum));
        assert_eq!(read(|v| role("f", strange, v)), wrong(Field::UnknownEnum));
    }
}

#[test]
fn a_policy_comes_back() {
    let given = Policy {
        management: Management::SelfService,
        expiry_required: true,
        default_ttl: Some(Duration::from_secs(60)),
        max_ttl: Some(Duration::from_secs(3600)),
        max_tokens_per_user: Some(5),
        unique_names: true,
        tokens_may_not_mint: true,
        admins_act_for_admins: true,
        max_grace: Some(Duration::from_secs(7)),
        self_rotation: true,
        retention: Some(Duration::from_secs(86_400)),
    };
    let all = Mask::all(POLICY_FIELDS);
    let came = read(|v| policy(&outward::policy(&given), &all, v));
    assert_eq!(came, Ok(given));
    let strict = Policy {
        max_grace: Some(Duration::ZERO),
        ..Policy::default()
    };
    let came = read(|v| policy(&outward::policy(&strict), &all, v));
    assert_eq!(came, Ok(strict));
    let none = pb::TenantPolicy::default();
    assert_eq!(read(|v| policy(&none, &all, v)), Ok(Policy::default()));
}

#[test]
fn what_a_mask_does_not_name_is_not_judged() {
    let given = pb::TenantPolicy {
        token_management: 99,
        max_tokens_per_user: -1,
        unique_names: true,
        ..pb::TenantPolicy::default()
    };
    let mask = Mask::all(&["policy.unique_names"]);
    let expected = Policy {
        unique_names: true,
        ..Policy::default()
    };
    assert_eq!(read(|v| policy(&given, &mask, v)), Ok(expected));
    let all = Mask::all(POLICY_FIELDS);
    let expected = [
        ("policy.token_management".to_owned(), Field::UnknownEnum),
        ("policy.max_tokens_per_user".to_owned(), Field::OutOfRange),
    ];
    assert_eq!(read(|v| policy(&given, &all, v)), Err(expected.into()));
}

#[test]
fn a_catalog_comes_back() {
    let scope = |name: &str, implies: &[&str], minimum_role: pb::Role| pb::Scope {
        name: name.to_owned(),
        description: "what it is".to_owned(),
        implies: implies.iter().map(|&name| name.to_owned()).collect(),
        minimum_role: minimum_role.into(),
        forbidden_kinds: vec![pb::TokenKind::Agent.into()],
    };
    let at = Timestamp::from_millis(0).unwrap();
    let given = pb::Catalog {
        scopes: vec![
            scope("a", &[], pb::Role::Member),
            scope("b", &["a"], pb::Role::Admin),
        ],
        profiles: vec![pb::Profile {
            name: "reader".to_owned(),
            description: "reads".to_owned(),
            scopes: vec!["a".to_owned()],
        }],
        update_time: Some(outward::timestamp(at)),
        etag: "1".to_owned(),
    };
    let checked = read(|v| catalog(&given, v).check(v)).unwrap();
    assert_eq!(outward::catalog(&checked, Version(1), at), given);
}

#[test]
fn a_catalogs_lists_are_bounded_while_they_are_read() {
    let strange = pb::Scope {
        minimum_role: 99,
        forbidden_kinds: vec![0, 99],
        ..pb::Scope::default()
    };
    let many = pb::Scope {
        implies: vec![String::new(); bounds::IMPLIED_SCOPES + 9],
        forbidden_kinds: vec![99; 5],
        ..pb::Scope::default()
    };
    let given = pb::Catalog {
        scopes: vec![strange, many],
        ..pb::Catalog::default()
    };
    let mut violations = Violations::default();
    let draft = catalog(&given, &mut violations);
    assert_eq!(draft.scopes[1].implies.len(), bounds::IMPLIED_SCOPES + 1);
    let told: Vec<_> = violations
        .iter()
        .map(|v| (v.field.as_str(), v.reason))
        .collect();
    assert_eq!(
        told,
        [
            ("catalog.scopes[0].minimum_role", Field::UnknownEnum),
            ("catalog.scopes[0].forbidden_kinds[0]", Field::Required),
            ("catalog.scopes[0].forbidden_kinds[1]", Field::UnknownEnum),
            ("catalog.scopes[1].forbidden_kinds", Field::TooMany),
        ]
    );
}
