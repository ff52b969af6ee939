//! `[tenants.figures]`: how figures of skills and queues are read (guides 000 and 001).

use std::time::Duration;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};

/// The settings for reading figures of skills and queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureSettings {
    /// The time between two reads.
    pub interval: Duration,
    /// The maximum number of reads in any 60 s. The platform counts them separately from ordinary requests.
    pub requests_per_minute: u32,
    /// The path of skill figures, including the version.
    pub skill_path: String,
    /// The unit of the queues' service level.
    pub queue_service_level: ServiceLevelUnit,
}

/// The unit of a service level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceLevelUnit {
    /// Percent: 82.5 for eighty-two and a half per cent.
    Percent,
    /// A share of 1: 0.825 for the same value.
    Share,
}

impl FigureSettings {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            interval: section.value(
                reloadable(
                    "interval",
                    "The time between two reads of the figures. The platform's figures are up to 30 seconds old, and \
                     it asks for at least 15 seconds between reads.",
                ),
                &kind::duration(Duration::from_secs(15)..=Duration::from_secs(600)),
                Duration::from_secs(30),
            ),
            requests_per_minute: section.value(
                reloadable(
                    "requests_per_minute",
                    "The maximum number of reads in any 60 seconds. The platform allows 10 to 20, in addition to the \
                     ordinary requests.",
                ),
                &kind::integer(1..=600),
                10,
            ),
            skill_path: section.value(
                reloadable("skill_path", "The path of skill figures, including the version."),
                &path_template(),
                "/InContactAPI/services/v18.0/real-time-data/skill-data".to_owned(),
            ),
            queue_service_level: section.value(
                reloadable(
                    "queue_service_level",
                    "The unit of the platform's service level for queues: `percent` (82.5) or `share` (0.825).",
                ),
                &kind::choice(&[("percent", ServiceLevelUnit::Percent), ("share", ServiceLevelUnit::Share)]),
                ServiceLevelUnit::Percent,
            ),
        }
    }

    /// Returns these settings with those of `newer` that running workers take over.
    pub(in crate::config) fn with_reloadable_from(&self, newer: &Self) -> Self {
        Self { interval: newer.interval, ..self.clone() }
    }
}

/// The guide writes this path with a space: `/InContact API/services/…`.
fn path_template() -> Kind<String> {
    let convert = |text: &str| {
        let bad = |c: char| c.is_control() || matches!(c, '?' | '#' | '%');
        if text.starts_with('/') && text.trim() == text && !text.contains(bad) {
            Ok(text.to_owned())
        } else {
            Err(ValueFault::new("must be a path that begins with /, without query and not percent-encoded"))
        }
    };
    Kind::from_text("path", convert, |path| format!("{path:?}"))
}
