//! Export of a report as a file with a manifest beside it. Either both are written or neither, and they get their
//! names only when they are complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::agent_filter::AgentFilter;
use super::document::{AuditHead, Heading, ReportError, WriteError};
use super::manifest::{FileFacts, Manifest, path_for};
use super::request::{ReportKind, Request};
use super::tally::{CountingSink, Progress, SectionTally};
use super::writers::{ReportFormat, Writer, open_writer};
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{ReadError, Reader};

/// A request for a file.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// The report.
    pub request: Request,
    /// The format.
    pub format: ReportFormat,
    /// The section, if the format holds only one; the main section by default.
    pub section: Option<String>,
    /// The path of the file; an existing file is replaced.
    pub target: PathBuf,
    /// The largest size of the file in bytes.
    pub max_bytes: u64,
}

/// The reason why there is no file. Nothing of it is left on the disk.
#[derive(thiserror::Error, Debug)]
pub enum ExportError {
    /// The report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The file could not be written.
    #[error("{} cannot be written, and no part of it was kept: {advice}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
}

impl From<ReadError> for ExportError {
    fn from(error: ReadError) -> Self {
        Self::Report(error.into())
    }
}

impl ExportError {
    /// Returns whether the export was cancelled.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Report(ReportError::Write(WriteError::Cancelled)))
    }
}

