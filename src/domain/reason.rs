//! Why a call is refused: closed lists of `UPPER_SNAKE` names, each with the one
//! constant sentence that a caller reads. What varies never enters a sentence.

/// Declares a closed list of reasons.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal, $sentence:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`: ", $sentence, ".")] $variant,)+
        }

        impl $name {
            /// Each reason of the list, in the order of its declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the reason's name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Returns the sentence that a caller reads.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
    };
}

reasons! {
    /// What is wrong with a field.
    Field {
        Required = "FIELD_REQUIRED", "the field must be given";
        TooLong = "FIELD_TOO_LONG", "the field is longer than its bound";
        TooMany = "TOO_MANY_ITEMS", "the field has more items than its bound";
        OutOfRange = "OUT_OF_RANGE", "the value is outside its bounds";
        UnknownEnum = "UNKNOWN_ENUM_VALUE", "the number is none of the enum's";
        InvalidText = "INVALID_TEXT", "the text has control characters";
        HoldsValue = "TOKEN_VALUE_IN_TEXT", "a token's value stands in the text, where it would be kept and shown";
        InvalidName = "INVALID_NAME", "a name has 1 to 100 characters, not all blank and none of them control characters";
        InvalidTenantId = "INVALID_TENANT_ID", "a tenant_id has 3 to 63 of a-z, 0-9 and -, begins with a letter and does not end in -";
        ReservedTenantId = "RESERVED_TENANT_ID", "the tenant_id is reserved";
        InvalidUserId = "INVALID_USER_ID", "a user_id is usr_ and 22 characters";
        InvalidInviteId = "INVALID_INVITE_ID", "an invite_id is ivt_ and 22 characters";
        InvalidTokenId = "INVALID_TOKEN_ID", "a token_id is tok_ and 22 characters";
        InvalidPrefix = "INVALID_PREFIX", "a prefix is a letter a-z, up to 14 of a-z, 0-9, _ and -, and a closing _ or -";
        ReservedPrefix = "RESERVED_PREFIX", "the prefix is reserved";
        InvalidScope = "INVALID_SCOPE", "a scope has 1 to 64 of A-Z, a-z, 0-9, _, ., : and -";
        ReservedScope = "RESERVED_SCOPE", "names that begin with authority: are reserved, and may be implied only as the catalog's rules say";
        UnknownScope = "UNKNOWN_SCOPE", "the tenant's catalog has no such scope";
        UnknownProfile = "UNKNOWN_PROFILE", "the tenant's catalog has no such profile";
        DuplicateName = "DUPLICATE_NAME", "the name stands twice";
        ScopeCycle = "SCOPE_CYCLE", "the scope implies itself, over others or directly";
        ScopeInUse = "SCOPE_IN_USE", "an unrevoked token was granted a scope that the new catalog lacks";
        ScopeAboveRole = "SCOPE_ABOVE_ROLE", "the token's user has not the role that the scope, or one that it implies, needs";
        ScopeForbiddenForKind = "SCOPE_FORBIDDEN_FOR_KIND", "tokens of this kind never hold the scope, or one that it implies";
        ExpiryInPast = "EXPIRY_IN_PAST", "the expiry must be in the future";
        ExpiryRequired = "EXPIRY_REQUIRED", "tokens of this tenant must expire";
        TtlTooLong = "TTL_TOO_LONG", "the token would live longer than the tenant allows";
        TtlTooShort = "TTL_TOO_SHORT", "a time to live is at least a second";
        GraceTooLong = "GRACE_TOO_LONG", "the earlier value would go on for longer than the tenant allows";
        InvalidTime = "INVALID_TIME", "the time is outside the years 1970 to 9999, or its nanoseconds are out of bounds";
        InvalidDuration = "INVALID_DURATION", "a duration is positive, with nanoseconds in bounds";
        InvalidPageToken = "INVALID_PAGE_TOKEN", "the page token is of another list, or damaged";
        InvalidRevision = "INVALID_REVISION", "the revision is above the head or of another store";
        RequestIdReused = "REQUEST_ID_REUSED", "another request was made under this id within a day";
        InvalidMask = "INVALID_MASK", "the mask names a field that can't be updated";
        EmptyMask = "EMPTY_MASK", "nothing is named to be updated";
        InvalidLabel = "INVALID_LABEL", "a label's key has 1 to 63 characters and its value at most 256, none of them control characters";
        InvalidAddress = "INVALID_ADDRESS", "an address is an IPv4 or IPv6 address as text, without a port or a zone";
        UserForService = "USER_FOR_SERVICE", "a SERVICE token has no user";
        OnlyService = "ONLY_SERVICE", "the reserved tenant holds SERVICE tokens only";
        InvalidClaim = "INVALID_CLAIM", "a claim is named by 1 to 255 characters, or by a JSON pointer, which begins with /";
        InvalidUrl = "INVALID_URL", "the URL is not of a scheme that may be used here, or has a user, a password or a fragment";
        InvalidKeys = "INVALID_JWKS", "the text is no JSON Web Key Set with a public key that verifies signatures, or has a private key";
        OneOf = "ONE_OF_FIELDS", "only one of the fields may be given";
        UnknownTrust = "UNKNOWN_TRUST", "there is no such installation-wide trust";
        TrustTaken = "TRUST_TAKEN", "an installation-wide trust has this issuer and audience";
        InvalidHint = "INVALID_HINT", "a hint is the first hint_length characters of the value, the tenant's prefix and at least four more, printable ASCII without commas";
        TooManyOfHint = "TOO_MANY_OF_HINT", "more than four imported values would have this hint";
        TooManyHintLengths = "TOO_MANY_HINT_LENGTHS", "the hints of the tenant's imported values would have more than eight lengths";
        InvalidHash = "INVALID_HASH", "the hash is none of bcrypt's: $2a$, $2b$ or $2y$, two digits of cost, $ and 53 characters";
        HashCost = "HASH_COST_OUT_OF_RANGE", "the hash's cost is below 4, or above 12 and what this service hashes with";
        AlreadyImported = "ALREADY_IMPORTED", "a token with this hash and hint is there already";
        UnknownUser = "UNKNOWN_USER", "the tenant has no such member";
        SuspendedUser = "SUSPENDED_USER", "the user is suspended";
        NameInUse = "NAME_IN_USE", "the user has a token of this kind and name";
        OverTokenLimit = "OVER_TOKEN_LIMIT", "the user would have more tokens than the tenant allows";
        AgentForOtherKind = "AGENT_FOR_OTHER_KIND", "only an AGENT token has an agent_id";
    }
}

