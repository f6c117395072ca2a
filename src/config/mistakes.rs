//! Mistakes that people make when they configure, for docs/config.md: what is said of each
//! is asked afresh whenever the document is made, and a test asks the program itself.

use super::{Config, Flag, Purpose};

/// A mistake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mistake {
    /// What the file holds; there is none where this is empty.
    pub file: &'static str,
    /// What the environment holds.
    pub variables: &'static [(&'static str, &'static str)],
    /// The flags, with the keys that they set.
    pub flags: &'static [(&'static str, &'static str, &'static str)],
}

/// The name that the file has.
pub const FILE: &str = "config.toml";

const fn file(file: &'static str) -> Mistake {
    Mistake {
        file,
        variables: &[],
        flags: &[],
    }
}

const fn variables(variables: &'static [(&'static str, &'static str)]) -> Mistake {
    Mistake {
        file: "",
        variables,
        flags: &[],
    }
}

const fn flags(flags: &'static [(&'static str, &'static str, &'static str)]) -> Mistake {
    Mistake {
        file: "",
        variables: &[],
        flags,
    }
}

/// The mistakes.
pub const MISTAKES: &[Mistake] = &[
    file("[server]\nadress = \"127.0.0.1:50051\""),
    file("[server]\naddress = \"localhost:50051\""),
    file("[server]\naddress = \"127.0.0.1\""),
    file("[server]\naddress = \":50051\""),
    file("[server]\naddress = 50051"),
    file("[server]\nport = 50051"),
    file("[server]\naddress = \"0.0.0.0:50051\""),
    file("[server]\nplaintext = \"yes\""),
    file("[server]\ngrace = 30"),
    file("[server]\ngrace_seconds = \"30s\""),
    file("[server]\ndrain_seconds = -1"),
    file("[server]\naddress = \"127.0.0.1:9464\""),
    file("[server]\nconnection_age = 600"),
    file("[tls]\ncertificate_file = \"tls.crt\""),
    file("[tls]\nkey_file = \"tls.key\""),
    file("[tls]\nclient_ca_file = \"ca.crt\""),
    file("[tls]\ncertificate_file = \"tls.crt\"\nkey_file = \"tls.key\""),
    file(
        "[server]\nplaintext = true\n[tls]\ncertificate_file = \"tls.crt\"\nclient_certificates = \"required\"",
    ),
    file("[tls]\nclient_certificates = \"yes\""),
    file("[tls]\nminimum_version = \"1.1\""),
    file("[tls]\ncert_file = \"tls.crt\""),
    file("[sever]\naddress = \"127.0.0.1:50051\""),
    file("[cache]\nsize = 1"),
    file("address = \"127.0.0.1:50051\""),
    file("server = \"127.0.0.1:50051\""),
    file("[server]\nreflection = False"),
    file("[server]\naddress = 127.0.0.1:50051"),
    file("[server]\nplaintext = true\nplaintext = false"),
    file("[database]\nurl = postgres://ada:secret@db/tokens"),
    file("[database]\nurl = \"mysql://ada:secret@db/tokens\""),
    file("[database]\nurl = \"postgres://ada@db/tokens\""),
    file(
        "[database]\nurl_file = \"postgres://ada:secret@db/tokens\"\n[keyring]\ndirectory = \"keys\"",
    ),
    file(
        "[database]\nurl = \"postgres://db/tokens\"\nurl_file = \"url\"\n[keyring]\ndirectory = \"keys\"",
    ),
    file("[database]\ndirectory = \"\""),
    file("[database]\nmax_connections = 10"),
    file("[database]\nconnections = 0"),
    file("[hashing]\ncost = 15"),
    file("[retention]\naudit_days = 0.5"),
    file("[limits]\nmessage_bytes = 16_777_216"),
    file("[limits]\ndeadline_default_seconds = 300"),
    file("[limits]\nmessage_bytes = \"4 MiB\""),
    file("[telemetry]\nlevel = \"debug\""),
    file("[telemetry]\nlog = \"token_authority=loud\""),
    file("[telemetry]\nlog_format = \"xml\""),
    file("[tls.identities.chat]\ntenant_id = \"acme\"\nscopes = [\"authority:introspect\"]"),
    file(
        "[tls.identities.chat]\nspiffe_id = \"spiffe://prod.example.org\"\n\
         tenant_id = \"authority\"\nscopes = [\"authority:operator\"]",
    ),
    file(
        "[tls.identities.chat]\ndns_name = \"*.example.org\"\n\
         tenant_id = \"acme\"\nscopes = [\"chat\"]",
    ),
    variables(&[("TOKEN_AUTHORITY_SERVER__ADRESS", "127.0.0.1:50051")]),
    variables(&[("TOKEN_AUTHORITY_DATABASE__URL", "")]),
    variables(&[("TOKEN_AUTHORITY_HASHING__COST", "high")]),
    flags(&[("--address", "server.address", "50051")]),
    flags(&[(
        "--database-url-file",
        "database.url_file",
        "/run/secrets/url",
    )]),
    Mistake {
        file: "[hashing]\ncost = \"ten\"\nqueue = 0\n[usage]\nflush = 1",
        variables: &[("TOKEN_AUTHORITY_SERVER__REFLECTION", "on")],
        flags: &[("--address", "server.address", "0.0.0.0:50051")],
    },
];

impl Mistake {
    /// Returns what `config check` says of it.
    pub fn said(&self) -> Vec<String> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).into());
        let flags: Vec<Flag> = self
            .flags
            .iter()
            .map(|(flag, key, text)| (*flag, *key, (*text).to_owned()))
            .collect();
        let variables = self.variables.iter().map(owned);
        match Config::read_text((FILE, self.file), variables, &flags, Purpose::Serve) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.lines().to_vec(),
        }
    }

    /// Returns what was given, for a table.
    pub(super) fn given(&self) -> String {
        let lines = self.file.lines().map(|line| format!("`{line}`"));
        let variables = self.variables.iter();
        let variables = variables.map(|(name, text)| format!("`{name}={text}`"));
        let flags = self.flags.iter();
        let flags = flags.map(|(flag, _, text)| format!("`{flag} {text}`"));
        let given: Vec<_> = lines.chain(variables).chain(flags).collect();
        given.join("<br>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_mistake_and_no_value_is_repeated() {
        assert!(MISTAKES.len() >= 25);
        for mistake in MISTAKES {
            let said = mistake.said();
            assert!(!said.is_empty(), "{mistake:?}");
            for line in said {
                assert!(!line.contains("secret"), "{line}");
            }
        }
    }
}
