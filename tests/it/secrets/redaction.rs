//! What `{:?}` shows of messages that carry a value.

use prost_reflect::DescriptorPool;
use token_authority::pb;

const VALUE: &str = "a_0123456789AB";

#[test]
fn debug_shows_no_value() {
    let introspect = pb::IntrospectRequest {
        token: VALUE.into(),
        tenant_id: "acme".into(),
        ..Default::default()
    };
    let created = pb::CreateTokenResponse {
        value: VALUE.into(),
        revision: "r.1".into(),
        ..Default::default()
    };
    let rotated = pb::RotateTokenResponse {
        value: VALUE.into(),
        revision: "r.1".into(),
        ..Default::default()
    };
    let rolled = pb::RotateCurrentTokenResponse {
        value: VALUE.into(),
        revision: "r.1".into(),
        ..Default::default()
    };
    let list = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        hint: VALUE.into(),
        ..Default::default()
    };
    let batch = pb::BatchIntrospectRequest {
        requests: vec![introspect.clone()],
    };
    let exposed = pb::RevokeExposedTokenRequest {
        value: VALUE.into(),
    };
    assert_eq!(
        format!("{exposed:?}"),
        "RevokeExposedTokenRequest { value: \"[redacted]\" }"
    );
    let claim = pb::ClaimInviteRequest {
        value: VALUE.into(),
    };
    assert_eq!(
        format!("{claim:?}"),
        "ClaimInviteRequest { value: \"[redacted]\" }"
    );
    let invited = pb::CreateInviteResponse {
        invite: Some(pb::Invite {
            tenant_id: "acme".into(),
            ..Default::default()
        }),
        value: VALUE.into(),
    };
    let claimed = pb::ClaimInviteResponse {
        value: VALUE.into(),
        revision: "r.1".into(),
        ..Default::default()
    };
    let explain = pb::ExplainTokenRequest {
        tenant_id: "acme".into(),
        subject: Some(pb::explain_token_request::Subject::Value(VALUE.into())),
        ..Default::default()
    };
    for shown in [
        format!("{explain:?} {explain:#?} {:?}", explain.subject),
        format!("{introspect:?} {introspect:#?}"),
        format!("{created:?} {created:#?}"),
        format!("{rotated:?} {rotated:#?}"),
        format!("{rolled:?} {rolled:#?}"),
        format!("{list:?} {list:#?}"),
        format!("{batch:?} {batch:#?}"),
        format!("{invited:?} {invited:#?}"),
        format!("{claimed:?} {claimed:#?}"),
    ] {
        assert!(!shown.contains(VALUE), "{shown}");
        assert!(shown.contains("[redacted]"), "{shown}");
        // What is no secret is shown.
        assert!(shown.contains("acme") || shown.contains("r.1"), "{shown}");
    }
}

#[test]
fn every_message_with_a_redacted_field_has_its_debug_written_by_hand() {
    let build = include_str!("../../../build.rs");
    let list = build.split_once("const REDACTED").unwrap().1;
    let list = list.split_once("];").unwrap().0;
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let mut redacted = 0;
    for message in pool.all_messages() {
        let secret = message.fields().any(|field| {
            let options = field.options();
            let redact = options.get_field_by_name("debug_redact");
            redact.is_some_and(|redact| redact.as_bool() == Some(true))
        });
        let listed = list.contains(&format!("\"{}\"", message.full_name()));
        assert_eq!(
            secret,
            listed,
            "{}: debug_redact in the proto, REDACTED in build.rs and Debug in src/pb.rs go together",
            message.full_name()
        );
        redacted += usize::from(secret);
    }
    assert_eq!(redacted, 10);
}
