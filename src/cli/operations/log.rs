//! The log of the processes that serve: lines on standard error, as the configuration says.

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

/// How long a reader of standard error may pause before lines are lost, in real time: whoever logs waits so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipe that is ready takes so many bytes at once without waiting (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// A log that runs.
pub(in crate::cli) struct Started {
    /// Where its lines go.
    pub(in crate::cli) log: Log,
    set_filter: Box<dyn Fn(EnvFilter) + Send>,
}

impl Started {
    /// Changes the least level that is logged.
    pub(in crate::cli) fn set_level(&self, level: LogLevel) {
        (self.set_filter)(least(level));
    }
}

fn least(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("warn,shiftkeeper={}", level.name()))
}

/// Starts the log.
pub(in crate::cli) fn start(config: LogConfig) -> Started {
    let notice = match config.format {
        LogFormat::Text => text_notice,
        LogFormat::Json => json_notice,
    };
    // Lines have the system's time, also where the daemon's clock is a simulated one.
    let log = Log::new(StandardError { has_stalled: false }, Arc::new(SystemClock::real()), notice);
    let writer = log.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(least(config.level))
        .with_writer(move || writer.clone())
        // It would say on standard error that standard error cannot be written, and panic.
        .log_internal_errors(false);
    // A log that is there already (a test's) stays, and then there is nothing to change.
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
    Started { log, set_filter }
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

/// Standard error, which a reader who pauses does not make wait for ever.
struct StandardError {
    /// The reader took nothing for longer than [`PATIENCE`], and has taken nothing since.
    has_stalled: bool,
}

impl StandardError {
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let error = io::stderr();
        let patience = if self.has_stalled { Duration::ZERO } else { PATIENCE };
        let limit = Timespec::try_from(patience).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&error, PollFlags::OUT)], Some(&limit))?;
        self.has_stalled = ready == 0;
        if self.has_stalled { Err(io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing")) } else { Ok(()) }
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_until_ready()?;
        io::stderr().write(&bytes[..bytes.len().min(AT_ONCE)])
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
