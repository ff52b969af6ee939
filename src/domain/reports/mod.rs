//! Reports: their names and formats, and the runs that somebody asked for.

pub mod report_run;
