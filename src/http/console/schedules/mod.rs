//! Pages about schedules: the board of a team's day with its staffing, on a desk and on a wall, changes, and the import of
//! files.

pub(in crate::http::console) mod board;
pub(in crate::http::console) mod change;
pub(in crate::http::console) mod import;
pub(in crate::http::console) mod links;
mod rows;
mod staffing;
mod view;
pub(in crate::http::console) mod wall;
