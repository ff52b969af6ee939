//! `shiftkeeper init`: writes a first configuration for a tenant, with what the platform tells about it. It only reads
//! from the platform.

mod answers;
mod code_proposal;
mod platform_facts;
mod prompts;
mod template;

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use self::answers::{Answers, DialectAnswers};
use self::code_proposal::CodeProposal;
use self::platform_facts::PlatformFacts;
use self::prompts::Prompts;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::clock::{Random as _, SharedClock, SystemClock, SystemRandom};
use crate::config::{Config, ConfigText, Environment, LoadedConfig};
use crate::domain::wording::count_with_noun;

pub use self::answers::InitArgs;

/// The file with the token of the command line, beside the configuration.
const TOKEN_FILE: &str = "operator-token";

/// Asks what is missing, reads from the platform and writes the configuration.
pub async fn run(args: InitArgs) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let file = args.file_in(&environment);
    if file.exists() && !args.force {
        return Err(exists_error(&file));
    }
    let is_interactive = !args.yes && std::io::stdin().is_terminal();
    let mut prompts = Prompts::new(is_interactive.then(|| std::io::stdin().lock()), std::io::stderr());
    let answers = Answers::collect(&args, &mut prompts)?;
    let draft = template::render(&answers, None, None, None);
    let loaded = load(&file, draft, &environment)?;
    let tenant = loaded.config.tenants.first().context("the configuration has no tenant")?;
    let clock: SharedClock = Arc::new(SystemClock::real());
    let mut found = None;
    let mut proposal = None;
    match &answers.dialect {
        DialectAnswers::Guide { .. } => platform_facts::check_guide(tenant, clock).await?,
        DialectAnswers::Incontact(_) => {
            let facts = platform_facts::read(tenant, clock).await?;
            print_message(facts.to_string());
            let proposed = CodeProposal::of(&facts.teams);
            print_message(proposed.to_string());
            let is_accepted = proposed.is_empty() || prompts.confirm("Use these codes?")?;
            proposal = Some(if is_accepted { proposed } else { proposed.into_comments() });
            found = Some(facts);
        }
    }
    let text = template::render(&answers, Some(TOKEN_FILE), found.as_ref(), proposal.as_ref());
    create_token(&file)?;
    load(&file, text.clone(), &environment)?;
    write(&file, &text, args.force)?;
    let result = result_json(&file, &answers, found.as_ref(), proposal.as_ref());
    args.output.print(&result, || next_steps(&file, &answers))?;
    Ok(Exit::Done.into())
}

fn load(file: &Path, text: String, environment: &Environment) -> anyhow::Result<LoadedConfig> {
    Ok(Config::load_texts(&[ConfigText { file: file.to_owned(), text }], environment, &[])?)
}

fn exists_error(file: &Path) -> anyhow::Error {
    let text = format!("{} exists already; --force overwrites it", file.display());
    CommandFailure::with_exit(Exit::Failed, text)
}

/// Creates the token of the command line, unless there is one.
fn create_token(config: &Path) -> anyhow::Result<()> {
    let path = config.with_file_name(TOKEN_FILE);
    let token = [SystemRandom.random_id(), SystemRandom.random_id()].map(|id| id.simple().to_string()).concat();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file.write_all(token.as_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("{} cannot be written", path.display()))
}

fn write(path: &Path, text: &str, overwrites: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    if overwrites {
        options.truncate(true);
    } else {
        options.create_new(true);
    }
    match options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists_error(path)),
        written => written.with_context(|| format!("{} cannot be written", path.display())),
    }
}

fn result_json(
    file: &Path,
    answers: &Answers,
    facts: Option<&PlatformFacts>,
    proposal: Option<&CodeProposal>,
) -> Value {
    json!({
        "file": file.display().to_string(),
        "tenant": answers.tenant,
        "dialect": answers.dialect.name(),
        "api_url": facts.map(|facts| facts.token.api_url.as_str()),
        "agents": facts.and_then(|facts| facts.agents),
        "teams": facts.map(|facts| facts.teams.len()),
        "codes": proposal.map(CodeProposal::common_json),
        "team_codes": proposal.map(CodeProposal::teams_json),
        "unclear": proposal.map(|proposal| proposal.unclear.iter().map(ToString::to_string).collect::<Vec<_>>()),
    })
}

fn next_steps(file: &Path, answers: &Answers) -> String {
    let option =
        if file == Path::new("shiftkeeper.toml") { String::new() } else { format!(" --config {}", file.display()) };
    format!(
        "wrote {}: a dry run, which sends no state changes\n\
         next:\n  shiftkeeper check{option}\n  shiftkeeper doctor{option} --tenant {}\n  shiftkeeper run{option}",
        file.display(),
        answers.tenant,
    )
}

impl std::fmt::Display for PlatformFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "API at {}", self.token.api_url.as_str().trim_end_matches('/'))?;
        if let Some(tenant) = &self.token.tenant {
            write!(f, ", tenant {tenant}")?;
        }
        if let Some(agents) = self.agents {
            write!(f, ", {}", count_with_noun(agents, "agent"))?;
        }
        write!(f, ", {}", count_with_noun(self.teams.len(), "team"))?;
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}
