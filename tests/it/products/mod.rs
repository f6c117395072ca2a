//! The products, side by side as tenants of one authority: each line of what they
//! require, walked end to end over gRPC. docs/products.md lists the lines.

mod lines;
mod odysseus;
mod openindex;
mod record;
mod scanning;
mod sk_platform;
mod stage;

use record::kept;
use stage::{Product, Stage};

/// Makes of each test of a line one on either database, and lists their names.
macro_rules! walks {
    ($($name:ident),+ $(,)?) => {
        crate::support::both_backends!($($name),+);

        /// The tests of this product's lines.
        pub(super) const TESTS: &[&str] = &[$(stringify!($name)),+];
    };
}

use walks;
