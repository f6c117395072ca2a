//! The flags for a tenant's rules.

use super::moments;
use crate::pb;

/// A tenant's rules for tokens; what is not given keeps its default, or stays as it is.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Rules for tokens")]
pub(super) struct PolicyArguments {
    /// Who manages tokens
    #[arg(long, value_name = "WHO")]
    token_management: Option<Management>,
    /// Every token must end
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    expiry_required: Option<bool>,
    /// How long a token lives that names no end; `unset`: for ever
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    default_ttl: Option<Length>,
    /// How long a token may live at most; `unset`: 10 years, or without end
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    max_ttl: Option<Length>,
    /// How many tokens of a user may be alive at once; 0: any number
    #[arg(long, value_name = "N")]
    max_tokens_per_user: Option<i32>,
    /// A user's tokens of one kind have unique names
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    unique_names: Option<bool>,
    /// Tokens may create no tokens
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tokens_may_not_mint: Option<bool>,
    /// Administrators may create tokens that act as other administrators
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    admins_act_for_admins: Option<bool>,
    /// How long a rotated value may go on at most; 0s: not at all; `unset`: 30 days
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    max_grace: Option<Length>,
    /// A token may rotate itself
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    self_rotation: Option<bool>,
    /// How long what is dead is kept; `unset`: as long as the server is configured to
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    retention: Option<Length>,
}

/// Who manages tokens.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Management {
    /// Administrators alone
    AdminsOnly,
    /// Each member its own, too
    SelfService,
}

/// A length of time, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Length(Option<prost_types::Duration>);

fn length(text: &str) -> Result<Length, String> {
    if text == "unset" {
        return Ok(Length(None));
    }
    moments::length(text).map(|length| Length(Some(length)))
}

impl PolicyArguments {
    /// Sets the rules that were given; returns their paths in a mask.
    pub(super) fn set(self, policy: &mut pb::TenantPolicy) -> Vec<String> {
        let mut paths = Vec::new();
        let management = self.token_management.map(|who| match who {
            Management::AdminsOnly => pb::TokenManagement::AdminsOnly.into(),
            Management::SelfService => pb::TokenManagement::SelfService.into(),
        });
        let mut put = |name: &str, given: bool| {
            if given {
                paths.push(format!("policy.{name}"));
            }
        };
        put(
            "token_management",
            give(&mut policy.token_management, management),
        );
        put(
            "expiry_required",
            give(&mut policy.expiry_required, self.expiry_required),
        );
        put(
            "default_ttl",
            give(&mut policy.default_ttl, self.default_ttl.map(|l| l.0)),
        );
        put(
            "max_ttl",
            give(&mut policy.max_ttl, self.max_ttl.map(|l| l.0)),
        );
        put(
            "max_tokens_per_user",
            give(&mut policy.max_tokens_per_user, self.max_tokens_per_user),
        );
        put(
            "unique_names",
            give(&mut policy.unique_names, self.unique_names),
        );
        put(
            "tokens_may_not_mint",
            give(&mut policy.tokens_may_not_mint, self.tokens_may_not_mint),
        );
        put(
            "admins_act_for_admins",
            give(
                &mut policy.admins_act_for_admins,
                self.admins_act_for_admins,
            ),
        );
        put(
            "max_grace",
            give(&mut policy.max_grace, self.max_grace.map(|l| l.0)),
        );
        put(
            "self_rotation",
            give(&mut policy.self_rotation, self.self_rotation),
        );
        put(
            "retention",
            give(&mut policy.retention, self.retention.map(|l| l.0)),
        );
        paths
    }
}

/// Sets a rule that was given; returns whether it was.
fn give<T>(rule: &mut T, given: Option<T>) -> bool {
    let is_given = given.is_some();
    if let Some(given) = given {
        *rule = given;
    }
    is_given
}
