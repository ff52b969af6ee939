//! `shiftkeeper webhooks rotate`: a new signing key in the file of the old one, which stays beside it for a day. No key is printed.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::super::shared::config_args::ConfigArgs;
use super::super::shared::daemon::{Daemon, DaemonError};
use super::super::shared::exit::Exit;
use super::super::shared::output::{Output, print, print_json};
use super::super::shared::scope::{open_reader, usage};
use super::super::shared::talk::{Failure, say};
use crate::app::identity;
use crate::app::rotation::{RotateError, how_by_hand, new_key, rotate_file};
use crate::clock::{RealTime, SystemRandom};
use crate::config::{Config, Webhook};
use crate::store::{DaemonRow, Role};

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
    /// The endpoint.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Drops the old key at once, and with it the one before that.
    #[arg(long)]
    pub now: bool,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Changes the key, then tells the daemon.
pub async fn run(args: RotateArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let webhook = find(&config, &args.id)?;
    let now = RealTime::now();
    let Some(file) = &webhook.secret_file else {
        return Err(Failure::because(Exit::Failed, how_by_hand(&webhook.id, now)));
    };
    let until = rotate_file(file, &new_key(&SystemRandom), now, args.now).map_err(|error| match error {
        RotateError::Lately { .. } => Failure::because(Exit::TryLater, format!("{error} with --now")),
        RotateError::UnderWay(_) => Failure::because(Exit::TryLater, error.to_string()),
        RotateError::Failed(cause) => cause,
    })?;
    let told = tell_daemon(&config).await;
    let advice = "give the receiver the key on the first line";
    match args.output {
        Output::Json => print_json(&json!({
            "id": webhook.id,
            "file": file,
            "previous_until": until,
            "daemon": told.word(),
        }))?,
        Output::Table => print(match until {
            Some(until) => {
                format!("{}: new key in {}; the old one signs too until {until}: {advice}", webhook.id, file.display())
            }
            None => format!("{}: new key in {}; the old one is gone: {advice} now", webhook.id, file.display()),
        })?,
    }
    say(told.to_string());
    Ok(told.exit().into())
}

fn find<'a>(config: &'a Config, id: &str) -> anyhow::Result<&'a Webhook> {
    config.webhooks.iter().find(|webhook| webhook.id == id).ok_or_else(|| {
        let known: Vec<_> = config.webhooks.iter().map(|webhook| webhook.id.as_str()).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        usage(format!("there is no webhook {id} in the configuration: {known}"))
    })
}

/// What became of telling the daemon.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It was told to reload.
    Done { pid: i64 },
    /// None runs; the next one reads the file.
    NobodyRuns,
    /// It runs where this command cannot reach it.
    NotHere { host: String, pid: i64 },
    /// It could not be told.
    NotPossible { pid: i64, reason: String },
    /// One answers, and the store that says which process it is lies elsewhere.
    Elsewhere { url: String },
    /// Neither a store nor a daemon is to be seen from here.
    Unknown,
}

impl Told {
    const fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "told to reload",
            Self::NobodyRuns => "not running",
            Self::NotHere { .. } => "on another host",
            Self::NotPossible { .. } | Self::Elsewhere { .. } => "not told",
            Self::Unknown => "not known",
        }
    }

    /// A daemon that may still sign with the old key is not the end of it.
    const fn exit(&self) -> Exit {
        match self {
            Self::Done { .. } | Self::NobodyRuns => Exit::Done,
            Self::NotHere { .. } | Self::NotPossible { .. } | Self::Elsewhere { .. } | Self::Unknown => Exit::Partly,
        }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done { pid } => write!(f, "the daemon (process {pid}) was told to reload; its log says what changed"),
            Self::NobodyRuns => write!(f, "no daemon runs; the next one signs with the new key"),
            Self::NotHere { host, pid } => {
                write!(f, "the daemon runs on {host}: put the file there too and send SIGHUP to its process {pid}")
            }
            Self::NotPossible { pid, reason } => {
                write!(
                    f,
                    "the daemon could not be told ({reason}): send SIGHUP to it (process {pid}, if that is still it)"
                )
            }
            Self::Elsewhere { url } => write!(
                f,
                "a daemon answers at {url} and has another store than the one configured here, so that its process is not known: \
                 it signs with the old key until it is reloaded (SIGHUP)"
            ),
            Self::Unknown => write!(f, "whether a daemon runs cannot be told from here; reload it (SIGHUP)"),
        }
    }
}

/// Tells the daemon to read its configuration again: the one that the store names, if it is a Shiftkeeper on this host; whether
/// another one runs is asked at the address where the other commands find it.
async fn tell_daemon(config: &Config) -> Told {
    let row = match open_reader(config).await {
        Ok(reader) => {
            let row = reader.daemon().await;
            reader.close().await;
            Some(row)
        }
        Err(_) => None,
    };
    // A store that is not there, or cannot be read, says nothing of who runs.
    let is_known = matches!(row, Some(Ok(_)));
    if let Some(Ok(Some(row))) = row
        && let Some(told) = tell(row)
    {
        return told;
    }
    match answer_at(config).await {
        Some(Ok(url)) => Told::Elsewhere { url },
        Some(Err(DaemonError::NotReachable { .. })) | None if is_known => Told::NobodyRuns,
        Some(Err(_)) | None => Told::Unknown,
    }
}

/// Tells the process that the store names; none where the store says that it is gone, or the process is.
fn tell(row: DaemonRow) -> Option<Told> {
    if row.role != Role::Daemon || row.stopped_at.is_some() {
        return None;
    }
    if row.host != identity().host {
        return Some(Told::NotHere { host: row.host, pid: row.pid });
    }
    match is_shiftkeeper(row.pid) {
        // After a crash the store still names the process that it was.
        Ok(false) => None,
        // One that does not serve yet may not take signals yet either.
        Ok(true) if row.listen.is_none() => {
            Some(Told::NotPossible { pid: row.pid, reason: "it is just starting".to_owned() })
        }
        Ok(true) => Some(hang_up(row.pid)),
        Err(error) => Some(Told::NotPossible { pid: row.pid, reason: error.to_string() }),
    }
}

/// The address of the daemon that answers there; none where no address is configured.
async fn answer_at(config: &Config) -> Option<Result<String, DaemonError>> {
    let daemon = Daemon::at(config, config.client_url()?).ok()?;
    Some(daemon.readiness().await.map(|_| daemon.url().to_owned()))
}

/// Whether the process is one of this program: the id may be another's by now, and the signal would end it.
fn is_shiftkeeper(pid: i64) -> io::Result<bool> {
    let name = match fs::read_link(format!("/proc/{pid}/exe")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/exe").exists() => {
            return Ok(false);
        }
        other => other?,
    };
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // An upgrade replaces the file under a daemon that runs.
    Ok(name.strip_suffix(" (deleted)").unwrap_or(&name) == env!("CARGO_PKG_NAME"))
}

fn hang_up(pid: i64) -> Told {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match process.map(|process| kill_process(process, Signal::HUP)) {
        Some(Ok(())) => Told::Done { pid },
        Some(Err(error)) => Told::NotPossible { pid, reason: io::Error::from(error).to_string() },
        None => Told::NotPossible { pid, reason: "that is no process".to_owned() },
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
