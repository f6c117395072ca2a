//! Field masks: which fields an update sets.

use std::collections::BTreeSet;

use prost_types::FieldMask;

use crate::domain::reason::{Field, Violations};

/// The request's field.
const FIELD: &str = "update_mask";
/// The paths of a mask, at most.
const PATHS: usize = 100;

/// The fields that an update sets, each by its whole path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask(BTreeSet<&'static str>);

impl Mask {
    /// Names every field.
    pub fn all(fields: &[&'static str]) -> Self {
        Self(fields.iter().copied().collect())
    }

    /// Reads a mask over `fields`, given by their whole paths: a path names a field,
    /// or all those below it (`policy` names `policy.max_ttl`), and `*` names all.
    /// Where there is no path, `populated` are named: those that are not empty. A
    /// path that is unknown, and a mask that names nothing, are violations.
    pub fn read(
        given: Option<&FieldMask>,
        fields: &[&'static str],
        populated: &[&'static str],
        violations: &mut Violations,
    ) -> Self {
        let paths = given.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        if paths.len() > PATHS {
            violations.add(FIELD, Field::TooMany);
            return Self::default();
        }
        if paths.is_empty() {
            if populated.is_empty() {
                violations.add(FIELD, Field::EmptyMask);
            }
            return Self::all(populated);
        }
        let mut named = BTreeSet::new();
        for (at, path) in paths.iter().enumerate() {
            let covered: Vec<_> = fields.iter().filter(|field| covers(path, field)).collect();
            if covered.is_empty() {
                violations.add(format!("{FIELD}.paths[{at}]"), Field::InvalidMask);
            }
            named.extend(covered);
        }
        Self(named)
    }

    /// Returns whether the field is to be set.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// Returns whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns whether the path names the field.
fn covers(path: &str, field: &str) -> bool {
    path == "*"
        || field
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || (!path.is_empty() && rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["display_name", "policy.max_ttl", "policy.unique_names"];

    fn read(paths: Option<&[&str]>, populated: &[&'static str]) -> (Mask, Vec<(String, Field)>) {
        let given = paths.map(|paths| FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        });
        let mut violations = Violations::default();
        let mask = Mask::read(given.as_ref(), FIELDS, populated, &mut violations);
        let wrong = violations.iter().map(|v| (v.field.clone(), v.reason));
        (mask, wrong.collect())
    }

    #[test]
    fn a_path_names_a_field_or_all_below_it() {
        let named = |paths: &[&str]| {
            let (mask, wrong) = read(Some(paths), &[]);
            assert_eq!(wrong, []);
            mask
        };
        assert_eq!(named(&["display_name"]), Mask::all(&["display_name"]));
        assert_eq!(named(&["policy"]), Mask::all(&FIELDS[1..]));
        assert_eq!(
            named(&["policy.max_ttl", "policy.max_ttl"]),
            Mask::all(&["policy.max_ttl"])
        );
        assert_eq!(named(&["*"]), Mask::all(FIELDS));
        assert!(named(&["policy"]).has("policy.max_ttl"));
        assert!(!named(&["policy"]).has("display_name"));
    }

    #[test]
    fn each_unknown_path_is_a_violation() {
        let paths = [
            "policy",
            "tenant_id",
            "",
            "policy.",
            "pol",
            "policy.max_ttl.seconds",
        ];
        let (mask, wrong) = read(Some(&paths), &[]);
        assert_eq!(mask, Mask::all(&FIELDS[1..]));
        let expected: Vec<_> = (1..paths.len())
            .map(|at| (format!("update_mask.paths[{at}]"), Field::InvalidMask))
            .collect();
        assert_eq!(wrong, expected);
    }

    #[test]
    fn without_a_path_what_is_populated_is_named() {
        for paths in [None, Some([].as_slice())] {
            let (mask, wrong) = read(paths, &["display_name"]);
            assert_eq!((mask, wrong), (Mask::all(&["display_name"]), vec![]));
            let (mask, wrong) = read(paths, &[]);
            assert!(mask.is_empty());
            assert_eq!(wrong, [("update_mask".to_owned(), Field::EmptyMask)]);
        }
    }

    #[test]
    fn a_mask_is_bounded() {
        let (_, wrong) = read(Some(&["x"; PATHS + 1]), &[]);
        assert_eq!(wrong, [("update_mask".to_owned(), Field::TooMany)]);
    }
}
