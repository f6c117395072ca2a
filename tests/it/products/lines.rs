//! The lines of docs/products.md, each with its test.

use std::collections::BTreeMap;

use super::{odysseus, openindex, sk_platform};

const PAGE: &str = include_str!("../../../docs/products.md");

/// How many lines each product has.
const LINES: [(char, usize); 3] = [('A', 13), ('B', 8), ('D', 7)];

/// Returns the lines of the page's tables and the test that each names.
fn page() -> BTreeMap<String, String> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let [line, _, _, test, ""] = cells[..] else {
            panic!("a row has a line, what it asks for, how that is met, and a test: {line}");
        };
        let is_line = line[1..].bytes().all(|byte| byte.is_ascii_digit());
        is_line.then(|| (line.to_owned(), test.trim_matches('`').to_owned()))
    });
    rows.collect()
}

/// Each line has a test on both databases, and each test is of a line.
#[test]
fn each_line_has_a_test() {
    let page = page();
    let mut tests: Vec<&str> = [odysseus::TESTS, sk_platform::TESTS, openindex::TESTS].concat();
    for (product, count) in LINES {
        for number in 1..=count {
            let line = format!("{product}{number}");
            let named = page.get(&line);
            let named = named.unwrap_or_else(|| panic!("docs/products.md has no line {line}"));
            let begins = format!("{}_", line.to_lowercase());
            let at = tests.iter().position(|test| test.starts_with(&begins));
            let at = at.unwrap_or_else(|| {
                panic!("{line} has no test: write {begins}… in tests/it/products")
            });
            let test = tests.swap_remove(at);
            assert_eq!(named, test, "docs/products.md names another test of {line}");
            println!("{line} {test}::{{sqlite,postgres}}");
        }
    }
    assert!(tests.is_empty(), "no line has these: {tests:?}");
    let known: usize = LINES.iter().map(|(_, count)| count).sum();
    assert_eq!(page.len(), known, "docs/products.md has other lines, too");
}
