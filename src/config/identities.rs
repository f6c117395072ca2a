//! `[tls.identities.NAME]`: the services that are known by their client certificates.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::given::Raw;
use super::schema::Section;
use super::{Config, Problems, Reader};
use crate::domain::identity::{self, Identities, IdentityName, Source, may_hold};
use crate::domain::ids::TenantId;
use crate::domain::reason::Field;
use crate::domain::scope::{Permission, ScopeName};

/// The section of all identities.
pub(super) const ALL: &str = "tls.identities";
/// What the section of each identity is called where none is meant.
pub(super) const SECTION: &str = "tls.identities.NAME";

/// `[tls.identities.NAME]`: a service that is known by its client certificate, where a call has
/// no `authorization`; NAME is 1 to 63 of a-z, 0-9 and -, and begins with a letter. The audit
/// log knows the service by it, so a name is never given to another. Each is given in the file:
/// no variable and no flag sets its keys. A certificate whose names are of several identities is
/// refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// The SPIFFE ID that its certificates have, to the byte, such as
    /// `spiffe://prod.example.org/ns/chat/sa/chat`. It must be given, or `dns_name`.
    pub spiffe_id: Option<String>,
    /// In place of the SPIFFE ID: the DNS name that its certificates have, in lower case, without
    /// wildcards.
    pub dns_name: Option<String>,
    /// The tenant that it acts in. An identity of the tenant `authority` is bound to none, as
    /// its tokens are. It must be given.
    pub tenant_id: String,
    /// What it may do: `authority:introspect` and, but for the tenant `authority`,
    /// `authority:tenant.admin`. It must be given.
    pub scopes: Vec<String>,
}

impl Identity {
    /// Returns which certificates are its; nothing where not exactly one good name is given.
    fn source(&self) -> Option<Source> {
        match (&self.spiffe_id, &self.dns_name) {
            (Some(id), None) => id.parse().ok().map(Source::SpiffeId),
            (None, Some(name)) => name.parse().ok().map(Source::DnsName),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    fn tenant(&self) -> Result<TenantId, Field> {
        if self.tenant_id.is_empty() {
            return Err(Field::Required);
        }
        let tenant_id: TenantId = self.tenant_id.parse().map_err(|_| Field::InvalidTenantId)?;
        if tenant_id.is_reserved() && !tenant_id.is_authority() {
            return Err(Field::ReservedTenantId);
        }
        Ok(tenant_id)
    }

    /// Returns the permissions that it is given; nothing for a scope that is none.
    fn permissions(&self) -> impl Iterator<Item = Option<Permission>> {
        let names = self.scopes.iter().map(|name| name.parse::<ScopeName>());
        names.map(|name| name.ok().as_ref().and_then(ScopeName::permission))
    }

    /// Tells each thing that is wrong with it: the key, and what.
    fn check(&self, mut told: impl FnMut(&str, &str)) {
        if let Some(Err(error)) = self
            .spiffe_id
            .as_ref()
            .map(|id| id.parse::<identity::SpiffeId>())
        {
            told("spiffe_id", &error.to_string());
        }
        if let Some(Err(error)) = self
            .dns_name
            .as_ref()
            .map(|name| name.parse::<identity::DnsName>())
        {
            told("dns_name", &error.to_string());
        }
        match (&self.spiffe_id, &self.dns_name) {
            (Some(_), Some(_)) => {
                told(
                    "spiffe_id",
                    "must not be set beside dns_name; set one of them",
                );
            }
            (None, None) => told("spiffe_id", "must be set, or dns_name"),
            (Some(_), None) | (None, Some(_)) => {}
        }
        let tenant_id = self.tenant();
        if let Err(reason) = &tenant_id {
            told("tenant_id", reason.sentence());
        }
        if self.scopes.is_empty() {
            told("scopes", Field::Required.sentence());
        }
        let reserved = tenant_id.is_ok_and(|tenant_id| tenant_id.is_authority());
        let mut given = BTreeSet::new();
        for permission in self.permissions() {
            let Some(permission) = permission else {
                told(
                    "scopes",
                    "must be authority:introspect or authority:tenant.admin, or both",
                );
                continue;
            };
            let name = permission.as_str();
            if !given.insert(permission) {
                told("scopes", &format!("{name} stands twice"));
            }
            if let Err(unfit) = may_hold(permission, reserved) {
                told("scopes", &format!("{name} {unfit}"));
            }
        }
    }

    /// Returns it as it is used; nothing where something is wrong with it.
    fn plain(&self, name: &str) -> Option<identity::Identity> {
        let permissions: Option<Vec<Permission>> = self.permissions().collect();
        Some(identity::Identity {
            name: name.parse().ok()?,
            source: self.source()?,
            tenant_id: self.tenant().ok()?,
            scopes: permissions?.into_iter().map(Permission::scope).collect(),
        })
    }
}

impl Reader<'_> {
    /// Reads the identities, each of which is a section of the file.
    pub(super) fn identities(&mut self) -> BTreeMap<String, Identity> {
        let section = Section::of(SECTION, &Identity::default());
        let mut identities = BTreeMap::new();
        let what = format!("must be a section of the file for each identity, [{SECTION}]");
        if let Some((_, origin)) = self.given.take("tls", "identities") {
            self.problems.add_key(ALL, &what, &origin);
        }
        for (name, raw, origin) in self.given.section(ALL) {
            if let Err(error) = name.parse::<IdentityName>() {
                self.problems.add_key(ALL, &error.to_string(), &origin);
                continue;
            }
            let Raw::Typed(toml::Value::Table(keys)) = raw else {
                self.problems.add_key(ALL, &what, &origin);
                continue;
            };
            let keys = keys
                .into_iter()
                .map(|(key, value)| (key, Raw::Typed(value), origin.clone()));
            let full = format!("{ALL}.{name}");
            let identity = self.keys(&full, &section, keys.collect());
            self.origins.insert(full, origin);
            identities.insert(name, identity);
        }
        identities
    }
}

impl Config {
    /// Returns the service identities.
    pub fn identities(&self) -> Identities {
        let identities = self.identities.iter();
        identities
            .filter_map(|(name, identity)| identity.plain(name))
            .collect()
    }

