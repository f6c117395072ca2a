//! Claiming an invite while others claim it, or while it ends.

use token_authority::pb;
use tonic::Status;

use super::{Call, ROUNDS, Stage, at_once, number};
use crate::support::invites::{first, guest, returning, revocation};
use crate::support::tokens::{
    delete_tenant, delete_user, own_id, remove_member, set_role, suspend_tenant,
};
use crate::support::{Actor, Backend, both_backends_in_parallel, message, refusal, self_service};

both_backends_in_parallel!(
    of_a_hundred_claims_one_wins,
    an_invite_is_claimed_or_revoked,
    nobody_joins_after_its_maker_lost_the_right,
    nobody_joins_after_it_was_deleted,
    nobody_joins_a_tenant_that_is_gone,
    who_is_made_by_hand_and_by_an_invite_is_made_once,
);

const NONE: &str = "NotFound INVITE_NOT_FOUND";

type Claimed = Result<pb::ClaimInviteResponse, Status>;

/// Claims, and goes on while all places are taken.
fn claim(actor: &Actor, value: &str) -> Call<Claimed> {
    let (actor, value) = (actor.clone(), value.to_owned());
    Box::pin(async move {
        loop {
            match actor.try_claim(&value).await {
                Err(status) if refusal(&status) == "ResourceExhausted RATE_LIMITED" => {}
                answered => return answered,
            }
        }
    })
}

async fn of_a_hundred_claims_one_wins(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    for round in 0..3 {
        let request = pb::CreateInviteRequest {
            first_token: first("first", &["read"]),
            ..guest(&format!("{round}"))
        };
        let value = stage.acme.admin.invite(request).await.value;
        let nobody = stage.t.nobody();
        let claims: Vec<_> = (0..100).map(|_| claim(&nobody, &value)).collect();
        let claimed = super::one_wins(at_once(claims).await, NONE);
        let answer = stage.server.introspect("acme", &claimed.value).await;
        assert!(answer.active);
        let tokens = message!(ListTokensRequest {
            tenant_id: "acme",
            user_id: claimed.user.unwrap().user_id,
        });
        let tokens = crate::support::tokens::list(&stage.acme.admin, tokens).await;
        assert_eq!(tokens.unwrap().tokens.len(), 1);
    }
    stage.end().await;
}

/// Races a claim against a rival, which begins before or somewhat after it.
async fn race<R: Send + 'static>(
    round: usize,
    claim: Call<Claimed>,
    rival: impl Future<Output = R> + Send + 'static,
    waiting: Actor,
) -> (Option<pb::ClaimInviteResponse>, R) {
    let delay = round / 2 % 10;
    let late = async move {
        for _ in 0..delay {
            // A call that comes to nothing takes a moment.
            let _ = waiting.raw("/nothing/Here", Vec::new()).await;
        }
    };
    let (claiming, rival) = if round.is_multiple_of(2) {
        let claiming = tokio::spawn(claim);
        let rival = tokio::spawn(async move {
            late.await;
            rival.await
        });
        (claiming, rival)
    } else {
        let rival = tokio::spawn(rival);
        let claiming = tokio::spawn(async move {
            late.await;
            claim.await
        });
        (claiming, rival)
    };
    let claimed = match claiming.await.unwrap() {
        Ok(claimed) => Some(claimed),
        Err(status) => {
            assert_eq!(refusal(&status), NONE);
            None
        }
    };
    (claimed, rival.await.unwrap())
}

/// Checks that whoever joined did so before the rival was done.
fn before(claimed: Option<&pb::ClaimInviteResponse>, rival: &str, round: usize) {
    if let Some(claimed) = claimed {
        assert!(
            number(&claimed.revision) < number(rival),
            "round {round}: joined at {}, after {rival}",
            claimed.revision
        );
    }
}

async fn an_invite_is_claimed_or_revoked(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let nobody = stage.t.nobody();
    let (mut joined, mut revoked) = (0, 0);
    for round in 0..ROUNDS {
        let admin = stage.acme.admin.clone();
        let made = admin.invite(guest(&format!("{round}"))).await;
        let request = revocation(&made);
        let revoke = async move { admin.revoke_invite(request).await };
        let claim = claim(&nobody, &made.value);
        let (claimed, outcome) = race(round, claim, revoke, nobody.clone()).await;
        match outcome {
            Ok(_) => {
                assert!(claimed.is_none(), "round {round}: both");
                revoked += 1;
            }
            Err(status) => {
                assert_eq!(refusal(&status), "FailedPrecondition INVITE_CLAIMED");
                assert!(claimed.is_some(), "round {round}: neither");
                joined += 1;
            }
        }
    }
    assert_eq!(joined + revoked, ROUNDS);
    stage.end().await;
}

