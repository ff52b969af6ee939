//! A report as a file with its manifest beside it: both or neither, under their names only when they are whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::document::{AuditHead, Heading, ReportError, WriteError};
use super::manifest::{FileFacts, Manifest, beside};
use super::request::{Kind, Request};
use super::tally::{Counted, Progress, SectionTally};
use super::whom::Whom;
use super::writers::{Format, Writer, writer};
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{ReadError, Reader};

/// The file that somebody wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The report.
    pub request: Request,
    /// Its format.
    pub format: Format,
    /// The section, where the format holds one; its main one where none is named.
    pub section: Option<String>,
    /// Where the file goes; what is there by that name is replaced.
    pub target: PathBuf,
    /// It grows no larger than this.
    pub most_bytes: u64,
}

/// Why there is no file. Nothing of it is left.
#[derive(thiserror::Error, Debug)]
pub enum ExportError {
    /// The report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The disk did not take it.
    #[error("{} cannot be written, and nothing of it is left: {advice}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What the system says.
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
    /// Somebody called it off.
    pub const fn is_called_off(&self) -> bool {
        matches!(self, Self::Report(ReportError::Write(WriteError::CalledOff)))
    }
}

/// Makes the file and its manifest. Calls of the disk block: where others wait, call it on a thread of its own.
pub async fn export(
    reader: &Reader,
    wanted: &Wanted,
    now: UtcMicros,
    progress: &Progress,
) -> Result<Manifest, ExportError> {
    let section = section_of(wanted.request.report, wanted.format, wanted.section.as_deref())?;
    let heading = Heading::read(reader, wanted.request.clone(), now).await?;
    let target = &wanted.target;
    let partial = Partial::of(target);
    let file = partial.create().map_err(|error| failed(target, error))?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut out = writer(wanted.format, &heading, file, folder, wanted.most_bytes)
        .map_err(|error| write_failed(wanted, error))?;
    let filled = fill(reader, &heading.request, section.as_deref(), &mut *out, progress).await;
    let tallies = filled.map_err(|error| report_failed(wanted, error))?;
    drop(out);
    let (bytes, sha256) = partial.synced_sum().map_err(|error| failed(target, error))?;
    if bytes > wanted.most_bytes {
        return Err(write_failed(wanted, io::Error::from(io::ErrorKind::FileTooLarge).into()));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let facts = FileFacts { name, format: wanted.format, section, bytes, sha256: sha256.to_string() };
    let manifest = Manifest::new(heading, tallies, facts);
    put(partial, &manifest, target).map_err(|error| failed(target, error))?;
    Ok(manifest)
}

/// Writes a report, or one section of it, to the end; gives what all its sections held.
pub async fn fill(
    reader: &Reader,
    request: &Request,
    section: Option<&str>,
    out: &mut (dyn Writer + '_),
    progress: &Progress,
) -> Result<Vec<SectionTally>, ReportError> {
    let mut counted = Counted::new(out, section, progress);
    request.report.write(request, reader, &mut counted).await?;
    let tallies = counted.tallies();
    out.finish(&tallies)?;
    Ok(tallies)
}

/// The section that a file holds; none where it holds all. Refuses a format that this build does not write.
pub fn section_of(report: Kind, format: Format, named: Option<&str>) -> Result<Option<String>, ReportError> {
    if let Some(why) = format.missing() {
        return Err(ReportError::Refused(format!("format: {why}")));
    }
    let sections = report.sections();
    match (named, format.has_one_section()) {
        (None, false) => Ok(None),
        (Some(_), false) => Err(ReportError::Refused(format!("section: {format} holds all of them; leave it out"))),
        (None, true) => Ok(Some(report.main_section().to_owned())),
        (Some(named), true) if sections.iter().any(|section| section.name == named) => Ok(Some(named.to_owned())),
        (Some(named), true) => {
            let known: Vec<_> = sections.iter().map(|section| section.name).collect();
            Err(ReportError::Refused(format!("section: {report} has no {named:?}; it has {}", known.join(", "))))
        }
    }
}

/// Both get their names; the file's goes again where the manifest's cannot be had.
fn put(partial: Partial, manifest: &Manifest, target: &Path) -> io::Result<()> {
    let place = beside(target);
    let second = Partial::of(&place);
    let mut file = second.create()?;
    file.write_all(manifest.to_json().as_bytes())?;
    file.sync_all()?;
    drop(file);
    partial.name(target)?;
    if let Err(error) = second.name(&place) {
        let _ = fs::remove_file(target);
        return Err(error);
    }
    // The names are in the folder, which has to be on the disk too.
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Where a file is until it gets its name.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".partial");
    target.with_file_name(name)
}

/// A file that has not got its name yet; it goes when this goes.
struct Partial(Option<PathBuf>);

impl Partial {
    fn of(target: &Path) -> Self {
        Self(Some(partial_path(target)))
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn create(&self) -> io::Result<File> {
        File::create(self.path())
    }

    /// Its size and hash, read from the disk, where it is by then.
    fn synced_sum(&self) -> io::Result<(u64, Hash)> {
        File::options().append(true).open(self.path())?.sync_all()?;
        sum(self.path())
    }

    fn name(mut self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may not have been made.
            let _ = fs::remove_file(path);
        }
    }
}

/// The size and the SHA-256 of a file.
pub fn sum(path: &Path) -> io::Result<(u64, Hash)> {
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

fn failed(path: &Path, cause: io::Error) -> ExportError {
    let advice = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space or name another folder"
        }
        io::ErrorKind::NotFound => "its folder is not there; make it or name another",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make its folder writable for this user or name another"
        }
        _ => "see what the system says",
    };
    ExportError::File { path: path.to_owned(), advice, cause }
}

