//! Rust as far as it takes to see which names a file uses: words and signs, without
//! comments and literals.

use std::collections::BTreeSet;

/// The name of the package's library, by which its program calls it.
const LIBRARY: &str = "token_authority";

/// A file's words and signs, in order.
pub(super) struct Source {
    /// The modules from the crate's root to the file.
    home: Vec<String>,
    tokens: Vec<String>,
}

impl Source {
    /// Reads a file.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let path = path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut home: Vec<_> = path.split('/').map(str::to_owned).collect();
        if home
            .last()
            .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
        {
            home.pop();
        }
        Self {
            home,
            tokens: tokens(text),
        }
    }

    /// Returns each word.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.tokens
            .iter()
            .map(String::as_str)
            .filter(|token| token.starts_with(is_word))
    }

    /// Returns the tokens of each attribute that has this word, from it to the end.
    pub(super) fn attributes(&self, word: &str) -> Vec<&[String]> {
        let mut found = Vec::new();
        let mut rest = &self.tokens[..];
        while let Some(at) = rest.windows(2).position(|pair| pair == ["#", "["]) {
            rest = &rest[at + 2..];
            let end = rest.iter().position(|token| token == "]");
            let attribute = &rest[..end.unwrap_or(rest.len())];
            if let Some(at) = attribute.iter().position(|token| token == word) {
                found.push(&attribute[at..]);
            }
        }
        found
    }

    /// Returns the crate's modules that are named, by whatever way; `*` stands for
    /// the root itself.
    pub(super) fn modules(&self) -> BTreeSet<String> {
        let mut modules = BTreeSet::new();
        // For each brace that is open, the module that it is the body of, if any.
        let mut bodies: Vec<Option<&str>> = Vec::new();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            let before = at.checked_sub(1).map_or("", |at| &self.tokens[at]);
            match token.as_str() {
                "{" => {
                    let named = at.checked_sub(2).filter(|at| self.tokens[*at] == "mod");
                    bodies.push(named.map(|_| before));
                }
                "}" => {
                    bodies.pop();
                }
                "crate" | "super" | "self" | LIBRARY if before != "::" => {
                    let mut here = self.home.clone();
                    here.extend(bodies.iter().flatten().map(|&name| name.to_owned()));
                    at = self.tree(at, &here, &mut modules);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        modules
    }

    /// Follows a path, or a tree of them, from the module `here`; returns where it
    /// ends.
    fn tree(&self, mut at: usize, here: &[String], modules: &mut BTreeSet<String>) -> usize {
        let mut place = here.to_vec();
        loop {
            match self.token(at) {
                "crate" | LIBRARY => place.clear(),
                "super" => drop(place.pop()),
                "self" => {}
                "{" => return self.group(at + 1, &place, modules),
                // The first name below the root is what this is about.
                name if place.is_empty() => {
                    modules.insert(name.to_owned());
                    place.push(name.to_owned());
                }
                name => place.push(name.to_owned()),
            }
            at += 1;
            if self.token(at) != "::" {
                // `pub(crate)` is a visibility; any other end at the root names all.
                if place.is_empty() && self.token(at) != ")" {
                    modules.insert(String::from("*"));
                }
                return at;
            }
            at += 1;
        }
    }

    /// Follows the paths between braces; returns where they end.
    fn group(&self, mut at: usize, place: &[String], modules: &mut BTreeSet<String>) -> usize {
        loop {
            match self.token(at) {
                "}" => return at + 1,
                "" => return at,
                "," => at += 1,
                "as" => at += 2,
                _ => at = self.tree(at, place, modules),
            }
        }
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Splits a text into words and signs, `::` as one, and leaves out the rest.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = skipped(rest) {
            length
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else {
            let sign = if rest.starts_with("::") {
                "::"
            } else {
                &rest[..first.len_utf8()]
            };
            if !first.is_whitespace() {
                tokens.push(sign.to_owned());
            }
            sign.len()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Returns how long the comment, literal or lifetime is that the text begins with.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if let Some(length) = raw_string(text) {
        return Some(length);
    }
    let quote = usize::from(text.starts_with("b\"") || text.starts_with("c\""));
    if text[quote..].starts_with('"') {
        return Some(quote + until_quote(&text[quote..], '"'));
    }
    let quote = usize::from(text.starts_with("b'"));
    if text[quote..].starts_with('\'') {
        return Some(quote + character(&text[quote..]));
    }
    None
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// `r"…"`, `br#"…"#` and the like.
fn raw_string(text: &str) -> Option<usize> {
    let start = ["r", "br", "cr"]
        .into_iter()
        .find(|start| {
            let rest = text.strip_prefix(start).unwrap_or_default();
            rest.trim_start_matches('#').starts_with('"')
        })?
        .len();
    let hashes = text[start..].find('"')?;
    let body = start + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text[body..].find(&end).map(|at| body + at + end.len());
    Some(length.unwrap_or(text.len()))
}

/// Returns how long a literal is that begins with the quote.
fn until_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if character == quote && !escaped {
            return at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    text.len()
}

/// Returns how long the character, or the lifetime, is that begins with a quote.
fn character(text: &str) -> usize {
    let mut inner = text.chars().skip(1);
    let is_literal = matches!(
        (inner.next(), inner.next()),
        (Some('\\'), _) | (Some(_), Some('\''))
    );
    if is_literal {
        until_quote(text, '\'')
    } else {
        1
    }
}
