//! Schedules: importing files, and checking and applying changes.

mod changes;
mod check;
mod import;
mod rule_preview;
mod sources;
mod staffing;

pub use import::{Importer, check_file, file_request_parts, request_of_file};
