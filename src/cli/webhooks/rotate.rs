//! `shiftkeeper webhooks rotate`: a new signing key in the file of the old one, which stays beside it for a day. No key is printed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::super::config_args::ConfigArgs;
use super::super::daemon::{Daemon, DaemonError};
use super::super::exit::Exit;
use super::super::output::{Output, print, print_json};
use super::super::scope::{open_reader, usage};
use super::super::talk::{Failure, say};
use crate::app::identity;
use crate::clock::{Random, RealTime, SystemRandom};
use crate::config::{Config, Webhook};
use crate::domain::signature::{Keyring, OVERLAP, SigningKey};
use crate::domain::time::UtcMicros;
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
    let until = rotate_file(file, &new_key(&SystemRandom), now, args.now)?;
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

fn how_by_hand(id: &str, now: UtcMicros) -> String {
    let until = whole_second(now + OVERLAP);
    format!(
        "the secret of {id} is kept in the environment, which this cannot change: make a key with \
         `echo whsec_$(openssl rand -base64 32)`, put it where the variable is set, keep the old one in a variable that \
         previous_secret names, set previous_until = \"{until}\", and restart the daemon with them; or keep the secret in a \
         file: secret = {{ file = \"PATH\" }}"
    )
}

fn new_key(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&random.bytes());
    bytes[16..].copy_from_slice(&random.bytes());
    SigningKey::text_of(&bytes)
}

fn whole_second(instant: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(instant.as_micros() / 1_000_000 * 1_000_000)
}

