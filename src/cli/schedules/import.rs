//! `shiftkeeper import`: sends a schedule file to the running daemon, or stores it directly if none runs. A file is
//! imported completely or not at all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::check::check_text;
use crate::app::{HeavyWork, Importer, check_file, clock_for, identity, request_of_file};
use crate::cli::shared::daemon::{DaemonClient, DaemonError};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::{is_daemon_running, one_tenant, open_reader};
use crate::cli::shared::tenant_client::{TenantArgs, TenantClient};
use crate::clock::SystemRandom;
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;
use crate::domain::schedules::import::{ImportDiagnostic, ImportOptions, ScheduleImportError, check_size};
use crate::domain::wording::count_with_noun;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::operations::tenants::Tenants;
use crate::http::{ImportError, ImportRequest, ImportResult, LONG_TIMEOUT, ScheduleCheck, ScheduleEditor as _};
use crate::store::{ProcessRole, Store};

/// The actor in the audit log if no daemon, and so no token, is involved.
const ACTOR: &str = "command:import";

/// The time limit of the daemon's answer, a little longer than the daemon's own, so that it is the daemon that gives
/// up.
pub(super) const ANSWER_TIMEOUT: Duration = LONG_TIMEOUT.saturating_add(Duration::from_secs(5));

/// Options of `import`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when the schedule is in force, also when it was already; with 1 when the file has faults: each \
                  of them is named, and nothing is changed.

Examples:
  shiftkeeper import week-44.csv --tenant acme
  shiftkeeper import week-44.ics --output json
  shiftkeeper import week-44.xlsx --profile excel
  shiftkeeper import --detect week-44.xlsx
  shiftkeeper import --detect week-44.xlsx --profile excel --answer time_zone=Europe/Berlin
  shiftkeeper import everybody-44.csv --whole
  shiftkeeper import week-44.csv --check
  shiftkeeper import week-44.csv --apply 3f2a…
  shiftkeeper import config/samples/schedule-300.csv --move-weeks 2"
)]
pub struct ImportArgs {
    #[command(flatten)]
    pub(super) scope: TenantArgs,
    /// A CSV or iCalendar file, or one that the profile describes.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read the file by this import profile of the configuration.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Move every local date by this number of weeks; negative values move them to earlier dates.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub move_weeks: i32,
    /// The file is the complete schedule of its days: agents who are not in it have no shift on these days.
    #[arg(long)]
    pub whole: bool,
    /// Show what the import would change and what to look at first, and change nothing.
    #[arg(long, conflicts_with = "apply")]
    pub check: bool,
    /// Import only what the check with this hash showed.
    #[arg(long, value_name = "HASH")]
    pub apply: Option<String>,
    /// Propose an import profile for the file, with the reason for each key and what is doubtful. With --profile, write it
    /// into the configuration file under this name; otherwise print it.
    #[arg(long, conflicts_with_all = ["check", "apply", "whole", "move_weeks"])]
    pub detect: bool,
    /// State a key of the proposed profile, as in `--answer time_zone=Europe/Berlin`. May be given more than once.
    #[arg(long = "answer", value_name = "KEY=VALUE", requires = "detect", value_parser = super::answer::parse_answer)]
    pub answers: Vec<(Vec<String>, toml::Value)>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// The result of an import.
#[derive(Debug)]
pub(in crate::cli) enum ImportOutcome {
    /// The schedule is in force.
    Imported(ImportResult),
    /// What the import would change.
    Checked(Box<ScheduleCheck>),
    /// The file has faults: the first of them, and their number.
    Refused { complaints: Vec<ImportDiagnostic>, faults: usize },
}

impl From<ScheduleImportError> for ImportOutcome {
    fn from(ScheduleImportError { diagnostics: complaints, faults }: ScheduleImportError) -> Self {
        Self::Refused { complaints, faults }
    }
}

/// Imports and prints the result.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let config = args.scope.config.load_for_command()?.config;
    let result = match check_size(size_of(&args.file)?, &config.import) {
        Err(refused) => refused.into(),
        Ok(()) => import_schedule(config, &args).await?,
    };
    let file = args.file.display().to_string();
    print_diagnostics(&result, &file);
    match args.output {
        Output::Json => print_json(&result_json(&result))?,
        Output::Table => match &result {
            ImportOutcome::Imported(answer) => print(summary(answer, &file))?,
            ImportOutcome::Checked(check) => print(check_text(check, &apply_command(&args)))?,
            ImportOutcome::Refused { .. } => {}
        },
    }
    Ok(exit_for(&result).into())
}

