//! Services that handlers use and `app` implements, because they deal with files and the configuration.

pub mod reports;
pub mod schedule_changes;
pub mod schedule_offers;
pub mod schedules;
pub mod shifts;
pub mod staffing;
pub mod webhooks;
