//! The file of the key that signs heads: created once, readable by its owner only, never shown.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::clock::Random;
use crate::domain::audit::head::HeadSigningKey;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("the audit key {} cannot be read ({cause}): make it readable for the daemon's user, or name another in [audit] key", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file cannot be written.
    #[error("the audit key cannot be created at {} ({cause}): make its folder writable, or name another in [audit] key", path.display())]
    Write {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file does not contain an ed25519 key.
    #[error(
        "{} is not an ed25519 key in PKCS#8 PEM: take it from a backup, make one with `openssl genpkey -algorithm ed25519`, or \
         move it away, and the daemon creates a new one", .0.display()
    )]
    NotAKey(PathBuf),
}

/// Reads the key from a file; returns `None` if the file does not exist.
pub fn read(path: &Path) -> Result<Option<HeadSigningKey>, KeyFileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            HeadSigningKey::from_pem(text.trim()).map(Some).ok_or_else(|| KeyFileError::NotAKey(path.to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(KeyFileError::NotAKey(path.to_owned())),
        Err(cause) => Err(KeyFileError::Read { path: path.to_owned(), cause }),
    }
}

/// Reads the key from a file, or creates it if it does not exist. Only the process that owns the store may call this.
pub fn read_or_create(path: &Path, random: &dyn Random) -> Result<HeadSigningKey, KeyFileError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&random.bytes());
    seed[16..].copy_from_slice(&random.bytes());
    let key = HeadSigningKey::from_seed(seed);
    write(path, &key).map_err(|cause| KeyFileError::Write { path: path.to_owned(), cause })?;
    let public = key.public_key();
    tracing::info!(file = %path.display(), key_id = public.id(), public_key = %public, "made a key for the audit heads");
    Ok(key)
}

/// Writes the key atomically: a crash leaves no partial file under the final name.
fn write(path: &Path, key: &HeadSigningKey) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    let pem = key.to_pem().ok_or_else(|| std::io::Error::other("it cannot be written as PEM"))?;
    file.write_all(pem.as_ref())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededRandom;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/down/keeper.db.audit-key");
        assert!(read(&path).expect("no fault").is_none());
        let random = SeededRandom::new(1);
        let made = read_or_create(&path, &random).expect("made");
        assert_eq!(read_or_create(&path, &random).expect("found").public_key(), made.public_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(
            std::fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(),
            1,
            "nothing beside it"
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        for content in [&b"-----BEGIN PRIVATE KEY-----\n"[..], b"", b"\xff\xfe"] {
            std::fs::write(&path, content).expect("written");
            let refused = read_or_create(&path, &SeededRandom::new(1)).expect_err("refused").to_string();
            assert!(refused.contains("openssl genpkey"), "{refused}");
            assert_eq!(std::fs::read(&path).expect("there"), content);
        }
    }
}
