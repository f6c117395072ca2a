//! Where a server is, and whether one speaks TLS with it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::Authority;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    tls: bool,
    authority: Authority,
}

impl Address {
    /// Returns where a server is that was started without a configuration.
    pub(super) fn default_server() -> Self {
        Self {
            tls: false,
            authority: Authority::from_static("127.0.0.1:50051"),
        }
    }

    /// Returns whether one speaks TLS with it.
    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    /// Returns whether what is sent to it can be read on its way.
    pub(super) fn is_exposed(&self) -> bool {
        !self.tls && !is_loopback(self.authority.host())
    }
}

/// Parses `host:port`, which is plain text on loopback and TLS elsewhere, or an address
/// that begins with `http://` or `https://` and says so itself.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some(_) => return Err(String::from("begins with neither http:// nor https://")),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // What stands before an @ would be a password, and go nowhere.
        let authority: Authority = rest
            .parse()
            .ok()
            .filter(|_| !rest.contains('@'))
            .ok_or_else(|| String::from("not an address such as tokens.example.com:443"))?;
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(String::from("has a port that is no number up to 65535"));
        }
        if tls.is_none() && authority.port_u16().is_none() {
            return Err(format!("has no port, as in {authority}:50051"));
        }
        let tls = tls.unwrap_or_else(|| !is_loopback(authority.host()));
        Ok(Self { tls, authority })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse().map(|address: Address| {
            let exposed = if address.is_exposed() { " exposed" } else { "" };
            format!("{address}{exposed}")
        })
    }

    #[test]
    fn without_a_scheme_loopback_alone_is_plain_text() {
        for (text, expected) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("localhost:1", "http://localhost:1"),
            ("[::1]:1", "http://[::1]:1"),
            ("10.0.0.1:1", "https://10.0.0.1:1"),
            ("localhost.example.com:1", "https://localhost.example.com:1"),
            ("https://127.0.0.1:1", "https://127.0.0.1:1"),
            ("https://example.com", "https://example.com"),
            ("http://example.com:1/", "http://example.com:1 exposed"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "example.com",
            "ftp://example.com:1",
            "http://",
            "http://user:secret@example.com:1",
            "http://example.com:1/path",
            "a b:1",
            "127.0.0.1:99999",
            "https://example.com:99999",
            "https://example.com:",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
