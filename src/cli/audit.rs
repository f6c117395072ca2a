//! `audit`: what was done, by whom, and whether the log of it is whole.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::ProgressBar;

use super::failure::Failure;
use super::moments::{self, Moment};
use super::output::{Output, Record, escaped, table, text};
use super::pages::{self, PageArguments};
use super::session::Session;
use super::words;
use crate::pb;

/// The characters of what changed that a row of the table shows.
const CHANGES: usize = 100;

/// What is done with the audit log.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists events, newest first
    List {
        /// Only what was done like this, such as `RevokeToken`
        #[arg(long, value_name = "RPC")]
        action: Option<String>,
        /// Only what this token did
        #[arg(long, value_name = "TOKEN_ID")]
        caller: Option<String>,
        /// Only what was about this user
        #[arg(long, value_name = "USER_ID")]
        user: Option<String>,
        /// Only what was about this token
        #[arg(long, value_name = "TOKEN_ID")]
        token: Option<String>,
        /// Only from then on: a time, or how long ago, such as `1h`
        #[arg(long, value_name = "WHEN", value_parser = moments::moment)]
        since: Option<Moment>,
        /// Only before then: a time, or how long ago
        #[arg(long, value_name = "WHEN", value_parser = moments::moment)]
        until: Option<Moment>,
        /// Show all that changed, a line for each field
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        pages: PageArguments,
    },
    /// Goes through the whole log, and exits with 1 if anybody has had a hand in it
    ///
    /// It prints the log's head. Keep that elsewhere, and give it next time: it then
    /// also shows whether the log was made anew as a whole.
    Verify {
        /// The head that an earlier call printed
        #[arg(long, value_name = "COUNT:HASH", value_parser = head)]
        known_head: Option<pb::AuditHead>,
    },
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List {
                action,
                caller,
                user,
                token,
                since,
                until,
                full,
                pages,
            } => {
                let filter = pb::ListAuditEventsRequest {
                    tenant_id: session.tenant(None),
                    action: action.unwrap_or_default(),
                    caller_token_id: caller.unwrap_or_default(),
                    user_id: user.unwrap_or_default(),
                    token_id: token.unwrap_or_default(),
                    start_time: since.map(Moment::before_now),
                    end_time: until.map(Moment::before_now),
                    ..Default::default()
                };
                list(session, filter, full, pages).await
            }
            Self::Verify { known_head } => verify(session, known_head).await,
        }
    }
}

async fn list(
    session: &Session,
    filter: pb::ListAuditEventsRequest,
    full: bool,
    pages: PageArguments,
) -> Result<(), Failure> {
    let events = pages.all(async |page_size, page_token| {
        let request = session.request(pb::ListAuditEventsRequest {
            page_size,
            page_token,
            ..filter.clone()
        });
        let page = session.audit().list_audit_events(request).await?;
        let page = page.into_inner();
        Ok((page.events, page.next_page_token))
    });
    let events = events.await?;
    let answer = pb::ListAuditEventsResponse {
        events: events.items,
        next_page_token: events.next_page_token,
    };
    session.output.show(&answer, |answer| {
        let rows = answer.events.iter().map(|event| {
            vec![
                moments::said(event.event_time.as_ref()),
                text(&event.action),
                who(event.caller.as_ref()),
                subject(event),
                changes(event, full),
            ]
        });
        let headings = ["time", "action", "who", "subject", "what changed"];
        table(&headings, rows) + &pages::more(&answer.next_page_token)
    })
}

fn who(caller: Option<&pb::AuditCaller>) -> String {
    let Some(caller) = caller else {
        return String::from("-");
    };
    // What was presented: a token, a session that this trust vouched for, or an identity's
    // certificate.
    let presented = match (caller.trust.as_str(), caller.identity.as_str()) {
        ("", "") => escaped(&caller.token_id),
        ("", identity) => format!("identity/{}", escaped(identity)),
        (trust, _) => escaped(trust),
    };
    if caller.user_id.is_empty() {
        return presented;
    }
    format!("{presented} ({})", escaped(&caller.user_id))
}

/// Returns the narrowest thing that an event is about.
fn subject(event: &pb::AuditEvent) -> String {
    let subject = event.subject.clone().unwrap_or_default();
    let ids = [subject.token_id, subject.user_id, subject.tenant_id];
    let narrowest = ids.iter().find(|id| !id.is_empty());
    text(narrowest.map_or("", String::as_str))
}

fn changes(event: &pb::AuditEvent, full: bool) -> String {
    let mut said: Vec<String> = event.changes.iter().map(change).collect();
    if event.omitted_changes > 0 {
        said.push(format!("and {} more", event.omitted_changes));
    }
    if full {
        return text_of(&said.join("\n"));
    }
    let line = said.join("; ");
    if line.chars().count() <= CHANGES {
        return text_of(&line);
    }
    let mut line: String = line.chars().take(CHANGES - 1).collect();
    line.push('…');
    line
}

/// Returns what is escaped already, `-` where there is none.
fn text_of(escaped: &str) -> String {
    String::from(if escaped.is_empty() { "-" } else { escaped })
}

fn change(change: &pb::AuditFieldChange) -> String {
    let field = escaped(&change.field);
    let (before, after) = (escaped(&change.before), escaped(&change.after));
    match (before.is_empty(), after.is_empty()) {
        (true, _) => format!("{field}: {after}"),
        (false, true) => format!("{field}: {before} -> (none)"),
        (false, false) => format!("{field}: {before} -> {after}"),
    }
}

