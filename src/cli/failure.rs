//! What a command failed of, in lines that a person can act on, and what the program
//! exits with. Never holds a value.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::deadline::EXPIRED;
use super::output::escaped;
use super::{USAGE, change};
use crate::authority::access::{Effect, Need, Rpc};
use crate::rpc::layers::REQUEST_ID_HEADER;
use crate::rpc::status::{DOMAIN, code_name};

/// What a command that failed exits with.
const FAILED: u8 = 1;

/// The fields of requests that have another name as a flag.
const FLAGS: [(&str, &str); 10] = [
    ("expected_kind", "--kind"),
    ("grace_period", "--grace"),
    ("kinds", "--kind"),
    ("labels", "--label"),
    ("profile", "--scope-profile"),
    ("required_scopes", "--require"),
    ("scopes", "--scope"),
    ("tenant_id", "--tenant"),
    ("token_ids", "ids"),
    ("user_id", "--user"),
];

/// The fields that are given without a flag.
const POSITIONAL: [&str; 4] = ["token_id", "name", "token", "value"];

/// What went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    cause: Cause,
    /// What fields of the request are to whoever reads, where no flag gave them.
    places: BTreeMap<String, String>,
    /// What to do next, beside what the answer itself says.
    hints: Vec<String>,
}

#[derive(Debug)]
enum Cause {
    /// All has been said.
    Quiet,
    /// A text of this program's own.
    Told(String),
    /// The server's answer, or that none came.
    Status(Box<Status>),
}

/// Around what it went wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// The server's address.
    pub(super) address: String,
    /// Where the credential came from, as people know it; none was given without.
    pub(super) credential: Option<String>,
    /// The RPC that was called last.
    pub(super) rpc: Option<Rpc>,
    /// The request id of the last call that changes something.
    pub(super) request_id: Option<String>,
}

impl Failure {
    /// Returns a wrong command line, profile or input.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, Cause::Told(text.into()))
    }

    /// Returns any other failure, in this program's own words.
    pub(super) fn told(text: impl Into<String>) -> Self {
        Self::new(FAILED, Cause::Told(text.into()))
    }

    /// Returns an end that needs no words: what was printed says it.
    pub(super) fn quiet(code: u8) -> Self {
        Self::new(code, Cause::Quiet)
    }

    fn new(code: u8, cause: Cause) -> Self {
        Self {
            code,
            cause,
            places: BTreeMap::new(),
            hints: Vec::new(),
        }
    }

    /// Says what a field of the request is to whoever reads: a line of a document.
    #[must_use]
    pub(super) fn with_place(mut self, field: &str, place: String) -> Self {
        self.places.insert(field.to_owned(), place);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns what the program exits with.
    pub(super) fn code(&self) -> u8 {
        self.code
    }

    /// Returns the lines to be printed.
    pub(super) fn lines(&self, context: &Context) -> String {
        match &self.cause {
            Cause::Quiet => String::new(),
            Cause::Told(text) => format!("token-authority: {text}\n"),
            Cause::Status(status) => told(status, context, self),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::new(FAILED, Cause::Status(Box::new(status)))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Who stopped reading, as `head` does, need not be told.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::quiet(FAILED);
        }
        Self::told(error.to_string())
    }
}

/// Without what it happened around.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Quiet => Ok(()),
            Cause::Told(text) => f.write_str(text),
            Cause::Status(status) => f.write_str(&escaped(status.message())),
        }
    }
}