fn write_failed(wanted: &Wanted, error: WriteError) -> ExportError {
    match error {
        WriteError::Io(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
            ExportError::Report(WriteError::TooLarge { most: wanted.most_bytes }.into())
        }
        WriteError::Io(cause) => failed(&wanted.target, cause),
        other @ (WriteError::CalledOff | WriteError::TooLarge { .. }) => ExportError::Report(other.into()),
    }
}

fn report_failed(wanted: &Wanted, error: ReportError) -> ExportError {
    match error {
        ReportError::Write(error) => write_failed(wanted, error),
        other @ (ReportError::Read(_) | ReportError::Refused(_)) => other.into(),
    }
}

impl Heading {
    /// What stands above a report that is made now; a span that lies ahead is cut at this instant, so that the report can be made again.
    ///
    /// # Errors
    /// The request cannot be answered, or the store could not be read.
    pub async fn read(reader: &Reader, request: Request, now: UtcMicros) -> Result<Self, ReportError> {
        let request = Request { to: request.to.min(now), ..request };
        request.check().map_err(ReportError::Refused)?;
        let report = request.report;
        let mut notes = Whom::notes(&request, reader).await?;
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

/// A name for a file in a folder that holds many: report, tenant, span, when it was made, format.
pub fn file_name(request: &Request, section: Option<&str>, format: Format, now: UtcMicros) -> String {
    let zone = request.time_zone();
    let day = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).strftime("%Y%m%d").to_string();
    let from = request.from.map_or_else(|| "begin".to_owned(), day);
    // A span that ends at midnight is named by its last day.
    let to = day(request.to.offset(-1));
    let part = match section {
        Some(section) if section != request.report.main_section() => format!("-{section}"),
        Some(_) | None => String::new(),
    };
    let made = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    format!("{}{part}-{}-{from}-{to}-{made}.{format}", request.report, tenant_part(&request.tenant))
}

/// The part of a file's name that a tenant's id gives.
pub fn tenant_part(tenant: &TenantId) -> String {
    tenant.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