/// Returns the command that applies a check, without its hash.
fn apply_command(args: &ImportArgs) -> String {
    let mut command = format!("shiftkeeper import {}", args.file.display());
    if let Some(profile) = &args.profile {
        let _ = write!(command, " --profile {profile}");
    }
    if args.move_weeks != 0 {
        let _ = write!(command, " --move-weeks {}", args.move_weeks);
    }
    if args.whole {
        command.push_str(" --whole");
    }
    command
}

/// Returns the size of a file, before its content is read into memory or sent.
pub(super) fn size_of(file: &Path) -> anyhow::Result<usize> {
    let about = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(usize::try_from(about.len()).unwrap_or(usize::MAX))
}

/// Imports through the daemon if there is one, and directly into the store otherwise.
async fn import_schedule(config: Config, args: &ImportArgs) -> anyhow::Result<ImportOutcome> {
    let build_request = |tenant: TenantId| {
        let request = request_of_file(&args.file, tenant, ACTOR)?;
        let (profile, hash) = (args.profile.clone(), args.apply.clone());
        anyhow::Ok(ImportRequest { profile, hash, move_weeks: args.move_weeks, is_complete: args.whole, ..request })
    };
    if config.client.url.is_some() {
        let client = TenantClient::from_config(config, args.scope.tenant.as_ref()).await?;
        let request = build_request(client.tenant().clone())?;
        return Ok(import_through_daemon(&client, &request, args.check).await?);
    }
    let request = build_request(one_tenant(&config, args.scope.tenant.as_ref())?.id.clone())?;
    if find_daemon(&config).await?.is_none() {
        return import_into_store(&config, request, args.check).await;
    }
    let client = TenantClient::from_config(config.clone(), Some(&request.tenant)).await?;
    match import_through_daemon(&client, &request, args.check).await {
        Ok(came) => Ok(came),
        // The store still names a daemon that crashed. If one does run, the store's lock says so.
        Err(DaemonError::NotReachable { .. }) => import_into_store(&config, request, args.check).await,
        Err(error) => Err(error.into()),
    }
}

/// Finds the daemon to use: the one elsewhere that the configuration names, or the one that has the store.
pub(in crate::cli) async fn find_daemon(config: &Config) -> anyhow::Result<Option<DaemonClient>> {
    if config.client.url.is_some() {
        return Ok(Some(DaemonClient::find(config).await?));
    }
    // If the store is missing or cannot be read, the importer creates it or reports the error.
    let Ok(reader) = open_reader(config).await else { return Ok(None) };
    let runs = is_daemon_running(&reader).await?;
    reader.close().await;
    if runs { Ok(Some(DaemonClient::find(config).await?)) } else { Ok(None) }
}

