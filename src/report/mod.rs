//! Reports: figures that can be recomputed, and the writers of their files.
//!
//! This module reads the store and never writes to it. A report ([`request::ReportKind`]) pushes typed rows
//! ([`document`]), [`writers`] turn them into files, [`export`] puts a [`manifest`] beside each file, and [`verify`]
//! compares a file, its manifest and the store.

pub mod adherence;
pub mod agent_filter;
pub mod compliance;
pub mod csv_sheet;
pub mod document;
pub mod export;
pub mod format;
mod kind;
pub mod manifest;
pub mod request;
pub mod tally;
pub mod trend;
pub mod verify;
pub mod writers;
