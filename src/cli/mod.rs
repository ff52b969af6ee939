//! The command line, with a file per subcommand. Data goes to standard output, messages to standard error.

mod access;
pub mod agents;
pub mod analytics;
pub mod audit;
pub mod changes;
pub mod jobs;
pub mod live;
pub mod operations;
pub mod reports;
pub mod rules;
pub mod schedules;
pub mod shared;
pub mod webhooks;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::shared::exit::Exit;

/// Keeps a contact centre's agents in the state that their shifts, breaks and rules call for, and proves what it did.
#[derive(Parser, Debug)]
#[command(name = "shiftkeeper", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  shiftkeeper demo --for 60s
  shiftkeeper init
  shiftkeeper check --config config/shiftkeeper.toml
  shiftkeeper run --config config/shiftkeeper.toml

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part, 4 a check found problems, \
                       69 not reachable, 75 try later, 77 not permitted, 78 bad configuration.
It is not an error if the reader of the output closes the pipe early, as `head` does.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a demo: two simulated contact centres and the daemon.
    Demo(operations::demo::DemoArgs),
    /// Write a first configuration for a tenant.
    Init(Box<operations::init::InitArgs>),
    /// Run the daemon.
    Run(operations::run::RunArgs),
    /// Check the configuration and the rules without starting anything.
    Check(operations::check::CheckArgs),
    /// Show what the rules would do now, and why.
    Plan(rules::plan::PlanArgs),
    /// List, check, explain and backtest rules, and set their mode.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Import shifts from a CSV or iCalendar file.
    Import(schedules::import::ImportArgs),
    /// List the versions of the schedule and undo one; list the sources that it comes from.
    #[command(subcommand)]
    Schedules(schedules::versions::SchedulesCommand),
    /// Import the agents required per quarter hour, and compare them with the agents planned and present.
    #[command(subcommand)]
    Staffing(schedules::staffing::StaffingCommand),
    /// Show scheduled jobs, or run one now.
    Jobs(jobs::JobsArgs),
    /// Show agents: state, planned activity and adherence.
    Agents(agents::AgentsArgs),
    /// Change the state of one agent or many.
    Change(Box<changes::change::ChangeArgs>),
    /// Erase an agent's personal data permanently.
    Erase(agents::erase::EraseArgs),
    /// Show agents live, in a table that updates.
    Watch(live::watch::WatchArgs),
    /// Print a report.
    #[command(subcommand)]
    Report(reports::report::ReportCommand),
    /// Run analytics queries of the platform, and read their results.
    #[command(subcommand)]
    Analytics(analytics::AnalyticsCommand),
    /// Verify or export the audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Manage webhook endpoints and their deliveries.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Manage the accounts of people.
    #[command(subcommand)]
    Account(access::account::AccountCommand),
    /// Manage stored API tokens.
    #[command(subcommand)]
    Token(access::token::TokenCommand),
    /// Show the status of the running daemon.
    Status(operations::status::StatusArgs),
    /// Check whether the daemon answers, for a container health check.
    Healthcheck(operations::healthcheck::HealthcheckArgs),
    /// Check that everything the daemon needs is available and works.
    Doctor(operations::doctor::DoctorArgs),
    /// Check, copy, restore or measure the database.
    #[command(subcommand)]
    Db(operations::db::DbCommand),
    /// Run the platform simulator.
    Simulate(operations::simulate::SimulateArgs),
    /// Print a shell completion script.
    Completions(operations::manual::CompletionsArgs),
    /// Write manual pages.
    Man(operations::manual::ManArgs),
}

impl Cli {
    /// Parses the command line. The error is the exit code after printing help, the version or a usage error.
    pub fn from_command_line() -> Result<Self, ExitCode> {
        let matches = Self::full_command().try_get_matches();
        matches.and_then(|matches| Self::from_arg_matches(&matches)).map_err(|error| print_clap_error(&error))
    }

    /// Returns all commands, with the paragraphs of their help wrapped to the width of the terminal.
    fn full_command() -> clap::Command {
        reflow_help(Self::command())
    }

    /// Runs the command, prints any error and returns the exit code.
    pub async fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Demo(args) => operations::demo::run(args).await,
            Command::Init(args) => operations::init::run(*args).await,
            Command::Run(args) => operations::run::run(args).await,
            Command::Check(args) => operations::check::run(&args).await,
            Command::Plan(args) => rules::plan::run(args).await,
            Command::Rules(command) => rules::run(command).await,
            Command::Import(args) if args.detect => schedules::detect::run(&args).await,
            Command::Import(args) => schedules::import::run(args).await,
            Command::Schedules(command) => schedules::versions::run(command).await,
            Command::Staffing(command) => schedules::staffing::run(command).await,
            Command::Jobs(args) => jobs::run(args).await,
            Command::Agents(args) => agents::run(args).await,
            Command::Change(args) => changes::change::run(*args).await,
            Command::Erase(args) => agents::erase::run(args).await,
            Command::Watch(args) => live::watch::run(args).await,
            Command::Report(command) => reports::report::run(command).await,
            Command::Analytics(command) => analytics::run(command).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Webhooks(command) => webhooks::run(command).await,
            Command::Account(command) => access::account::run(command).await,
            Command::Token(command) => access::token::run(command).await,
            Command::Status(args) => operations::status::run(args).await,
            Command::Healthcheck(args) => Ok(operations::healthcheck::run(args).await),
            Command::Doctor(args) => operations::doctor::run(args).await,
            Command::Db(command) => operations::db::run(command).await,
            Command::Simulate(args) => operations::simulate::run(args).await,
            Command::Completions(args) => operations::manual::completions(&args, Self::full_command()),
            Command::Man(args) => operations::manual::man(&args, Self::full_command()),
        };
        result.unwrap_or_else(|error| {
            shared::messages::print_error(&error);
            shared::messages::exit_for_error(&error).into()
        })
    }
}

