//! `staffing import` and `staffing list`: the agents required per quarter hour, compared with those planned and present.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use reqwest::RequestBuilder;
use serde_json::json;

use super::import::{
    ANSWER_TIMEOUT, diagnostic_lines, find_daemon, open_importer, print_warnings, refused_import, size_of,
};
use crate::app::file_request_parts;
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print_json, table_with_header};
use crate::cli::shared::scope::one_tenant;
use crate::cli::shared::tenant_client::{TenantArgs, TenantClient};
use crate::config::{Config, Right};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::schedules::import::{ImportDiagnostic, ScheduleImportError, check_size, read_staffing};
use crate::domain::schedules::staffing::{AgentCount, StaffingInterval, StaffingStatus};
use crate::domain::wording::count_with_noun;
use crate::http::{ImportError, StaffingImportRequest, StaffingImportResult, StaffingImporter as _, StaffingResponse};

/// `staffing`.
#[derive(clap::Subcommand, Debug)]
pub enum StaffingCommand {
    /// Import the agents required from a CSV file.
    Import(StaffingImportArgs),
    /// List the agents planned, present, on a contact and required, per quarter hour of a day.
    List(StaffingListArgs),
}

/// Options of `staffing import`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The file has the columns date, interval, queue and required, or start and minutes in place of the first two. It
replaces what was imported before for its queues and days.

Ends with 0 when the figures are stored, also when they were already; with 1 when the file has faults: each of them is
named, and nothing is changed.

Examples:
  shiftkeeper staffing import required-44.csv --zone Europe/Berlin
  shiftkeeper staffing import required-44.csv --tenant acme --output json"
)]
pub struct StaffingImportArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// A CSV file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The IANA time zone of local times and days in the file. The default is `import.default_zone`.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `staffing list`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Quarter hours without agents and without required staff are left out of the table; --output json has them all.

Examples:
  shiftkeeper staffing list
  shiftkeeper staffing list --day 2026-10-26 --zone Europe/Berlin
  shiftkeeper staffing list --team 'Team A' --output json"
)]
pub struct StaffingListArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The local day; today by default.
    #[arg(long, value_name = "DATE")]
    day: Option<Date>,
    /// Only agents of this team, compared with the queues of the team.
    #[arg(long, value_name = "NAME")]
    team: Option<TeamName>,
    /// The IANA time zone of the day. The default is `import.default_zone`, or else UTC.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// The result of an import.
enum Outcome {
    /// The figures are stored.
    Imported(StaffingImportResult),
    /// The file has faults: the first of them, and their number.
    Refused { complaints: Vec<ImportDiagnostic>, faults: usize },
}

impl From<ScheduleImportError> for Outcome {
    fn from(ScheduleImportError { diagnostics: complaints, faults }: ScheduleImportError) -> Self {
        Self::Refused { complaints, faults }
    }
}

/// Runs a command of `staffing`.
pub async fn run(command: StaffingCommand) -> anyhow::Result<ExitCode> {
    match command {
        StaffingCommand::Import(args) => import(args).await,
        StaffingCommand::List(args) => list(args).await,
    }
}

async fn import(args: StaffingImportArgs) -> anyhow::Result<ExitCode> {
    let config = args.scope.config.load_for_command()?.config;
    let outcome = match check_size(size_of(&args.file)?, &config.import) {
        Err(refused) => refused.into(),
        Ok(()) => import_file(config, &args).await?,
    };
    let file = args.file.display().to_string();
    match outcome {
        Outcome::Imported(answer) => {
            print_warnings(&answer.warnings, &file);
            args.output.print(&answer, || summary(&answer, &file))?;
            Ok(Exit::Done.into())
        }
        Outcome::Refused { complaints, faults } => {
            diagnostic_lines(&complaints, faults, &file).iter().for_each(print_message);
            if args.output == Output::Json {
                print_json(&json!({ "changed": false, "faults": faults, "complaints": complaints }))?;
            }
            Ok(Exit::Failed.into())
        }
    }
}

/// Imports through the daemon if there is one, and directly into the store otherwise.
async fn import_file(config: Config, args: &StaffingImportArgs) -> anyhow::Result<Outcome> {
    let (name, bytes) = file_request_parts(&args.file)?;
    let request = |tenant: TenantId| StaffingImportRequest {
        tenant,
        name: name.clone(),
        bytes: bytes.clone(),
        zone: args.zone.clone(),
        actor: "command:staffing".to_owned(),
    };
    if config.client.url.is_some() {
        let client = TenantClient::from_config(config, args.scope.tenant.as_ref()).await?;
        return Ok(import_through_daemon(&client, &request(client.tenant().clone())).await?);
    }
    let request = request(one_tenant(&config, args.scope.tenant.as_ref())?.id.clone());
    if find_daemon(&config).await?.is_none() {
        return import_into_store(&config, request).await;
    }
    let client = TenantClient::from_config(config.clone(), Some(&request.tenant)).await?;
    match import_through_daemon(&client, &request).await {
        Ok(outcome) => Ok(outcome),
        // The store still names a daemon that crashed. If one does run, the store's lock says so.
        Err(DaemonError::NotReachable { .. }) => import_into_store(&config, request).await,
        Err(error) => Err(error.into()),
    }
}

