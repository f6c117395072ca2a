//! What is wrong with a configuration, in words that help and never repeat a value:
//! it may be a password.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::given::Origin;
use super::schema::Section;
use super::{identities, trusts};
use crate::domain::identity::IdentityName;
use crate::domain::session::TrustName;

/// All that is wrong with a configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    lines: Vec<String>,
    /// The keys, `section.key`, of which something is wrong.
    keys: BTreeSet<String>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.lines.len() {
            1 => String::from("1 problem"),
            count => format!("{count} problems"),
        };
        writeln!(f, "the configuration has {count}:")?;
        for line in &self.lines {
            writeln!(f, "  - {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// Returns each problem, a line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds one that is of no key.
    pub(super) fn add(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Adds one of a key, which came from there.
    pub(super) fn add_key(&mut self, name: &str, what: &str, origin: &Origin) {
        self.keys.insert(name.to_owned());
        self.lines.push(origin.told(&shown(name), what));
    }

    /// Returns whether something is wrong of a key: what follows from it is not known.
    pub(super) fn has_key(&self, name: &str) -> bool {
        self.keys.contains(name)
    }
}

/// Returns a name as it was given where it looks like one: what was put in its place may
/// be a password.
fn shown(name: &str) -> Cow<'_, str> {
    let good = |part: &str| {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        (1..=40).contains(&part.len()) && part.bytes().all(good)
    };
    // The name of a trust or an identity is known to be one before its keys are looked at.
    let named = |prefix| name.strip_prefix(prefix)?.split_once('.');
    let of_trust = |(name, key): (&str, &str)| name.parse::<TrustName>().is_ok() && good(key);
    let of_identity = |(name, key): (&str, &str)| name.parse::<IdentityName>().is_ok() && good(key);
    let known = named("trusts.").map(|of| (of_trust(of), trusts::SECTION));
    let known =
        known.or_else(|| named("tls.identities.").map(|of| (of_identity(of), identities::SECTION)));
    match known {
        Some((true, _)) => return name.into(),
        Some((false, section)) => return format!("an unknown key of [{section}]").into(),
        None => {}
    }
    match name.split_once('.') {
        None if good(name) => name.into(),
        Some((section, key)) if good(section) && good(key) => name.into(),
        Some((section, _)) if good(section) => format!("an unknown key of [{section}]").into(),
        None | Some(_) => "an unknown key".into(),
    }
}

/// Returns what is said of a key that there is not.
pub(super) fn no_such_key(sections: &[Section], section: &Section, key: &str) -> String {
    let elsewhere: Vec<_> = sections
        .iter()
        .filter(|section| section.find(key).is_some())
        .map(|section| format!("{}.{key}", section.name))
        .collect();
    if !elsewhere.is_empty() {
        return format!("no such key; did you mean {}?", elsewhere.join(" or "));
    }
    let names = || section.keys.iter().map(|key| key.name.as_str());
    match nearest(key, names()) {
        Some(near) => format!("no such key; did you mean {}.{near}?", section.name),
        None => format!(
            "no such key; [{}] has {}",
            section.name,
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Returns what is said of a section that there is not.
pub(super) fn no_such_section(sections: &[Section], name: &str) -> String {
    let names = || sections.iter().map(|section| section.name.as_ref());
    if let Some(near) = nearest(name, names()) {
        return format!("no such section; did you mean [{near}]?");
    }
    let keys: Vec<_> = sections
        .iter()
        .filter(|section| section.find(name).is_some())
        .map(|section| format!("{}.{name}", section.name))
        .collect();
    if keys.is_empty() {
        let names = names().collect::<Vec<_>>().join(", ");
        format!("no such section; there are {names}")
    } else {
        format!("no such section; did you mean {}?", keys.join(" or "))
    }
}

/// Returns the name that is meant, if one is near.
fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    names
        .filter_map(|name| {
            let stem = name.rsplit_once('_').map_or(name, |(stem, _)| stem);
            let distance = distance(&given, name).min(distance(&given, stem) + 1);
            let long = given.len().min(name.len()) >= 4;
            let within = long && (given.contains(name) || name.contains(&given));
            let distance = if within { 1 } else { distance };
            (distance <= 1 + name.len() / 5).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// Returns how many letters must be put in, taken out or changed to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, &above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != *to))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_letters() {
        for (a, b, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("adress", "address", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a, b), letters, "{a} {b}");
            assert_eq!(distance(b, a), letters, "{b} {a}");
        }
    }

    #[test]
    fn what_is_meant_is_near() {
        let names = ["grace_seconds", "address", "url", "url_file", "log"];
        for (given, meant) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("grace", Some("grace_seconds")),
            ("grace-seconds", Some("grace_seconds")),
            ("urlfile", Some("url_file")),
            ("logs", Some("log")),
            ("max_address", Some("address")),
            ("tls", None),
            ("port", None),
        ] {
            assert_eq!(nearest(given, names.into_iter()), meant, "{given}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_shown() {
        assert_eq!(shown("server.address"), "server.address");
        for name in ["server.postgres://u:p@h", "server.hunter2pass", "server."] {
            assert_eq!(shown(name), "an unknown key of [server]", "{name}");
        }
        assert_eq!(shown("hunter2pass"), "an unknown key");
        assert_eq!(shown("hunter2.pass"), "an unknown key");
    }
}
