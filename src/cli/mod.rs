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
        matches.and_then(|matches| Self::from_arg_matches(&matches)).map_err(|told| print_clap_error(&told))
    }

    /// Returns all commands, with the paragraphs of their help wrapped to the width of the terminal.
    fn full_command() -> clap::Command {
        reflow_help(Self::command())
    }

    /// Runs the command, prints any error and returns the exit code.
    pub async fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Demo(args) => operations::demo::run(args).await,
            Command::Run(args) => operations::run::run(args).await,
            Command::Check(args) => operations::check::run(&args),
            Command::Plan(args) => rules::plan::run(args).await,
            Command::Rules(command) => rules::run(command).await,
            Command::Import(args) => schedules::import::run(args).await,
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
            Command::Completions(args) => operations::manual::completions(&args),
            Command::Man(args) => operations::manual::man(&args),
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
