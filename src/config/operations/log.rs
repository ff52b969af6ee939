//! `[log]`: how much the daemon says on standard error, and in which form.

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads, restarts};

/// The daemon's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// The least important that is written.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// How important a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Something is odd and was dealt with.
    Warn,
    /// What the daemon does.
    Info,
    /// How it does it.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for machines.
    Json,
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

impl LogLevel {
    /// The word in the configuration, which is tracing's too.
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
                reloads("level", "The least important that is written to standard error."),
                &kind::choice(LEVELS),
                LogLevel::Info,
            ),
            format: section.value(
                restarts("format", "Lines for people, or one JSON object a line."),
                &kind::choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
                LogFormat::Text,
            ),
        }
    }
}
