//! The tenant's thresholds for the modules, which judge what the stream brings by them as the server does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::picture::Picture;
use crate::domain::live::thresholds::Thresholds;

/// What the element `#thresholds` has.
pub(in crate::http::console) struct Marks {
    /// By state, the milliseconds from which a time is long and too long on (0 for never), as JSON.
    pub(in crate::http::console) in_state: String,
    /// Shares in per cent.
    pub(in crate::http::console) good: u32,
    pub(in crate::http::console) warning: u32,
    /// Figures are of now for so many milliseconds.
    pub(in crate::http::console) good_for_ms: u64,
}

impl Marks {
    /// Those that the picture is judged by.
    pub(in crate::http::console) fn of(picture: Option<&Picture>) -> Self {
        let usual = Thresholds::default();
        let thresholds = picture.map_or(&usual, |picture| &picture.newest.thresholds);
        let bound = |bound: Option<Duration>| bound.map_or(0, millis);
        let in_state: BTreeMap<&str, [u64; 2]> = thresholds
            .in_state
            .iter()
            .map(|(state, bounds)| (state.name(), [bound(bounds.watch), bound(bounds.act)]))
            .collect();
        Self {
            // Text and numbers: it cannot fail.
            in_state: serde_json::to_string(&in_state).unwrap_or_default(),
            good: thresholds.good_percent,
            warning: thresholds.warning_percent,
            good_for_ms: picture.map_or(0, |picture| millis(picture.newest.figures.good_for)),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
