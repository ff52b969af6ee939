//! Rules: their definition and check, the decisions they lead to now, and backtests.

pub mod planner;
pub mod replay;
pub mod rule;