/// Returns what an answer other than OK says, and what to do next.
fn told(status: &Status, context: &Context, failure: &Failure) -> String {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let mut lines = String::new();
    // What came from no server of ours has no reason: a cut connection, a proxy.
    let reason = info.map_or(code_name(status.code()), |info| info.reason.as_str());
    let message = escaped(status.message());
    let _ = writeln!(lines, "token-authority: {}: {message}", escaped(reason));
    let mut say = |text: &str| {
        let _ = writeln!(lines, "  {text}");
    };
    if let Some(violations) = details.bad_request() {
        for violation in &violations.field_violations {
            let place = failure.places.get(&violation.field).cloned();
            let place = place.unwrap_or_else(|| flag(&violation.field, context.rpc));
            say(&format!(
                "{}: {}",
                escaped(&place),
                escaped(&violation.description)
            ));
        }
    }
    if let Some(omitted) = info.and_then(|info| info.metadata.get("omitted_violations")) {
        say(&format!("and {} more", escaped(omitted)));
    }
    let done = info.filter(|info| info.reason == "REQUEST_ALREADY_DONE");
    if let Some(token_id) = done.and_then(|info| info.metadata.get("token_id")) {
        let token_id = escaped(token_id);
        say(&format!(
            "the token is {token_id}; for a new value: token-authority token rotate {token_id}"
        ));
    }
    if let Some(invite_id) = done.and_then(|info| info.metadata.get("invite_id")) {
        let invite_id = escaped(invite_id);
        say(&format!(
            "the invite is {invite_id}; for another value, make another, and: token-authority \
             invite revoke {invite_id}"
        ));
    }
    if let Some(quotas) = details.quota_failure() {
        for violation in &quotas.violations {
            say(&escaped(&violation.description));
        }
    }
    for hint in hints(status, reason, context).iter().chain(&failure.hints) {
        say(hint);
    }
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(delay) = retry {
        say(&format!("ask again in {}", seconds(delay)));
    }
    let mutates = context
        .rpc
        .is_some_and(|rpc| rpc.effect() == Effect::Mutates);
    if let (true, Some(request_id)) = (mutates && is_open(status), &context.request_id) {
        say(&format!(
            "whether it was done is not known; asked again with --request-id {request_id}, it is \
             not done twice"
        ));
    }
    let request_id = status.metadata().get(REQUEST_ID_HEADER.as_str());
    if let Some(request_id) = request_id.and_then(|id| id.to_str().ok()) {
        say(&format!("x-request-id: {}", escaped(request_id)));
    }
    lines
}

/// Returns whether the call may have been made all the same.
pub(super) fn is_open(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
    )
}

fn seconds(delay: Duration) -> String {
    humantime::format_duration(delay).to_string()
}

/// Returns what the caller can do about it.
fn hints(status: &Status, reason: &str, context: &Context) -> Vec<String> {
    let mut hints = Vec::new();
    match status.code() {
        Code::Unauthenticated => match &context.credential {
            Some(credential) => hints.push(format!(
                "{} does not know {credential}: it ended, was revoked, or is of another server",
                context.address
            )),
            None => hints.push(String::from(
                "no token was given: make a profile (token-authority profile set NAME), or set \
                 TA_TOKEN or TA_TOKEN_FILE, or say --token-file FILE",
            )),
        },
        Code::PermissionDenied if reason == "PERMISSION_DENIED" => {
            hints.extend(context.rpc.map(|rpc| need(rpc).to_owned()));
            hints.push(String::from(
                "token-authority whoami shows what this token may do",
            ));
        }
        Code::Aborted => hints.push(String::from("look at it again, and then decide anew")),
        // A deadline that passed on this side.
        Code::Cancelled if status.message() == EXPIRED => hints.push(format!(
            "no answer from {} in time; --timeout gives it longer",
            context.address
        )),
        Code::DeadlineExceeded => hints.push(String::from("--timeout gives it longer")),
        Code::Unimplemented => hints.push(format!(
            "{} is an older server, or no token-authority",
            context.address
        )),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
            if reason == code_name(status.code()) =>
        {
            hints.push(format!(
                "the connection to {} broke; is it a token-authority, and plain text where TLS is \
                 wanted, or the reverse?",
                context.address
            ));
            // With TLS 1.3 that is told once the handshake is over, and may not arrive.
            if context.address.starts_with("https:") {
                hints.push(String::from(
                    "does it want a certificate? profile set --client-cert FILE --client-key FILE",
                ));
            }
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => {}
    }
    hints
}

/// Returns what a call needs.
fn need(rpc: Rpc) -> &'static str {
    match rpc.need() {
        Need::Nothing | Need::Authenticated => "it needs any active token",
        Need::Introspect => "it needs a token with the scope authority:introspect",
        Need::TokensRead => {
            "it needs a token with the scope authority:tenant.admin, or, for one's own tokens \
             where the tenant lets its members manage them, authority:tokens.read"
        }
        Need::TokensWrite => {
            "it needs a token with the scope authority:tenant.admin, or, for one's own tokens \
             where the tenant lets its members manage them, authority:tokens.write"
        }
        Need::TenantAdmin => "it needs a token with the scope authority:tenant.admin",
        Need::Operator => "it needs a token with the scope authority:operator",
    }
}

/// Returns how a field of a request is given on the command line: `scopes[2]` as
/// `--scope[2]`.
pub(super) fn flag(field: &str, rpc: Option<Rpc>) -> String {
    if let Some(flag) = rpc.and_then(|rpc| change::flag(field, rpc)) {
        return flag;
    }
    let end = field.find(['.', '[']).unwrap_or(field.len());
    let (name, rest) = field.split_at(end);
    if POSITIONAL.contains(&name) {
        return field.to_owned();
    }
    match FLAGS.iter().find(|(known, _)| *known == name) {
        Some((_, flag)) => format!("{flag}{rest}"),
        None => format!("--{}{rest}", name.replace('_', "-")),
    }
}
