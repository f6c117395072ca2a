//! docs/secret-scanning.md, held against the code, and `token scan` against what the
//! products give out.

use std::collections::BTreeSet;

use regex::Regex;
use token_authority::domain::base62;
use token_authority::domain::value::{TokenValue, stands_in};
use token_authority::pb;

use super::{Product, Stage};
use crate::administration::Client;
use crate::support::invites::guest;
use crate::support::tokens::{checked, ttl, wanted};
use crate::support::{Backend, both_backends};

both_backends!(
    each_expression_finds_the_values_that_are_its_own,
    all_values_are_found_and_nothing_else,
    what_is_found_is_revoked_where_that_is_wanted,
);

const PAGE: &str = include_str!("../../../docs/secret-scanning.md");

/// Returns the cells in backticks of the page's rows that have two columns.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let [first, second, ""] = cells[..] else {
            panic!("not of two columns: {line}");
        };
        Some((first, second))
    });
    rows.collect()
}

fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// Returns the example's cell.
fn example(step: &str) -> &'static str {
    let rows = rows();
    let row = rows.iter().find(|(first, _)| *first == step);
    quoted(row.unwrap().1).unwrap()
}

/// Returns what stands between fences of a language.
fn fenced(language: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0
}

/// Returns the expressions of the page, each with the prefix that it is for, and where it
/// stands.
fn expressions() -> Vec<(String, Option<String>, String)> {
    let mut all = Vec::new();
    for (what, expression) in rows() {
        let Some(expression) = quoted(expression).filter(|text| text.ends_with("{61}")) else {
            continue;
        };
        let prefix = what.strip_prefix("a value of the prefix ");
        let prefix = prefix.map(|prefix| quoted(prefix).unwrap().to_owned());
        all.push((what.to_owned(), prefix, expression.to_owned()));
    }
    let rules: toml::Table = fenced("toml").parse().unwrap();
    for rule in rules["rules"].as_array().unwrap() {
        let [id, regex] = ["id", "regex"].map(|key| rule[key].as_str().unwrap().to_owned());
        let [keyword] = &rule["keywords"].as_array().unwrap()[..] else {
            panic!("a rule has one keyword: {rule}");
        };
        all.push((id, keyword.as_str().map(str::to_owned), regex));
    }
    let line = fenced("yaml")
        .lines()
        .find_map(|line| line.trim().strip_prefix("value: "));
    let expression = line.unwrap().trim_matches('"');
    all.push(("yaml".into(), Some("ody_".into()), expression.into()));
    all
}

#[test]
fn the_vectors_are_values_or_not_as_the_page_says() {
    let mut seen = [0, 0];
    for (text, said) in rows() {
        let (Some(text), is_value) = (quoted(text), said == "yes") else {
            continue;
        };
        if !is_value && !said.starts_with("no: ") {
            continue;
        }
        assert_eq!(text.parse::<TokenValue>().is_ok(), is_value, "{text}");
        assert_eq!(stands_in(text), is_value, "{text}");
        seen[usize::from(is_value)] += 1;
    }
    assert_eq!(seen, [5, 3]);
}

#[test]
fn the_example_is_worked_out_as_the_page_says() {
    let (_, after) = PAGE.split_once("\nFor `").unwrap();
    let (text, _) = after.split_once('`').unwrap();
    let crc = crc32fast::hash(text.as_bytes());
    assert_eq!(example("CRC-32"), format!("{crc:#x}"));
    assert_eq!(example("as a number"), crc.to_string());
    let digits = (0..6)
        .rev()
        .map(|place| (crc / 62_u32.pow(place) % 62).to_string());
    assert_eq!(example("its digits"), digits.collect::<Vec<_>>().join(" "));
    assert_eq!(example("the check"), base62::encode(&crc.to_be_bytes(), 6));
    assert!(checked(text).parse::<TokenValue>().is_ok());
    assert!(PAGE.contains(&format!("| `{}` | yes |", checked(text))));
}

