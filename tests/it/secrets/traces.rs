//! What was traced of all calls.

use super::{Needles, words};
use crate::support::traces::{Collector, Traces};

/// Fails for anything secret in what a collector was sent, headers and all.
pub(super) async fn assert_discreet(traces: &Traces, collector: &Collector, needles: &Needles) {
    traces.export.flush().await;
    assert_eq!(traces.export.dropped(), 0);
    let text = collector.text();
    for name in ["store.insert_token", "store.mark_token_revoked"] {
        assert!(text.contains(name), "{name} was not traced");
    }
    needles.assert_absent("the traces", &text, &words(&text));
}