async fn import_through_daemon(
    client: &TenantClient,
    request: &ImportRequest,
    is_check: bool,
) -> Result<ImportOutcome, DaemonError> {
    let (weeks, whole) = (request.move_weeks.to_string(), request.is_complete.to_string());
    let mut parameters = vec![("name", &*request.name), ("move_weeks", &*weeks), ("whole", &*whole)];
    parameters.extend(request.profile.as_deref().map(|profile| ("profile", profile)));
    parameters.extend(request.hash.as_deref().map(|hash| ("hash", hash)));
    let body = request.bytes.to_vec();
    let configure = |request: RequestBuilder| request.timeout(ANSWER_TIMEOUT).body(body);
    let answer = if is_check {
        let check = client.upload(Right::Import, "/api/v1/schedule-imports/check", &parameters, configure).await;
        check.map(|check| ImportOutcome::Checked(Box::new(check)))
    } else {
        let imported = client.upload(Right::Import, "/api/v1/schedule-imports", &parameters, configure).await;
        imported.map(ImportOutcome::Imported)
    };
    match answer {
        Ok(outcome) => Ok(outcome),
        Err(DaemonError::Refused { status, detail, problem }) => {
            let refused = refused_import(&problem);
            let refused = refused.map(|(complaints, faults)| ImportOutcome::Refused { complaints, faults });
            refused.ok_or(DaemonError::Refused { status, detail, problem })
        }
        Err(error) => Err(error),
    }
}

/// Returns the faults of the file and their number if the daemon refused it for them.
pub(super) fn refused_import(problem: &Value) -> Option<(Vec<ImportDiagnostic>, usize)> {
    if problem.get("code")? != "schedule_refused" {
        return None;
    }
    let complaints: Vec<ImportDiagnostic> = serde_json::from_value(problem.get("complaints")?.clone()).ok()?;
    let faults = problem.get("faults").and_then(Value::as_u64).and_then(|faults| usize::try_from(faults).ok());
    let faults = faults.unwrap_or(complaints.len());
    Some((complaints, faults))
}

/// Opens the store of a configuration for imports, when no daemon runs. Close the store after dropping the importer.
pub(super) async fn open_importer(config: &Config) -> anyhow::Result<(Store, Importer)> {
    let clock = clock_for(config).await;
    let url = config.store.connection_url();
    let store = Store::open(url.expose(), ProcessRole::Import, clock.clone(), &identity()).await?;
    let importer = Importer {
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        clock,
        random: Arc::new(SystemRandom),
        keeper_client: KeeperHandle::new(Tenants::default()),
        options: tokio::sync::watch::channel(config.import.clone()).1,
        import_lock: Arc::default(),
        heavy_work: HeavyWork::OwnThread,
    };
    Ok((store, importer))
}

pub(in crate::cli) async fn import_into_store(
    config: &Config,
    request: ImportRequest,
    is_check: bool,
) -> anyhow::Result<ImportOutcome> {
    // Refuse a file with faults before creating or locking a store for it.
    let options = ImportOptions { move_weeks: request.move_weeks, ..config.import.clone() };
    if let Err(refused) = check_file(&request, &options)? {
        return Ok(refused.into());
    }
    let (store, importer) = open_importer(config).await?;
    let imported = if is_check {
        importer.check_import(request).await.map(|check| ImportOutcome::Checked(Box::new(check)))
    } else {
        importer.run(request).await.map(ImportOutcome::Imported)
    };
    // The importer holds a writer, and the store closes when the last one is dropped.
    drop(importer);
    store.close().await;
    match imported {
        Ok(outcome) => Ok(outcome),
        Err(ImportError::Refused { diagnostics: complaints, faults, .. }) => {
            Ok(ImportOutcome::Refused { complaints, faults })
        }
        Err(
            error @ (ImportError::Profile(_) | ImportError::HashDiffers | ImportError::Store(_) | ImportError::Read(_)),
        ) => Err(error.into()),
    }
}

/// Prints warnings and faults, one per line as compilers do.
fn print_diagnostics(result: &ImportOutcome, file: &str) {
    match result {
        ImportOutcome::Imported(ImportResult { warnings, .. }) => print_warnings(warnings, file),
        ImportOutcome::Checked(check) => print_warnings(&check.warnings, file),
        ImportOutcome::Refused { complaints, faults } => {
            diagnostic_lines(complaints, *faults, file).iter().for_each(print_message);
        }
    }
}

pub(super) fn print_warnings(warnings: &[String], file: &str) {
    for warning in warnings {
        print_message(format!("{file}: warning: {warning}"));
    }
}

