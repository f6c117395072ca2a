//! The keys of a provider: asked for when they are needed, seldom, and kept while it is
//! away.

use std::time::Duration;

use super::{REFUSED, admit, get_tenant, installed, refusals};
use crate::support::{Answer, Backend, SigningKey, both_backends, refused};

both_backends! {
    keys_are_asked_for_once_and_a_new_one_is_found,
    made_up_keys_make_one_question_a_minute,
    a_provider_that_is_away_is_remembered_for_a_day,
    a_withdrawn_key_is_gone_within_minutes,
    what_is_no_set_of_keys_is_not_taken,
}

const PERIOD: Duration = Duration::from_secs(60);

fn document(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
    Answer::Keys(serde_json::json!({ "keys": keys }).to_string())
}

async fn keys_are_asked_for_once_and_a_new_one_is_found(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    admit(&t, "acme", &["main"]).await;
    assert_eq!(provider.asked(), 0);
    for _ in 0..3 {
        let actor = t.actor(&provider.session(&t, "alice"));
        get_tenant(&actor, "acme").await.unwrap();
    }
    assert_eq!(provider.asked(), 1);
    let new = SigningKey::new("key-2");
    let rotated = || t.actor(&new.sign(&new.header(), &provider.claims(&t, "alice")));
    provider.answer(document(&[&provider.key, &new]));
    // Not before its period is over.
    assert_eq!(refused(get_tenant(&rotated(), "acme").await), REFUSED);
    assert_eq!(provider.asked(), 1);
    t.advance(PERIOD);
    get_tenant(&rotated(), "acme").await.unwrap();
    get_tenant(&rotated(), "acme").await.unwrap();
    assert_eq!(provider.asked(), 2);
    assert_eq!(refusals(&t), [("unknown_key", 1)]);
}

async fn made_up_keys_make_one_question_a_minute(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    admit(&t, "acme", &["main"]).await;
    for minute in 1..=3 {
        let calls = (0..50).map(|number| {
            let forger = SigningKey::new(&format!("made-up-{number}"));
            let actor = t.actor(&forger.sign(&forger.header(), &provider.claims(&t, "alice")));
            async move { refused(get_tenant(&actor, "acme").await) }
        });
        for call in calls.map(tokio::spawn).collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), REFUSED);
        }
        assert_eq!(provider.asked(), minute);
        let actor = t.actor(&provider.session(&t, "alice"));
        get_tenant(&actor, "acme").await.unwrap();
        t.advance(PERIOD);
    }
    assert_eq!(refusals(&t), [("unknown_key", 150)]);
}

async fn a_provider_that_is_away_is_remembered_for_a_day(backend: Backend) {
    let (mut t, provider, _acme) = installed(backend).await;
    t.expect_alarms();
    admit(&t, "acme", &["main"]).await;
    let call = async || {
        let actor = t.actor(&provider.session(&t, "alice"));
        get_tenant(&actor, "acme").await
    };
    call().await.unwrap();
    let good = document(&[&provider.key]);
    provider.answer(Answer::Nothing);
    for _ in 0..3 {
        t.advance(Duration::from_secs(7 * 60 * 60 + 1));
        call().await.unwrap();
    }
    assert_eq!(provider.asked(), 4);
    t.advance(Duration::from_secs(3 * 60 * 60));
    assert_eq!(refused(call().await), REFUSED);
    assert_eq!(refusals(&t), [("keys_unavailable", 1)]);
    // Said once, and once that it is over.
    let said = |what: &str| t.logs.text().matches(what).count();
    assert_eq!(said("the keys of an issuer can't be had"), 1);
    provider.answer(good);
    assert_eq!(refused(call().await), REFUSED, "its period is not over");
    t.advance(PERIOD);
    call().await.unwrap();
    assert_eq!(said("the keys of an issuer are there again"), 1);
}

async fn a_withdrawn_key_is_gone_within_minutes(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    admit(&t, "acme", &["main"]).await;
    let call = async || {
        let actor = t.actor(&provider.session(&t, "alice"));
        get_tenant(&actor, "acme").await
    };
    call().await.unwrap();
    provider.answer(document(&[&SigningKey::new("key-2")]));
    t.advance(Duration::from_secs(10 * 60 - 1));
    call().await.unwrap();
    t.advance(Duration::from_secs(1));
    assert_eq!(refused(call().await), REFUSED);
    assert_eq!(refusals(&t), [("unknown_key", 1)]);
}

async fn what_is_no_set_of_keys_is_not_taken(backend: Backend) {
    let (mut t, provider, _acme) = installed(backend).await;
    t.expect_alarms();
    admit(&t, "acme", &["main"]).await;
    let padded = format!(
        "{}{}",
        serde_json::json!({"keys": [provider.key.public()]}),
        " ".repeat(70_000)
    );
    for answer in [
        Answer::Status("302 Found"),
        Answer::Status("500 Oops"),
        Answer::Nothing,
        Answer::Keys("{".into()),
        Answer::Keys(r#"{"keys":[]}"#.into()),
        Answer::Keys(padded),
    ] {
        provider.answer(answer);
        let before = provider.asked();
        let actor = t.actor(&provider.session(&t, "alice"));
        assert_eq!(refused(get_tenant(&actor, "acme").await), REFUSED);
        assert_eq!(provider.asked(), before + 1, "a redirect is not followed");
        t.advance(PERIOD);
    }
    assert_eq!(refusals(&t), [("keys_unavailable", 6)]);
    provider.answer(document(&[&provider.key]));
    let actor = t.actor(&provider.session(&t, "alice"));
    get_tenant(&actor, "acme").await.unwrap();
}
