//! What is wrong with a configuration, where, and the way out. A complaint never holds a value of the configuration: the value
//! may be a secret in the wrong place.

use crate::domain::words::nearest;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value of the effective configuration comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file, by line and column, both counted from 1; columns count characters.
    File {
        /// The file as it was named.
        file: Arc<Path>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(Arc<str>),
    /// An option of the command line, as it is written.
    Flag(Arc<str>),
}

impl Origin {
    /// Environment and flags give every value as text, whatever its type.
    pub(in crate::config) fn is_text_only(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }

    fn sort_key(&self) -> (u8, &Path, usize, usize, &str) {
        match self {
            Self::File { file, line, column } => (0, file, *line, *column, ""),
            Self::Environment(name) => (1, Path::new(""), 0, 0, name),
            Self::Flag(name) => (2, Path::new(""), 0, 0, name),
            Self::Default => (3, Path::new(""), 0, 0, ""),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "option {name}"),
        }
    }
}

/// What a complaint is about; `check` has an exit code for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// The configuration itself.
    Configuration,
    /// A rule in it.
    Rule,
}

/// One mistake. Displayed as `FILE:LINE:COL: key: what; suggestion`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Where it stands.
    pub origin: Origin,
    /// The path of the key, as in `tenants[acme].client_secret`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong, without the value.
    pub what: String,
    /// What to do about it.
    pub suggestion: Option<String>,
    /// Configuration or rule.
    pub concern: Concern,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str("configuration: ")?,
            Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_) => write!(f, "{}: ", self.origin)?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        self.suggestion.as_ref().map_or(Ok(()), |suggestion| write!(f, "; {suggestion}"))
    }
}

/// A configuration that cannot be used, with every mistake that was found in it. Displayed one mistake a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigRefused {
    /// The mistakes, by file and line; never empty.
    pub complaints: Vec<Complaint>,
}

impl ConfigRefused {
    pub(in crate::config) fn new(mut complaints: Vec<Complaint>) -> Self {
        complaints.sort_by(|a, b| a.origin.sort_key().cmp(&b.origin.sort_key()));
        complaints.dedup();
        Self { complaints }
    }

    /// The configuration itself is sound, only rules in it are not.
    pub fn is_about_rules_only(&self) -> bool {
        self.complaints.iter().all(|complaint| complaint.concern == Concern::Rule)
    }
}

impl fmt::Display for ConfigRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.complaints.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

/// What a reader finds wrong with one value; [`super::reader::Section`] adds the place and the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct Fault {
    /// The place, where it is not the value's own (an element of a list).
    pub(in crate::config) origin: Option<Origin>,
    /// What is wrong, without the value.
    pub(in crate::config) what: String,
    /// What to do about it.
    pub(in crate::config) suggestion: Option<String>,
}

impl Fault {
    /// What is wrong with a key that is not there.
    pub(in crate::config) const MISSING: &'static str = "is missing";

    pub(in crate::config) fn new(what: impl Into<String>) -> Self {
        Self { origin: None, what: what.into(), suggestion: None }
    }

    /// A key that nobody asked for, among those that are known beside it.
    pub(in crate::config) fn unknown_key(name: &str, known: &[&str]) -> Self {
        let fault = Self::new("is not a known key");
        match nearest(name, known.iter().copied()) {
            Some(known) => fault.advise(format!("did you mean \"{known}\"?")),
            None => fault.advise(format!("known here: {}", known.join(", "))),
        }
    }

    #[must_use]
    pub(in crate::config) fn advise(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}
