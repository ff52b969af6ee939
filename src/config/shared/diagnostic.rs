//! The mistakes of a configuration, with their place and a suggestion. A diagnostic never contains a value of the
//! configuration, since the value may be a secret in the wrong place.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::wording::closest_name;

/// The origin of a value of the effective configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The default: the value was not set.
    Default,
    /// A configuration file, with line and column counted from 1. Columns count characters.
    File {
        /// The file's path as it was given.
        file: Arc<Path>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(Arc<str>),
    /// A command-line option, as it is written.
    Flag(Arc<str>),
}

impl Origin {
    /// Returns whether the origin gives every value as text, whatever its type: the environment and options do.
    pub(in crate::config) fn is_plain_text(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }

    /// Returns the folder that relative paths of a value start from: that of its file, or else the working directory.
    pub(in crate::config) fn directory(&self) -> PathBuf {
        match self {
            Self::File { file, .. } => file.parent().map(Path::to_path_buf).unwrap_or_default(),
            Self::Default | Self::Environment(_) | Self::Flag(_) => PathBuf::new(),
        }
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

/// The subject of a diagnostic. `check` has an exit code for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiagnosticSubject {
    /// The configuration itself.
    Configuration,
    /// A rule in it.
    Rule,
}

/// One mistake. Displayed as `FILE:LINE:COL: key: problem; suggestion`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The place of the mistake.
    pub origin: Origin,
    /// The path of the key, as in `tenants[acme].client_secret`. Empty if the file as a whole is meant.
    pub key: String,
    /// The problem, without the value.
    pub problem: String,
    /// The suggested remedy.
    pub suggestion: Option<String>,
    /// Whether the configuration or a rule is wrong.
    pub subject: DiagnosticSubject,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str("configuration: ")?,
            Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_) => write!(f, "{}: ", self.origin)?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        self.suggestion.as_ref().map_or(Ok(()), |suggestion| write!(f, "; {suggestion}"))
    }
}

/// An invalid configuration, with every mistake in it. Displayed as one mistake per line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigError {
    /// The mistakes, by file and line. Never empty.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    pub(in crate::config) fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.origin.sort_key().cmp(&b.origin.sort_key()));
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// Returns whether the configuration is valid apart from its rules.
    pub fn is_about_rules_only(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.subject == DiagnosticSubject::Rule)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

/// A problem with one value; [`super::reader::Section`] adds the place and the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct ValueFault {
    /// The place, if it is not the value's own, as for an element of a list.
    pub(in crate::config) origin: Option<Origin>,
    /// The problem, without the value.
    pub(in crate::config) problem: String,
    /// The suggested remedy.
    pub(in crate::config) suggestion: Option<String>,
}

impl ValueFault {
    /// The problem with a missing key.
    pub(in crate::config) const MISSING: &'static str = "is missing";

    pub(in crate::config) fn new(what: impl Into<String>) -> Self {
        Self { origin: None, problem: what.into(), suggestion: None }
    }

    /// Returns the fault for an unknown key, which suggests a similar one of those that are `known`.
    pub(in crate::config) fn unknown_key(name: &str, known: &[&str]) -> Self {
        let known_here = format!("known here: {}", known.join(", "));
        Self::new("is not a known key").with_suggestion(known_here).with_closest(name, known.iter().copied())
    }

    /// Returns the fault for an unreadable file, in words that do not depend on the system.
    pub(in crate::config) fn unreadable(what: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => {
                Self::new(format!("{what}: there is no such file")).with_suggestion("check its path")
            }
            kind => Self::new(format!("{what}: {kind}")).with_suggestion("check its path and permissions"),
        }
    }

    /// Suggests the name of `known` that is most like `text` instead, if there is one.
    #[must_use]
    pub(in crate::config) fn with_closest<'a>(self, text: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest_name(text, known) {
            Some(near) => self.with_suggestion(format!("did you mean \"{near}\"?")),
            None => self,
        }
    }

    #[must_use]
    pub(in crate::config) fn with_suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}
