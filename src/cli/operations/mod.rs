//! Operations: running and checking the daemon, its database, the demo and the manual.

pub mod check;
pub mod db;
pub mod demo;
pub mod doctor;
pub mod healthcheck;
pub mod init;
pub(super) mod log;
pub mod manual;
pub mod run;
pub mod simulate;
pub mod status;