async fn nobody_joins_after_its_maker_lost_the_right(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let (nobody, operator) = (stage.t.nobody(), stage.t.operator());
    for round in 0..ROUNDS {
        let name = format!("maker {round}");
        let maker_id = operator.create_user("acme", &name, pb::Role::Admin).await;
        let scopes = ["authority:tenant.admin"];
        let maker = operator.token_of("acme", &maker_id, &scopes).await;
        let request = pb::CreateInviteRequest {
            first_token: first("first", &["read"]),
            ..guest(&format!("{round}"))
        };
        let made = maker.invite(request).await;
        let token_id = own_id(&maker).await;
        let (rival, admin) = (operator.clone(), stage.acme.admin.clone());
        let end = async move {
            match round % 4 {
                0 => rival.revoke("acme", &token_id).await.revision,
                1 => delete_user(&rival, "acme", &maker_id).await,
                2 => remove_member(&rival, "acme", &maker_id).await,
                _ => {
                    set_role(&rival, "acme", &maker_id, pb::Role::Member).await;
                    // What follows the demotion has a later number than it.
                    String::new()
                }
            }
        };
        let claim = claim(&nobody, &made.value);
        let (claimed, revision) = race(round / 4, claim, end, nobody.clone()).await;
        if !revision.is_empty() {
            before(claimed.as_ref(), &revision, round);
        }
        // What ended it has ended it.
        let another = nobody.try_claim(&made.value).await.unwrap_err();
        assert_eq!(refusal(&another), NONE);
        let listed = message!(ListUsersRequest {
            tenant_id: "acme",
            external_id: format!("{round}"),
        });
        let users = admin.list_users(listed).await.unwrap().users;
        assert_eq!(users.len(), usize::from(claimed.is_some()), "round {round}");
    }
    stage.end().await;
}

async fn nobody_joins_after_it_was_deleted(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let nobody = stage.t.nobody();
    for round in 0..ROUNDS {
        let admin = stage.acme.admin.clone();
        let user_id = stage.user(&format!("{round}")).await;
        remove_member(&admin, "acme", &user_id).await;
        let request = pb::CreateInviteRequest {
            first_token: first("first", &["read"]),
            ..returning(&user_id)
        };
        let made = admin.invite(request).await;
        let delete = async move { delete_user(&admin, "acme", &user_id).await };
        let claim = claim(&nobody, &made.value);
        let (claimed, revision) = race(round, claim, delete, nobody.clone()).await;
        before(claimed.as_ref(), &revision, round);
        if let Some(claimed) = claimed {
            let answer = stage.server.introspect("acme", &claimed.value).await;
            assert!(!answer.active, "round {round}");
        }
    }
    stage.end().await;
}

async fn nobody_joins_a_tenant_that_is_gone(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let (nobody, operator) = (stage.t.nobody(), stage.t.operator());
    for round in 0..ROUNDS {
        let tenant_id = format!("t{round:03}");
        let tenant = stage.t.tenant(&tenant_id, self_service()).await;
        // By the operator, whose right outlasts the tenant, too.
        let maker = if round % 4 < 2 {
            &operator
        } else {
            &tenant.admin
        };
        let request = pb::CreateInviteRequest {
            tenant_id: tenant_id.clone(),
            first_token: first("first", &["read"]),
            ..guest("guest")
        };
        let made = maker.invite(request).await;
        let rival = operator.clone();
        let end = async move {
            if round % 2 == 0 {
                suspend_tenant(&rival, &tenant_id).await
            } else {
                delete_tenant(&rival, &tenant_id).await
            }
        };
        let claim = claim(&nobody, &made.value);
        let (claimed, revision) = race(round / 2, claim, end, nobody.clone()).await;
        before(claimed.as_ref(), &revision, round);
        let again = nobody.try_claim(&made.value).await.unwrap_err();
        assert_eq!(refusal(&again), NONE);
    }
    stage.end().await;
}

async fn who_is_made_by_hand_and_by_an_invite_is_made_once(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let nobody = stage.t.nobody();
    for round in 0..ROUNDS {
        let admin = stage.acme.admin.clone();
        let name = format!("{round}");
        let token = first("first", &["read"]);
        if round % 2 == 0 {
            let request = pb::CreateInviteRequest {
                first_token: token,
                ..guest(&name)
            };
            let made = admin.invite(request).await;
            let request = message!(CreateUserRequest {
                tenant_id: "acme",
                external_id: name,
                role: pb::Role::Member,
            });
            let by_hand = async move { admin.try_create_user(request).await };
            let claim = claim(&nobody, &made.value);
            let (claimed, by_hand) = race(round / 2, claim, by_hand, nobody.clone()).await;
            one_of_both(
                claimed.is_some(),
                by_hand,
                "AlreadyExists EXTERNAL_ID_TAKEN",
            );
        } else {
            let user_id = stage.user(&name).await;
            remove_member(&admin, "acme", &user_id).await;
            let request = pb::CreateInviteRequest {
                first_token: token,
                ..returning(&user_id)
            };
            let made = admin.invite(request).await;
            let request = message!(AddMemberRequest {
                tenant_id: "acme",
                user_id: user_id,
            });
            let by_hand = async move { admin.add_member(request).await };
            let claim = claim(&nobody, &made.value);
            let (claimed, by_hand) = race(round / 2, claim, by_hand, nobody.clone()).await;
            one_of_both(claimed.is_some(), by_hand, "AlreadyExists MEMBER_EXISTS");
        }
    }
    stage.end().await;
}

/// Checks that either somebody claimed, or was made by hand.
fn one_of_both<T: std::fmt::Debug>(claimed: bool, by_hand: Result<T, Status>, refused: &str) {
    match by_hand {
        Ok(_) => assert!(!claimed, "both"),
        Err(status) => {
            assert_eq!(refusal(&status), refused);
            assert!(claimed, "neither");
        }
    }
}
