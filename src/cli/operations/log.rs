//! The log of serving processes: lines on standard error, as configured.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::clock::SystemClock;
use crate::config::{Log as LogConfig, LogFormat, LogLevel};
use crate::domain::time::UtcMicros;
use crate::engine::operations::log::{Log, Outage};

/// How long a reader of standard error may pause before lines are lost, in real time. The thread that logs waits that
/// long.
const MAX_STALL: Duration = Duration::from_secs(1);

/// The number of bytes that a ready pipe takes at once without waiting (`PIPE_BUF`).
const MAX_WRITE_BYTES: usize = 4096;

/// A running log.
pub(in crate::cli) struct RunningLog {
    /// The log that lines go to.
    pub(in crate::cli) log: Log,
    set_filter: Box<dyn Fn(EnvFilter) + Send>,
}

impl RunningLog {
    /// Changes the lowest level that is logged.
    pub(in crate::cli) fn set_level(&self, level: LogLevel) {
        (self.set_filter)(level_filter(level));
    }
}

fn level_filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("warn,shiftkeeper={}", level.name()))
}

/// Starts the log.
pub(in crate::cli) fn start(config: LogConfig) -> RunningLog {
    let notice = match config.format {
        LogFormat::Text => text_notice,
        LogFormat::Json => json_notice,
    };
    // Lines have the system's time, even if the daemon's clock is simulated.
    let log = Log::new(StandardError { has_stalled: false }, Arc::new(SystemClock::real()), notice);
    let writer = log.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level_filter(config.level))
        .with_writer(move || writer.clone())
        // It would report on standard error that standard error cannot be written, and panic.
        .log_internal_errors(false);
    // If a log exists already (a test's), it stays, and there is nothing to change.
    let set_filter: Box<dyn Fn(EnvFilter) + Send> = match config.format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal();
            let builder = builder.with_ansi(ansi).with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
    };
    RunningLog { log, set_filter }
}

fn text_notice(outage: &Outage, now: UtcMicros) -> String {
    format!("{now:.6}  WARN {}\n", outage.notice())
}

fn json_notice(outage: &Outage, now: UtcMicros) -> String {
    let Outage { since, lines_lost, cause } = outage;
    let line = json!({
        "timestamp": format!("{now:.6}"), "level": "WARN", "message": outage.notice(), "lines_lost": lines_lost,
        "since": since, "cause": cause, "target": module_path!(),
    });
    format!("{line}\n")
}

/// Standard error that does not wait for ever for a reader who pauses.
struct StandardError {
    /// Whether the reader took nothing for longer than [`MAX_STALL`], and has taken nothing since.
    has_stalled: bool,
}

impl StandardError {
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let error = io::stderr();
        let patience = if self.has_stalled { Duration::ZERO } else { MAX_STALL };
        let limit = Timespec::try_from(patience).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&error, PollFlags::OUT)], Some(&limit))?;
        self.has_stalled = ready == 0;
        if self.has_stalled { Err(io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing")) } else { Ok(()) }
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_until_ready()?;
        io::stderr().write(&bytes[..bytes.len().min(MAX_WRITE_BYTES)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_notice_is_a_line_of_the_log_in_either_format() {
        let since: UtcMicros = "2026-11-24T10:00:00Z".parse().expect("an instant");
        let outage = Outage { since, lines_lost: 12, cause: "disk full".to_owned() };
        let now = since + Duration::from_secs(60);
        let text = text_notice(&outage, now);
        assert!(text.starts_with("2026-11-24T10:01:00.000000Z  WARN 12 log lines lost since 2026-11-24T10:00:00Z, "));
        let json: Value = serde_json::from_str(&json_notice(&outage, now)).expect("JSON");
        assert_eq!((&json["lines_lost"], &json["cause"]), (&json!(12), &json!("disk full")));
        assert_eq!((&json["timestamp"], &json["level"]), (&json!("2026-11-24T10:01:00.000000Z"), &json!("WARN")));
    }
}
