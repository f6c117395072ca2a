//! Calls with what is another tenant's.

use prost_reflect::Value;
use token_authority::authority::access::Rpc;
use token_authority::domain::ids::{InviteId, TokenId, UserId};

use super::delphi::{Delphi, EXTERNAL_ID, PREFIX, TENANT};
use crate::authz_coverage::{Scene, method};
use crate::support::import::{foreign, hint_and_hash};
use crate::support::raw::call;
use crate::support::tokens::{altered, checked};
use crate::support::{Actor, refusal};

/// A request's fields.
type Fields = Vec<(&'static str, Value)>;

/// A call.
pub(super) struct Attempt {
    /// What is tried.
    pub(super) what: String,
    rpc: Rpc,
    fields: Fields,
    /// Which tenant it names.
    names: Named,
    /// What of the first tenant stands in it, and what is put in its place.
    swapped: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The first.
    First,
    /// The caller's own.
    Own,
    /// Something else is tried, which has no outcome of its own.
    Beside,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Heard {
    /// `OK`, or the refusal with its violations.
    pub(super) outcome: String,
    /// All that was answered.
    pub(super) text: String,
}

impl Heard {
    /// Returns `OK`, or the refusal's code and first reason.
    pub(super) fn reason(&self) -> &str {
        self.outcome.lines().next().unwrap_or_default()
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

impl Attempt {
    /// Returns the calls of an RPC: with its tenant named, or one's own, and what is the
    /// first's in every other field; and those that try something beside.
    pub(super) fn of(rpc: Rpc, delphi: &Delphi<'_>) -> Vec<Self> {
        let mut request = delphi.scene.request(rpc);
        if rpc == Rpc::RevokeExposedToken {
            // Whoever holds a value that is good may end it: this one does not.
            request = vec![("value", text(delphi.hint()))];
        } else if rpc == Rpc::ClaimInvite {
            request = vec![("value", text(&delphi.invite().hint))];
        }
        let mut attempts = Vec::new();
        for (tenant_id, names) in [
            (TENANT, Named::First),
            ("thebes", Named::Own),
            ("active", Named::Own),
        ] {
            // Who is asked about a value takes the name alone.
            let introspects = matches!(rpc, Rpc::Introspect | Rpc::BatchIntrospect);
            if introspects && tenant_id == "active" {
                continue;
            }
            let fields = swap(&request, &renamed(rpc, tenant_id));
            let attempt = |what: &str, besides: Fields, names| Self {
                what: format!("{what} {tenant_id}"),
                rpc,
                fields: [fields.clone(), besides].concat(),
                names,
                // What makes something of one's own, makes it once.
                swapped: match (rpc, names) {
                    (Rpc::CreateUser | Rpc::CreateInvite, Named::Own) => Vec::new(),
                    _ => absent(delphi),
                },
            };
            attempts.push(attempt("in", Vec::new(), names));
            if let Some(page_token) = delphi.page_tokens.get(rpc.name()) {
                attempts.push(attempt("finds in", filters(rpc, delphi), names));
                let page_token = vec![("page_token", text(page_token))];
                attempts.push(attempt("goes on in", page_token, Named::Beside));
            }
            if method(rpc).input().get_field_by_name("etag").is_some() {
                let etag = vec![("etag", text("7"))];
                attempts.push(attempt("by etag in", etag, Named::Beside));
            }
        }
        attempts.extend(Self::beside(rpc, delphi));
        attempts.extend(Self::values(rpc, delphi));
        if let Some(request_id) = Delphi::request_id(rpc) {
            let mut fields = swap(&request, &renamed(rpc, "thebes"));
            for taken in [EXTERNAL_ID, "outsider"] {
                fields = swap(
                    &fields,
                    &[(taken.into(), format!("another {}", rpc.name()))],
                );
            }
            fields.push(request_id);
            attempts.push(Self {
                what: String::from("asks again in thebes"),
                rpc,
                fields,
                names: Named::Own,
                // Once more, it would be one's own that is asked again.
                swapped: Vec::new(),
            });
        }
        attempts
    }

    /// Returns the call of an RPC in another tenant.
    pub(super) fn naming(rpc: Rpc, scene: &Scene<'_>, tenant_id: &str) -> Self {
        Self {
            what: format!("in {tenant_id}"),
            rpc,
            fields: swap(&scene.request(rpc), &renamed(rpc, tenant_id)),
            names: Named::Own,
            swapped: Vec::new(),
        }
    }

    /// Returns what would take a name that the first has, and show that it has it.
    fn beside(rpc: Rpc, delphi: &Delphi<'_>) -> Option<Self> {
        let own = ("tenant_id", text("thebes"));
        let value = &delphi.scene.value;
        let (what, fields) = if rpc == Rpc::CreateTenant {
            let prefix = ("token_prefix", text(PREFIX));
            (
                "of the first's names",
                vec![("tenant_id", text(TENANT)), prefix],
            )
        } else if rpc == Rpc::UpdateTenant {
            (
                "to the first's prefix",
                vec![own, ("token_prefix", text(PREFIX))],
            )
        } else if rpc == Rpc::ExplainToken {
            ("of the first's value", vec![own, ("value", text(value))])
        } else if rpc == Rpc::CreateInvite {
            let user_id = ("user_id", text(&delphi.scene.user_id));
            ("of the first's user", vec![own, user_id])
        } else {
            return None;
        };
        Some(Self {
            what: what.to_owned(),
            rpc,
            fields,
            names: Named::Beside,
            swapped: absent(delphi),
        })
    }

    /// Returns the calls that put to an RPC, in one's own tenant, values of the first: what
    /// it brought along, of which one was never presented, wrong ones of the same beginning,
    /// and an invite's.
    fn values(rpc: Rpc, delphi: &Delphi<'_>) -> Vec<Self> {
        let field = if rpc == Rpc::Introspect {
            "token"
        } else if matches!(rpc, Rpc::ExplainToken | Rpc::RevokeExposedToken) {
            "value"
        } else if rpc == Rpc::ListTokens {
            "hint"
        } else {
            return Vec::new();
        };
        let tried = values(delphi).into_iter();
        // Whoever holds a value that is good may end it.
        let tried = tried.filter(|tried| rpc != Rpc::RevokeExposedToken || !tried.is_good);
        let attempt = |tried: Tried| {
            let mut fields = vec![(field, text(&tried.value))];
            if rpc != Rpc::RevokeExposedToken {
                fields.push(("tenant_id", text("thebes")));
            }
            Self {
                what: format!("of {}", tried.what),
                rpc,
                fields,
                names: Named::Beside,
                swapped: vec![(tried.value, tried.nobodys)],
            }
        };
        tried.map(attempt).collect()
    }

    /// Returns what must come of it, of what the RPC says to either.
    pub(super) fn expected(&self, [first, own]: [&'static str; 2]) -> Option<&'static str> {
        match self.names {
            Named::First => Some(first),
            Named::Own => Some(own),
            Named::Beside => None,
        }
    }

    /// Returns the same call with what is nobody's in the place of what is the first's; `None`
    /// where nothing of the first stands in it.
    pub(super) fn absent(&self, delphi: &Delphi<'_>) -> Option<Self> {
        let nobodys = [absent(delphi), self.swapped.clone()].concat();
        let fields = swap(&self.fields, &nobodys);
        let is_other = fields != self.fields && !self.swapped.is_empty();
        is_other.then(|| Self {
            what: self.what.clone(),
            rpc: self.rpc,
            fields,
            names: self.names,
            swapped: Vec::new(),
        })
    }

    /// Makes the call.
    pub(super) async fn make(&self, actor: &Actor) -> Heard {
        match call(actor, &method(self.rpc), &self.fields).await {
            Ok(answer) => Heard {
                outcome: String::from("OK"),
                text: String::from_utf8_lossy(&answer).into_owned(),
            },
            Err(status) => {
                let outcome = refusal(&status);
                let details = String::from_utf8_lossy(status.details()).into_owned();
                Heard {
                    text: format!("{outcome} {} {details}", status.message()),
                    outcome,
                }
            }
        }
    }

    /// Returns an answer with the names that were put in the others' places put back.
    pub(super) fn in_the_same_words(&self, heard: &Heard) -> String {
        let mut text = heard.text.clone();
        for (first, nobodys) in &self.swapped {
            text = text.replace(nobodys, first);
        }
        text
    }

    /// Returns the texts that it says itself.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (_, value) in &self.fields {
            gather(value, &mut texts);
        }
        texts
    }
}

/// Returns what a request names in place of the first tenant, and of a new user: one that
/// the first knows is another where another tenant vouches.
/// What is imported has a beginning under the tenant's own prefix.
fn renamed(rpc: Rpc, tenant_id: &str) -> [(String, String); 3] {
    let external_id = match (rpc, tenant_id) {
        (Rpc::CreateInvite, "active") => "fourth",
        (Rpc::CreateInvite, _) => "outsider",
        (_, "active") => "second",
        _ => EXTERNAL_ID,
    };
    let own = if tenant_id == TENANT {
        TENANT
    } else {
        "thebes"
    };
    [
        (TENANT.into(), tenant_id.into()),
        ("new".into(), external_id.into()),
        (hint_and_hash(TENANT).0, hint_and_hash(own).0),
    ]
}

/// A value of the first tenant, or nearly.
struct Tried {
    what: String,
    value: String,
    /// One of the same form that is nobody's.
    nobodys: String,
    is_good: bool,
}

fn values(delphi: &Delphi<'_>) -> Vec<Tried> {
    let mut all = Vec::new();
    for (at, value) in delphi.brought.iter().enumerate() {
        // Of a beginning that nobody has.
        let nobodys = |number| foreign(TENANT, 90 + number);
        let presented = ["never presented", "presented"][at];
        all.push(Tried {
            what: format!("what was brought along and {presented}"),
            value: value.clone(),
            nobodys: nobodys(at),
            is_good: true,
        });
        all.push(Tried {
            what: format!("the beginning of what was {presented}"),
            value: value.replace("s3cret/s3cret", "s3cret/S3cret"),
            nobodys: nobodys(at + 2),
            is_good: false,
        });
    }
    let invite = &delphi.scene.invite.value;
    all.push(Tried {
        what: String::from("an invite"),
        value: invite.clone(),
        nobodys: checked(&altered(invite, "inv_", 3)),
        is_good: false,
    });
    all
}

/// Returns the fields that find what is the first's in a list.
fn filters(rpc: Rpc, delphi: &Delphi<'_>) -> Fields {
    let scene = &delphi.scene;
    if rpc == Rpc::ListTokens {
        vec![
            ("hint", text(delphi.hint())),
            ("name_contains", text("tripod")),
        ]
    } else if rpc == Rpc::ListUsers {
        vec![("external_id", text(EXTERNAL_ID))]
    } else if rpc == Rpc::ListAuditEvents {
        vec![
            ("user_id", text(&scene.user_id)),
            ("token_id", text(&scene.token_id)),
        ]
    } else {
        Vec::new()
    }
}

/// Returns what is the first's, and what is of the same form and length and is nobody's.
fn absent(delphi: &Delphi<'_>) -> Vec<(String, String)> {
    let scene = &delphi.scene;
    let other = |text: &str| {
        let last = if text.ends_with('0') { "1" } else { "0" };
        [&text[..text.len() - 1], last].concat()
    };
    let [token_id, user_id, outsider_id] =
        [&scene.token_id, &scene.user_id, &scene.outsider_id].map(|id| other(id));
    token_id.parse::<TokenId>().unwrap();
    user_id.parse::<UserId>().unwrap();
    let invite_id = other(&delphi.invite().invite_id);
    invite_id.parse::<InviteId>().unwrap();
    vec![
        (scene.token_id.clone(), token_id),
        (scene.user_id.clone(), user_id),
        (scene.outsider_id.clone(), outsider_id),
        (
            scene.value.clone(),
            checked(&altered(&scene.value, PREFIX, 3)),
        ),
        (delphi.hint().to_owned(), other(delphi.hint())),
        (delphi.invite().invite_id.clone(), invite_id),
        (delphi.invite().hint.clone(), other(&delphi.invite().hint)),
        (TENANT.into(), "nobody".into()),
        (PREFIX.into(), "nobody_".into()),
        (EXTERNAL_ID.into(), "nobody@nowhere".into()),
        ("tripod".into(), "nobody".into()),
    ]
}

/// Returns the fields with texts in the places of others.
fn swap(fields: &[(&'static str, Value)], texts: &[(String, String)]) -> Fields {
    let swapped = fields
        .iter()
        .map(|(name, value)| (*name, swapped(value, texts)));
    swapped.collect()
}

fn swapped(value: &Value, texts: &[(String, String)]) -> Value {
    if let Value::String(text) = value {
        let other = texts.iter().find(|(from, _)| from == text);
        Value::String(other.map_or_else(|| text.clone(), |(_, to)| to.clone()))
    } else if let Value::List(list) = value {
        let list = list.iter().map(|value| swapped(value, texts));
        Value::List(list.collect())
    } else if let Value::Message(message) = value {
        let mut other = message.clone();
        for (field, value) in message.fields() {
            other.set_field(&field, swapped(value, texts));
        }
        Value::Message(other)
    } else {
        value.clone()
    }
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    if let Value::String(text) = value {
        texts.push(text.clone());
    } else if let Value::List(list) = value {
        for value in list {
            gather(value, texts);
        }
    } else if let Value::Message(message) = value {
        for (_, value) in message.fields() {
            gather(value, texts);
        }
    }
}