/// Writes the file and its manifest. Disk access blocks, so call it on a thread of its own where other tasks wait.
pub async fn export(
    reader: &Reader,
    export_request: &ExportRequest,
    now: UtcMicros,
    progress: &Progress,
) -> Result<Manifest, ExportError> {
    let section = section_of(export_request.request.report, export_request.format, export_request.section.as_deref())?;
    let heading = Heading::read(reader, export_request.request.clone(), now).await?;
    let target = &export_request.target;
    let partial = PartialFile::beside(target);
    let file = partial.create().map_err(|error| file_error(target, error))?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut out = open_writer(export_request.format, &heading, file, folder, export_request.max_bytes)
        .map_err(|error| write_error(export_request, error))?;
    let filled_tallies = fill(reader, &heading.request, section.as_deref(), &mut *out, progress).await;
    let tallies = filled_tallies.map_err(|error| export_error(export_request, error))?;
    drop(out);
    let (bytes, sha256) = partial.sync_and_digest().map_err(|error| file_error(target, error))?;
    if bytes > export_request.max_bytes {
        return Err(write_error(export_request, io::Error::from(io::ErrorKind::FileTooLarge).into()));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let facts = FileFacts { name, format: export_request.format, section, bytes, sha256: sha256.to_string() };
    let manifest = Manifest::new(heading, tallies, facts);
    move_into_place(partial, &manifest, target).map_err(|error| file_error(target, error))?;
    Ok(manifest)
}

/// Writes a report, or one section of it, completely, and returns the tallies of all its sections.
pub async fn fill(
    reader: &Reader,
    request: &Request,
    section: Option<&str>,
    out: &mut (dyn Writer + '_),
    progress: &Progress,
) -> Result<Vec<SectionTally>, ReportError> {
    let mut counted = CountingSink::new(out, section, progress);
    request.report.write(request, reader, &mut counted).await?;
    let tallies = counted.tallies();
    out.finish(&tallies)?;
    Ok(tallies)
}

/// Returns the section that a file holds, or `None` if it holds all. Refuses a format that this build does not write.
pub fn section_of(
    report: ReportKind,
    format: ReportFormat,
    named: Option<&str>,
) -> Result<Option<String>, ReportError> {
    if let Some(why) = format.unavailable_reason() {
        return Err(ReportError::Refused(format!("format: {why}")));
    }
    let sections = report.sections();
    match (named, format.has_one_section()) {
        (None, false) => Ok(None),
        (Some(_), false) => Err(ReportError::Refused(format!("section: {format} has all of them; leave it out"))),
        (None, true) => Ok(Some(report.main_section().to_owned())),
        (Some(named), true) if sections.iter().any(|section| section.name == named) => Ok(Some(named.to_owned())),
        (Some(named), true) => {
            let known: Vec<_> = sections.iter().map(|section| section.name).collect();
            Err(ReportError::Refused(format!("section: {report} has no {named:?}; it has {}", known.join(", "))))
        }
    }
}

/// Moves the file and its manifest into place. The file is removed again if the manifest cannot be written.
fn move_into_place(partial: PartialFile, manifest: &Manifest, target: &Path) -> io::Result<()> {
    let manifest_file = path_for(target);
    let partial_manifest = PartialFile::beside(&manifest_file);
    let mut file = partial_manifest.create()?;
    file.write_all(manifest.to_json().as_bytes())?;
    file.sync_all()?;
    drop(file);
    partial.rename_to(target)?;
    if let Err(error) = partial_manifest.rename_to(&manifest_file) {
        let _ = fs::remove_file(target);
        return Err(error);
    }
    // Sync the folder too, since it holds the names.
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Returns the path of a file until it is complete.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".partial");
    target.with_file_name(name)
}

/// A file that is not in place yet, removed when this value is dropped.
struct PartialFile(Option<PathBuf>);

impl PartialFile {
    fn beside(target: &Path) -> Self {
        Self(Some(partial_path(target)))
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn create(&self) -> io::Result<File> {
        File::create(self.path())
    }

    /// Syncs the file, and returns its size and hash as read from the disk.
    fn sync_and_digest(&self) -> io::Result<(u64, Hash)> {
        File::options().append(true).open(self.path())?.sync_all()?;
        digest_file(self.path())
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The file may not exist.
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the size and the SHA-256 of a file.
pub fn digest_file(path: &Path) -> io::Result<(u64, Hash)> {
    let mut file = File::open(path)?;
    let (mut digest, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, Hash(digest.finalize().into()))),
            read => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn file_error(path: &Path, cause: io::Error) -> ExportError {
    let advice = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space or name another folder"
        }
        io::ErrorKind::NotFound => "its folder does not exist; create it or name another",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make its folder writable for this user or name another"
        }
        _ => "see what the system says",
    };
    ExportError::File { path: path.to_owned(), advice, cause }
}

fn write_error(export_request: &ExportRequest, error: WriteError) -> ExportError {
    match error {
        WriteError::Io(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
            ExportError::Report(WriteError::TooLarge { most: export_request.max_bytes }.into())
        }
        WriteError::Io(cause) => file_error(&export_request.target, cause),
        other @ (WriteError::Cancelled | WriteError::TooLarge { .. }) => ExportError::Report(other.into()),
    }
}

fn export_error(export_request: &ExportRequest, error: ReportError) -> ExportError {
    match error {
        ReportError::Write(error) => write_error(export_request, error),
        other @ (ReportError::Read(_) | ReportError::Refused(_)) => other.into(),
    }
}

impl Heading {
    /// Reads the heading of a report made now. A span that ends in the future is cut at `now`, so that the report can
    /// be made again.
    ///
    /// # Errors
    /// Returns an error if the request cannot be answered or the store cannot be read.
    pub async fn read(reader: &Reader, request: Request, now: UtcMicros) -> Result<Self, ReportError> {
        let request = Request { to: request.to.min(now), ..request };
        request.check().map_err(ReportError::Refused)?;
        let report = request.report;
        let mut notes = AgentFilter::notes(&request, reader).await?;
        notes.extend(report.notes(&request, reader).await?);
        let head = reader.chain_head(&request.tenant).await?;
        let newest = reader.audit_entries(&request.tenant, head.seq.saturating_sub(1), 1).await?;
        Ok(Self {
            title: report.title(),
            definitions: report.definitions(&request),
            notes,
            data_until: newest.first().map(|entry| entry.columns.at),
            made_at: now,
            audit_head: AuditHead { seq: head.seq, hash: head.hash.to_string() },
            request,
        })
    }
}

/// Returns a name for a file in a shared folder: report, tenant, span, time of making and format.
pub fn file_name(request: &Request, section: Option<&str>, format: ReportFormat, now: UtcMicros) -> String {
    let zone = request.time_zone();
    let day = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).strftime("%Y%m%d").to_string();
    let from = request.from.map_or_else(|| "begin".to_owned(), day);
    // A span that ends at midnight is named by its last day.
    let to = day(request.to.offset(-1));
    let part = match section {
        Some(section) if section != request.report.main_section() => format!("-{section}"),
        Some(_) | None => String::new(),
    };
    let made_text = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    format!("{}{part}-{}-{from}-{to}-{made_text}.{format}", request.report, tenant_part(&request.tenant))
}

/// Returns the part of a file name for a tenant.
pub fn tenant_part(tenant: &TenantId) -> String {
    tenant.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