/// Returns a value of each kind that each product gives out.
async fn values(stage: &Stage) -> Vec<(&Product, String)> {
    use pb::TokenKind::{Agent, Api, Webhook};
    let mut values = Vec::new();
    for product in [&stage.odysseus, &stage.sk, &stage.openindex] {
        values.push((product, product.admin.value().to_owned()));
        for kind in [Api, Agent, Webhook] {
            let request = pb::CreateTokenRequest {
                kind: kind.into(),
                expiry: ttl(3600),
                ..wanted(kind.as_str_name(), &[])
            };
            values.push((product, product.admin.create(request).await.value));
        }
    }
    values
}

/// Returns a text with values in it in many ways and near misses around them, and the
/// lines that have one.
fn corpus(values: &[(&Product, String)]) -> (String, Vec<(usize, String)>) {
    let (mut lines, mut expected) = (Vec::new(), Vec::new());
    for (number, (product, value)) in values.iter().enumerate() {
        let end = value.len() - 1;
        let other = if value.ends_with('x') { "y" } else { "x" };
        let hint = &value[..product.prefix.len() + 8];
        // Near misses: cut, one character another, of another prefix, and what may be seen.
        lines.extend([
            value[..end].to_owned(),
            value[1..].to_owned(),
            format!("{}{other}", &value[..end]),
            format!("{hint} {}", product.prefix),
            value.to_uppercase(),
            format!("{}{}", product.prefix, "0".repeat(61)),
            format!("{}\n{}", &value[..30], &value[30..]),
        ]);
        let around = [
            "@",
            "token=\"@\"",
            "Authorization: Bearer @",
            "my_@-",
            "x@",
            "é@é",
            "\u{0}@\u{1}",
        ];
        let line = around[number % around.len()].replace('@', value);
        lines.push(line);
        // The one that is in two lines counts as two.
        let line = lines.iter().map(|line| line.lines().count()).sum();
        expected.push((line, hint.to_owned()));
    }
    (lines.join("\n"), expected)
}

async fn each_expression_finds_the_values_that_are_its_own(backend: Backend) {
    let stage = Stage::set(backend).await;
    let values = values(&stage).await;
    let (text, _) = corpus(&values);
    for (what, prefix, expression) in expressions() {
        let regex = Regex::new(&expression).unwrap();
        let own = values.iter().filter(|(product, _)| {
            prefix
                .as_ref()
                .is_none_or(|prefix| product.prefix == prefix)
        });
        let own: BTreeSet<&str> = own.map(|(_, value)| value.as_str()).collect();
        assert!(!own.is_empty(), "{what} is for no product");
        for value in &own {
            assert!(
                regex
                    .find(value)
                    .is_some_and(|found| found.as_str() == *value),
                "{what}"
            );
        }
        let seen = regex.find_iter(&text).flat_map(|found| {
            let ends = (0..found.len()).map(move |at| &found.as_str()[at..]);
            ends.filter(|end| end.parse::<TokenValue>().is_ok())
        });
        assert_eq!(seen.collect::<BTreeSet<_>>(), own, "{what}");
    }
}

