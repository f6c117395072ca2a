//! Reading tokens' records.

use super::access::{Reach, Rpc};
use super::scene::shown;
use super::update::token_id;
use super::{Authority, Call, Error, Shown, named_tenant};
use crate::domain::bounds;
use crate::domain::foreign;
use crate::domain::ids::{TokenId, UserId};
use crate::domain::reason::{Field, Violations};
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, State};
use crate::domain::value;
use crate::store::{Page, Position, TokenFilter};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ListTokens {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// How many at most.
    pub page_size: u32,
    /// Where to go on.
    pub after: Option<Position<TokenId>>,
    /// Only this user's; empty is anybody's.
    pub user_id: String,
    /// Only this kind.
    pub kind: Kind,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those whose name contains this; empty is any.
    pub name_contains: String,
    /// Only the one of this visible hint; empty is any.
    pub hint: String,
    /// Only those that expire before this.
    pub expires_before: Option<Timestamp>,
    /// Only those last used before this, or never used and created before it.
    pub unused_since: Option<Timestamp>,
    /// Revoked ones, too.
    pub show_revoked: bool,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Returns one token.
    pub async fn get_token(
        &self,
        call: Call,
        tenant_id: &str,
        token_id_text: &str,
        kind: Option<Kind>,
    ) -> Result<Shown, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let token_id = token_id(token_id_text)?;
        let mut scene = self.look(&call, Rpc::GetToken, &tenant_id).await?;
        let token = scene.token(token_id, kind).await?;
        Ok(shown(token, &scene.catalog().await?, scene.now))
    }

    /// Lists tokens: where the caller reaches its own alone, those.
    pub async fn list_tokens(
        &self,
        call: Call,
        command: ListTokens,
    ) -> Result<Page<Shown, TokenId>, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self.look(&call, Rpc::ListTokens, &tenant_id).await?;
        let mut violations = command.violations;
        let asked: Option<UserId> = match command.user_id.as_str() {
            "" => None,
            text => violations.check("user_id", text.parse().map_err(|_| Field::InvalidUserId)),
        };
        let name = text::line(&command.name_contains, bounds::NAME_CHARS);
        let name = violations
            .check("name_contains", name)
            .filter(|name| !name.is_empty());
        if command.hint.len() > bounds::VALUE_BYTES {
            violations.add("hint", Field::TooLong);
        } else if value::presented(&command.hint).contains(char::is_control) {
            violations.add("hint", Field::InvalidText);
        }
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let user_id = match scene.reach {
            Reach::Tenant => asked,
            Reach::Own(own) if asked.is_none_or(|asked| asked == own) => Some(own),
            // Another's tokens are not there for this caller.
            Reach::Own(_) => {
                return Ok(Page {
                    items: Vec::new(),
                    next: None,
                });
            }
        };
        let hint = value::searchable_hint(&scene.tenant.prefix, &command.hint);
        let beginning = foreign::beginning(value::presented(&command.hint));
        let filter = TokenFilter {
            kind: command.kind,
            user_id,
            name_contains: name,
            beginning: (!hint.is_empty()).then(|| beginning.to_owned()),
            hint: (!hint.is_empty()).then_some(hint),
            expires_before: command.expires_before,
            unused_since: command.unused_since,
            state: command.state,
            show_revoked: command.show_revoked,
        };
        let now = scene.now;
        let page = scene
            .tx
            .list_tokens(&tenant_id, &filter, command.after, command.page_size, now)
            .await?;
        let catalog = scene.catalog().await?;
        let mut items = Vec::with_capacity(page.items.len());
        for token in page.items {
            items.push(shown(token, &catalog, now));
            // A large catalog makes this long: others, and the deadline, have their turn.
            tokio::task::yield_now().await;
        }
        Ok(Page {
            items,
            next: page.next,
        })
    }
}
