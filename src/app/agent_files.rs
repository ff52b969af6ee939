//! Data about agents outside the store: report files, processed schedule files, and copies of the database.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::jobs::{DONE, FAILED};
use super::reports::ReportRunner;
use crate::clock::BoxFuture;
use crate::config::{Config, JobKind};
use crate::domain::agents::erasure::{ErasureResult, TextEraser};
use crate::domain::ids::{AgentId, TenantId};
use crate::engine::agents::erasure::AgentFiles;

/// The part of a file name that marks a database which a restore has replaced.
const REPLACED_SUFFIX: &str = ".replaced-";

/// The folders of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct FileLocations {
    /// The folders where tenants' schedule files are dropped.
    schedules: BTreeMap<TenantId, PathBuf>,
    /// Folders that report jobs name, each with the tenant that the job is limited to.
    report_folders: Vec<(Option<TenantId>, PathBuf)>,
    /// Folders of database copies.
    database_copies: Vec<PathBuf>,
    /// The database file.
    database: Option<PathBuf>,
}

impl FileLocations {
    pub(super) fn of(config: &Config) -> Self {
        let jobs = |kind: JobKind| config.jobs.iter().filter(move |job| job.kind == kind);
        let reports = jobs(JobKind::Report).filter_map(|job| Some((job.tenant.clone(), job.folder.clone()?)));
        let schedules =
            config.tenants.iter().filter_map(|tenant| Some((tenant.id.clone(), tenant.schedule_folder.clone()?)));
        Self {
            schedules: schedules.collect(),
            report_folders: reports.collect(),
            database_copies: jobs(JobKind::Backup).filter_map(|job| job.folder.clone()).collect(),
            database: config.store.url.strip_prefix("sqlite://").map(PathBuf::from),
        }
    }

    fn report_folders(&self, tenant: &TenantId) -> Vec<PathBuf> {
        let tenant_folders =
            self.report_folders.iter().filter(|(only, _)| only.as_ref().is_none_or(|only| only == tenant));
        tenant_folders.map(|(_, folder)| folder.clone()).collect()
    }

    /// Lists the copies of the database that the daemon or a restore made.
    fn copies(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for folder in &self.database_copies {
            let names = |name: &str| name.starts_with("shiftkeeper-") && name.contains(".db");
            found.extend(files_in(folder, names)?);
        }
        if let Some(database) = &self.database {
            let folder = database.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            let database_name = database.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.extend(files_in(folder, |name| name.starts_with(&database_name) && name.contains(REPLACED_SUFFIX))?);
        }
        found.sort();
        Ok(found.iter().map(|path| path.display().to_string()).collect())
    }
}

/// The files outside the store, found with the configuration in effect.
pub(super) struct AgentFilesOnDisk {
    pub(super) locations: watch::Receiver<Arc<FileLocations>>,
    pub(super) reports: ReportRunner,
}

impl AgentFiles for AgentFilesOnDisk {
    fn waiting(&self, tenant: TenantId, agent: AgentId) -> BoxFuture<anyhow::Result<Vec<String>>> {
        let folder = self.locations.borrow().schedules.get(&tenant).cloned();
        Box::pin(async move {
            let Some(folder) = folder else { return Ok(Vec::new()) };
            let eraser = TextEraser::new(agent.clone(), None, agent);
            let found = tokio::task::spawn_blocking(move || files_naming(&folder, &eraser)).await??;
            Ok(found.iter().map(|path| path.display().to_string()).collect())
        })
    }

