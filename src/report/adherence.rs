//! Reports of adherence over time: days, agents and teams, the segments behind them, not-ready time and mandatory
//! breaks.
//!
//! All of them use the same segments. Stored sums of a day are used unless they are stale; the rest is computed here
//! from segments. Every figure can be counted again from the rows.

pub mod breaks;
mod columns;
pub mod days;
pub mod not_ready;
pub mod segments;
mod source;

pub use self::source::notes;
