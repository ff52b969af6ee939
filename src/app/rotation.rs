//! The rotation of webhook signing keys in files, for the command and for requests to the daemon. The old key stays
//! valid for a day. No key is ever shown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::clock::{BoxFuture, Random, RealTime, SharedClock, SharedRandom, Stopwatch};
use crate::domain::audit::AuditDraft;
use crate::domain::ids::EndpointId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::signature::{KEY_OVERLAP, Keyring, SigningKey};
use crate::engine::operations::status::Reloads;
use crate::http::{KeyRotation, KeyRotationError, KeyRotationRequest, KeyRotator};
use crate::store::{Commit, Writer};

/// How long to wait for a reload, in real time.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to check whether the reload is done.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The endpoints with the files of their secrets; `None` for a secret in the environment.
pub(super) type SecretFiles = Vec<(EndpointId, Option<PathBuf>)>;

/// The reason why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Another rotation is in progress, or was interrupted.
    #[error("{} exists: another rotation is in progress, or one was interrupted; in that case remove the file", .0.display())]
    UnderWay(PathBuf),
    /// The key was rotated less than a day ago, and receivers may know only the previous one.
    #[error(
        "the key of {} was changed less than a day ago, and receivers may still use the previous one, which signs until {until}: \
         wait until then, or drop the previous key", file.display()
    )]
    TooSoon {
        /// The key's file.
        file: PathBuf,
        /// Until when the previous key signs.
        until: UtcMicros,
    },
    /// The file cannot be read or replaced, or contains no key.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Returns the instructions for a secret in the environment, which the daemon cannot change.
pub fn manual_instructions(id: &str, now: UtcMicros) -> String {
    let until = whole_second(now + KEY_OVERLAP);
    format!(
        "the secret of {id} is kept in the environment, which this cannot change: make a key with \
         `echo whsec_$(openssl rand -base64 32)`, put it where the variable is set, keep the old one in a variable that \
         previous_secret names, set previous_until = \"{until}\", and restart the daemon with them; or keep the secret in a \
         file: secret = {{ file = \"PATH\" }}"
    )
}

/// Returns a new random key.
pub fn new_key(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&random.bytes());
    bytes[16..].copy_from_slice(&random.bytes());
    SigningKey::encode_key(&bytes)
}

fn whole_second(instant: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(instant.as_micros() / 1_000_000 * 1_000_000)
}

/// A file that replaces another one when it is complete, and is removed otherwise.
struct NewFile {
    path: PathBuf,
    finished: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes the new key into the file and keeps the old one beside it until the returned instant. The file is replaced as
/// a whole or not at all, and only its owner can read it.
pub fn rotate_file(file: &Path, key: &str, now: UtcMicros, drop_old: bool) -> Result<Option<UtcMicros>, RotateError> {
    let path_text = file.display();
    let real_path = fs::canonicalize(file).with_context(|| format!("{path_text} cannot be found"))?;
    let mut name = real_path.clone().into_os_string();
    name.push(".new");
    let path = PathBuf::from(name);
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut new_file = match created {
        Ok(successor) => successor,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RotateError::UnderWay(path));
        }
        Err(error) => {
            let shown = path.display().to_string();
            return Err(anyhow::Error::new(error).context(format!("{shown} cannot be written")).into());
        }
    };
    let mut guard = NewFile { path, finished: false };
    let text = fs::read_to_string(&real_path).with_context(|| format!("{path_text} cannot be read"))?;
    let old = Keyring::parse(&text).with_context(|| format!("{path_text} has no key"))?;
    if let Some(until) = old.overlap_until(now).filter(|_| !drop_old) {
        return Err(RotateError::TooSoon { file: file.to_owned(), until });
    }
    let until = (!drop_old).then(|| whole_second(now + KEY_OVERLAP));
    let current = text.lines().next().unwrap_or_default().trim_end();
    let text = until.map_or_else(|| format!("{key}\n"), |until| Keyring::format_keys(key, current, until));
    let written = new_file
        .write_all(text.as_bytes())
        .and_then(|()| same_owner(&real_path, &new_file))
        .and_then(|()| new_file.sync_all())
        .and_then(|()| fs::rename(&guard.path, &real_path));
    written.with_context(|| format!("{path_text} cannot be replaced"))?;
    guard.finished = true;
    if let Some(folder) = real_path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(until)
}