/// A file that takes the place of another when it is whole, and goes away when it never is.
struct Successor {
    path: PathBuf,
    finished: bool,
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts the new key into the file and keeps the old one beside it until the instant that is given back. The file is replaced
/// whole or not at all; only its owner can read it.
fn rotate_file(file: &Path, key: &str, now: UtcMicros, drop_old: bool) -> anyhow::Result<Option<UtcMicros>> {
    let shown = file.display();
    let real = fs::canonicalize(file).with_context(|| format!("{shown} cannot be found"))?;
    let mut name = real.clone().into_os_string();
    name.push(".new");
    let path = PathBuf::from(name);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut successor = match made {
        Ok(successor) => successor,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text =
                format!("{} is there: another rotation is under way, or one broke off; remove it then", path.display());
            return Err(Failure::because(Exit::TryLater, text));
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be written", path.display())),
    };
    let mut guard = Successor { path, finished: false };
    let text = fs::read_to_string(&real).with_context(|| format!("{shown} cannot be read"))?;
    let old = Keyring::parse(&text).with_context(|| format!("{shown} does not hold a key"))?;
    if let Some(until) = old.overlap_until(now).filter(|_| !drop_old) {
        let text = format!(
            "the key of {shown} was changed less than a day ago, and receivers may know only the one before, which signs until \
             {until}: wait until then, or drop it with --now"
        );
        return Err(Failure::because(Exit::TryLater, text));
    }
    let until = (!drop_old).then(|| whole_second(now + OVERLAP));
    let current = text.lines().next().unwrap_or_default().trim_end();
    let text = until.map_or_else(|| format!("{key}\n"), |until| Keyring::text_of(key, current, until));
    let written = successor
        .write_all(text.as_bytes())
        .and_then(|()| same_owner(&real, &successor))
        .and_then(|()| successor.sync_all())
        .and_then(|()| fs::rename(&guard.path, &real));
    written.with_context(|| format!("{shown} cannot be replaced"))?;
    guard.finished = true;
    if let Some(folder) = real.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(until)
}

/// Whoever rotates as root leaves the file to the user of the daemon.
fn same_owner(old: &Path, new: &File) -> io::Result<()> {
    let (old, made) = (fs::metadata(old)?, new.metadata()?);
    if (old.uid(), old.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()))
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
    match answer_at(config.client_url()).await {
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
async fn answer_at(url: Option<String>) -> Option<Result<String, DaemonError>> {
    let daemon = Daemon::at(url?).ok()?;
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
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::clock::SeededRandom;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn now() -> UtcMicros {
        "2026-11-22T10:00:00.25Z".parse().expect("an instant")
    }

    fn folder_with(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        fs::write(&file, text).expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("sets");
        (folder, file)
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    fn exit(error: &anyhow::Error) -> Option<Exit> {
        error.downcast_ref::<Failure>().map(|failure| failure.exit)
    }

    #[test]
    fn the_new_key_stands_first_and_the_old_one_signs_for_a_day() {
        let (folder, file) = folder_with(&format!("{OLD}\n"));
        let key = new_key(&SeededRandom::new(1));
        let until = rotate_file(&file, &key, now(), false).expect("rotates").expect("an end");
        assert_eq!(until.to_string(), "2026-11-23T10:00:00Z");
        assert_eq!(fs::read_to_string(&file).expect("text"), format!("{key}\n{OLD} until 2026-11-23T10:00:00Z\n"));
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(files(folder.path()), 1, "nothing else is left");
    }

    #[test]
    fn a_key_that_was_just_changed_is_not_changed_again_unless_that_is_meant() {
        let (folder, file) = folder_with(&format!("{OLD}\n"));
        let keys: Vec<_> = (1..=4).map(|seed| new_key(&SeededRandom::new(seed))).collect();
        rotate_file(&file, &keys[0], now(), false).expect("rotates");
        let refused = rotate_file(&file, &keys[1], now(), false).expect_err("too soon");
        assert_eq!(exit(&refused), Some(Exit::TryLater));
        assert!(!format!("{refused:#}").contains("whsec_"));
        assert!(fs::read_to_string(&file).expect("text").starts_with(&keys[0]), "and nothing changed");
        let later = now() + OVERLAP;
        rotate_file(&file, &keys[2], later, false).expect("a day later");
        assert!(fs::read_to_string(&file).expect("text").starts_with(&format!("{}\n{} until ", keys[2], keys[0])));
        assert_eq!(rotate_file(&file, &keys[3], later, true).expect("now"), None);
        assert_eq!(fs::read_to_string(&file).expect("text"), format!("{}\n", keys[3]));
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn what_holds_no_key_or_cannot_be_replaced_is_left_as_it_is() {
        let (folder, file) = folder_with("hunter2\n");
        let key = new_key(&SeededRandom::new(1));
        let refused = rotate_file(&file, &key, now(), false).expect_err("no key");
        assert!(!format!("{refused:#}").contains("hunter2"), "{refused:#}");
        assert_eq!((fs::read_to_string(&file).expect("text").as_str(), files(folder.path())), ("hunter2\n", 1));
        let missing = rotate_file(&folder.path().join("none"), &key, now(), false).expect_err("missing");
        assert!(format!("{missing:#}").contains("none cannot be found"), "{missing:#}");
        fs::write(folder.path().join("secret.new"), "").expect("writes");
        let busy = rotate_file(&file, &key, now(), false).expect_err("busy");
        assert_eq!(exit(&busy), Some(Exit::TryLater));
        assert!(folder.path().join("secret.new").exists(), "another's file is not removed");
    }

    #[test]
    fn a_link_stays_and_what_it_points_to_is_replaced() {
        let (folder, file) = folder_with(&format!("{OLD}\n"));
        let link = folder.path().join("link");
        symlink(&file, &link).expect("links");
        rotate_file(&link, &new_key(&SeededRandom::new(1)), now(), false).expect("rotates");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert!(fs::read_to_string(&file).expect("text").contains(OLD));
    }

    #[test]
    fn keys_differ_and_are_keys() {
        let keys: std::collections::BTreeSet<_> = (0..100).map(|_| new_key(&SystemRandom)).collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| SigningKey::parse(key).is_ok()));
    }

    #[test]
    fn a_process_that_is_another_program_is_not_signalled() {
        assert!(!is_shiftkeeper(i64::from(std::process::id())).expect("this test is not the daemon"));
        assert!(!is_shiftkeeper(i64::from(i32::MAX)).expect("nobody"));
    }
}
