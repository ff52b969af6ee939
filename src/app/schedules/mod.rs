//! Schedules: importing files, and checking and applying changes.

mod changes;
mod check;
mod import;

pub use import::{Importer, request_of_file};
