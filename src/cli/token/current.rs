//! `token rotate-current` and `token revoke-current`: the token that one calls with.

use std::io;
use std::path::Path;

use prost_types::Duration;

use super::revoke::Why;
use super::{Again, rotate};
use crate::cli::failure::Failure;
use crate::cli::handout::ValueTo;
use crate::cli::moments;
use crate::cli::output::{Record, text};
use crate::cli::print;
use crate::cli::profiles::{self, Profiles};
use crate::cli::session::Session;
use crate::cli::settings::{Credential, Origin};
use crate::config;
use crate::pb;

/// How to rotate it. Its new value takes the place of the present one: in the profile or
/// the file that this is read from. Where that is `TA_TOKEN` or standard input, it goes to
/// standard output.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RotateCurrent {
    /// How long the present value goes on, such as 1h. Default: it ends at once, and an
    /// answer that is lost on its way costs the token
    #[arg(long, value_name = "LENGTH", value_parser = moments::length)]
    grace: Option<Duration>,
    #[command(flatten)]
    value_to: ValueTo,
    #[command(flatten)]
    again: Again,
}

impl RotateCurrent {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let presented = session.settings.credential.as_ref();
        let presented = presented.filter(|_| !self.value_to.is_file());
        // Looked at before: what can't be kept should not be asked for.
        if let Some(presented) = presented {
            probe(&presented.origin)?;
        }
        let request = pb::RotateCurrentTokenRequest {
            grace_period: self.grace,
            request_id: session.request_id(self.again.request_id)?,
        };
        let handout = self.value_to.open()?;
        let request = session.request(request);
        let mut rotated = session
            .me()
            .rotate_current_token(request)
            .await?
            .into_inner();
        let token = rotated.token.clone().unwrap_or_default();
        let said = rotate::said(&token, &rotated.revision);
        let kept = |presented: &&Credential| match presented.origin {
            Origin::Environment | Origin::StandardInput => false,
            Origin::File(_) | Origin::Profile(_) => true,
        };
        let Some(presented) = presented.filter(kept) else {
            return handout.give(session.output, rotated, |rotated| &mut rotated.value, &said);
        };
        let value = std::mem::take(&mut rotated.value);
        if let Err(failure) = keep(presented, &value) {
            // It can't be had again.
            print(&format!("{value}\n"))?;
            return Err(Failure::told(format!(
                "{failure}; the new value is on standard output"
            )));
        }
        session.output.show(&rotated, |_| {
            format!(
                "{said}The new value has taken the place of {}.\n",
                presented.origin
            )
        })
    }
}

/// Refuses a place that a value can't be written to.
fn probe(place: &Origin) -> Result<(), Failure> {
    match place {
        Origin::Environment | Origin::StandardInput => Ok(()),
        Origin::Profile(_) => Profiles::probe(&config::environment()),
        Origin::File(path) => profiles::probe(path).map_err(|error| unwritable(path, &error)),
    }
}

/// Puts a value in the place of the one that was presented.
fn keep(presented: &Credential, value: &str) -> Result<(), Failure> {
    match &presented.origin {
        Origin::Environment | Origin::StandardInput => Ok(()),
        Origin::Profile(name) => Profiles::change(&config::environment(), |profiles| {
            let missing = profiles.missing(name);
            let profile = profiles.profiles.get_mut(name).ok_or(missing)?;
            if profile.token.as_ref() != Some(&presented.value) {
                return Err(Failure::told(format!(
                    "the profile {name} holds another token by now, which stays there"
                )));
            }
            profile.token = Some(value.to_owned());
            Ok(())
        }),
        Origin::File(path) => {
            profiles::replace(path, &format!("{value}\n")).map_err(|error| unwritable(path, &error))
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "the new value can't take the place of the one in {}: {error}\n  --value-to FILE writes it \
         elsewhere",
        path.display()
    ))
}

/// Why to revoke it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RevokeCurrent {
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    again: Again,
}

impl RevokeCurrent {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (reason, reason_text) = self.why.parts();
        let request = session.request(pb::RevokeCurrentTokenRequest {
            reason,
            reason_text,
            request_id: session.request_id(self.again.request_id)?,
        });
        let answer = session.me().revoke_current_token(request).await?;
        session.output.show(&answer.into_inner(), |answer| {
            Record::default()
                .with("revision", text(&answer.revision))
                .to_string()
        })
    }
}
