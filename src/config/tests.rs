//! Reading a configuration, and what is said of a wrong one.

use super::*;

fn read(file: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
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
        &[("server.address", "127.0.0.1:3".into())],
    )
    .unwrap();
    assert_eq!(config.server.address.port(), 3);
    assert_eq!((config.hashing.cost, config.hashing.queue), (6, 7));
}

#[test]
fn every_problem_is_said_at_once() {
    let file = "[server]\naddress = '0.0.0.0:1'\n[hashing]\ncost = 99\n[database]\nurl = 'postgres://u:hunter2@h/d'\n[cache]\nsize = 1\n[telemetry]\nlogs = 'x'\n";
    insta::assert_snapshot!(read(file, &[], &[]).unwrap_err(), @r"
    the configuration has 5 problem(s):
      - telemetry: unknown field `logs`, expected `log` or `log_format`
      - cache: no such section
      - server.address: not loopback, and there is no TLS; set server.plaintext = true to serve plain text there
      - hashing.cost: must be 4 to 14
      - keyring.directory: required with PostgreSQL, where replicas share one keyring
    ");
}

#[test]
fn a_migration_needs_no_keyring() {
    let flags = [("database.url_file", "url".to_owned())];
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
            error.contains("database: ") && !error.contains("hunter2"),
            "{error}"
        );
    }
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
            let problem = format!("{section}.{key}: must be 1 to 3600");
            match read(&file, &[], &[]) {
                Ok(_) => assert!(good, "{file}"),
                Err(said) => assert!(!good && said.contains(&problem), "{said}"),
            }
        }
    }
}

#[test]
fn trusts_are_read_and_judged() {
    let file = "[trusts.main]\nissuer = 'https://id'\naudience = 'account'\n\
                jwks_url = 'http://127.0.0.1:1/keys'\nname_claim = 'name'\n\
                required_claims = { typ = 'Bearer' }\n";
    let config = read(file, &[], &[]).unwrap();
    let trusts = config.trusts();
    let (name, trust) = trusts.first_key_value().unwrap();
    assert_eq!(
        (name.as_str(), trust.rules.user_claim.as_str()),
        ("main", "sub")
    );
    assert!(read("", &[], &[]).unwrap().trusts().is_empty());
    let wrong = "[trusts.Main]\n[trusts.a]\nissuer = 'i'\njwks_url = 'ftp://x'\njwks_file = 'f'\n\
                 [trusts.b]\nissuer = 'i'\naudience = 'a'\njwks_file = 'f'\n\
                 [trusts.c]\nissuer = 'i'\naudience = 'a'\njwks_file = 'g'\n";
    insta::assert_snapshot!(read(wrong, &[], &[]).unwrap_err(), @r"
    the configuration has 5 problem(s):
      - trusts: a trust's name has 1 to 63 of a-z, 0-9 and -, and begins with a letter
      - trusts.a: set one of jwks_url and jwks_file
      - trusts.a.audience: the field must be given
      - trusts.a.jwks_url: the URL is not of a scheme that may be used here, or has a user, a password or a fragment
      - trusts.c: trusts.b has this issuer and audience
    ");
}
