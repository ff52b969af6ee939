//! Loads a [`Config`] from files, environment and options, or returns every mistake in them.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{ConfigError, Diagnostic, DiagnosticSubject, Origin, ValueFault};
use super::environment::{Environment, Flag, Overlay};
use super::reader::{ReadResults, Section};
use super::settings::Settings;
use super::tree::{self, Node};
use crate::config::Config;
use crate::config::rules;

/// The maximum size of a configuration file, in bytes. A larger one is some other file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// Every key with its value and origin.
    pub settings: Settings,
    /// Warnings of what is allowed but probably not intended, as `FILE:LINE:COL: key: problem`.
    pub warnings: Vec<String>,
}

/// The text of a configuration file, whether read from disk or generated.
#[derive(Clone, Debug)]
pub struct ConfigText {
    /// The file's path, for messages and for relative paths.
    pub file: PathBuf,
    /// The TOML text.
    pub text: String,
}

impl Config {
    /// Loads the files, each overriding the ones before, then the environment, then the options.
    pub fn load(files: &[PathBuf], environment: &Environment, flags: &[Flag]) -> Result<LoadedConfig, ConfigError> {
        let (mut texts, mut read_errors) = (Vec::new(), Vec::new());
        for file in files {
            match read_file(file) {
                Ok(text) => texts.push(ConfigText { file: file.clone(), text }),
                Err(fault) => read_errors.push(Diagnostic {
                    origin: first_line_of(file),
                    key: String::new(),
                    problem: fault.problem,
                    suggestion: fault.suggestion,
                    subject: DiagnosticSubject::Configuration,
                }),
            }
        }
        if read_errors.is_empty() {
            Self::load_texts(&texts, environment, flags)
        } else {
            Err(ConfigError::new(read_errors))
        }
    }

    /// As [`Config::load`], from texts that need not be files.
    pub fn load_texts(
        texts: &[ConfigText],
        environment: &Environment,
        flags: &[Flag],
    ) -> Result<LoadedConfig, ConfigError> {
        let mut root = Node::empty_table(Origin::Default);
        let mut output = ReadResults::new(environment);
        let mut broken_lines = BTreeSet::new();
        for ConfigText { file, text } in texts {
            let file: Arc<Path> = Arc::from(file.as_path());
            let parsed = tree::parse(&file, text);
            broken_lines.extend(parsed.broken_lines.into_iter().map(|line| (Arc::clone(&file), line)));
            output.diagnostics.extend(parsed.diagnostics);
            root.overlay(parsed.root);
        }
        let overlays: Vec<_> = environment.overlay().into_iter().chain(flags.iter().map(Flag::overlay)).collect();
        // The list of rules files must be known before a variable can change their rules.
        let (files, rest): (Vec<_>, Vec<_>) = overlays.into_iter().partition(Overlay::names_rules_files);
        let apply = |overlays: Vec<Overlay>, root: &mut Node, findings: &mut ReadResults<'_>| {
            let refused = overlays.into_iter().filter_map(|overlay| overlay.apply(root).err());
            findings.diagnostics.extend(refused);
        };
        apply(files, &mut root, &mut output);
        rules::include_files(&mut root, &mut broken_lines, &mut output);
        apply(rest, &mut root, &mut output);
        let syntax_errors = output.diagnostics.len();
        let mut section = Section::root(root, &mut output);
        let config = Self::read(&mut section);
        section.finish();
        let ReadResults { diagnostics: mut complaints, warnings, settings, .. } = output;
        if !broken_lines.is_empty() {
            keep_certain_diagnostics(&mut complaints, syntax_errors, &broken_lines);
        }
        if complaints.is_empty() {
            Ok(LoadedConfig { config, settings, warnings })
        } else {
            Err(ConfigError::new(complaints))
        }
    }
}

/// Removes diagnostics that may only be caused by syntax errors.
///
/// Keys may be missing because their line was not understood, what was understood of such a line may be wrong, and
/// rules in such a file may be incomplete. These diagnostics appear again once the syntax is correct.
fn keep_certain_diagnostics(
    diagnostics: &mut Vec<Diagnostic>,
    syntax_errors: usize,
    broken_lines: &BTreeSet<(Arc<Path>, usize)>,
) {
    let rest = diagnostics.split_off(syntax_errors.min(diagnostics.len()));
    diagnostics.extend(rest.into_iter().filter(|complaint| match &complaint.origin {
        Origin::File { file, line, .. } => {
            let cut_short =
                complaint.subject == DiagnosticSubject::Rule && broken_lines.iter().any(|(broken, _)| broken == file);
            !broken_lines.contains(&(Arc::clone(file), *line)) && complaint.problem != ValueFault::MISSING && !cut_short
        }
        Origin::Environment(_) | Origin::Flag(_) => true,
        Origin::Default => false,
    }));
}

fn first_line_of(file: &Path) -> Origin {
    Origin::File { file: Arc::from(file), line: 1, column: 1 }
}

/// Returns the fault for an unreadable file, in words that do not depend on the system.
pub(in crate::config) fn read_fault(what: &str, error: &std::io::Error) -> ValueFault {
    match error.kind() {
        ErrorKind::NotFound => {
            ValueFault::new(format!("{what}: there is no such file")).with_suggestion("check its path")
        }
        kind => ValueFault::new(format!("{what}: {kind}")).with_suggestion("check its path and permissions"),
    }
}

/// Reads a configuration file as text, without a byte-order mark.
pub(in crate::config) fn read_file(file: &Path) -> Result<String, ValueFault> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| read_fault("cannot be read", &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ValueFault::new("is larger than 4 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| ValueFault::new("is not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}
