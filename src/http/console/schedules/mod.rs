//! Pages about schedules: the board of a team's day with its staffing, changes, and the import of files.

pub(in crate::http::console) mod board;
pub(in crate::http::console) mod change;
pub(in crate::http::console) mod import;
mod rows;
mod staffing;
mod view;
