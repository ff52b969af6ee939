//! Reports that were requested.

pub(in crate::store) mod report_runs;