async fn all_values_are_found_and_nothing_else(backend: Backend) {
    let stage = Stage::set(backend).await;
    let values = values(&stage).await;
    let all: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
    let (text, expected) = corpus(&values);
    let client = Client::new(&stage.t, &stage.t.actor("nothing"));
    let path = client.file("corpus", &text);
    let home = path.parent().unwrap();
    let within = home.join("within/deep");
    std::fs::create_dir_all(&within).unwrap();
    let long = format!(
        "{}{}{}",
        "_a".repeat(200_000),
        all[0],
        "ody_".repeat(50_000)
    );
    std::fs::write(within.join("long"), &long).unwrap();
    std::fs::write(within.join("empty"), "").unwrap();
    std::os::unix::fs::symlink(home, within.join("loop")).unwrap();
    std::os::unix::fs::symlink(&path, within.join("link")).unwrap();
    std::fs::write(
        within.join(format!("named {}", all[0])),
        "\n\n@\n".replace('@', all[1]),
    )
    .unwrap();
    let lines = |file: &str| {
        let lines = expected
            .iter()
            .map(|(line, hint)| format!("{file}:{line}: {hint}\n"));
        lines.collect::<String>()
    };
    let said = client.run(&["token", "scan", "corpus"]).await;
    assert_eq!((said.code, &*said.out), (Some(2), &*lines("corpus")));
    let piped = client.run_with(&["token", "scan"], &text).await;
    assert_eq!((piped.code, &*piped.out), (Some(2), &*lines("-")));
    let deep = client.run(&["token", "scan", "within"]).await;
    let hint = |at: usize| &expected[at].1;
    assert_eq!(
        deep.out,
        format!(
            "within/deep/long:1: {}\nwithin/deep/named {}:3: {}\n",
            hint(0),
            hint(0),
            hint(1)
        )
    );
    let some = [
        "token", "scan", "--prefix", "sk-", "--json", "corpus", "within",
    ];
    let some = client.run(&some).await;
    let found: Vec<serde_json::Value> = some
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .filter(|(_, hint)| hint.starts_with("sk-"))
        .collect();
    assert_eq!(found.len(), wanted.len());
    for (found, (line, hint)) in found.iter().zip(wanted) {
        let expected = serde_json::json!({"file": "corpus", "line": line, "hint": hint});
        assert_eq!(*found, expected);
    }
    for said in [said, piped, deep, some] {
        assert_eq!(said.err, "");
        assert!(
            all.iter().all(|value| !said.out.contains(value)),
            "a value was shown"
        );
    }

    // Where there is none, and where something could not be read.
    let none = client
        .run_with(&["token", "scan", "-"], "ody_ sk- nothing")
        .await;
    assert_eq!((none.code, &*none.out, &*none.err), (Some(0), "", ""));
    let gone = client.run(&["token", "scan", "gone", "corpus"]).await;
    assert_eq!((gone.code, gone.out), (Some(1), lines("corpus")));
    assert!(gone.err.contains("gone: "), "{}", gone.err);
    let pasted = client.run(&["token", "scan", all[0]]).await.failed(64);
    assert!(!pasted.contains(all[0]), "{pasted}");
    // Nobody asked a server for any of it.
    for (product, value) in &values {
        assert!(stage.any_kind(product, value).await, "{}", product.id);
    }
}

async fn what_is_found_is_revoked_where_that_is_wanted(backend: Backend) {
    let stage = Stage::set(backend).await;
    let values = values(&stage).await;
    let kept = stage.sk.admin.create(pb::CreateTokenRequest {
        expiry: ttl(3600),
        ..wanted("kept", &[])
    });
    let kept = kept.await.value;
    let (text, _) = corpus(&values);
    let client = Client::new(&stage.t, &stage.t.actor("nothing"));
    // Invites are no tokens: presenting them would end nothing.
    let request = pb::CreateInviteRequest {
        tenant_id: "sk-platform".into(),
        ..guest("ada")
    };
    let invite = stage.t.operator().invite(request).await.value;
    let text = format!("{text}\n{invite}");
    let twice = format!("{text}\n{text}");
    let said = client
        .run_with(&["token", "scan", "--revoke"], &twice)
        .await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.starts_with("12 presented to the server"),
        "{}",
        said.err
    );
    assert!(
        said.err
            .contains("\n1 of invites not presented: token-authority invite revoke"),
        "{}",
        said.err
    );
    assert_eq!(said.out.lines().count(), 26);
    assert!(!said.err.contains(&invite) && !said.out.contains(&invite));
    for (product, value) in &values {
        assert!(!said.out.contains(value.as_str()) && !said.err.contains(value.as_str()));
        assert!(!stage.any_kind(product, value).await, "{}", product.id);
    }
    assert!(stage.active(&stage.sk, &kept).await);
    // Nobody is told which were good: once more, it is the same.
    let again = client
        .run_with(&["token", "scan", "--revoke"], &twice)
        .await;
    assert_eq!(
        (again.code, again.out, again.err),
        (said.code, said.out, said.err)
    );
    stage.t.nobody().try_claim(&invite).await.unwrap();
}