/// Gives the new file the old one's owner, so that a rotation as root does not lock out the daemon's user.
fn same_owner(old: &Path, new: &File) -> io::Result<()> {
    let (old, made) = (fs::metadata(old)?, new.metadata()?);
    if (old.uid(), old.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()))
}

/// Rotates keys for requests to the daemon. Cheap to clone.
#[derive(Clone)]
pub(super) struct KeyFiles {
    pub(super) files: watch::Receiver<SecretFiles>,
    pub(super) writer: Writer,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) reloads: Reloads,
    /// Asks whoever runs the daemon to reload the configuration.
    pub(super) reload: Arc<Notify>,
}

impl KeyRotator for KeyFiles {
    fn rotate(&self, request: KeyRotationRequest) -> BoxFuture<Result<KeyRotation, KeyRotationError>> {
        let files = self.clone();
        Box::pin(async move { files.run(request).await })
    }
}

impl KeyFiles {
    async fn run(&self, request: KeyRotationRequest) -> Result<KeyRotation, KeyRotationError> {
        let now = RealTime::now();
        let file = self.files.borrow().iter().find(|(id, _)| *id == request.id).map(|(_, file)| file.clone());
        let file = file.ok_or(KeyRotationError::UnknownEndpoint)?;
        let file = file.ok_or_else(|| KeyRotationError::NotRotatable(manual_instructions(request.id.as_str(), now)))?;
        // Recorded before the change, so that no key changes without an audit entry. A failed change is recorded too.
        self.record_rotation(&request, None).await?;
        let (key, drop_old) = (new_key(&*self.random), request.drop_old);
        let changed = tokio::task::spawn_blocking(move || rotate_file(&file, &key, now, drop_old)).await;
        let changed = changed.unwrap_or_else(|panicked| Err(RotateError::Failed(panicked.into())));
        match changed {
            Ok(previous_until) => Ok(KeyRotation { previous_until, in_force: self.wait_for_reload().await }),
            Err(error) => {
                self.record_rotation(&request, Some("failed")).await?;
                Err(match error {
                    RotateError::TooSoon { until, .. } => KeyRotationError::TooSoon(until),
                    RotateError::UnderWay(_) => KeyRotationError::NotRotatable(error.to_string()),
                    RotateError::Failed(cause) => {
                        tracing::warn!(webhook = %request.id, error = format!("{cause:#}"), "its key was not changed");
                        KeyRotationError::NotRotatable(format!(
                            "the daemon could not replace the file of the secret ({cause:#}); rotate it where the file can be \
                             written: shiftkeeper webhooks rotate {}",
                            request.id
                        ))
                    }
                })
            }
        }
    }

    /// Requests a reload and returns whether the daemon has read its configuration since, and so the key.
    async fn wait_for_reload(&self) -> bool {
        let before = self.reloads.last().1;
        self.reload.notify_one();
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < RELOAD_TIMEOUT {
            if self.reloads.last().1 > before {
                return true;
            }
            RealTime::sleep(CHECK_INTERVAL).await;
        }
        false
    }

    async fn record_rotation(
        &self,
        request: &KeyRotationRequest,
        outcome: Option<&str>,
    ) -> Result<(), KeyRotationError> {
        let audit = AuditDraft {
            outcome: outcome.map(str::to_owned),
            ..AuditDraft::new(
                request.tenant.clone(),
                self.clock.now(),
                request.actor.clone(),
                "webhook.key_rotated",
                json!({"webhook": request.id, "drop_old": request.drop_old}),
            )
        };
        let committed = self.writer.commit(Commit { audit: vec![audit], ..Commit::default() }).await;
        committed.map(|_| ()).map_err(KeyRotationError::Store)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::clock::{SeededRandom, SystemRandom};

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

    #[test]
    fn the_new_key_comes_first_and_the_old_one_signs_for_a_day() {
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
        assert!(matches!(refused, RotateError::TooSoon { .. }), "{refused}");
        assert!(!format!("{refused:#}").contains("whsec_"));
        assert!(fs::read_to_string(&file).expect("text").starts_with(&keys[0]), "and nothing changed");
        let later = now() + KEY_OVERLAP;
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
        assert!(matches!(busy, RotateError::UnderWay(_)), "{busy}");
        assert!(folder.path().join("secret.new").exists(), "another's file is not removed");
    }

    #[test]
    fn a_symbolic_link_is_kept_and_its_target_is_replaced() {
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
}
