//! The sources of a configuration: files as text, parsed and overlaid on each other, and what the environment and
//! options set in them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{ConfigError, Diagnostic, DiagnosticSubject, Origin, ValueFault};
use super::environment::Overlay;
use super::tree::{self, Node};

/// The maximum size of a configuration file, in bytes. A larger one is some other file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The text of a configuration file, whether read from disk or generated.
#[derive(Clone, Debug)]
pub struct ConfigText {
    /// The file's path, for messages and for relative paths.
    pub file: PathBuf,
    /// The TOML text.
    pub text: String,
}

impl ConfigText {
    /// Reads files, or returns every one that cannot be read.
    pub(in crate::config) fn read_all(files: &[PathBuf]) -> Result<Vec<Self>, ConfigError> {
        let (mut texts, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            match read_file(file) {
                Ok(text) => texts.push(Self { file: file.clone(), text }),
                Err(fault) => errors.push(Diagnostic {
                    origin: Origin::File { file: Arc::from(file.as_path()), line: 1, column: 1 },
                    key: String::new(),
                    problem: fault.problem,
                    suggestion: fault.suggestion,
                    subject: DiagnosticSubject::Configuration,
                }),
            }
        }
        if errors.is_empty() { Ok(texts) } else { Err(ConfigError::new(errors)) }
    }
}

/// The lines with a syntax error, by file.
pub(in crate::config) type BrokenLines = BTreeSet<(Arc<Path>, usize)>;

/// The tree of all sources that were overlaid so far.
pub(in crate::config) struct Sources {
    pub(in crate::config) root: Node,
    pub(in crate::config) broken_lines: BrokenLines,
}

impl Sources {
    /// Returns the tree of no sources.
    pub(in crate::config) fn empty() -> Self {
        Self { root: Node::empty_table(Origin::Default), broken_lines: BTreeSet::new() }
    }

    /// Parses a text that is still to be overlaid, and returns its tree and its syntax errors.
    pub(in crate::config) fn parse(&mut self, file: &Path, text: &str) -> (Node, Vec<Diagnostic>) {
        let file: Arc<Path> = Arc::from(file);
        let parsed = tree::parse(&file, text);
        self.broken_lines.extend(parsed.broken_lines.into_iter().map(|line| (Arc::clone(&file), line)));
        (parsed.root, parsed.diagnostics)
    }

    /// Sets values in the tree. Those that do not fit in are reported.
    pub(in crate::config) fn apply(&mut self, overlays: Vec<Overlay>, diagnostics: &mut Vec<Diagnostic>) {
        diagnostics.extend(overlays.into_iter().filter_map(|overlay| overlay.apply(&mut self.root).err()));
    }
}

/// Removes diagnostics that may only be caused by syntax errors.
///
/// Keys may be missing because their line was not understood, what was understood of such a line may be wrong, and
/// rules in such a file may be incomplete. These diagnostics appear again once the syntax is correct.
pub(in crate::config) fn keep_certain_diagnostics(
    diagnostics: &mut Vec<Diagnostic>,
    syntax_errors: usize,
    broken_lines: &BrokenLines,
) {
    let rest = diagnostics.split_off(syntax_errors.min(diagnostics.len()));
    diagnostics.extend(rest.into_iter().filter(|diagnostic| match &diagnostic.origin {
        Origin::File { file, line, .. } => {
            let cut_short =
                diagnostic.subject == DiagnosticSubject::Rule && broken_lines.iter().any(|(broken, _)| broken == file);
            !broken_lines.contains(&(Arc::clone(file), *line))
                && diagnostic.problem != ValueFault::MISSING
                && !cut_short
        }
        Origin::Environment(_) | Origin::Flag(_) => true,
        Origin::Default => false,
    }));
}

/// Reads a configuration file as text, without a byte-order mark.
pub(in crate::config) fn read_file(file: &Path) -> Result<String, ValueFault> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| ValueFault::unreadable("cannot be read", &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ValueFault::new("is larger than 4 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| ValueFault::new("is not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}
