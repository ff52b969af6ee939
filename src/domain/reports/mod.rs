//! Reports: their names, formats and runs.

pub mod report_run;
