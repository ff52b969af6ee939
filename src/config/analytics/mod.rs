//! Analytics: aggregation queries, and the series that are monitored.

pub(super) mod query;
pub(super) mod series;
