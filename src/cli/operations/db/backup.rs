//! `db backup`: a checked copy of the database, with or without a running daemon.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::app::clock_for;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::finding::bytes_text;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::usage_error;
use crate::config::{Config, JobKind};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::backup::free_path;
use crate::store::{back_up, inspect};

/// Options of `db backup`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The copy is consistent, and gets its name only after it is synced to disk and verified. Use pg_dump for a PostgreSQL \
database.

Examples:
  shiftkeeper db backup /var/backups/shiftkeeper
  shiftkeeper db backup before-upgrade.db --output json"
)]
pub struct BackupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A folder, where the copy is named after its time, or a file that does not exist yet. The default is the folder
    /// of the backup job.
    #[arg(value_name = "FOLDER|FILE")]
    to: Option<PathBuf>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let named = args.to.or_else(|| backup_job_folder(&config));
    let named =
        named.ok_or_else(|| usage_error("name a folder or a file: no job of kind backup has a folder".to_owned()))?;
    let target = target_file(&named, clock_for(&config).await.now())?;
    // A copy of a store without its write-ahead log would look complete.
    inspect(config.store.connection_url().expose(), false).await?;
    let backup = back_up(config.store.connection_url().expose(), &target).await?;
    let sha256 = sha256(&backup.path).with_context(|| format!("{} cannot be read again", backup.path.display()))?;
    let value = json!({ "path": backup.path, "bytes": backup.bytes, "sha256": sha256, "entries": backup.entries });
    args.output.print(&value, || {
        let (bytes, entries) = (bytes_text(backup.bytes), count_with_noun(backup.entries, "audit entry"));
        format!("{}\n{bytes} with {entries}, checked\nsha256 {sha256}", backup.path.display())
    })?;
    Ok(Exit::Done.into())
}

fn backup_job_folder(config: &Config) -> Option<PathBuf> {
    config.jobs.iter().filter(|job| job.kind == JobKind::Backup).find_map(|job| job.folder.clone())
}

/// Returns the path of the copy. An existing file is never overwritten.
fn target_file(named: &Path, now: UtcMicros) -> anyhow::Result<PathBuf> {
    let is_folder =
        named.is_dir() || named.as_os_str().as_encoded_bytes().ends_with(b"/") || named.extension().is_none();
    if is_folder {
        return Ok(free_path(named, now));
    }
    if named.exists() {
        return Err(usage_error(format!("{} is there already: name a folder, or another file", named.display())));
    }
    Ok(named.to_owned())
}

/// Returns the SHA-256 of the file as written, in hexadecimal.
pub(super) fn sha256(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (std::fs::File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            many => hash.update(&buffer[..many]),
        }
    }
    Ok(crate::domain::audit::Hash(hash.finalize().into()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_a_folder_gets_its_own_name_and_never_overwrites_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |named: &Path| target_file(named, UtcMicros::EPOCH).ok();
        let name = "shiftkeeper-19700101T000000Z.db";
        assert_eq!(of(folder.path()), Some(folder.path().join(name)));
        let new = folder.path().join("made/later");
        assert_eq!(of(&new), Some(new.join(name)));
        let file = folder.path().join("before.db");
        assert_eq!(of(&file), Some(file.clone()));
        std::fs::write(&file, "abc").expect("written");
        assert_eq!(of(&file), None);
        let hash = sha256(&file).expect("read");
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
