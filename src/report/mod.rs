//! Figures that can be recomputed, and the writers that hand them out. Reads the store, decides nothing, writes no store.
//!
//! A report ([`request::Kind`]) pushes typed rows ([`document`]); [`writers`] make files of them, [`export`] puts a [`manifest`] beside each,
//! and [`verify`] holds a file, its manifest and the store against each other.

pub mod adherence;
pub mod chart;
pub mod compliance;
pub mod document;
pub mod export;
pub mod manifest;
pub mod provenance;
pub mod request;
pub mod sheet;
pub mod shown;
pub mod spread;
pub mod tally;
pub mod trend;
pub mod verify;
pub mod whom;
pub mod writers;
