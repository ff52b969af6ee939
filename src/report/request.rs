//! What somebody asks of a report, and which reports there are.
//!
//! A request is all that a report depends on beside the store: it stands in the manifest of each file, and the same request gives the
//! same rows again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::document::{Definition, Recount, ReportError, Section, Sink};
use super::{compliance, trend};
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::Reader;

/// The reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// State changes, violations, latencies and the log of them.
    Compliance,
    /// How a figure of a skill or queue moves, and where it is odd.
    Trend,
}

impl Kind {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 2] = [Self::Compliance, Self::Trend];

    /// As commands, files and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Trend => "trend",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Compliance => "Compliance",
            Self::Trend => "Trend",
        }
    }

    /// Its tables, in the order in which they are written.
    pub const fn sections(self) -> &'static [Section] {
        match self {
            Self::Compliance => compliance::SECTIONS,
            Self::Trend => trend::SECTIONS,
        }
    }

    /// The section whose rows all others can be counted from again: what CSV holds unless another is named.
    pub const fn main_section(self) -> &'static str {
        match self {
            Self::Compliance => "logs",
            Self::Trend => "points",
        }
    }

    /// The filters that it knows.
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Compliance => &["teams", "agents"],
            Self::Trend => &["skill", "queue", "figure", "window", "threshold"],
        }
    }

    /// The variants of its formula, by name and in words; the first holds where none is named. Empty where there is one formula.
    pub const fn variants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Compliance | Self::Trend => &[],
        }
    }

    /// What its figures mean.
    pub fn definitions(self, request: &Request) -> Vec<Definition> {
        match self {
            Self::Compliance => compliance::definitions(request),
            Self::Trend => trend::definitions(request),
        }
    }

    /// What a reader has to know of this span, a sentence each.
    pub async fn notes(self, _request: &Request, _reader: &Reader) -> Result<Vec<String>, ReportError> {
        match self {
            Self::Compliance | Self::Trend => Ok(Vec::new()),
        }
    }

    /// Reads it and pushes its sections with their rows.
    pub async fn write(
        self,
        request: &Request,
        reader: &Reader,
        sink: &mut (dyn Sink + '_),
    ) -> Result<(), ReportError> {
        match self {
            Self::Compliance => compliance::write(request, reader, sink).await,
            Self::Trend => trend::write(request, reader, sink).await,
        }
    }

    /// What counts its figures again from its rows; none where no figure is made of other rows of it.
    pub fn recount(self) -> Option<Box<dyn Recount>> {
        match self {
            Self::Compliance => Some(Box::new(compliance::Again::default())),
            Self::Trend => None,
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

/// What somebody asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Which report.
    pub report: Kind,
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// From this instant on; from the beginning without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UtcMicros>,
    /// Before this instant.
    pub to: UtcMicros,
    /// The zone whose days and hours count, and in which people see instants.
    #[serde(default = "utc")]
    pub zone: String,
    /// Of whom and what; everything where nothing is named.
    #[serde(default)]
    pub filters: Filters,
    /// Which variant of the formula, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Of whom and what. A report refuses what it does not know ([`Kind::filters`]).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Filters {
    /// Agents of these teams alone. An agent without a team is in none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamName>,
    /// These agents alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<AgentId>,
    /// The skill that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub skill: Option<SkillId>,
    /// The queue that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub queue: Option<QueueId>,
    /// The figure that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// How many values a trend's moving average is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// From which z-score on a value is odd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}
