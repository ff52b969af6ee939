//! Rules: how they are written and checked, what they want now, and what they would have done.

pub mod planner;
pub mod replay;
pub mod rule;
