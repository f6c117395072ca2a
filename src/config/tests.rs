//! Reading a configuration, and what is said of a wrong one.

use super::*;

fn read(file: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).into()));
    Config::read(Some(&path), environment, flags, Purpose::Serve).map_err(|problems| {
        problems
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    })
}

#[test]
fn flags_beat_the_environment_beats_the_file() {
    let file = "[server]\naddress = '127.0.0.1:1'\n[hashing]\ncost = 5\nqueue = 7\n";
    let environment = [
        ("TOKEN_AUTHORITY_SERVER__ADDRESS", "127.0.0.1:2"),
        ("TOKEN_AUTHORITY_HASHING__COST", "6"),
    ];
    let config = read(
        file,
        &environment,
        &[("--address", "server.address", "127.0.0.1:3".into())],
    )
    .unwrap();
    assert_eq!(config.server.address.port(), 3);
    assert_eq!((config.hashing.cost, config.hashing.queue), (6, 7));
}

#[test]
fn every_problem_is_said_at_once() {
    let file = "[server]\naddress = '0.0.0.0:1'\nplaintext = 3\n[hashing]\ncost = 99\nqueue = 'hunter2'\n[database]\nurl = 'postgres://u:hunter2@h/d'\n[cache]\nsize = 1\n[telemetry]\nlogs = 'x'\n";
    let environment = [("TOKEN_AUTHORITY_USAGE__FLUSH_SECONDS", "hunter2")];
    insta::assert_snapshot!(read(file, &environment, &[]).unwrap_err(), @r"
    the configuration has 7 problems:
      - server.plaintext: must be true or false (FILE:3)
      - hashing.cost: must be a whole number from 4 to 14 (FILE:5)
      - hashing.queue: must be a whole number from 1 to 100000 (FILE:6)
      - usage.flush_seconds: must be a whole number from 1 to 3600 (TOKEN_AUTHORITY_USAGE__FLUSH_SECONDS)
      - telemetry.logs: no such key; did you mean telemetry.log? (FILE:12)
      - cache: no such section; there are server, database, keyring, bootstrap, hashing, limits, tls, ops, coherence, retention, usage, telemetry, trusts.NAME, tls.identities.NAME (FILE:9)
      - keyring.directory: required with PostgreSQL, where replicas share one keyring
    ");
}

#[test]
fn a_text_is_what_its_key_takes() {
    let environment = [
        ("TOKEN_AUTHORITY_DATABASE__DIRECTORY", "2026"),
        ("TOKEN_AUTHORITY_KEYRING__DIRECTORY", "true"),
        ("TOKEN_AUTHORITY_KEYRING__CREATE", "true"),
        ("TOKEN_AUTHORITY_HASHING__COST", "12"),
    ];
    let config = read("", &environment, &[]).unwrap();
    assert_eq!(config.database.directory, Path::new("2026"));
    assert_eq!(config.keyring.directory.as_deref(), Some(Path::new("true")));
    assert_eq!(
        (config.keyring.create, config.hashing.cost),
        (Some(true), 12)
    );
    // A file has types of its own.
    let error = read("[database]\ndirectory = 2026", &[], &[]).unwrap_err();
    assert!(
        error.contains("database.directory: must be a string"),
        "{error}"
    );
}

#[test]
fn what_is_in_force_can_be_read_again_and_has_no_secret() {
    let file = "[database]\nurl = 'postgres://u:hunter2@h/d'\n[limits]\nconnections = 7\n[keyring]\ndirectory = 'a \"b\"'\n";
    let environment = [("TOKEN_AUTHORITY_HASHING__COST", "12")];
    let flags = [("--address", "server.address", "127.0.0.1:7".into())];
    let config = read(file, &environment, &flags).unwrap();
    let printed = config.effective();
    assert!(!printed.contains("hunter2"), "{printed}");
    for line in [
        "# url = \"[redacted]\"",
        "cost = 12             # TOKEN_AUTHORITY_HASHING__COST",
        "address = \"127.0.0.1:7\"        # --address",
        "queue = 256           # default",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let again = read(&printed, &[], &[]).unwrap();
    assert_eq!(again.keyring.directory, config.keyring.directory);
    let without = |config: &Config| {
        let origins = |line: &str| line.split("  #").next().unwrap_or_default().to_owned();
        let printed = config.effective();
        let lines = printed.lines().map(origins);
        lines
            .filter(|line| !line.contains("url"))
            .collect::<Vec<_>>()
    };
    assert_eq!(without(&again), without(&config));
}

#[test]
fn the_limits_are_those_of_the_protocol_unless_set() {
    assert_eq!(Config::default().limits(), rpc::Limits::default());
}

#[test]
fn what_is_unwise_is_warned_of() {
    assert_eq!(Config::default().warnings(), [""; 0]);
    let traced = "[telemetry]\notlp_endpoint = 'http://127.0.0.1:4317'\n";
    assert_eq!(read(traced, &[], &[]).unwrap().warnings(), [""; 0]);
    let file = "[server]\naddress = '0.0.0.0:1'\nplaintext = true\ngrace_seconds = 20\n[telemetry]\notlp_endpoint = 'http://127.0.0.1:4317'\n[hashing]\ncost = 4\n[database]\nurl_file = '/nowhere/at-all'\n[keyring]\ndirectory = 'k'\n";
    let config = read(file, &[], &[]).unwrap();
    let warned: Vec<_> = config
        .warnings()
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        warned,
        [
            "server.address",
            "hashing.cost",
            "server.grace_seconds",
            "database.url_file"
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_secrets_file_that_all_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    std::fs::write(&file, "postgres://u:hunter2@h/d").unwrap();
    let file_name = file.display();
    let url = format!("[database]\nurl_file = '{file_name}'\n[keyring]\ndirectory = 'k'");
    let token = format!("[bootstrap]\ntoken_file = '{file_name}'");
    for (mode, warned) in [(0o600, false), (0o440, false), (0o644, true)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        for text in [&url, &token] {
            let warnings = read(text, &[], &[]).unwrap().warnings();
            assert_eq!(!warnings.is_empty(), warned, "{mode:o} {warnings:?}");
        }
    }
    // After the first start it may be gone.
    let gone = read("[bootstrap]\ntoken_file = '/nowhere/at-all'", &[], &[]);
    assert_eq!(gone.unwrap().warnings(), [""; 0]);
}

#[test]
fn a_migration_needs_no_keyring() {
    let flags = [("--database-url-file", "database.url_file", "url".to_owned())];
    assert!(Config::read(None, [], &flags, Purpose::Serve).is_err());
    assert!(Config::read(None, [], &flags, Purpose::Migrate).is_ok());
}

#[test]
fn variables_that_kubernetes_makes_are_not_ours() {
    let environment = [
        ("TOKEN_AUTHORITY_PORT", "tcp://10.0.0.1:50051"),
        ("TOKEN_AUTHORITY_SERVICE_HOST", "10.0.0.1"),
    ];
    assert!(read("", &environment, &[]).is_ok());
}

#[test]
fn a_value_of_a_wrong_type_is_not_repeated() {
    for file in [
        "database = 'postgres://u:hunter2@h/d'",
        "[database]\nconnections = 'postgres://u:hunter2@h/d'",
    ] {
        let error = read(file, &[], &[]).unwrap_err();
        assert!(
            error.contains("database") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_share_is_a_number_also_where_it_comes_as_text() {
    let name = "TOKEN_AUTHORITY_TELEMETRY__SAMPLE_RATIO";
    for (text, expected) in [("0.25", 0.25), ("1", 1.0), ("0", 0.0)] {
        let read = read("", &[(name, text)], &[]).unwrap();
        assert!((read.telemetry.sample_ratio - expected).abs() < f64::EPSILON);
    }
    for text in ["-0.1", "1.5", "2", "NaN", "hunter2"] {
        let error = read("", &[(name, text)], &[]).unwrap_err();
        assert!(error.contains("telemetry"), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_collectors_url_has_no_password_and_none_is_repeated() {
    let name = "TOKEN_AUTHORITY_TELEMETRY__OTLP_ENDPOINT";
    for url in [
        "http://me:hunter2@host",
        "hunter2",
        "http://host/?key=hunter2",
    ] {
        let error = read("", &[(name, url)], &[]).unwrap_err();
        assert!(error.contains("telemetry.otlp_endpoint: "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(read("", &[(name, "https://collector:4317")], &[]).is_ok());
}

#[test]
fn a_broken_file_is_not_repeated() {
    let error = read("[database]\nurl = 'postgres://u:hunter2@h/d\n", &[], &[]).unwrap_err();
    assert!(
        error.contains("FILE") && !error.contains("hunter2"),
        "{error}"
    );
    let config = read(
        "[database]\nurl = 'postgres://u:hunter2@h'\n[keyring]\ndirectory='k'",
        &[],
        &[],
    );
    let shown = format!("{:?}", config.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn periods_are_a_second_to_an_hour() {
    for (section, key) in [("keyring", "reload_seconds"), ("usage", "flush_seconds")] {
        for (seconds, good) in [(0, false), (1, true), (3600, true), (3601, false)] {
            let file = format!("[{section}]\n{key} = {seconds}\n");
            let problem = format!("{section}.{key}: must be a whole number from 1 to 3600");
            match read(&file, &[], &[]) {
                Ok(_) => assert!(good, "{file}"),
                Err(said) => assert!(!good && said.contains(&problem), "{said}"),
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_told_of() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = || OsString::from_vec(b"postgres://u:hunter2\xff@h".to_vec());
    let environment = [
        (String::from("TOKEN_AUTHORITY_DATABASE__URL"), bytes()),
        (String::from("TOKEN_AUTHORITY_PORT"), bytes()),
    ];
    let problems = Config::read(None, environment, &[], Purpose::Serve).unwrap_err();
    assert_eq!(
        problems.lines(),
        ["database.url: must be UTF-8 (TOKEN_AUTHORITY_DATABASE__URL)"]
    );
}

#[test]
fn the_later_one_of_the_url_and_its_file_wins() {
    let keyring = "[keyring]\ndirectory = 'k'\n";
    let url = "[database]\nurl = 'postgres://h/d'\n";
    let file = "[database]\nurl_file = 'f'\n";
    let url_variable = ("TOKEN_AUTHORITY_DATABASE__URL", "postgres://h/d");
    let file_variable = ("TOKEN_AUTHORITY_DATABASE__URL_FILE", "f");
    let flag: Flag = ("--database-url-file", "database.url_file", "f".into());
    let flag = std::slice::from_ref(&flag);
    let won = |text: &str, environment: &[(&str, &str)], flags: &[Flag]| {
        let config = read(&format!("{keyring}{text}"), environment, flags)?;
        let printed = config.effective();
        Ok((
            config.database.url.is_some(),
            config.database.url_file.is_some(),
            printed.contains("# TOKEN_AUTHORITY_DATABASE__URL"),
        ))
    };
    assert_eq!(won(url, &[file_variable], &[]), Ok((false, true, true)));
    assert_eq!(won(file, &[url_variable], &[]), Ok((true, false, true)));
    assert_eq!(won("", &[url_variable], flag), Ok((false, true, false)));
    let together: Result<_, String> = won("", &[url_variable, file_variable], &[]);
    let error = together.unwrap_err();
    assert!(error.contains("must not be set beside"), "{error}");
}

#[test]
fn trusts_are_read_and_judged() {
    let file = "[trusts.main-1]\nissuer = 'https://id'\naudience = 'account'\n\
                jwks_url = 'http://127.0.0.1:1/keys'\nname_claim = 'name'\n\
                required_claims = { typ = 'Bearer' }\n";
    let config = read(file, &[], &[]).unwrap();
    let trusts = config.trusts();
    let (name, trust) = trusts.first_key_value().unwrap();
    assert_eq!(
        (name.as_str(), trust.rules.user_claim.as_str()),
        ("main-1", "sub")
    );
    assert!(read("", &[], &[]).unwrap().trusts().is_empty());
    let wrong = "[trusts.Main]\n[trusts.a]\nissuer = 'i'\njwks_url = 'ftp://x'\njwks_file = 'f'\n\
                 [trusts.b]\nissuer = 'i'\naudience = 'a'\njwks_url = 'ftp://x'\n\
                 [trusts.c]\nissuer = 'i'\naudience = 'a'\njwks_file = 'g'\n\
                 [trusts.d]\nissuer = 7\nissuers = 'i'\naudience = 'a'\n\
                 required_claims = { typ = 1 }\n";
    let variable = ("TOKEN_AUTHORITY_TRUSTS__E", "i");
    insta::assert_snapshot!(read(wrong, &[variable], &[]).unwrap_err(), @r#"
    the configuration has 10 problems:
      - trusts: a trust's name has 1 to 63 of a-z, 0-9 and -, and begins with a letter (FILE:1)
      - trusts.d.issuer: must be a string (FILE:14)
      - trusts.d.issuers: no such key; did you mean trusts.NAME.issuer? (FILE:14)
      - trusts.d.required_claims: must be a table of strings, such as { typ = "Bearer" } (FILE:14)
      - trusts: must be a section of the file for each trust, [trusts.NAME] (TOKEN_AUTHORITY_TRUSTS__E)
      - trusts.a.audience: the field must be given (FILE:2)
      - trusts.a.jwks_url: must not be set beside jwks_file; set one of them (FILE:2)
      - trusts.b.jwks_url: the URL is not of a scheme that may be used here, or has a user, a password or a fragment (FILE:6)
      - trusts.c.issuer: must not be that of trusts.b, with the same audience (FILE:10)
      - trusts.d.jwks_url: must be set, or jwks_file (FILE:14)
    "#);
    insta::assert_snapshot!(read("trusts = 1\n", &[], &[]).unwrap_err(), @r"
    the configuration has 1 problem:
      - trusts: must be a section of the file for each trust, [trusts.NAME] (FILE:1)
    ");
}

#[test]
fn trusts_are_printed_and_read_again() {
    let file = "[trusts.main]\nissuer = 'https://id'\naudience = 'account'\n\
                jwks_file = 'keys.json'\nrequired_claims = { typ = 'Bearer', \"/a.b\" = 'c' }\n";
    let config = read(file, &[], &[]).unwrap();
    let printed = config.effective();
    let (_, trusts) = printed.split_once("[trusts.main]").unwrap();
    let lines = trusts.trim_start().lines();
    let lines = lines.map(|line| line.split("  #").next());
    let lines: Vec<_> = lines.flatten().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    audience = "account"
    issuer = "https://id"
    jwks_file = "keys.json"
    # jwks_url is not set
    # name_claim is not set
    required_claims = { "/a.b" = "c", typ = "Bearer" }
    user_claim = "sub"
    "#);
    let again = read(&printed, &[], &[]).unwrap();
    assert_eq!(again.trusts(), config.trusts());
}
