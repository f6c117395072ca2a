//! Invites: how somebody becomes a member who has nothing yet.

use std::time::Duration;

use token_authority::domain::value::TokenValue;
use token_authority::pb;

use super::super::Stage;
use super::super::stage::DAY;
use super::UNAUTHENTICATED;
use crate::support::invites::{first, guest, returning, seconds};
use crate::support::tokens::{wanted, who_am_i};
use crate::support::{Backend, message, refused};

pub(super) async fn d6_an_invite_is_claimed_once_without_a_token(backend: Backend) {
    let stage = Stage::set(backend).await;
    let (t, openindex) = (&stage.t, &stage.openindex);
    let nobody = t.nobody();
    let invite = async |name: &str| {
        let request = pb::CreateInviteRequest {
            ttl: seconds(DAY),
            first_token: first("first", &["read_write"]),
            ..guest(name)
        };
        openindex.admin.invite(request).await
    };
    let members = async || {
        let request = message!(ListMembersRequest {
            tenant_id: "openindex"
        });
        let listed = openindex.admin.list_members(request).await.unwrap();
        let ids = listed.memberships.into_iter().map(|one| one.user_id);
        ids.collect::<Vec<_>>()
    };
    let made = invite("ada").await;
    let user_id = made.invite.clone().unwrap().user_id;
    assert!(!members().await.contains(&user_id));
    // It is an invite and no token.
    assert!(made.value.starts_with("inv_"));
    assert!(!stage.active(openindex, &made.value).await);
    let me = who_am_i(&t.actor(&made.value), pb::WhoAmIRequest {}).await;
    assert_eq!(refused(me), UNAUTHENTICATED);
    let value: TokenValue = made.value.parse().unwrap();
    let dump = String::from_utf8_lossy(&t.database.dump()).into_owned();
    assert!(
        !dump.contains(value.secret().expose()),
        "the database holds the value"
    );

    // One moment before its end, without any credential.
    t.advance(Duration::from_secs(86_399));
    let claimed = nobody.try_claim(&made.value).await.unwrap();
    let user = claimed.user.unwrap();
    assert_eq!(user.user_id, user_id);
    assert_eq!(
        (&*user.external_id, user.state()),
        ("ada", pb::UserState::Active)
    );
    let joined = claimed.membership.unwrap();
    assert_eq!(
        (&*joined.tenant_id, joined.role()),
        ("openindex", pb::Role::Member)
    );
    assert!(members().await.contains(&user_id));
    // And with what it got, it goes on by itself.
    let ada = t.actor(&claimed.value);
    assert!(
        stage
            .ask(openindex, ada.value(), &["read_write"])
            .await
            .allowed
    );
    let second = ada.create(wanted("second", &["read_write"])).await;
    assert_eq!(second.token.unwrap().user_id, user_id);

    // One who is a user already, of another product's, joins as who it is.
    let sam = stage.member(&stage.sk, "sam", &["authority:tokens.read"]);
    let sam = sam.await.user_id;
    let known = pb::CreateInviteRequest {
        ttl: seconds(DAY),
        first_token: first("first", &["read_write"]),
        ..returning(&sam)
    };
    let operator = t.operator();
    let known = operator.invite(pb::CreateInviteRequest {
        tenant_id: "openindex".into(),
        ..known
    });
    let known = known.await;
    assert!(!members().await.contains(&sam));
    let joined = nobody.try_claim(&known.value).await.unwrap();
    assert_eq!(joined.user.unwrap().user_id, sam);
    assert_eq!(joined.membership.unwrap().tenant_id, "openindex");
    assert!(members().await.contains(&sam));
    let answer = stage.ask(openindex, &joined.value, &["read_write"]).await;
    assert!(answer.allowed);
    assert_eq!(answer.user_id, sam);
    let gone = "NotFound INVITE_NOT_FOUND";
    assert_eq!(refused(nobody.try_claim(&known.value).await), gone);

    // Once, and not after its end, which is the instant itself.
    assert_eq!(refused(nobody.try_claim(&made.value).await), gone);
    assert_eq!(refused(ada.try_claim(&made.value).await), gone);
    let late = invite("bob").await;
    t.advance(Duration::from_secs(86_400));
    assert_eq!(refused(nobody.try_claim(&late.value).await), gone);
    let bob = late.invite.unwrap().user_id;
    assert!(bob.is_empty() || !members().await.contains(&bob));
}
