//! Pages about schedules: the board of a team's day with its staffing, and changes.

pub(in crate::http::console) mod board;
pub(in crate::http::console) mod change;
mod staffing;