pub(super) fn diagnostic_lines(complaints: &[ImportDiagnostic], faults: usize, file: &str) -> Vec<String> {
    let mut lines: Vec<_> = complaints.iter().map(|complaint| format!("{file}: {complaint}")).collect();
    if faults > complaints.len() {
        lines.push(format!("{file}: {}, not listed", count_with_noun(faults - complaints.len(), "more fault")));
    }
    lines.push(format!("{file} is not imported: {}; nothing was changed", count_with_noun(faults, "fault")));
    lines
}

fn summary(answer: &ImportResult, file: &str) -> String {
    let ImportResult { tenant, version, agents, others_off, shifts, first_day, last_day, .. } = answer;
    let (agents, shifts) = (count_with_noun(*agents, "agent"), count_with_noun(*shifts, "shift"));
    let mut what = format!("{agents}, {shifts}, {first_day} to {last_day}");
    if *others_off > 0 {
        what = format!("{what}; {others_off} agents who are not in it are off on these days");
    }
    if answer.changed {
        format!("{file}: imported for {tenant} as version {version}: {what}")
    } else {
        format!("{file}: unchanged, in force for {tenant} as version {version} already: {what}")
    }
}

fn result_json(result: &ImportOutcome) -> Value {
    match result {
        ImportOutcome::Imported(answer) => {
            let mut object = json!(answer);
            object["imported"] = true.into();
            object
        }
        ImportOutcome::Checked(check) => json!(check),
        ImportOutcome::Refused { complaints, faults } => {
            json!({ "imported": false, "changed": false, "faults": faults, "complaints": complaints })
        }
    }
}

