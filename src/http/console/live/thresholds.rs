//! The tenant's thresholds for the modules, which use them to judge messages of the stream as the server does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::live_view::LiveView;
use crate::domain::live::thresholds::Thresholds;

/// The content of the element `#thresholds`.
pub(in crate::http::console) struct ClientThresholds {
    /// JSON with the milliseconds by state after which a time is long, and too long; 0 for never.
    pub(in crate::http::console) in_state: String,
    /// The limits of the service level, in per cent.
    pub(in crate::http::console) good: u32,
    pub(in crate::http::console) warning: u32,
    /// How long figures are current, in milliseconds.
    pub(in crate::http::console) good_for_ms: u64,
}

impl ClientThresholds {
    /// Returns the thresholds that the live view is judged by.
    pub(in crate::http::console) fn from_live_view(live_view: Option<&LiveView>) -> Self {
        let defaults = Thresholds::default();
        let thresholds = live_view.map_or(&defaults, |picture| &picture.current.thresholds);
        let bound = |bound: Option<Duration>| bound.map_or(0, millis);
        let in_state: BTreeMap<&str, [u64; 2]> = thresholds
            .in_state
            .iter()
            .map(|(state, bounds)| (state.name(), [bound(bounds.watch), bound(bounds.act)]))
            .collect();
        Self {
            // Text and numbers can always be serialized.
            in_state: serde_json::to_string(&in_state).unwrap_or_default(),
            good: thresholds.good_percent,
            warning: thresholds.warning_percent,
            good_for_ms: live_view.map_or(0, |picture| millis(picture.current.figures.fresh_for)),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
