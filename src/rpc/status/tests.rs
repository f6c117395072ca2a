//! What the one map says.

use super::*;
use crate::domain::reason::{Denial, Field, Missing};
use crate::rpc::testing::request_id;

/// A cause that no caller may read.
fn cause() -> Box<dyn std::error::Error + Send + Sync> {
    "password authentication failed for host db.internal".into()
}

fn told(error: &Error) -> (Status, ErrorDetails) {
    let status = status(error, &request_id("r-1"));
    let details = status.check_error_details().unwrap();
    (status, details)
}

#[test]
fn all_violations_are_told_and_the_first_names_the_failure() {
    let mut violations = Violations::default();
    violations.add("name", Field::InvalidName);
    violations.add("scopes[3]", Field::UnknownScope);
    violations.add("name", Field::TooLong);
    let (status, details) = told(&Error::InvalidArgument(violations));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), Field::InvalidName.sentence());
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "INVALID_NAME");
    assert_eq!(info.domain, "tokenauthority");
    let metadata = [("name", "INVALID_NAME"), ("scopes[3]", "UNKNOWN_SCOPE")];
    let metadata = metadata.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(info.metadata, HashMap::from(metadata));
    let told: Vec<_> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|v| (v.field.as_str(), v.reason.as_str(), v.description.as_str()))
        .collect();
    let expected = [
        ("name", Field::InvalidName),
        ("scopes[3]", Field::UnknownScope),
        ("name", Field::TooLong),
    ];
    assert_eq!(
        told,
        expected.map(|(field, reason)| (field, reason.as_str(), reason.sentence()))
    );
}

#[test]
fn a_thousand_violations_still_fit_a_clients_headers() {
    let mut violations = Violations::default();
    for at in 0..1000 {
        violations.add(
            format!("catalog.scopes[{at}].implies[0]"),
            Field::InvalidName,
        );
    }
    let (status, details) = told(&Error::InvalidArgument(violations));
    let listed = details.bad_request().unwrap().field_violations.len();
    let metadata = &details.error_info().unwrap().metadata;
    assert!(listed >= 10, "{listed}");
    assert_eq!(metadata[OMITTED], (1000 - listed).to_string());
    let response = status.into_http::<tonic::body::Body>();
    // As HTTP/2 counts a header list: 32 bytes more for each.
    let size: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    assert!(size < 8 * 1024 - 256, "{size}");
}

#[test]
fn a_refusal_without_a_violation_is_a_fault_of_ours() {
    let (status, _) = told(&Error::InvalidArgument(Violations::default()));
    assert_eq!(status.code(), Code::Internal);
}

#[test]
fn only_an_internal_error_carries_the_id_to_quote_and_none_its_cause() {
    let (status, details) = told(&Error::Internal(cause()));
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "internal error");
    assert_eq!(details.error_info().unwrap().metadata["request_id"], "r-1");
    for error in [Error::Unavailable(cause()), Error::Internal(cause())] {
        let (status, _) = told(&error);
        let bytes = String::from_utf8_lossy(status.details()).into_owned();
        assert!(!format!("{status:?}{bytes}").contains("db.internal"));
    }
    let (_, details) = told(&Error::Unavailable(cause()));
    assert!(details.error_info().unwrap().metadata.is_empty());
}

#[test]
fn who_may_ask_again_is_told_when() {
    let retry = |error: &Error| {
        let (_, details) = told(error);
        details.retry_info().and_then(|retry| retry.retry_delay)
    };
    let second = Duration::from_secs(1);
    assert_eq!(retry(&Error::Unavailable(cause())), Some(second));
    let retry_after = Duration::from_millis(250);
    assert_eq!(
        retry(&Error::HashingBusy { retry_after }),
        Some(retry_after)
    );
    assert_eq!(
        retry(&Error::RateLimited { retry_after }),
        Some(retry_after)
    );
    assert_eq!(retry(&Error::TokenLimit { most: 5 }), None);
    assert_eq!(retry(&Error::EtagMismatch), None);
}

#[test]
fn a_cap_is_a_quota_failure() {
    let (status, details) = told(&Error::TokenLimit { most: 5 });
    assert_eq!(status.code(), Code::ResourceExhausted);
    let quota = details.quota_failure().unwrap();
    assert_eq!(quota.violations[0].quota_value, 5);
    let info = details.error_info().unwrap();
    assert_eq!(info.metadata["max_tokens_per_user"], "5");
}

#[test]
fn a_batch_tells_what_a_call_of_its_own_would_have_told() {
    let error = Error::field("token_id", Field::InvalidTokenId);
    let (status, _) = told(&error);
    let (message, _) = message(&error, &request_id("r-1"));
    assert_eq!(message.code, i32::from(status.code()));
    assert_eq!(message.message, status.message());
    assert_eq!(message.details.len(), 2, "ErrorInfo and BadRequest");
}

#[test]
fn the_log_is_told_the_causes_where_somebody_must_look() {
    let told = |error: &Error| {
        let status = status(error, &request_id("r-1"));
        let source = std::error::Error::source(&status).unwrap();
        source.downcast_ref::<Failure>().unwrap().clone()
    };
    let internal = told(&Error::Internal(cause()));
    assert_eq!(internal.severity(), Severity::Error);
    assert_eq!(internal.reason(), "INTERNAL");
    assert!(internal.chain().unwrap().contains("db.internal"));
    let away = told(&Error::Unavailable(cause()));
    assert_eq!(away.severity(), Severity::Warn);
    assert!(away.chain().unwrap().contains("db.internal"));
    for error in [
        Error::Unauthenticated,
        Error::PermissionDenied(Denial::Denied),
    ] {
        assert_eq!(told(&error).severity(), Severity::Info);
    }
    let missing = told(&Error::NotFound(Missing::Token));
    assert_eq!(missing.severity(), Severity::Debug);
    assert_eq!(missing.chain(), None);
}