reasons! {
    /// Why a caller may not do what it asks.
    Denial {
        Denied = "PERMISSION_DENIED", "the caller may not do this";
        Escalation = "SCOPE_ESCALATION", "the grant goes beyond what the caller holds";
        MayNotMint = "TOKEN_MAY_NOT_MINT", "tokens of this tenant may not create tokens";
        SelfRotationOff = "SELF_ROTATION_OFF", "this tenant does not let tokens rotate themselves";
        OnBehalfOfAdmin = "ON_BEHALF_OF_ADMIN", "this tenant does not let administrators act for other administrators";
        NotVouched = "USER_NOT_VOUCHED", "another tenant vouches for the user";
        BrowserOrigin = "BROWSER_ORIGIN", "calls with a browser's Origin are refused";
    }
}

reasons! {
    /// What is not there, or not visible to the caller.
    Missing {
        Token = "TOKEN_NOT_FOUND", "there is no such token";
        Tenant = "TENANT_NOT_FOUND", "there is no such tenant";
        User = "USER_NOT_FOUND", "there is no such user";
        Member = "MEMBER_NOT_FOUND", "the user is no member of the tenant";
        Invite = "INVITE_NOT_FOUND", "there is no such invite";
    }
}

reasons! {
    /// What is taken.
    Taken {
        Name = "NAME_TAKEN", "the user has a token of this kind and name";
        Tenant = "TENANT_EXISTS", "the tenant_id is, or was, in use";
        Prefix = "PREFIX_TAKEN", "the prefix is, or was, in use, or one begins the other";
        ExternalId = "EXTERNAL_ID_TAKEN", "the tenant has a user of this external_id";
        Member = "MEMBER_EXISTS", "the user is a member of the tenant";
    }
}

reasons! {
    /// What state forbids the change.
    Obstacle {
        TenantSuspended = "TENANT_SUSPENDED", "the tenant is suspended";
        UserSuspended = "USER_SUSPENDED", "the user is suspended";
        TokenRevoked = "TOKEN_REVOKED", "the token is revoked";
        TokenExpired = "TOKEN_EXPIRED", "the token has expired";
        PrefixInUse = "PREFIX_IN_USE", "the tenant has had a token, so its prefix stays";
        ReservedTenant = "RESERVED_TENANT", "the reserved tenant can't be changed like this";
        TooManyValues = "TOO_MANY_VALUES", "three earlier values of the token are still in their grace";
        ValueNotCurrent = "VALUE_NOT_CURRENT", "only a token's current value may rotate it, and the presented one is an earlier one";
        InviteClaimed = "INVITE_CLAIMED", "the invite was claimed: what it gave is taken back by removing the member";
        NoUser = "CALLER_HAS_NO_USER", "the caller acts as no user";
        NoToken = "CALLER_HAS_NO_TOKEN", "the caller presents a session or a certificate, which is not this service's to rotate or revoke";
        NoInviter = "CALLER_CANNOT_INVITE", "who makes an invite stands behind it until it is claimed, which a token or a user does";
    }
}

/// One thing wrong with one field. It never repeats what the field held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The field's path in the request, such as `scopes[3]`.
    pub field: String,
    /// What is wrong.
    pub reason: Field,
}

/// The violations that are kept of one request, at most.
const MOST: usize = 1000;

/// All that is wrong with a request, gathered before it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds a violation; past the first thousand nobody reads on, and a hostile
    /// document could have a million.
    pub fn add(&mut self, field: impl Into<String>, reason: Field) {
        if self.0.len() < MOST {
            self.0.push(Violation {
                field: field.into(),
                reason,
            });
        }
    }

    /// Returns the value, or notes what is wrong with the field.
    pub fn check<T>(&mut self, field: &str, result: Result<T, Field>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(reason) => {
                self.add(field, reason);
                None
            }
        }
    }

    /// Takes over what is wrong with a message that is a field of this one.
    pub fn add_within(&mut self, field: &str, others: Self) {
        for Violation {
            field: inner,
            reason,
        } in others.0
        {
            self.add(format!("{field}.{inner}"), reason);
        }
    }

    /// Returns how many things are wrong, of those that are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns each violation, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_lower_case_without_a_full_stop() {
        let all = [
            Field::ALL.iter().map(|r| r.sentence()).collect::<Vec<_>>(),
            Denial::ALL.iter().map(|r| r.sentence()).collect(),
            Missing::ALL.iter().map(|r| r.sentence()).collect(),
            Taken::ALL.iter().map(|r| r.sentence()).collect(),
            Obstacle::ALL.iter().map(|r| r.sentence()).collect(),
        ];
        for sentence in all.iter().flatten() {
            assert!(
                sentence.starts_with(|c: char| c.is_lowercase()),
                "{sentence}"
            );
            assert!(!sentence.ends_with('.'), "{sentence}");
        }
    }
}
