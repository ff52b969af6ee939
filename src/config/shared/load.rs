//! From files, environment and options to a [`Config`], or to every complaint about them.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::complaint::{Complaint, Concern, ConfigRefused, Fault, Origin};
use super::environment::{Environment, Flag, Overlay};
use super::reader::{Findings, Section};
use super::settings::Settings;
use super::tree::{self, Node};
use crate::config::Config;
use crate::config::rules;

/// Bytes that a configuration file may have; a larger one is some other file.
const LARGEST_FILE: u64 = 4 << 20;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key with its value and origin.
    pub settings: Settings,
    /// What is allowed and probably not meant, as `FILE:LINE:COL: key: what`.
    pub warnings: Vec<String>,
}

/// The text of a configuration file, read or made.
#[derive(Clone, Debug)]
pub struct ConfigText {
    /// The file's path, for messages and for paths relative to its folder.
    pub file: PathBuf,
    /// TOML.
    pub text: String,
}

impl Config {
    /// Loads the files, later ones over earlier ones, then the environment, then the options.
    pub fn load(files: &[PathBuf], environment: &Environment, flags: &[Flag]) -> Result<Loaded, ConfigRefused> {
        let (mut texts, mut unread) = (Vec::new(), Vec::new());
        for file in files {
            match read_file(file) {
                Ok(text) => texts.push(ConfigText { file: file.clone(), text }),
                Err(fault) => unread.push(Complaint {
                    origin: start_of(file),
                    key: String::new(),
                    what: fault.what,
                    suggestion: fault.suggestion,
                    concern: Concern::Configuration,
                }),
            }
        }
        if unread.is_empty() { Self::load_texts(&texts, environment, flags) } else { Err(ConfigRefused::new(unread)) }
    }

    /// As [`Config::load`], from texts that need not be files.
    pub fn load_texts(
        texts: &[ConfigText],
        environment: &Environment,
        flags: &[Flag],
    ) -> Result<Loaded, ConfigRefused> {
        let mut root = Node::empty_table(Origin::Default);
        let mut findings = Findings::new(environment);
        let mut broken = BTreeSet::new();
        for ConfigText { file, text } in texts {
            let file: Arc<Path> = Arc::from(file.as_path());
            let parsed = tree::parse(&file, text);
            broken.extend(parsed.broken_lines.into_iter().map(|line| (Arc::clone(&file), line)));
            findings.complaints.extend(parsed.complaints);
            root.overlay(parsed.root);
        }
        let overlays: Vec<_> = environment.overlay().into_iter().chain(flags.iter().map(Flag::overlay)).collect();
        // Which files of rules there are must be known before a variable can reach into their rules.
        let (files, rest): (Vec<_>, Vec<_>) = overlays.into_iter().partition(Overlay::names_rules_files);
        let apply = |overlays: Vec<Overlay>, root: &mut Node, findings: &mut Findings<'_>| {
            let refused = overlays.into_iter().filter_map(|overlay| overlay.apply(root).err());
            findings.complaints.extend(refused);
        };
        apply(files, &mut root, &mut findings);
        rules::include_files(&mut root, &mut broken, &mut findings);
        apply(rest, &mut root, &mut findings);
        let syntax = findings.complaints.len();
        let mut section = Section::root(root, &mut findings);
        let config = Self::read(&mut section);
        section.finish();
        let Findings { mut complaints, warnings, settings, .. } = findings;
        if !broken.is_empty() {
            keep_what_is_certain(&mut complaints, syntax, &broken);
        }
        if complaints.is_empty() {
            Ok(Loaded { config, settings, warnings })
        } else {
            Err(ConfigRefused::new(complaints))
        }
    }
}

/// Beside broken lines, keys may be missing only because their line was not understood, and what was understood of such a line
/// may be nonsense; rules of such a file may be cut short. Complaints of these kinds are left out; they come back when the syntax
/// is mended.
fn keep_what_is_certain(complaints: &mut Vec<Complaint>, syntax: usize, broken: &BTreeSet<(Arc<Path>, usize)>) {
    let rest = complaints.split_off(syntax.min(complaints.len()));
    complaints.extend(rest.into_iter().filter(|complaint| match &complaint.origin {
        Origin::File { file, line, .. } => {
            let cut_short = complaint.concern == Concern::Rule && broken.iter().any(|(broken, _)| broken == file);
            !broken.contains(&(Arc::clone(file), *line)) && complaint.what != Fault::MISSING && !cut_short
        }
        Origin::Environment(_) | Origin::Flag(_) => true,
        Origin::Default => false,
    }));
}

fn start_of(file: &Path) -> Origin {
    Origin::File { file: Arc::from(file), line: 1, column: 1 }
}

/// Why a file cannot be read, in words that do not depend on the system.
pub(in crate::config) fn unreadable(what: &str, error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::new(format!("{what}: there is no such file")).advise("check its path"),
        kind => Fault::new(format!("{what}: {kind}")).advise("check its path and permissions"),
    }
}

/// A file of the configuration as text, without a byte-order mark.
pub(in crate::config) fn read_file(file: &Path) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable("cannot be read", &error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Fault::new("is larger than 4 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("is not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}
