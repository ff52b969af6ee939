//! Pages about schedules: the board of a team's day.

pub(in crate::http::console) mod board;
pub(in crate::http::console) mod change;
