//! The words that people give and read for the enums of the protocol:
//! `no-longer-needed` for `REVOKE_REASON_NO_LONGER_NEEDED`.

use clap::ValueEnum;

use crate::pb;

/// Declares the words of an enum, for flags, and a function that says which word a
/// number of the protocol stands for.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $said:ident: $wire:ident { $($word:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(super) enum $name { $($word,)+ }

        impl $name {
            /// Returns the number of a word that may not have been given.
            pub(super) fn number(given: Option<Self>) -> i32 {
                given.map_or(0, i32::from)
            }
        }

        impl From<$name> for i32 {
            fn from(word: $name) -> Self {
                match word { $($name::$word => pb::$wire::$word.into(),)+ }
            }
        }

        /// Returns the word for a number: `-` for none, the number itself for one that
        /// a later server may know.
        pub(super) fn $said(number: i32) -> String {
            match pb::$wire::try_from(number) {
                $(Ok(pb::$wire::$word) => word(&$name::$word),)+
                Ok(other) if i32::from(other) == 0 => String::from("-"),
                Ok(other) => other.as_str_name().to_lowercase(),
                Err(_) => number.to_string(),
            }
        }
    )+};
}

words! {
    /// What a token is for.
    Kind, kind: TokenKind { Api, Webhook, Agent, Service }
    /// Where a token is in its life.
    State, state: TokenState { Active, Disabled, Expired, Revoked }
    /// Why a token is revoked.
    Reason, reason: RevokeReason {
        Compromised, Superseded, NoLongerNeeded, Administrative, OwnerGone,
    }
    /// Where an invite is in its life.
    InviteState, invite_state: InviteState { Open, Claimed, Revoked, Expired }
    /// What a user is in a tenant.
    Role, role: Role { Admin, Member }
}

/// Returns the word that a flag takes.
fn word(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|possible| possible.get_name().to_owned())
        .unwrap_or_default()
}

/// Returns the word of an enum's name that no flag takes: without its prefix, in
/// lower case.
pub(super) fn plain(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    if word == "UNSPECIFIED" {
        return String::from("-");
    }
    word.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_protocols_names_without_their_prefix() {
        assert_eq!(kind(pb::TokenKind::Api.into()), "api");
        assert_eq!(
            reason(pb::RevokeReason::NoLongerNeeded.into()),
            "no-longer-needed"
        );
        assert_eq!(reason(0), "-");
        assert_eq!(reason(99), "99");
        assert_eq!(
            Kind::number(Some(Kind::Service)),
            i32::from(pb::TokenKind::Service)
        );
        assert_eq!(Kind::number(None), 0);
        assert_eq!(
            plain("VALUE_STATE_IN_GRACE", "VALUE_STATE_"),
            "in-grace".to_owned()
        );
    }
}
