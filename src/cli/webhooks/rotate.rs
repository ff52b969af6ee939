//! `shiftkeeper webhooks rotate`: writes a new signing key into the file of the old one, which stays beside it for a
//! day. No key is printed.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::super::shared::config_args::ConfigArgs;
use super::super::shared::daemon::{DaemonClient, DaemonError};
use super::super::shared::exit::{CommandFailure, Exit};
use super::super::shared::messages::print_message;
use super::super::shared::output::Output;
use super::super::shared::scope::{open_reader, usage_error};
use crate::app::identity;
use crate::app::rotation::{RotateError, manual_instructions, new_key, rotate_file};
use crate::clock::{RealTime, SystemRandom};
use crate::config::{Config, Webhook};
use crate::store::{DaemonRow, ProcessRole};

/// Options of `webhooks rotate`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Deliveries carry both signatures for 24 hours; give the receiver the first line of the file within them.
The daemon is told to reload when it runs on this host with the store that is configured here; otherwise this ends with 3, and
the daemon signs with the old key until it is told (SIGHUP).

Examples:
  shiftkeeper webhooks rotate wfm
  shiftkeeper webhooks rotate wfm --now       the old key is known to others: it stops at once"
)]
pub struct RotateArgs {
    /// The endpoint's id.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Remove the old key at once, together with the key before it.
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Changes the key, then notifies the daemon.
pub async fn run(args: RotateArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let webhook = find_webhook(&config, &args.id)?;
    let now = RealTime::now();
    let Some(file) = &webhook.secret_file else {
        return Err(CommandFailure::with_exit(Exit::Failed, manual_instructions(&webhook.id, now)));
    };
    let until = rotate_file(file, &new_key(&SystemRandom), now, args.now).map_err(|error| match error {
        RotateError::TooSoon { .. } => CommandFailure::with_exit(Exit::TryLater, format!("{error} with --now")),
        RotateError::UnderWay(_) => CommandFailure::with_exit(Exit::TryLater, error.to_string()),
        RotateError::Failed(cause) => cause,
    })?;
    let outcome = notify_daemon(&config).await;
    let advice = "give the receiver the key on the first line";
    let value = json!({ "id": webhook.id, "file": file, "previous_until": until, "daemon": outcome.label() });
    args.output.print(&value, || match until {
        Some(until) => {
            format!("{}: new key in {}; the old one signs too until {until}: {advice}", webhook.id, file.display())
        }
        None => format!("{}: new key in {}; the old one is gone: {advice} now", webhook.id, file.display()),
    })?;
    print_message(outcome.to_string());
    Ok(outcome.exit().into())
}

fn find_webhook<'a>(config: &'a Config, id: &str) -> anyhow::Result<&'a Webhook> {
    config.webhooks.iter().find(|webhook| webhook.id == id).ok_or_else(|| {
        let known: Vec<_> = config.webhooks.iter().map(|webhook| webhook.id.as_str()).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        usage_error(format!("there is no webhook {id} in the configuration: {known}"))
    })
}

/// The result of notifying the daemon.
#[derive(Debug, PartialEq, Eq)]
enum NotifyOutcome {
    /// The daemon was signalled to reload.
    Signalled { pid: i64 },
    /// No daemon runs; the next one reads the file.
    NotRunning,
    /// The daemon runs where this command cannot reach it.
    OnOtherHost { host: String, pid: i64 },
    /// The daemon could not be notified.
    Failed { pid: i64, reason: String },
    /// A daemon answers, but it uses a store that this command cannot see.
    OtherStore { url: String },
    /// Neither a store nor a daemon can be found from here.
    Unknown,
}

impl NotifyOutcome {
    const fn label(&self) -> &'static str {
        match self {
            Self::Signalled { .. } => "told to reload",
            Self::NotRunning => "not running",
            Self::OnOtherHost { .. } => "on another host",
            Self::Failed { .. } | Self::OtherStore { .. } => "not told",
            Self::Unknown => "not known",
        }
    }

    /// Returns the exit code. It is not success if a daemon may still sign with the old key.
    const fn exit(&self) -> Exit {
        match self {
            Self::Signalled { .. } | Self::NotRunning => Exit::Done,
            Self::OnOtherHost { .. } | Self::Failed { .. } | Self::OtherStore { .. } | Self::Unknown => Exit::Partial,
        }
    }
}

