//! Pages about schedules: the board of a team's day with its staffing, on a desk and on a wall, changes, and the import of
//! files.

pub(in crate::http::console) mod board;
pub(in crate::http::console) mod change;
pub(in crate::http::console) mod import;
pub(in crate::http::console) mod links;
pub(in crate::http) mod offer;
pub(in crate::http) mod offers;
mod rows;
mod staffing;
mod view;
pub(in crate::http::console) mod wall;