    fn erase(
        &self,
        tenant: TenantId,
        eraser: TextEraser,
        mut outcome: ErasureResult,
    ) -> BoxFuture<anyhow::Result<ErasureResult>> {
        let (reports, places) = (self.reports.clone(), self.locations.borrow().clone());
        Box::pin(async move {
            let folders = places.report_folders(&tenant);
            for file in reports.erase(tenant.clone(), eraser.clone(), folders).await? {
                ErasureResult::push_unique_listed(&mut outcome.report_files, file);
            }
            let schedules = places.schedules.get(&tenant).cloned();
            let searched = eraser.clone();
            let work =
                move || Ok::<_, anyhow::Error>((remove_processed(schedules.as_deref(), &searched)?, places.copies()?));
            let (imports, copies) = tokio::task::spawn_blocking(work).await??;
            for file in imports {
                ErasureResult::push_unique_listed(&mut outcome.import_files, eraser.clean(&file).unwrap_or(file));
            }
            for copy in copies {
                ErasureResult::push_unique_listed(&mut outcome.copies, copy);
            }
            Ok(outcome)
        })
    }
}

/// Removes the processed schedule files that name the agent, and the lists of faults beside them. Returns their paths.
fn remove_processed(folder: Option<&Path>, eraser: &TextEraser) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for folder in folder.into_iter().flat_map(|folder| [folder.join(DONE), folder.join(FAILED)]) {
        for file in files_naming(&folder, eraser)? {
            std::fs::remove_file(&file).with_context(|| {
                format!(
                    "{} names the agent and cannot be removed: make its folder writable for this user",
                    file.display()
                )
            })?;
            removed.push(file.display().to_string());
        }
    }
    Ok(removed)
}

/// Returns the regular files of a folder whose text or file name contains the agent's id or name.
fn files_naming(folder: &Path, eraser: &TextEraser) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in files_in(folder, |_| true)? {
        let bytes = match std::fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("{} cannot be read", file.display()))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Calendar files fold long lines.
        let unfolded = text.replace("\r\n ", "").replace("\n ", "");
        if eraser.occurs_in(&text) || eraser.occurs_in(&unfolded) || eraser.occurs_in(&name) {
            found.push(file);
        }
    }
    Ok(found)
}

/// Returns the regular files of a folder whose names are included. Empty if the folder does not exist.
fn files_in(folder: &Path, is_included: impl Fn(&str) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("the folder {} cannot be read", folder.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_included(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processed_files_that_name_the_agent_are_removed_and_others_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (done, failed) = (folder.path().join(DONE), folder.path().join(FAILED));
        for below in [&done, &failed] {
            std::fs::create_dir(below).expect("a folder");
        }
        for (place, text) in [
            (done.join("a.csv"), "agent,start\nu_1,2026-10-26\n"),
            (done.join("b.csv"), "agent,start\nu_10,2026-10-26\n"),
            (done.join("c.ics"), "ATTENDEE;CN=Zo\r\n ra Quux:mailto\r\n"),
            (failed.join("d.csv.errors.txt"), "line 2: u_1 has no zone\n"),
            (folder.path().join("waits.csv"), "agent\nu_1\n"),
        ] {
            std::fs::write(place, text).expect("written");
        }
        let eraser = TextEraser::new("u_1".into(), Some("Zora Quux".into()), "erased-1".into());
        assert_eq!(files_naming(folder.path(), &eraser).expect("reads"), [folder.path().join("waits.csv")]);
        let removed = remove_processed(Some(folder.path()), &eraser).expect("removes");
        assert_eq!(removed.len(), 3, "{removed:?}");
        assert!(done.join("b.csv").exists() && !done.join("a.csv").exists() && !done.join("c.ics").exists());
        assert!(remove_processed(Some(folder.path()), &eraser).expect("looks").is_empty());
        assert!(remove_processed(None, &eraser).expect("looks").is_empty());
    }

    #[test]
    fn copies_are_those_of_the_job_and_of_restores() {
        let folder = tempfile::tempdir().expect("a folder");
        let backups = folder.path().join("backups");
        std::fs::create_dir(&backups).expect("a folder");
        for name in
            ["backups/shiftkeeper-20261122T023000Z.db", "backups/notes.txt", "k.db", "k.db.replaced-20261122T093000Z"]
        {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        let places = FileLocations {
            database_copies: vec![backups],
            database: Some(folder.path().join("k.db")),
            ..FileLocations::default()
        };
        let copies = places.copies().expect("looks");
        assert_eq!(copies.len(), 2, "{copies:?}");
    }
}