const fn exit_for(result: &ImportOutcome) -> Exit {
    match result {
        ImportOutcome::Imported(_) | ImportOutcome::Checked(_) => Exit::Done,
        ImportOutcome::Refused { .. } => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ImportArgs,
    }

    const HEAD: &str = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n";
    const ROW: &str = "u_1,Ida,blue,Europe/Berlin,shift,2026-10-26T09:00,2026-10-26T17:30,false\n";

    /// Imports `text` without a daemon into a fresh folder; the exit code, and whether there is a store afterwards.
    async fn import_file(text: &str, more: &str, times: u32) -> (Vec<ExitCode>, bool) {
        let (exits, stored) = import_by(text, more, times, &[]).await;
        (exits.expect("a file that can be read"), stored)
    }

    async fn import_by(text: &str, more: &str, times: u32, options: &[&str]) -> (anyhow::Result<Vec<ExitCode>>, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let config = format!(
            "[store]\nurl = \"sqlite://{}\"\n[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\n\
             client_id = \"x\"\nclient_secret = {{ file = \"secret\" }}\n{more}",
            place("keeper.db").display()
        );
        std::fs::write(place("c.toml"), config).expect("written");
        std::fs::write(place("secret"), "hunter2").expect("written");
        std::fs::write(place("week.csv"), text).expect("written");
        let (config, file) = (place("c.toml").display().to_string(), place("week.csv").display().to_string());
        let mut exits = Vec::new();
        for _ in 0..times {
            let words = [&["import", &file, "--config", &config], options].concat();
            let args = Command::try_parse_from(words).expect("known options").args;
            exits.push(run(args).await);
        }
        (exits.into_iter().collect(), place("keeper.db").exists())
    }

    #[tokio::test]
    async fn a_file_is_imported_without_a_daemon_and_once_more_changes_nothing() {
        let (exits, stored) = import_file(&format!("{HEAD}{ROW}"), "", 2).await;
        assert_eq!(exits, [ExitCode::from(Exit::Done); 2]);
        assert!(stored);
    }

    #[tokio::test]
    async fn a_file_with_faults_ends_in_1_and_leaves_nothing() {
        let (exits, stored) = import_file(&format!("{HEAD}{}", ROW.replace("Europe/Berlin", "Mars")), "", 1).await;
        assert_eq!(exits, [ExitCode::from(Exit::Failed)]);
        assert!(!stored);
    }

    #[tokio::test]
    async fn a_file_is_imported_by_a_profile_and_never_by_one_that_does_not_exist() {
        let profile = "[import.profiles.grid]\nlayout = \"wide\"\ndelimiter = \";\"\nagent_key = \"id\"\ndate_format = \"DD.MM.YYYY\"\n\
                       time_format = \"HH:mm\"\ntime_zone = \"Europe/Berlin\"\noff = [\"-\"]\ncolumns = { agent = \"Id\" }\n\
                       cell = { dash = \"–\" }\n";
        let table = "Id;26.10.2026;27.10.2026\nu_1;09:00–17:30;-\n";
        let (exits, stored) = import_by(table, profile, 2, &["--profile", "grid"]).await;
        assert_eq!((exits.expect("read"), stored), (vec![ExitCode::from(Exit::Done); 2], true));
        let (exits, _) = import_by("Id;26.10.2026\nu_1;9–17\n", profile, 1, &["--profile", "grid"]).await;
        assert_eq!(exits.expect("read"), [ExitCode::from(Exit::Failed)]);
        let (exits, stored) = import_by(table, profile, 1, &["--profile", "gird"]).await;
        let message = exits.expect_err("no such profile").to_string();
        assert!(message.contains("no import profile \"gird\" (known: grid)"), "{message}");
        assert!(!stored);
    }

    #[tokio::test]
    async fn the_list_of_agents_is_read_at_every_import() {
        let profile = "[import.profiles.rows]\nlayout = \"shifts\"\ndelimiter = \",\"\nagent_key = \"login\"\nroster = \"week.csv\"\n\
                       date_format = \"YYYY-MM-DD\"\ntime_format = \"HH:mm\"\ntime_zone = \"roster\"\n\
                       columns = { agent = \"login\", shift_start = \"from\", shift_end = \"to\" }\n";
        // The file is its own list of agents.
        let table = "id,login,time_zone,from,to\nu_1,007,Europe/Berlin,2026-10-26 09:00,2026-10-26 17:30\n";
        let (exits, stored) = import_by(table, profile, 1, &["--profile", "rows"]).await;
        assert_eq!((exits.expect("read"), stored), (vec![ExitCode::from(Exit::Done)], true));
        let (exits, _) = import_by(&table.replace("id,", "key,"), profile, 1, &["--profile", "rows"]).await;
        let message = exits.expect_err("no id").to_string();
        assert!(message.contains("cannot be used: line 1: the column id is missing"), "{message}");
    }

    #[tokio::test]
    async fn a_file_over_the_limit_is_refused_before_it_is_read_or_sent() {
        // Nothing answers there: a file that were sent would end otherwise.
        let more = "[import]\nmax_bytes = 1000\n[client]\nurl = \"http://127.0.0.1:9\"\n";
        let (exits, stored) = import_file(&ROW.repeat(20), more, 1).await;
        assert_eq!((exits.as_slice(), stored), ([ExitCode::from(Exit::Failed)].as_slice(), false));
    }

    #[test]
    fn faults_are_reported_one_per_line_also_those_found_by_the_daemon() {
        let problem = json!({
            "code": "schedule_refused", "faults": 3,
            "complaints": [
                {"line": 3, "column": "start", "value": "9am", "reason": "is not a date and time"},
                {"line": null, "column": null, "value": null, "reason": "the file is empty"},
            ],
        });
        let (complaints, faults) = refused_import(&problem).expect("faults");
        assert_eq!(
            diagnostic_lines(&complaints, faults, "week.csv"),
            [
                "week.csv: line 3, column start: \"9am\" is not a date and time",
                "week.csv: the file is empty",
                "week.csv: 1 more fault, not listed",
                "week.csv is not imported: 3 faults; nothing was changed",
            ]
        );
        assert!(refused_import(&json!({"code": "not_permitted", "detail": "no"})).is_none());
    }
}
