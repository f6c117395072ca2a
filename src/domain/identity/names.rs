//! The names of identities, and those that stand in certificates.

use std::fmt;
use std::str::FromStr;

use super::SPIFFE;

/// The bytes of an identity's name, at most.
const NAME_BYTES: usize = 63;
/// The bytes of a SPIFFE ID and of its trust domain, at most (SPIFFE-ID, 2.3 and 2.1).
const SPIFFE_ID_BYTES: usize = 2048;
const TRUST_DOMAIN_BYTES: usize = 255;
/// The bytes of a DNS name and of each of its labels, at most (RFC 1035, 2.3.4).
const DNS_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// The name of an identity: `[a-z][a-z0-9-]*`, at most 63 bytes. The audit log knows it by
/// that, so it is never given to another service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityName(String);

/// The text is no name of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity's name has 1 to 63 of a-z, 0-9 and -, and begins with a letter")]
pub struct ParseIdentityNameError;

/// A SPIFFE ID of a workload: `spiffe://`, a trust domain and a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(String);

/// Why a text is no SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSpiffeIdError {
    /// It is too long.
    #[error("a SPIFFE ID has at most 2048 bytes, and its trust domain at most 255")]
    TooLong,
    /// It has another scheme.
    #[error("a SPIFFE ID begins with spiffe://, in lower case")]
    Scheme,
    /// Its trust domain has other characters, or none.
    #[error("a SPIFFE ID's trust domain has a-z, 0-9, ., - and _, and neither a port nor a user")]
    TrustDomain,
    /// It has no path.
    #[error("a workload's SPIFFE ID has a path; without one it is the trust domain's own")]
    NoPath,
    /// Its path has other characters, or an empty or relative segment.
    #[error(
        "a SPIFFE ID's path has A-Z, a-z, 0-9, ., - and _ between slashes, none at its end, no segment . or .., \
         no query and no fragment"
    )]
    Path,
}

/// A host's DNS name in lower case, without wildcards and without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// The text is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a DNS name has labels of 1 to 63 of a-z, 0-9 and -, none of which begins or ends with -, the last not all \
     digits, joined by dots; at most 253 bytes and no wildcard"
)]
pub struct ParseDnsNameError;

/// Lets a name be read as a text and shown as one.
macro_rules! texts {
    ($($name:ident,)+) => {$(
        impl $name {
            /// Returns the name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

texts! { IdentityName, SpiffeId, DnsName, }

impl FromStr for IdentityName {
    type Err = ParseIdentityNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = text.len() <= NAME_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(is_of_label);
        good.then(|| Self(text.to_owned()))
            .ok_or(ParseIdentityNameError)
    }
}

impl FromStr for SpiffeId {
    type Err = ParseSpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseSpiffeIdError as Error;
        if text.len() > SPIFFE_ID_BYTES {
            return Err(Error::TooLong);
        }
        let rest = text.strip_prefix(SPIFFE).ok_or(Error::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let of_domain = |byte: u8| is_of_label(byte) || b"._".contains(&byte);
        if domain.is_empty() || !domain.bytes().all(of_domain) {
            return Err(Error::TrustDomain);
        }
        if domain.len() > TRUST_DOMAIN_BYTES {
            return Err(Error::TooLong);
        }
        let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(of_path);
        match path {
            None | Some("") => Err(Error::NoPath),
            Some(path) if path.split('/').all(is_segment) => Ok(Self(text.to_owned())),
            Some(_) => Err(Error::Path),
        }
    }
}

impl FromStr for DnsName {
    type Err = ParseDnsNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |label: &str| {
            let whole = (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_of_label);
            whole && !label.starts_with('-') && !label.ends_with('-')
        };
        let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        // RFC 1123, 2.1: what ends in a number is an address.
        let is_address = text.rsplit('.').next().is_none_or(digits);
        let good = text.len() <= DNS_BYTES && text.split('.').all(is_label) && !is_address;
        good.then(|| Self(text.to_owned())).ok_or(ParseDnsNameError)
    }
}

fn is_of_label(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_spiffe_id_is_what_the_standard_says() {
        use ParseSpiffeIdError as Error;
        let long = |path: usize| format!("spiffe://a/{}", "p".repeat(path));
        let domain = |bytes: usize| format!("spiffe://{}/p", "d".repeat(bytes));
        for (text, expected) in [
            ("spiffe://example.org/ns/chat/sa/chat", Ok(())),
            ("spiffe://a/p", Ok(())),
            ("spiffe://1.2_3-4/A.b-c_9/...", Ok(())),
            (&*long(2037), Ok(())),
            (&*long(2038), Err(Error::TooLong)),
            (&*domain(255), Ok(())),
            (&*domain(256), Err(Error::TooLong)),
            ("", Err(Error::Scheme)),
            ("https://example.org/p", Err(Error::Scheme)),
            ("SPIFFE://example.org/p", Err(Error::Scheme)),
            ("spiffe:/example.org/p", Err(Error::Scheme)),
            ("spiffe:///p", Err(Error::TrustDomain)),
            ("spiffe://Example.org/p", Err(Error::TrustDomain)),
            ("spiffe://example.org:443/p", Err(Error::TrustDomain)),
            ("spiffe://user@example.org/p", Err(Error::TrustDomain)),
            ("spiffe://example%2eorg/p", Err(Error::TrustDomain)),
            ("spiffe://[::1]/p", Err(Error::TrustDomain)),
            ("spiffe://example.org?q", Err(Error::TrustDomain)),
            ("spiffe://example.org", Err(Error::NoPath)),
            ("spiffe://example.org/", Err(Error::NoPath)),
            ("spiffe://example.org/p/", Err(Error::Path)),
            ("spiffe://example.org//p", Err(Error::Path)),
            ("spiffe://example.org/./p", Err(Error::Path)),
            ("spiffe://example.org/p/..", Err(Error::Path)),
            ("spiffe://example.org/p?q=1", Err(Error::Path)),
            ("spiffe://example.org/p#f", Err(Error::Path)),
            ("spiffe://example.org/p%20q", Err(Error::Path)),
            ("spiffe://example.org/*", Err(Error::Path)),
            ("spiffe://example.org/ä", Err(Error::Path)),
        ] {
            assert_eq!(text.parse::<SpiffeId>().map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_dns_name_is_a_hosts_in_lower_case() {
        let label = "l".repeat(63);
        let longest = [&*label, &label, &label, &"l".repeat(61)].join(".");
        let good = ["chat", "chat.acme.svc", "0a.b-c.x1", &label, &longest];
        for text in good {
            assert!(text.parse::<DnsName>().is_ok(), "{text}");
        }
        let (wide, longer) = (format!("{label}l"), format!("{longest}l"));
        let wrong = [
            "",
            ".",
            "chat.",
            ".chat",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "Chat",
            "*.acme.svc",
            "chat_1",
            "10.0.0.1",
            "1",
            "::1",
            "ä.org",
            "chat:443",
            "chat ",
            &wide,
            &longer,
        ];
        for text in wrong {
            assert!(text.parse::<DnsName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "(spiffe://)?\\PC{0,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(text.is_ascii());
            }
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert_eq!(name.as_str(), &text);
            }
            if let Ok(name) = text.parse::<IdentityName>() {
                prop_assert_eq!(name.as_str(), &text);
            }
        }
    }
}
