//! What the primitives of an introspection take: `make bench-primitives`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use token_authority::domain::base62;
use token_authority::domain::catalog::{Catalog, Draft, Holder, ScopeDraft};
use token_authority::domain::entropy::{Entropy, OsEntropy, bytes};
use token_authority::domain::fingerprint::{Fingerprint, Key, KeyId};
use token_authority::domain::ids::TokenId;
use token_authority::domain::principal::Role;
use token_authority::domain::reason::Violations;
use token_authority::domain::scope::ScopeSet;
use token_authority::domain::time::{Clock as _, SystemClock};
use token_authority::domain::token::Kind;
use token_authority::domain::value::{TokenValue, presented};

/// Parsing a value, and verifying it.
fn values(criterion: &mut Criterion) {
    let entropy: &dyn Entropy = &OsEntropy;
    let value = TokenValue::mint("ody_".parse().unwrap(), entropy).unwrap();
    let text = value.expose();
    let bearer = format!("Bearer {text}");
    let mut wrong = text.clone();
    wrong.pop();
    wrong.push('~');
    criterion.bench_function("value: parse", |bencher| {
        bencher.iter(|| black_box(&text).parse::<TokenValue>().is_ok());
    });
    criterion.bench_function("value: parse what follows Bearer", |bencher| {
        bencher.iter(|| presented(black_box(&bearer)).parse::<TokenValue>().is_ok());
    });
    criterion.bench_function("value: refuse a malformed one", |bencher| {
        bencher.iter(|| black_box(&wrong).parse::<TokenValue>().is_err());
    });
    let secret: [u8; 32] = bytes(entropy).unwrap();
    let key = Key::new(KeyId::of("0001", &secret), &secret);
    criterion.bench_function("fingerprint: HMAC-SHA-256 of a secret", |bencher| {
        bencher.iter(|| key.fingerprint(black_box(value.secret())));
    });
    let (one, same) = (key.fingerprint(value.secret()), key.fingerprint(value.secret()));
    let other = Fingerprint::from(secret);
    criterion.bench_function("fingerprint: compare with itself, in constant time", |bencher| {
        bencher.iter(|| black_box(&one) == black_box(&same));
    });
    criterion.bench_function("fingerprint: compare with another, in constant time", |bencher| {
        bencher.iter(|| black_box(&one) == black_box(&other));
    });
}

fn catalog() -> Catalog {
    let scopes = (0..12).map(|number| ScopeDraft {
        name: format!("area{number}:write"),
        implies: vec![format!("area{number}:read")],
        ..ScopeDraft::default()
    });
    let implied = (0..12).map(|number| ScopeDraft {
        name: format!("area{number}:read"),
        ..ScopeDraft::default()
    });
    let draft = Draft {
        scopes: scopes.chain(implied).collect(),
        profiles: Vec::new(),
    };
    let mut violations = Violations::default();
    let catalog = draft.check(&mut violations);
    assert!(violations.is_empty());
    catalog
}

/// What a token may do, and its id's text.
fn records(criterion: &mut Criterion) {
    let catalog = catalog();
    let granted: ScopeSet = (0..6)
        .map(|number| format!("area{number}:write").parse().unwrap())
        .collect();
    let holder = Holder {
        role: Some(Role::Member),
        kind: Kind::Api,
        authority: false,
    };
    criterion.bench_function("scopes: closure of 6 that imply 6", |bencher| {
        bencher.iter(|| catalog.closure(black_box(&granted)));
    });
    criterion.bench_function("scopes: what a member has of them", |bencher| {
        bencher.iter(|| catalog.effective(black_box(&granted), holder));
    });
    let token_id = TokenId::mint(SystemClock.now(), &OsEntropy).unwrap();
    criterion.bench_function("id: its text", |bencher| {
        bencher.iter(|| black_box(token_id).to_string());
    });
    let uuid = token_id.uuid();
    criterion.bench_function("id: base62 of 16 bytes", |bencher| {
        bencher.iter(|| base62::encode(black_box(uuid.as_bytes()), 22));
    });
}

criterion_group!(primitives, values, records);
criterion_main!(primitives);
