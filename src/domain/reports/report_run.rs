//! Reports by name and format, and how those stand that somebody asked the daemon for. What is in them is `report`'s business.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::adherence::figures::Variant;
use crate::domain::ids::{JobId, ReportRunId, TenantId};
use crate::domain::time::UtcMicros;

/// The reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ReportKind)]
pub enum Kind {
    /// State changes, violations, latencies and the log of them.
    Compliance,
    /// How a figure of a skill or queue moves, and where it is odd.
    Trend,
    /// Adherence and the figures beside it, by agent and day.
    Adherence,
    /// Planned against seen, cut to the microsecond.
    Segments,
    /// Not-ready time by state and reason code.
    NotReady,
    /// Mandatory breaks, planned against taken.
    Breaks,
}

impl Kind {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 6] =
        [Self::Compliance, Self::Trend, Self::Adherence, Self::Segments, Self::NotReady, Self::Breaks];

    /// As commands, files and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Trend => "trend",
            Self::Adherence => "adherence",
            Self::Segments => "segments",
            Self::NotReady => "not-ready",
            Self::Breaks => "breaks",
        }
    }

    /// The variants of its formula, by name and in words; the first holds where none is named. Empty where there is one formula.
    pub const fn variants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Adherence => Variant::NAMES,
            Self::Compliance | Self::Trend | Self::Segments | Self::NotReady | Self::Breaks => &[],
        }
    }

    /// Says what is wrong with a variant that somebody named, and what to do.
    pub fn check_variant(self, named: Option<&str>) -> Result<(), String> {
        let known = self.variants();
        match named {
            Some(_) if known.is_empty() => Err(format!("{self} has one formula; leave it out")),
            Some(named) if known.iter().all(|(name, _)| *name != named) => {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                Err(format!("there is no {named:?}; there are {}", names.join(", ")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no report `{text}`: there are {}", known()))
    }
}

/// Formats of files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One section as comma-separated values.
    Csv,
    /// All of it as one JSON document.
    Json,
    /// All of it as a workbook, with a sheet per section.
    Xlsx,
    /// All of it as one page, to look at and to print.
    Html,
    /// One section as typed columns, in builds with the feature `parquet`.
    Parquet,
}

impl Format {
    /// Those that this build writes.
    #[cfg(not(feature = "parquet"))]
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Xlsx, Self::Html];

    /// Those that this build writes.
    #[cfg(feature = "parquet")]
    pub const ALL: [Self; 5] = [Self::Csv, Self::Json, Self::Xlsx, Self::Html, Self::Parquet];

    /// Why this build neither writes nor reads it, and what to do; nothing where it does.
    pub fn missing(self) -> Option<String> {
        let has_it = Self::ALL.contains(&self);
        (!has_it)
            .then(|| format!("this build is without {self}; make one with `cargo build --release --features {self}`"))
    }

    /// Its name, and the ending of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Parquet => "parquet",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Html => "text/html; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// A file of it holds one section, and not the whole report.
    pub const fn has_one_section(self) -> bool {
        match self {
            Self::Csv | Self::Parquet => true,
            Self::Json | Self::Xlsx | Self::Html => false,
        }
    }
}

/// Those that this build writes.
impl PartialSchema for Format {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.map(Self::name);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Formats of files."))
            .enum_values(Some(names))
            .into()
    }
}

impl ToSchema for Format {
    fn name() -> std::borrow::Cow<'static, str> {
        "ReportFormat".into()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One that this build does not write is known all the same, so that it can be said how to get it.
        let mut all = Self::ALL.into_iter().chain([Self::Parquet]);
        all.find(|format| format.name() == text)
            .ok_or_else(|| format!("there is no format {text:?}: there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// How a run stands, of a report or of an analytics query.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RunStatus)]
pub enum RunStatus {
    /// Others run before it.
    Waiting,
    /// It runs.
    Running,
    /// What it made is there, or was.
    Done,
    /// It came to nothing; `error` says why.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl RunStatus {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The name in the store and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The one of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Nothing more will come of it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// The file that a run made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFile {
    /// It is still at its place; else it was let go.
    pub there: bool,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// One run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportRun {
    /// Its id.
    pub id: ReportRunId,
    /// Whose.
    pub tenant: TenantId,
    /// Who asked: `person:anna`, `job:report`.
    pub asked_by: Arc<str>,
    /// When.
    pub asked_at: UtcMicros,
    /// The job of the calendar that asked.
    pub job: Option<JobId>,
    /// What was asked for, as JSON; the reports know its shape.
    pub request: Arc<str>,
    /// The format of the file.
    pub format: Format,
    /// The section, where the format holds one.
    pub section: Option<Arc<str>>,
    /// The path that the file gets.
    pub place: Arc<str>,
    /// How it stands.
    pub status: RunStatus,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was begun last.
    pub started_at: Option<UtcMicros>,
    /// When it ended.
    pub ended_at: Option<UtcMicros>,
    /// What it made.
    pub file: Option<RunFile>,
    /// Why it came to nothing.
    pub error: Option<String>,
}

impl ReportRun {
    /// The file's own name, without folders.
    pub fn file_name(&self) -> &str {
        self.place.rsplit(['/', '\\']).next().unwrap_or(&self.place)
    }
}