    /// Adds each problem of the identities to `problems`.
    pub(super) fn check_identities(&self, problems: &mut Problems) {
        for (name, identity) in &self.identities {
            let path = format!("{ALL}.{name}");
            let origin = self.origin(&path);
            let mut wrong = Vec::new();
            identity.check(|key, what| wrong.push((key.to_owned(), what.to_owned())));
            let source = identity.source();
            let twin = self
                .identities
                .iter()
                .find(|(other, twin)| *other < name && source.is_some() && twin.source() == source);
            if let Some((twin, _)) = twin {
                let key = match source {
                    Some(Source::SpiffeId(_)) | None => "spiffe_id",
                    Some(Source::DnsName(_)) => "dns_name",
                };
                wrong.push((key.to_owned(), format!("must not be that of {ALL}.{twin}")));
            }
            // What follows from a key that could not be read is not known.
            wrong.retain(|(key, _)| !problems.has_key(&format!("{path}.{key}")));
            for (key, what) in wrong {
                problems.add_key(&format!("{path}.{key}"), &what, origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Purpose};

    /// Reads a file of which no other is read: those of TLS would be missed.
    fn read(file: &str) -> Result<Config, super::Problems> {
        let none = std::iter::empty();
        Config::read_text(("FILE", file), none, &[], Purpose::Migrate)
    }

    const GOOD: &str = "[tls.identities.chat]\n\
        spiffe_id = 'spiffe://prod.example/ns/chat/sa/chat'\n\
        tenant_id = 'acme'\n\
        scopes = ['authority:tenant.admin', 'authority:introspect']\n\
        [tls.identities.gate-2]\n\
        dns_name = 'gate.example.org'\n\
        tenant_id = 'authority'\n\
        scopes = ['authority:introspect']\n";

    #[test]
    fn identities_are_read_printed_and_read_again() {
        let config = read(GOOD).unwrap();
        let all = config.identities();
        let told: Vec<_> = all
            .iter()
            .map(|one| {
                format!(
                    "{} {} {} {:?}",
                    one.name, one.source, one.tenant_id, one.scopes
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        chat spiffe://prod.example/ns/chat/sa/chat acme {authority:introspect, authority:tenant.admin}
        gate-2 gate.example.org authority {authority:introspect}
        "#);
        let printed = config.effective();
        let (_, last) = printed.split_once("[tls.identities.gate-2]").unwrap();
        let lines = last.trim_start().lines();
        let lines = lines.map(|line| line.split("  #").next());
        let lines: Vec<_> = lines.flatten().map(str::trim_end).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        dns_name = "gate.example.org"
        scopes = ["authority:introspect"]
        # spiffe_id is not set
        tenant_id = "authority"
        "#);
        assert_eq!(read(&printed).unwrap().identities(), all);
        assert!(read("").unwrap().identities().is_empty());
    }

    #[test]
    fn every_mistake_of_every_identity_is_told_and_no_value() {
        let wrong = "[tls.identities.Chat]\n\
            [tls.identities.a]\n\
            spiffe_id = 'spiffe://secret:443/p'\n\
            dns_name = '*.secret'\n\
            tenant_id = 'active'\n\
            scopes = ['authority:operator']\n\
            [tls.identities.b]\n\
            [tls.identities.c]\n\
            dns_name = 'gate'\n\
            tenant_id = 'authority'\n\
            scopes = ['authority:tenant.admin', 'authority:operator', 'secret', 'authority:introspect',\n\
                'authority:introspect']\n\
            [tls.identities.d]\n\
            dns_name = 'gate'\n\
            tenant_id = 'x'\n\
            scopes = 'authority:introspect'\n\
            tenant = 'secret'\n\
            [tls.identities.e]\n\
            spiffe_id = 'spiffe://a/p'\n\
            tenant_id = 'acme'\n\
            scopes = ['authority:tokens.read', 'authority:tokens.write']\n\
            [tls.identities.f]\n\
            spiffe_id = 'spiffe://a/p'\n\
            tenant_id = 'acme'\n\
            scopes = ['authority:introspect']\n";
        let problems = read(wrong).unwrap_err();
        insta::assert_snapshot!(problems, @r#"
        the configuration has 20 problems:
          - tls.identities: an identity's name has 1 to 63 of a-z, 0-9 and -, and begins with a letter (FILE:1)
          - tls.identities.d.scopes: must be a list of strings, such as ["a", "b"] (FILE:13)
          - tls.identities.d.tenant: no such key; did you mean tls.identities.NAME.tenant_id? (FILE:13)
          - tls.identities.a.spiffe_id: a SPIFFE ID's trust domain has a-z, 0-9, ., - and _, and neither a port nor a user (FILE:2)
          - tls.identities.a.dns_name: a DNS name has labels of 1 to 63 of a-z, 0-9 and -, none of which begins or ends with -, the last not all digits, joined by dots; at most 253 bytes and no wildcard (FILE:2)
          - tls.identities.a.spiffe_id: must not be set beside dns_name; set one of them (FILE:2)
          - tls.identities.a.tenant_id: the tenant_id is reserved (FILE:2)
          - tls.identities.a.scopes: authority:operator is never a certificate's: an operator is a token, which can be revoked (FILE:2)
          - tls.identities.b.spiffe_id: must be set, or dns_name (FILE:7)
          - tls.identities.b.tenant_id: the field must be given (FILE:7)
          - tls.identities.b.scopes: the field must be given (FILE:7)
          - tls.identities.c.scopes: authority:tenant.admin is nobody's in the tenant authority, which the operator alone manages (FILE:8)
          - tls.identities.c.scopes: authority:operator is never a certificate's: an operator is a token, which can be revoked (FILE:8)
          - tls.identities.c.scopes: must be authority:introspect or authority:tenant.admin, or both (FILE:8)
          - tls.identities.c.scopes: authority:introspect stands twice (FILE:8)
          - tls.identities.d.tenant_id: a tenant_id has 3 to 63 of a-z, 0-9 and -, begins with a letter and does not end in - (FILE:13)
          - tls.identities.d.dns_name: must not be that of tls.identities.c (FILE:13)
          - tls.identities.e.scopes: authority:tokens.read is for the tokens of one's own user, and an identity has none; authority:tenant.admin is for a tenant's (FILE:18)
          - tls.identities.e.scopes: authority:tokens.write is for the tokens of one's own user, and an identity has none; authority:tenant.admin is for a tenant's (FILE:18)
          - tls.identities.f.spiffe_id: must not be that of tls.identities.e (FILE:22)
        "#);
        assert!(!problems.to_string().contains("secret"));
        let problems = read("[tls]\nidentities = 1\n").unwrap_err();
        insta::assert_snapshot!(problems, @r"
        the configuration has 1 problem:
          - tls.identities: must be a section of the file for each identity, [tls.identities.NAME] (FILE:2)
        ");
        let problems = read("[tls.identities]\nchat = 'spiffe://a/p'\n").unwrap_err();
        insta::assert_snapshot!(problems, @r"
        the configuration has 1 problem:
          - tls.identities: must be a section of the file for each identity, [tls.identities.NAME] (FILE:2)
        ");
    }
}
