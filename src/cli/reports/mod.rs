//! Reports: printed, written to files and verified.

pub mod report;
