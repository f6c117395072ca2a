//! The session on the command line that README.md shows, replayed: each command is run
//! against a server of its own, and must print what stands there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use token_authority::config::Config;

use crate::support::{Backend, Database, Program, both_backends};

both_backends!(the_session_of_the_readme_goes_as_it_is_told);

const README: &str = include_str!("../../README.md");
/// What the server of README.md serves on.
const ADDRESS: &str = "127.0.0.1:50051";

/// A command, and all that it prints.
struct Step {
    command: String,
    printed: String,
}

/// Returns the steps of the blocks between the two marks.
fn session() -> Vec<Step> {
    let (_, rest) = README.split_once("<!-- session -->").unwrap();
    let (session, _) = rest.split_once("<!-- end of session -->").unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut in_block = false;
    for line in session.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            // What is said in between.
        } else if let Some(command) = line.strip_prefix("$ ") {
            let (command, printed) = (command.to_owned(), String::new());
            steps.push(Step { command, printed });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            // A command goes on where the line before ends in a backslash.
            if step.printed.is_empty() && step.command.ends_with('\\') {
                step.command.push('\n');
                step.command.push_str(line);
            } else {
                step.printed.push_str(line);
                step.printed.push('\n');
            }
        }
    }
    steps
}

/// Runs a command as README.md's reader would; returns all that it prints.
fn run(command: &str, home: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_token-authority"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let ended = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output();
    String::from_utf8(ended.unwrap().stdout).unwrap()
}

/// The rule: two texts are the same if they are once each id, hint, revision and time in
/// them is replaced by its kind. Such a word is one of letters, digits, `_`, `.`, `:` and
/// `-`; what is left of it is its beginning up to and with the first `_`.
fn plain(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_part(first) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        plain.push_str(&replaced(word));
        rest = after;
    }
    plain
}

fn replaced(word: &str) -> String {
    let is_base62 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((kind, id)) = word.split_once('_')
        && [8, 22].contains(&id.len())
        && is_base62(id)
    {
        return format!("{kind}_…");
    }
    if let Some((incarnation, _)) = word.split_once('.')
        && incarnation.len() == 22
        && is_base62(incarnation)
    {
        return String::from("REVISION");
    }
    if word.len() == 20 && word.ends_with('Z') && word.get(10..11) == Some("T") {
        return String::from("TIME");
    }
    word.to_owned()
}

/// Returns the ids of tokens and users in a text, in their order.
fn ids(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_id =
        |word: &&str| word.len() == 26 && (word.starts_with("tok_") || word.starts_with("usr_"));
    words.filter(is_id).collect()
}

async fn the_session_of_the_readme_goes_as_it_is_told(backend: Backend) {
    let home = tempfile::tempdir().unwrap();
    // The session is told in this directory.
    let catalogs = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogs");
    std::os::unix::fs::symlink(catalogs, home.path().join("catalogs")).unwrap();
    let database = Database::new(backend).await;
    let mut config = Config::default();
    database.configure(&mut config);
    let mut environment = Vec::new();
    if let Some(url) = config.database.url {
        environment = vec![
            ("TOKEN_AUTHORITY_DATABASE__URL", url.expose().to_owned()),
            ("TOKEN_AUTHORITY_KEYRING__DIRECTORY", "keyring".into()),
            ("TOKEN_AUTHORITY_KEYRING__CREATE", "true".into()),
        ];
    }
    let arguments = ["serve", "--data", "data", "--address", "127.0.0.1:0"];
    let mut server = Program::start_with(&arguments, home.path(), &environment);
    let line = server.until("server.address=");
    let (_, address) = line.split_once("server.address=").unwrap();
    let address = address.split_whitespace().next().unwrap().to_owned();

    // Which id of this run stands for one of README.md's.
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut went = String::new();
    let mut differs = None;
    let steps = session();
    assert!(steps.len() >= 5, "README.md has lost its session");
    for step in &steps {
        let mut command = step.command.replace(ADDRESS, &address);
        for (told, real) in &known {
            command = command.replace(told, real);
        }
        let printed = run(&command, home.path()).replace(&address, ADDRESS);
        for (told, real) in ids(&step.printed).iter().zip(ids(&printed)) {
            known.insert((*told).to_owned(), real.to_owned());
        }
        if plain(&printed) != plain(&step.printed) {
            differs = differs.or(Some(&step.command));
        }
        let command = command.replace(&address, ADDRESS);
        let _ = write!(went, "$ {command}\n{printed}");
    }
    server.terminate();
    assert_eq!(server.end().0, Some(0));
    if let Some(command) = differs {
        panic!("README.md tells otherwise of: {command}\nThe session, as it went:\n{went}");
    }
}

#[test]
fn what_differs_from_run_to_run_is_left_out_of_the_comparison() {
    let told = "tok_0352UudNYGAglXEAzXfcuW (a, until 2026-01-01T00:00:00Z) ody_nYQlDJ3G, \
                1TzEb68ukEiWRdnLWMB3cn.12 authority:introspect 127.0.0.1:1";
    assert_eq!(
        plain(told),
        "tok_… (a, until TIME) ody_…, REVISION authority:introspect 127.0.0.1:1"
    );
}