/// Prints help, the version, or the error of a command line.
fn print_clap_error(clap_error: &clap::Error) -> ExitCode {
    let exit_code = u8::try_from(clap_error.exit_code()).unwrap_or(Exit::Usage.code());
    match shared::output::pipe_status(clap_error.print()) {
        // Nobody can be told if standard error cannot be written.
        Err(error) if !clap_error.use_stderr() => {
            shared::messages::print_error(&error);
            Exit::Failed.into()
        }
        Ok(_) | Err(_) => exit_code.into(),
    }
}

fn reflow_help(command: clap::Command) -> clap::Command {
    let command = match command.get_after_help().map(|help| join_paragraphs(&help.to_string())) {
        Some(help) => command.after_help(help),
        None => command,
    };
    command.mut_subcommands(reflow_help)
}

/// Joins the lines of each paragraph. Indented lines, and those directly before them, stay as they are.
fn join_paragraphs(text: &str) -> String {
    let mut joined = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        joined.push_str(line);
        let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
        let goes_on = is_prose(line) && lines.peek().is_some_and(|next| is_prose(next));
        joined.push(if goes_on { ' ' } else { '\n' });
    }
    joined.truncate(joined.trim_end().len());
    joined
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    /// Returns every command that can be run, with its name.
    fn commands() -> Vec<(String, clap::Command)> {
        fn walk(command: &clap::Command, place: &str, into: &mut Vec<(String, clap::Command)>) {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let place = format!("{place} {}", below.get_name());
                into.push((place.clone(), below.clone()));
                walk(below, &place, into);
            }
        }
        let mut found = Vec::new();
        walk(&Cli::full_command(), "shiftkeeper", &mut found);
        found
    }

    #[test]
    fn every_command_has_a_page_and_is_completed_in_each_shell() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = operations::manual::ManArgs { folder: folder.path().join("man1") };
        operations::manual::man(&args, Cli::full_command()).expect("written");
        for (place, _) in commands() {
            let page = folder.path().join("man1").join(format!("{}.1", place.replace(' ', "-")));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH NAME"), "{place}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::full_command(), "shiftkeeper", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("healthcheck") && script.contains("verify"), "{shell}");
        }
    }

    #[test]
    fn the_prose_of_help_is_broken_where_the_terminal_ends_and_nowhere_else() {
        for (place, command) in commands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            let is_prose = |line: &&str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
            let broken = lines.windows(2).find(|pair| pair.iter().all(is_prose));
            assert_eq!(broken, None, "{place}");
            // A wrapped example cannot be copied.
            let long = lines.iter().find(|line| line.starts_with(' ') && line.chars().count() > 100);
            assert_eq!(long, None, "{place}");
        }
        let written = "One.\nTwo:\n  a\n  b\n\nThree\nfour.\n\nExamples:\n  c\n";
        assert_eq!(join_paragraphs(written), "One.\nTwo:\n  a\n  b\n\nThree four.\n\nExamples:\n  c");
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples_that_its_own_options_fit() {
        for (place, command) in commands().into_iter().filter(|(_, command)| !command.has_subcommands()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{place} has no examples"));
            let lines: Vec<_> = examples.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
            assert!(!lines.is_empty(), "{place} has no examples");
            assert!(lines.iter().any(|line| line.starts_with(&place)), "{place}: {lines:?}");
            for line in lines.iter().filter(|line| line.starts_with("shiftkeeper ")) {
                // Text after three spaces is a remark, and text after a pipe or redirection belongs to another
                // program.
                let ours = line.split("   ").next().unwrap_or_default().split_whitespace();
                let words: Vec<&str> = ours.take_while(|word| !["|", ">", "2>", "&&", "#"].contains(word)).collect();
                if words.iter().any(|word| word.contains(['\'', '"', '$'])) {
                    continue;
                }
                let parsed = Cli::full_command().try_get_matches_from(&words);
                assert!(
                    parsed.is_ok(),
                    "{place}: {line}: {}",
                    parsed.err().map(|error| error.to_string()).unwrap_or_default()
                );
            }
        }
    }
}
