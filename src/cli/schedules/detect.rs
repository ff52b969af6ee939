//! `shiftkeeper import --detect`: proposes an import profile for a file, and writes it into the configuration.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::import::ImportArgs;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::{one_tenant, open_existing_reader, usage_error};
use crate::config::{Config, ConfigError, ConfigText, Environment};
use crate::domain::schedules::import::profile::detect::{
    Answers, Choice, Entry, KnownAgents, Proposal, detect, inline,
};
use crate::domain::schedules::import::profile::{AgentKey, Profile, RosterAgent, read};
use crate::domain::schedules::import::{ImportOptions, ScheduleDraft, ScheduleImportError, check_size};
use crate::domain::wording::count_with_noun;

/// The name of a profile that is only printed, unless the file has a name that fits.
const DEFAULT_NAME: &str = "schedule";

/// The number of faults that are printed.
const MAX_FAULTS: usize = 5;

/// What a file gives when it is read by the proposal.
enum Trial {
    /// The configuration with the proposal is refused, or the proposal has a key to be decided.
    NotReadable(String),
    /// The file has faults by this profile.
    Refused(ScheduleImportError),
    /// The file is read.
    Read(ScheduleDraft),
}

/// Proposes a profile, and prints or writes it.
pub async fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let config = &args.scope.config.load_for_command()?.config;
    let about = fs::metadata(&args.file).with_context(|| format!("{} cannot be read", args.file.display()))?;
    let file = args.file.display().to_string();
    let name = args.profile.clone().unwrap_or_else(|| name_of(&args.file));
    let answers: Answers = args.answers.iter().cloned().collect();
    let target = target_of(args, config)?;
    let known = known_agents(args, config, &answers, &target).await?;
    let size = usize::try_from(about.len()).unwrap_or(usize::MAX);
    let detected = check_size(size, &config.import).map(|()| fs::read(&args.file));
    let detected = match detected {
        Ok(bytes) => {
            let bytes = bytes.with_context(|| format!("{file} cannot be read"))?;
            detect(&file, &bytes, &known, &answers).map(|proposal| (bytes, proposal))
        }
        Err(refused) => Err(refused),
    };
    let (bytes, proposal) = match detected {
        Ok(detected) => detected,
        Err(refused) => return refuse(&refused, &file, args.output),
    };
    let section = proposal.to_toml(&name);
    let (text, loaded) = with_section(args, &target, &section)?;
    let trial = match &loaded {
        Ok(loaded) => try_profile(&bytes, &loaded.import, &name, &known),
        Err(refused) => Trial::NotReadable(refused.to_string()),
    };
    let is_decided = proposal.undecided().next().is_none();
    let can_write = args.profile.is_some() && is_decided && loaded.is_ok();
    if can_write {
        replace_file(&target, &text).with_context(|| format!("{} cannot be written", target.display()))?;
    }
    report(args, &target, &name, &proposal, &section, &trial, can_write)?;
    Ok(if args.profile.is_some() && !can_write { Exit::Failed.into() } else { Exit::Done.into() })
}

fn refuse(refused: &ScheduleImportError, file: &str, output: Output) -> anyhow::Result<ExitCode> {
    for fault in &refused.diagnostics {
        print_message(format!("{file}: {fault}"));
    }
    if output == Output::Json {
        print_json(&json!({ "written": false, "faults": refused.faults, "complaints": refused.diagnostics }))?;
    }
    Ok(Exit::Failed.into())
}

/// Returns the configuration file to which the profile belongs: the last one, which overrides the others.
fn target_of(args: &ImportArgs, config: &Config) -> anyhow::Result<PathBuf> {
    let files = args.scope.config.files_in(&Environment::of_process());
    let target = files.into_iter().next_back().unwrap_or_default();
    let Some(name) = &args.profile else { return Ok(target) };
    if let Some(url) = &config.client.url {
        return Err(usage_error(format!(
            "the profile belongs into the configuration of the daemon at {url}; leave --profile out to print it"
        )));
    }
    if config.import.profiles.contains_key(name) {
        let text = format!("there is an import profile \"{name}\" already; remove it, or choose another name");
        return Err(CommandFailure::with_exit(Exit::Failed, text));
    }
    Ok(target)
}

/// Returns a name for the profile of a file.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { DEFAULT_NAME.to_owned() } else { name.to_owned() }
}

/// Returns the agents of the roster, or those whom the store knows.
async fn known_agents(
    args: &ImportArgs,
    config: &Config,
    answers: &Answers,
    target: &Path,
) -> anyhow::Result<KnownAgents> {
    if let Some(roster) = answers.get(&vec!["roster".to_owned()]).and_then(toml::Value::as_str) {
        let path = target.parent().unwrap_or(Path::new("")).join(roster);
        let bytes = fs::read(&path).with_context(|| format!("the roster {} cannot be read", path.display()))?;
        return KnownAgents::of_roster(&bytes)
            .map_err(|reason| anyhow::anyhow!("the roster {} cannot be used: {reason}", path.display()));
    }
    let mut known = KnownAgents::default();
    if config.client.url.is_some() {
        return Ok(known);
    }
    let Some(reader) = open_existing_reader(config).await? else { return Ok(known) };
    let tenant = one_tenant(config, args.scope.tenant.as_ref())?;
    let stored = reader.agents(&tenant.id).await;
    reader.close().await;
    for stored in stored?.into_iter().filter(|stored| !stored.is_being_erased) {
        let id = stored.agent.id.to_string();
        let agent = RosterAgent { id: id.clone(), zone: stored.agent.zone.as_deref().unwrap_or_default().to_owned() };
        for (key, text) in [
            (AgentKey::Id, Some(id.as_str())),
            (AgentKey::UserName, stored.user_name.as_deref()),
            (AgentKey::Uuid, stored.user_id.as_deref()),
        ] {
            known.add(key, text.unwrap_or_default(), agent.clone());
        }
    }
    Ok(known)
}

