//! Schedules: importing files, and checking and applying changes.

mod changes;
mod check;
mod import;

pub use import::{Importer, check_file, request_of_file};
