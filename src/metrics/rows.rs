//! The table: all metrics, and where each is read.

mod calls;
mod house;
mod memory;
mod store;
mod tokens;

use super::{Label, Metric, Values};
use crate::tally::Closed;

/// All rows.
pub(super) const ALL: &[&[Metric]] = &[
    calls::ROWS,
    tokens::ROWS,
    memory::ROWS,
    store::ROWS,
    house::ROWS,
];

/// Returns a label whose values are the names of a closed set.
const fn label<K: Closed>(name: &'static str) -> Label {
    Label {
        name,
        values: Values::Closed(names::<K>),
    }
}

fn names<K: Closed>() -> Vec<String> {
    K::all().map(|member| member.name().to_owned()).collect()
}
