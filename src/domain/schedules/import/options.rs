//! The options of an import and their defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use super::profile::Profile;

/// The largest file size that can be configured, in bytes. The daemon accepts no larger request body, and holds the
/// file in memory while it parses it.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// The options of an import. The limits ensure that a wrong file is refused instead of taking a long time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportOptions {
    /// The column names of this centre's tables, by field (one of [`COLUMN_NAMES`](super::COLUMN_NAMES)).
    pub columns: BTreeMap<String, String>,
    /// The byte between the fields of a table; `None` detects a comma, semicolon or tab.
    pub delimiter: Option<u8>,
    /// The longest shift, in elapsed time.
    pub max_shift: Duration,
    /// The largest file size in bytes.
    pub max_bytes: usize,
    /// The largest number of rows, or of occurrences of calendar events.
    pub max_rows: usize,
    /// The largest number of days between the first and the last shift, and between the first and the last occurrence
    /// of a calendar event.
    pub max_days: u16,
    /// The time zone of rows and agents that have none.
    pub default_zone: Option<String>,
    /// The import profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// The number of weeks by which every local date is moved before time zones are applied.
    pub move_weeks: i32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            delimiter: None,
            max_shift: Duration::from_secs(24 * 3600),
            max_bytes: MAX_FILE_BYTES,
            max_rows: 2_000_000,
            max_days: 400,
            default_zone: None,
            profiles: BTreeMap::new(),
            move_weeks: 0,
        }
    }
}
