//! `token get` and `token list`.

use std::path::PathBuf;

use super::{record, token_id};
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::moments::{self, Moment};
use crate::cli::output::{self, text};
use crate::cli::pages::Guard;
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::words::{self, Kind, State};
use crate::domain::bounds;
use crate::domain::value::{self, TokenValue};
use crate::pb;

/// Which token.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Get {
    /// The token's id
    token_id: String,
    /// The kind that it must be of; webhook tokens are found only where this says so
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

impl Get {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = session.request(pb::GetTokenRequest {
            tenant_id: session.tenant(None),
            token_id: token_id(self.token_id)?,
            kind: Kind::number(self.kind),
        });
        let answer = session.tokens().get_token(request).await?.into_inner();
        session.output.show(&answer, |answer| {
            record::record(&answer.token.clone().unwrap_or_default()).to_string()
        })
    }
}

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// Only this user's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only this kind; default: api
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those whose name contains this, whatever the case
    #[arg(long, value_name = "TEXT")]
    name_contains: Option<String>,
    /// Only the one with this hint, the visible part of a value
    #[arg(long, conflicts_with = "value_file")]
    hint: Option<String>,
    /// Only the one of the value in this file, of which no more than the hint is sent; - is
    /// standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Only those that expire before this: a time, or a length from now such as 30d
    #[arg(long, value_name = "TIME", value_parser = moments::moment)]
    expire_before: Option<Moment>,
    /// Only those not used since: a time, or a length before now such as 90d
    #[arg(long, value_name = "TIME", value_parser = moments::moment)]
    unused_since: Option<Moment>,
    /// Revoked ones, too
    #[arg(long)]
    show_revoked: bool,
    /// No more than so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut request = self.request(session)?;
        let progress = Progress::of("tokens");
        let mut guard = Guard::default();
        let mut answer = pb::ListTokensResponse::default();
        while answer.tokens.len() < limit {
            let most = (limit - answer.tokens.len()).min(bounds::PAGE_MAX as usize);
            request.page_size = i32::try_from(most).unwrap_or(i32::MAX);
            let page = session.request(request.clone());
            let page = session.tokens().list_tokens(page).await?.into_inner();
            guard.go_on(
                &request.page_token,
                &page.next_page_token,
                page.tokens.len(),
            )?;
            answer.tokens.extend(page.tokens);
            progress.at(answer.tokens.len());
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        drop(progress);
        session.output.show(&answer, |answer| {
            let headings = [
                "token",
                "name",
                "kind",
                "state",
                "hint",
                "user",
                "ends",
                "last used",
            ];
            output::table(&headings, answer.tokens.iter().map(row))
        })
    }

    fn request(self, session: &Session) -> Result<pb::ListTokensRequest, Failure> {
        let hint = match (self.hint, self.value_file) {
            (Some(hint), _) if value::stands_in(&hint) => {
                return Err(Failure::usage(
                    "that is a token's value, and not its hint\n  it now stands in your shell's \
                     history, and others on this machine could see it\n  its token: \
                     token-authority token list --value-file FILE",
                ));
            }
            (Some(hint), _) => hint,
            (None, Some(file)) => {
                let value = input::value("the value", Some(&file))?;
                let value: TokenValue = value::presented(&value).parse().map_err(|error| {
                    Failure::usage(format!(
                        "what is in {} is no value: {error}",
                        file.display()
                    ))
                })?;
                value.hint()
            }
            (None, None) => String::new(),
        };
        Ok(pb::ListTokensRequest {
            tenant_id: session.tenant(None),
            user_id: self.user.unwrap_or_default(),
            kind: Kind::number(self.kind),
            state: State::number(self.state),
            name_contains: self.name_contains.unwrap_or_default(),
            hint,
            expire_before: self.expire_before.map(Moment::after_now),
            show_revoked: self.show_revoked,
            unused_since: self.unused_since.map(Moment::before_now),
            ..Default::default()
        })
    }
}

fn row(token: &pb::Token) -> Vec<String> {
    vec![
        text(&token.token_id),
        text(&token.name),
        words::kind(token.kind),
        words::state(token.state),
        text(&token.hint),
        text(&token.user_id),
        moments::said(token.expire_time.as_ref()),
        moments::said(token.last_used_time.as_ref()),
    ]
}