/// Returns the text of the configuration file with the section at its end, and the configuration that follows.
fn with_section(
    args: &ImportArgs,
    target: &Path,
    section: &str,
) -> anyhow::Result<(String, Result<Config, ConfigError>)> {
    let environment = Environment::of_process();
    let mut texts = Vec::new();
    for file in args.scope.config.files_in(&environment) {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        texts.push(ConfigText { file, text });
    }
    let mut whole = String::new();
    if let Some(last) = texts.iter_mut().rfind(|text| text.file == target) {
        let gap = if last.text.is_empty() || last.text.ends_with('\n') { "\n" } else { "\n\n" };
        last.text = format!("{}{gap}{section}", last.text);
        whole.clone_from(&last.text);
    }
    let loaded = Config::load_texts(&texts, &environment.for_command(), &args.scope.config.set);
    Ok((whole, loaded.map(|loaded| loaded.config)))
}

fn try_profile(bytes: &[u8], options: &ImportOptions, name: &str, known: &KnownAgents) -> Trial {
    let Some(profile) = options.profiles.get(name) else {
        return Trial::NotReadable(format!("the profile {name} is overridden by another source"));
    };
    let agents = known.lookup(profile.agent_key(), matches!(profile, Profile::Table(table) if table.roster.is_none()));
    match read(bytes, profile, &agents, options) {
        Ok(draft) => Trial::Read(draft),
        Err(refused) => Trial::Refused(refused),
    }
}

/// Prints the proposal, what is left to decide, and what the file gives by it.
fn report(
    args: &ImportArgs,
    target: &Path,
    name: &str,
    proposal: &Proposal,
    section: &str,
    trial: &Trial,
    is_written: bool,
) -> anyhow::Result<()> {
    match args.output {
        Output::Json => print_json(&report_json(name, proposal, section, trial, is_written))?,
        Output::Table => print(section)?,
    }
    for entry in proposal.undecided() {
        print_message(format!("decide: {}: {}", entry.key(), entry.reason));
    }
    for entry in proposal.doubtful() {
        print_message(format!("look at: {} = {}", entry.key(), entry.value().map(inline).unwrap_or_default()));
    }
    let file = args.file.display();
    match trial {
        Trial::Read(draft) => print_message(format!(
            "{file}: by this profile, {}, {}, {} to {}",
            count_with_noun(draft.agents.len(), "agent"),
            count_with_noun(draft.shifts, "shift"),
            draft.first_day,
            draft.last_day
        )),
        Trial::Refused(refused) => {
            for fault in refused.diagnostics.iter().take(MAX_FAULTS) {
                print_message(format!("{file}: {fault}"));
            }
            print_message(format!("{file}: by this profile, {}", count_with_noun(refused.faults, "fault")));
        }
        Trial::NotReadable(reason) if proposal.undecided().next().is_none() => print_message(reason),
        Trial::NotReadable(_) => print_message(format!("{file} cannot be read before these keys are decided")),
    }
    let next = if is_written {
        let command = format!("shiftkeeper import {file} --profile {name} --check");
        format!("written to {}; reload the daemon if one runs, then\n  {command}", target.display())
    } else if args.profile.is_some() {
        "nothing is written yet; decide with --answer KEY=VALUE, once for each key (KEY= leaves a key out)".to_owned()
    } else {
        "nothing is written; --profile NAME writes it into the configuration".to_owned()
    };
    print_message(next);
    Ok(())
}

fn report_json(name: &str, proposal: &Proposal, section: &str, trial: &Trial, is_written: bool) -> Value {
    let keys: Vec<Value> = proposal.entries.iter().map(entry_json).collect();
    let mut object = json!({
        "profile": name, "written": is_written, "section": section, "keys": keys, "read": null, "faults": null,
        "complaints": [],
    });
    match trial {
        Trial::Read(draft) => {
            let (first, last) = (draft.first_day.to_string(), draft.last_day.to_string());
            let read =
                json!({"agents": draft.agents.len(), "shifts": draft.shifts, "first_day": first, "last_day": last});
            object["read"] = read;
            object["faults"] = 0.into();
        }
        Trial::Refused(refused) => {
            object["faults"] = refused.faults.into();
            object["complaints"] = json!(refused.diagnostics);
        }
        Trial::NotReadable(_) => {}
    }
    object
}

fn entry_json(entry: &Entry) -> Value {
    let (certainty, value, choices) = match &entry.choice {
        Choice::Certain(value) => ("certain", Some(value), &[][..]),
        Choice::Doubtful(value) => ("doubtful", Some(value), &[][..]),
        Choice::Undecided(values) => ("undecided", None, values.as_slice()),
    };
    json!({"key": entry.key(), "certainty": certainty, "value": value, "choices": choices, "reason": entry.reason})
}

/// Replaces a file as a whole, with the same permissions.
fn replace_file(file: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::canonicalize(file)?;
    let mut name = file.clone().into_os_string();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mode = fs::metadata(&file)?.permissions().mode();
    let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    let replaced =
        written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).and_then(|()| fs::rename(&fresh, &file));
    if replaced.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    replaced?;
    if let Some(folder) = file.parent() {
        File::open(folder).and_then(|folder| folder.sync_all())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_named_after_its_file() {
        assert_eq!(name_of(Path::new("/x/Week 44 (final).csv")), "week-44--final");
        assert_eq!(name_of(Path::new("")), DEFAULT_NAME);
    }
}
