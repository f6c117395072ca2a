//! The documented errors are those that callers meet.

use token_authority::domain::reason::{Denial, Field, Missing, Obstacle, Taken};
use token_authority::rpc::error_table;

const DOCUMENT: &str = include_str!("../../docs/errors.md");

#[test]
fn the_document_is_the_table() {
    assert!(
        error_table::markdown() == DOCUMENT,
        "docs/errors.md is not what the code says: run `make docs` and review the difference"
    );
}

#[test]
fn every_reason_of_the_domain_is_documented_with_its_sentence() {
    let fields = Field::ALL.iter().map(|r| (r.as_str(), r.sentence()));
    let denials = Denial::ALL.iter().map(|r| (r.as_str(), r.sentence()));
    let missing = Missing::ALL.iter().map(|r| (r.as_str(), r.sentence()));
    let taken = Taken::ALL.iter().map(|r| (r.as_str(), r.sentence()));
    let obstacles = Obstacle::ALL.iter().map(|r| (r.as_str(), r.sentence()));
    let all = fields.chain(denials).chain(missing).chain(taken);
    for (reason, sentence) in all.chain(obstacles) {
        let row = format!("| `{reason}` | {sentence} |");
        assert!(
            DOCUMENT.contains(&row),
            "docs/errors.md lacks {row}: run `make docs`"
        );
    }
}