async fn verify(session: &Session, known_head: Option<pb::AuditHead>) -> Result<(), Failure> {
    let tenant_id = session.tenant(None);
    let request = session.request(pb::VerifyAuditLogRequest {
        tenant_id,
        known_head,
    });
    // Drawn on a terminal alone.
    let progress = ProgressBar::new_spinner().with_message("going through the log");
    progress.enable_steady_tick(Duration::from_millis(100));
    let answer = session.audit().verify_audit_log(request).await;
    progress.finish_and_clear();
    let answer = answer?.into_inner();
    session.output.show(&answer, report)?;
    if answer.verified {
        return Ok(());
    }
    // The report is on standard output; a program reads the exit code, or this line.
    Err(match session.output {
        Output::Table => Failure::quiet(1),
        Output::Json => Failure::told(flaw(&answer)),
    })
}

fn report(answer: &pb::VerifyAuditLogResponse) -> String {
    let head = answer.head.clone().unwrap_or_default();
    let mut said = String::new();
    // Writing to a text does not fail.
    if answer.verified {
        let _ = writeln!(said, "The audit log is whole.");
    } else {
        let _ = writeln!(said, "THE AUDIT LOG IS NOT WHOLE: {}", flaw(answer));
    }
    let first = match answer.first_sequence {
        0 => String::from("-"),
        first => first.to_string(),
    };
    let shown = shown(&head);
    let _ = write!(
        said,
        "{}",
        Record::default()
            .with("events", head.count.to_string())
            .with("first kept", first)
            .with("head", shown.clone())
    );
    if answer.verified && head.count > 0 {
        let _ = writeln!(
            said,
            "Keep the head elsewhere; next time: token-authority audit verify --known-head {shown}"
        );
    }
    said
}

/// Returns what is wrong with a log.
fn flaw(answer: &pb::VerifyAuditLogResponse) -> String {
    let number = answer.flawed_sequence;
    let what = match answer.flaw() {
        pb::AuditFlaw::Unspecified => "something is wrong with",
        pb::AuditFlaw::Changed => "not what was written:",
        pb::AuditFlaw::Removed => "missing:",
        pb::AuditFlaw::Reordered => "another event stands in the place of",
        pb::AuditFlaw::CutOff => "the log ends before",
        pb::AuditFlaw::Added => "the log goes on past its head:",
        pb::AuditFlaw::Unattested => "gone, and no event says that they were pruned: all up to",
        pb::AuditFlaw::OtherChain => "the log does not go through the known head: it differs at",
        pb::AuditFlaw::KnownHeadPruned => {
            "it can't be said any more whether the log went through the known head, because what \
             followed it was pruned; keep a newer head in good time:"
        }
    };
    let name = words::plain(answer.flaw().as_str_name(), "AUDIT_FLAW_");
    format!("{what} event {number} ({name})")
}

/// Returns a head as it is given again.
fn shown(head: &pb::AuditHead) -> String {
    let mut shown = format!("{}:", head.count);
    for byte in &head.hash {
        // Writing to a text does not fail.
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

/// Reads a head as it was shown.
fn head(text: &str) -> Result<pb::AuditHead, String> {
    let wrong = || String::from("not a head: a count, a colon, and 64 digits of 0-9 and a-f");
    let (count, digits) = text.trim().split_once(':').ok_or_else(wrong)?;
    let count = count.parse().map_err(|_| wrong())?;
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    let hash = (0..32).map(|at| {
        let pair = digits.get(2 * at..2 * at + 2)?;
        // No sign, which a number may have.
        pair.bytes()
            .all(|digit| digit.is_ascii_hexdigit())
            .then_some(())?;
        u8::from_str_radix(pair, 16).ok()
    });
    let hash: Option<Vec<u8>> = hash.collect();
    let hash = hash.ok_or_else(wrong)?;
    Ok(pb::AuditHead { count, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_is_shown_is_read_back() {
        let given = pb::AuditHead {
            count: 42,
            hash: (0u8..32).map(|n| n * 8).collect(),
        };
        assert_eq!(head(&shown(&given)), Ok(given.clone()));
        assert_eq!(head(&shown(&given).to_uppercase()), Ok(given));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let hash = "0a".repeat(32);
        for wrong in [
            String::new(),
            hash.clone(),
            format!("x:{hash}"),
            format!("1:{}", &hash[2..]),
            format!("1:{hash}0"),
            format!("1:+f{}", &hash[2..]),
            format!("1:é{}", &hash[2..]),
        ] {
            assert!(head(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_changed_is_on_one_line_unless_all_is_wanted() {
        let field = |field: &str, before: &str, after: &str| pb::AuditFieldChange {
            field: field.into(),
            before: before.into(),
            after: after.into(),
        };
        let mut event = pb::AuditEvent {
            changes: vec![
                field("name", "", "a\u{1b}[2J"),
                field("state", "active", "revoked"),
                field("label", "x", ""),
            ],
            omitted_changes: 2,
            ..Default::default()
        };
        assert_eq!(
            changes(&event, false),
            "name: a\\u{1b}[2J; state: active -> revoked; label: x -> (none); and 2 more"
        );
        assert_eq!(
            changes(&event, true),
            "name: a\\u{1b}[2J\nstate: active -> revoked\nlabel: x -> (none)\nand 2 more"
        );
        event.changes.push(field("text", "", &"é".repeat(100)));
        assert_eq!(changes(&event, false).chars().count(), CHANGES);
        assert_eq!(changes(&pb::AuditEvent::default(), false), "-");
    }

    #[test]
    fn each_flaw_is_named_with_its_event() {
        let answer = pb::VerifyAuditLogResponse {
            flaw: pb::AuditFlaw::CutOff.into(),
            flawed_sequence: 7,
            ..Default::default()
        };
        assert_eq!(flaw(&answer), "the log ends before event 7 (cut-off)");
    }
}
