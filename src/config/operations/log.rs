//! `[log]`: how much the daemon logs to standard error, and in which format.

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable, restart_only};

/// The settings of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// The least important level that is logged.
    pub level: LogLevel,
    /// The format of a line.
    pub format: LogFormat,
}

/// The importance of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Something unusual that was handled.
    Warn,
    /// What the daemon does.
    Info,
    /// How the daemon does it.
    Debug,
    /// Everything.
    Trace,
}

/// The format of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Returns the word in the configuration, which is also the name of the `tracing` level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Log {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            level: section.value(
                reloadable("level", "The lowest level that is written to standard error."),
                &kind::named(&LogLevel::ALL, LogLevel::name),
                LogLevel::Info,
            ),
            format: section.value(
                restart_only("format", "`text` for people, or `json` with one object per line."),
                &kind::choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
                LogFormat::Text,
            ),
        }
    }
}
