//! How large what is given may be. Past a bound the answer is a named violation,
//! except for a presented value, which is simply no token.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The bytes of a presented value, at most.
pub const VALUE_BYTES: usize = 256;
/// The bytes of a session's JWT, at most.
pub const JWT_BYTES: usize = 8 * 1024;
/// The bytes of an issuer's keys, at most.
pub const JWKS_BYTES: usize = 64 * 1024;
/// The keys of an issuer, at most.
pub const JWKS_KEYS: usize = 100;
/// The bytes of keys that stand in a tenant's policy, at most.
pub const INLINE_JWKS_BYTES: usize = 16 * 1024;
/// The claims that a trust requires, the values that it names and the trusts that a tenant
/// admits, at most.
pub const TRUST_ITEMS: usize = 20;
/// The tenants whose own trusts have one issuer, at most.
pub const TENANTS_OF_ISSUER: u32 = 200;
/// The bytes of a value that another system made, at most: bcrypt takes no more.
pub const FOREIGN_BYTES: usize = 72;
/// How much of such a value its hint shows, in characters; the shortest prefix has two.
pub const HINT_LENGTHS: RangeInclusive<usize> = 6..=32;
/// How much of such a value its hint shows after the tenant's prefix, at least: values of
/// the bare prefix would all be one.
pub const HINT_AFTER_PREFIX: usize = 4;
/// How much of such a value its hint leaves out, at least: what is shown is no secret.
pub const HIDDEN_BY_HINT: usize = 16;
/// The lengths that the hints of a tenant's imported values have, at most.
pub const HINT_LENGTHS_MOST: usize = 8;
/// The imported values of one hint, at most: each may cost a presented one a bcrypt.
pub const VALUES_OF_HINT: usize = 4;
/// The cost of an imported hash; more is taken where the operator's own hashes have it.
pub const IMPORTED_COST: RangeInclusive<u32> = 4..=12;
/// The characters of a name or display name, at most.
pub const NAME_CHARS: usize = 100;
/// The characters of a description, or of the text beside a reason, at most.
pub const TEXT_CHARS: usize = 500;
/// The labels of a token, at most.
pub const LABELS: usize = 32;
/// The characters of a label's key, at most.
pub const LABEL_KEY_CHARS: usize = 63;
/// The characters of a label's value, at most.
pub const LABEL_VALUE_CHARS: usize = 256;
/// The scopes that a token is granted, or that an introspection requires, at most.
pub const TOKEN_SCOPES: usize = 100;
/// The scopes of a catalog, at most.
pub const CATALOG_SCOPES: usize = 1000;
/// The scopes that one of a catalog's implies, at most: with the number of scopes, it
/// bounds the document that each introspection reads.
pub const IMPLIED_SCOPES: usize = 100;
/// The implications of a whole catalog, at most: how long a grant's closure may take.
pub const IMPLICATIONS: usize = 10_000;
/// The profiles of a catalog, at most.
pub const CATALOG_PROFILES: usize = 200;
/// The granted scopes that are named as implying another, at most.
pub const ORIGINS: usize = 10;
/// The bytes of a scope's or profile's name, at most.
pub const SCOPE_NAME_BYTES: usize = 64;
/// The characters of another system's id, at most.
pub const EXTERNAL_ID_CHARS: usize = 255;
/// The items of a page when none are asked for.
pub const PAGE_DEFAULT: u32 = 50;
/// The items of a page, at most; more is coerced to this.
pub const PAGE_MAX: u32 = 1000;
/// The bytes of a page token, revision, etag or id in text, at most.
pub const OPAQUE_BYTES: usize = 256;
/// The bytes that are kept of what a call came to, at most.
pub const OUTCOME_BYTES: usize = 64 * 1024;
/// The characters of a request id, at most.
pub const REQUEST_ID_CHARS: usize = 128;
/// The requests of a batch, at most.
pub const BATCH: usize = 1000;
/// The shortest time to live.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest time to live: ten years of 365 days and 3 leap days.
pub const TTL_MAX: Duration = Duration::from_secs(3653 * 24 * 60 * 60);
/// How long a rotated value may go on, at most.
pub const GRACE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The earlier values of a token that may be in their grace at once, at most.
pub const VALUES_IN_GRACE: i64 = 3;
/// The shortest and the longest time for which what is dead is kept.
pub const RETENTION: RangeInclusive<Duration> =
    Duration::from_secs(24 * 60 * 60)..=Duration::from_secs(3650 * 24 * 60 * 60);
/// How long an invite can be claimed when nothing is said.
pub const INVITE_TTL_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long an invite can be claimed, at most.
pub const INVITE_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The invites of a tenant that are open at once, at most.
pub const OPEN_INVITES: u32 = 1000;
/// The number of tokens a user that a policy may set, at most.
pub const TOKENS_PER_USER_MAX: u32 = 1_000_000;
/// The bytes of a message, at most.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The bytes of a batch's message, at most.
pub const BATCH_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// The bytes of a call's metadata, at most.
pub const METADATA_BYTES: u32 = 16 * 1024;
/// The calls on one connection at once, at most.
pub const STREAMS: u32 = 200;
/// The connections at once, at most.
pub const CONNECTIONS: usize = 10_000;
/// How long a connection lasts before its client is told to make another.
pub const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// How long a call may take whose caller gives no deadline.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// How long a call may take, at most.
pub const DEADLINE_MAX: Duration = Duration::from_secs(120);