impl std::fmt::Display for NotifyOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signalled { pid } => {
                write!(f, "the daemon (process {pid}) was asked to reload; its log says what changed")
            }
            Self::NotRunning => write!(f, "no daemon runs; the next one signs with the new key"),
            Self::OnOtherHost { host, pid } => {
                write!(f, "the daemon runs on {host}: put the file there too and send SIGHUP to its process {pid}")
            }
            Self::Failed { pid, reason } => {
                write!(
                    f,
                    "the daemon could not be notified ({reason}): send SIGHUP to it (process {pid}, if that is still the daemon)"
                )
            }
            Self::OtherStore { url } => write!(
                f,
                "a daemon answers at {url} and has another store than the one configured here, so that its process is not known: \
                 it signs with the old key until it is reloaded (SIGHUP)"
            ),
            Self::Unknown => write!(f, "it is unknown whether a daemon runs; reload it (SIGHUP)"),
        }
    }
}

/// Notifies the daemon to reload its configuration: the process that the store names, if it is a Shiftkeeper on this
/// host. Whether another one runs is checked at the address where other commands find it.
async fn notify_daemon(config: &Config) -> NotifyOutcome {
    let row = match open_reader(config).await {
        Ok(reader) => {
            let row = reader.daemon().await;
            reader.close().await;
            Some(row)
        }
        Err(_) => None,
    };
    // A missing or unreadable store does not say which daemon runs.
    let is_known = matches!(row, Some(Ok(_)));
    if let Some(Ok(Some(row))) = row
        && let Some(outcome) = notify_process(row)
    {
        return outcome;
    }
    match answering_url(config).await {
        Some(Ok(url)) => NotifyOutcome::OtherStore { url },
        Some(Err(DaemonError::NotReachable { .. })) | None if is_known => NotifyOutcome::NotRunning,
        Some(Err(_)) | None => NotifyOutcome::Unknown,
    }
}

/// Signals the process that the store names. Returns `None` if the store or the system says that it is gone.
fn notify_process(row: DaemonRow) -> Option<NotifyOutcome> {
    if row.role != ProcessRole::Daemon || row.stopped_at.is_some() {
        return None;
    }
    if row.host != identity().host {
        return Some(NotifyOutcome::OnOtherHost { host: row.host, pid: row.pid });
    }
    match is_shiftkeeper(row.pid) {
        // After a crash the store still names the dead process.
        Ok(false) => None,
        // A process that does not serve yet may not handle signals yet either.
        Ok(true) if row.listen.is_none() => {
            Some(NotifyOutcome::Failed { pid: row.pid, reason: "it is just starting".to_owned() })
        }
        Ok(true) => Some(send_sighup(row.pid)),
        Err(error) => Some(NotifyOutcome::Failed { pid: row.pid, reason: error.to_string() }),
    }
}

/// Returns the address at which a daemon answers, or `None` if no address is configured.
async fn answering_url(config: &Config) -> Option<Result<String, DaemonError>> {
    let daemon = DaemonClient::at(config, config.client_url()?).ok()?;
    Some(daemon.readiness().await.map(|_| daemon.url().to_owned()))
}

/// Returns whether the process runs this program. The id may belong to another process by now, and the signal would
/// end it.
fn is_shiftkeeper(pid: i64) -> io::Result<bool> {
    let name = match fs::read_link(format!("/proc/{pid}/exe")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/exe").exists() => {
            return Ok(false);
        }
        other => other?,
    };
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // An upgrade replaces the file under a running daemon.
    Ok(name.strip_suffix(" (deleted)").unwrap_or(&name) == env!("CARGO_PKG_NAME"))
}

fn send_sighup(pid: i64) -> NotifyOutcome {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match process.map(|process| kill_process(process, Signal::HUP)) {
        Some(Ok(())) => NotifyOutcome::Signalled { pid },
        Some(Err(error)) => NotifyOutcome::Failed { pid, reason: io::Error::from(error).to_string() },
        None => NotifyOutcome::Failed { pid, reason: "that is not a process".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_another_program_is_not_signalled() {
        assert!(!is_shiftkeeper(i64::from(std::process::id())).expect("this test is not the daemon"));
        assert!(!is_shiftkeeper(i64::from(i32::MAX)).expect("nobody"));
    }
}
