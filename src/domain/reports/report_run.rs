//! The kinds and formats of reports, and the status of requested runs. The module `report` makes their content.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::adherence::figures::AdherenceFormula;
use crate::domain::ids::{JobId, ReportRunId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

named_enum! {
    /// The kind of report.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "kebab-case")]
    #[schema(as = ReportKind)]
    pub enum ReportKind {
        /// State changes, policy violations and latencies, with a log of all changes.
        Compliance = "compliance",
        /// The trend of a figure of a skill or queue, and its anomalies.
        Trend = "trend",
        /// Adherence and related figures by agent and day.
        Adherence = "adherence",
        /// Planned activities and actual states, cut into segments.
        Segments = "segments",
        /// Not-ready time by state and reason code.
        NotReady = "not-ready",
        /// Mandatory breaks, planned and taken.
        Breaks = "breaks",
    }
}

impl ReportKind {
    /// Returns the variants of the report's formula as name and description. The first one is the default; reports with
    /// one formula have none.
    pub const fn variants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Adherence => AdherenceFormula::NAMES,
            Self::Compliance | Self::Trend | Self::Segments | Self::NotReady | Self::Breaks => &[],
        }
    }

    /// Checks the name of a variant; the error says what is wrong and what to do.
    pub fn check_variant(self, variant: Option<&str>) -> Result<(), String> {
        let known = self.variants();
        match variant {
            Some(_) if known.is_empty() => Err(format!("{self} has one formula; leave it out")),
            Some(named) if known.iter().all(|(name, _)| *name != named) => {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                Err(format!("there is no {named:?}; there are {}", names.join(", ")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl FromStr for ReportKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no report `{text}`: there are {}", known()))
    }
}

/// The format of a report file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// One section as comma-separated values.
    Csv,
    /// The whole report as one JSON document.
    Json,
    /// The whole report as a workbook with one sheet per section.
    Xlsx,
    /// The whole report as one page for viewing and printing.
    Html,
    /// One section as typed columns, in builds with the feature `parquet`.
    Parquet,
}

impl ReportFormat {
    /// The formats that this build writes.
    #[cfg(not(feature = "parquet"))]
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Xlsx, Self::Html];

    /// The formats that this build writes.
    #[cfg(feature = "parquet")]
    pub const ALL: [Self; 5] = [Self::Csv, Self::Json, Self::Xlsx, Self::Html, Self::Parquet];

    /// Returns why this build can neither read nor write the format, and what to do; `None` if it can.
    pub fn unavailable_reason(self) -> Option<String> {
        let has_it = Self::ALL.contains(&self);
        (!has_it)
            .then(|| format!("this build is without {self}; make one with `cargo build --release --features {self}`"))
    }

    /// Returns the name, which is also the file extension.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Parquet => "parquet",
        }
    }

    /// Returns the media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Html => "text/html; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Whether a file holds one section rather than the whole report.
    pub const fn has_one_section(self) -> bool {
        match self {
            Self::Csv | Self::Parquet => true,
            Self::Json | Self::Xlsx | Self::Html => false,
        }
    }
}

/// The formats that this build writes.
impl PartialSchema for ReportFormat {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.map(Self::name);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The format of a report file."))
            .enum_values(Some(names))
            .into()
    }
}

impl ToSchema for ReportFormat {
    fn name() -> std::borrow::Cow<'static, str> {
        "ReportFormat".into()
    }
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ReportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A format that this build lacks is accepted here, so that the error can say how to get it.
        let mut all = Self::ALL.into_iter().chain([Self::Parquet]);
        all.find(|format| format.name() == text)
            .ok_or_else(|| format!("there is no format {text:?}: there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

named_enum! {
    /// The status of a run, of a report or an analytics query.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RunStatus)]
    pub enum RunStatus {
        /// The run waits for other runs.
        Waiting = "waiting",
        /// The run is in progress.
        Running = "running",
        /// The run succeeded. Its result may have been deleted since.
        Done = "done",
        /// The run failed; `error` says why.
        Failed = "failed",
        /// Somebody cancelled the run.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// Whether the run has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// The file that a run has made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFile {
    /// Whether the file still exists; otherwise it has been deleted.
    pub exists: bool,
    /// The number of rows.
    pub rows: u64,
    /// The size in bytes.
    pub bytes: u64,
    /// The SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// One run of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportRun {
    /// The id of the run.
    pub id: ReportRunId,
    /// The tenant.
    pub tenant: TenantId,
    /// Who requested it, such as `person:anna` or `job:report`.
    pub requested_by: Arc<str>,
    /// When it was requested.
    pub requested_at: UtcMicros,
    /// The job that requested it, if a job did.
    pub job: Option<JobId>,
    /// The request as JSON; the reports define its structure.
    pub request: Arc<str>,
    /// The format of the file.
    pub format: ReportFormat,
    /// The section, if the format holds only one.
    pub section: Option<Arc<str>>,
    /// The path of the file to be made.
    pub path: Arc<str>,
    /// The status.
    pub status: RunStatus,
    /// How many times it has been started.
    pub attempts: u32,
    /// When it was last started.
    pub started_at: Option<UtcMicros>,
    /// When it ended.
    pub ended_at: Option<UtcMicros>,
    /// The file that it has made, if any.
    pub file: Option<RunFile>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl ReportRun {
    /// Returns the name of the file without directories.
    pub fn file_name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or(&self.path)
    }
}
