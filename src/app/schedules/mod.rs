//! Schedules: importing files, checking and applying changes, and offering them to agents.

mod changes;
mod check;
mod import;
mod offers;
mod rule_preview;
mod sources;
mod staffing;

pub use import::{Importer, check_file, file_request_parts, request_of_file};