async fn import_through_daemon(client: &TenantClient, request: &StaffingImportRequest) -> Result<Outcome, DaemonError> {
    let mut parameters = vec![("name", &*request.name)];
    parameters.extend(request.zone.as_deref().map(|zone| ("zone", zone)));
    let body = request.bytes.to_vec();
    let configure = |request: RequestBuilder| request.timeout(ANSWER_TIMEOUT).body(body);
    match client.upload(Right::Import, "/api/v1/staffing-imports", &parameters, configure).await {
        Ok(imported) => Ok(Outcome::Imported(imported)),
        Err(DaemonError::Refused { status, detail, problem }) => match refused_import(&problem) {
            Some((complaints, faults)) => Ok(Outcome::Refused { complaints, faults }),
            None => Err(DaemonError::Refused { status, detail, problem }),
        },
        Err(error) => Err(error),
    }
}

async fn import_into_store(config: &Config, request: StaffingImportRequest) -> anyhow::Result<Outcome> {
    // Refuse a file with faults before creating or locking a store for it.
    let zone = request.zone.as_deref().or(config.import.default_zone.as_deref());
    if let Err(refused) = read_staffing(&request.bytes, zone, &config.import) {
        return Ok(refused.into());
    }
    let (store, importer) = open_importer(config).await?;
    let imported = importer.import_staffing(request).await;
    // The importer holds a writer, and the store closes when the last one is dropped.
    drop(importer);
    store.close().await;
    match imported {
        Ok(result) => Ok(Outcome::Imported(result)),
        Err(ImportError::Refused { diagnostics: complaints, faults, .. }) => {
            Ok(Outcome::Refused { complaints, faults })
        }
        Err(error) => Err(error.into()),
    }
}

fn summary(answer: &StaffingImportResult, file: &str) -> String {
    let StaffingImportResult { tenant, queues, rows, first_day, last_day, zone, .. } = answer;
    let (queues, rows) = (count_with_noun(*queues, "queue"), count_with_noun(*rows, "row"));
    let what = format!("{queues}, {rows}, {first_day} to {last_day} ({zone})");
    if answer.changed {
        format!("{file}: imported for {tenant}: {what}")
    } else {
        format!("{file}: unchanged, stored for {tenant} already: {what}")
    }
}

async fn list(args: StaffingListArgs) -> anyhow::Result<ExitCode> {
    let config = args.scope.config.load_for_command()?.config;
    let zone = args.zone.or_else(|| config.import.default_zone.clone());
    let client = TenantClient::from_config(config, args.scope.tenant.as_ref()).await?;
    let day = args.day.map(|day| day.to_string());
    let mut query = Vec::new();
    query.extend(day.as_deref().map(|day| ("day", day)));
    query.extend(args.team.as_ref().map(|team| ("team", team.as_str())));
    query.extend(zone.as_deref().map(|zone| ("zone", zone)));
    let staffing: StaffingResponse = client.get("/api/v1/staffing", &query).await?;
    args.output.print(&staffing, || table(&staffing))?;
    if args.output == Output::Table {
        print_message(about(&staffing));
    }
    Ok(Exit::Done.into())
}

/// Says what the figures are about.
fn about(staffing: &StaffingResponse) -> String {
    let agents = count_with_noun(staffing.agents, "agent");
    let compared = match (&staffing.not_compared, staffing.queues.as_slice()) {
        (Some(why), _) => why.clone(),
        (None, []) => "no required staff was imported for this day".to_owned(),
        (None, queues) => format!("required for {}", queues.join(", ")),
    };
    format!("{} in {}: {agents}; {compared}", staffing.day, staffing.zone)
}

fn table(staffing: &StaffingResponse) -> String {
    let zone = TimeZone::get(&staffing.zone).unwrap_or(TimeZone::UTC);
    let mut table = table_with_header(["time", "planned", "present", "on contact", "unknown", "required", "net", ""]);
    let number = |count: Option<AgentCount>| count.map(|count| format!("{count:.1}")).unwrap_or_default();
    let some = |count: Option<AgentCount>| count.is_some_and(|count| count != AgentCount::ZERO);
    let is_listed = |one: &&StaffingInterval| [one.required, one.planned, one.present].into_iter().any(some);
    for one in staffing.intervals.iter().filter(is_listed) {
        let time = one.start.timestamp().to_zoned(zone.clone()).strftime("%H:%M").to_string();
        let figures = [one.planned, one.present, one.on_contact, one.unknown, one.required, one.net].map(number);
        let status = one.status.filter(|status| *status != StaffingStatus::Met).map_or("", StaffingStatus::name);
        table.add_row(std::iter::once(time).chain(figures).chain([status.to_owned()]));
    }
    table.to_string()
}
