//! Reports: the runs that the daemon was asked for.

pub(in crate::store) mod report_runs;
