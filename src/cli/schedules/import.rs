//! `shiftkeeper import`: hands a schedule file to the running daemon, or stores it itself where none runs. Whole or not at all.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::app::{HeavyWork, Importer, clock_of, identity, wanted_from_file};
use crate::cli::shared::caller::Caller;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::{Daemon, DaemonError};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::{daemon_runs, one_tenant, open_reader};
use crate::cli::shared::talk::say;
use crate::clock::SystemRandom;
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;
use crate::domain::schedules::import::{Complaint, ImportOptions, ImportRefused, check_size, read_schedule};
use crate::domain::words::count;
use crate::engine::changes::door::Door;
use crate::engine::operations::tenants::Tenants;
use crate::http::{IMPORTED_WITHIN, ImportAnswer, ImportError, WantedImport};
use crate::store::{Role, Store};

/// Who imports, in the audit trail, where no daemon and so no token has a part in it.
const ACTOR: &str = "command:import";

/// The daemon's answer is awaited a little longer than the daemon allows itself, so that it is the daemon that gives up.
const ANSWER_TIMEOUT: Duration = IMPORTED_WITHIN.saturating_add(Duration::from_secs(5));

/// Options of `import`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when the schedule is in force, also when it was already; with 1 when the file has faults: each \
                  of them is named, and nothing is changed.

Examples:
  shiftkeeper import week-44.csv --tenant acme
  shiftkeeper import week-44.ics --output json
  shiftkeeper import everybody-44.csv --whole
  shiftkeeper import config/samples/schedule-300.csv --move-weeks 2"
)]
pub struct ImportArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// A CSV or iCalendar file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Moves every local date by whole weeks; earlier with a minus.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub move_weeks: i32,
    /// The file is the whole schedule of its days: who is not named in it has no shift on them.
    #[arg(long)]
    pub whole: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// What came of it.
#[derive(Debug)]
pub(in crate::cli) enum Came {
    /// It is in force.
    Imported(ImportAnswer),
    /// It has faults: the first of them, and how many there are.
    Refused { complaints: Vec<Complaint>, faults: usize },
}

impl From<ImportRefused> for Came {
    fn from(ImportRefused { complaints, faults }: ImportRefused) -> Self {
        Self::Refused { complaints, faults }
    }
}

/// Imports, prints what came of it.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let came = match check_size(size_of(&args.file)?, &config.import) {
        Err(refused) => refused.into(),
        Ok(()) => import(config, &args).await?,
    };
    let file = args.file.display().to_string();
    tell(&came, &file);
    match args.output {
        Output::Json => print_json(&as_json(&came))?,
        Output::Table => {
            if let Came::Imported(answer) = &came {
                print(summary(answer, &file))?;
            }
        }
    }
    Ok(exit_for(&came).into())
}

/// The size of a file, before its content is read into memory or sent anywhere.
fn size_of(file: &Path) -> anyhow::Result<usize> {
    let about = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(usize::try_from(about.len()).unwrap_or(usize::MAX))
}

/// Through the daemon where there is one, straight into the store otherwise.
async fn import(config: Config, args: &ImportArgs) -> anyhow::Result<Came> {
    let wanted = |tenant: TenantId| {
        let wanted = wanted_from_file(&args.file, tenant, ACTOR)?;
        anyhow::Ok(WantedImport { move_weeks: args.move_weeks, whole: args.whole, ..wanted })
    };
    if config.client.url.is_some() {
        let caller = Caller::of_config(config, args.tenant.as_ref()).await?;
        let wanted = wanted(caller.tenant().clone())?;
        return import_there(&caller, &wanted).await.map_err(DaemonError::into_failure);
    }
    let wanted = wanted(one_tenant(&config, args.tenant.as_ref())?.id.clone())?;
    if daemon_for(&config).await?.is_none() {
        return import_here(&config, wanted).await;
    }
    let caller = Caller::of_config(config.clone(), Some(&wanted.tenant)).await?;
    match import_there(&caller, &wanted).await {
        Ok(came) => Ok(came),
        // A daemon that crashed still stands in the store; where one does run after all, the store's lock says so.
        Err(DaemonError::NotReachable { .. }) => import_here(&config, wanted).await,
        Err(error) => Err(error.into_failure()),
    }
}

/// The daemon to go through: the one that the configuration names as elsewhere, or the one that has the store.
pub(in crate::cli) async fn daemon_for(config: &Config) -> anyhow::Result<Option<Daemon>> {
    if config.client.url.is_some() {
        return Ok(Some(Daemon::find(config).await?));
    }
    // A store that is not there or cannot be read is the importer's to make, or to complain about.
    let Ok(reader) = open_reader(config).await else { return Ok(None) };
    let runs = daemon_runs(&reader).await?;
    reader.close().await;
    if runs { Ok(Some(Daemon::find(config).await?)) } else { Ok(None) }
}

async fn import_there(caller: &Caller, wanted: &WantedImport) -> Result<Came, DaemonError> {
    let (weeks, whole) = (wanted.move_weeks.to_string(), wanted.whole.to_string());
    let more = [("name", &*wanted.name), ("move_weeks", &*weeks), ("whole", &*whole)];
    let body = wanted.bytes.to_vec();
    let fill = |request: RequestBuilder| request.timeout(ANSWER_TIMEOUT).body(body);
    match caller.hand_over(Right::Import, "/api/v1/schedule-imports", &more, fill).await {
        Ok(answer) => Ok(Came::Imported(answer)),
        Err(DaemonError::Refused { status, detail, problem }) => {
            refusal(&problem).ok_or(DaemonError::Refused { status, detail, problem })
        }
        Err(error) => Err(error),
    }
}

/// The faults of the file, where that is what the daemon refused it for.
fn refusal(problem: &Value) -> Option<Came> {
    if problem.get("code")? != "schedule_refused" {
        return None;
    }
    let complaints: Vec<Complaint> = serde_json::from_value(problem.get("complaints")?.clone()).ok()?;
    let faults = problem.get("faults").and_then(Value::as_u64).and_then(|faults| usize::try_from(faults).ok());
    Some(Came::Refused { faults: faults.unwrap_or(complaints.len()), complaints })
}

pub(in crate::cli) async fn import_here(config: &Config, wanted: WantedImport) -> anyhow::Result<Came> {
    // A file with faults is turned away before a store is made or taken for it.
    let options = ImportOptions { move_weeks: wanted.move_weeks, ..config.import.clone() };
    if let Err(refused) = read_schedule(&wanted.name, &wanted.bytes, &options) {
        return Ok(refused.into());
    }
    let clock = clock_of(config).await;
    let url = config.store.connection_url();
    let store = Store::open(url.expose(), Role::Import, clock.clone(), &identity()).await?;
    let importer = Importer {
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        clock,
        random: Arc::new(SystemRandom),
        door: Door::new(Tenants::default()),
        options: tokio::sync::watch::channel(config.import.clone()).1,
        turn: Arc::default(),
        heavy_work: HeavyWork::Apart,
    };
    let imported = importer.run(wanted).await;
    // The importer holds a writer, and the store closes when the last of them is gone.
    drop(importer);
    store.close().await;
    match imported {
        Ok(answer) => Ok(Came::Imported(answer)),
        Err(ImportError::Refused { complaints, faults, .. }) => Ok(Came::Refused { complaints, faults }),
        Err(error @ (ImportError::Store(_) | ImportError::Read(_))) => Err(error.into()),
    }
}

/// Warnings and faults, one a line, as compilers do.
fn tell(came: &Came, file: &str) {
    match came {
        Came::Imported(answer) => answer.warnings.iter().for_each(|warning| say(format!("{file}: warning: {warning}"))),
        Came::Refused { complaints, faults } => refused_lines(complaints, *faults, file).iter().for_each(say),
    }
}

fn refused_lines(complaints: &[Complaint], faults: usize, file: &str) -> Vec<String> {
    let mut lines: Vec<_> = complaints.iter().map(|complaint| format!("{file}: {complaint}")).collect();
    if faults > complaints.len() {
        lines.push(format!("{file}: {}, not listed", count(faults - complaints.len(), "more fault")));
    }
    lines.push(format!("{file} is not imported: {}; nothing was changed", count(faults, "fault")));
    lines
}

fn summary(answer: &ImportAnswer, file: &str) -> String {
    let ImportAnswer { tenant, version, agents, others_off, shifts, first_day, last_day, .. } = answer;
    let (agents, shifts) = (count(*agents, "agent"), count(*shifts, "shift"));
    let mut what = format!("{agents}, {shifts}, {first_day} to {last_day}");
    if *others_off > 0 {
        what = format!("{what}; {others_off} whom it does not name are off on these days");
    }
    if answer.changed {
        format!("{file}: imported for {tenant} as version {version}: {what}")
    } else {
        format!("{file}: unchanged, in force for {tenant} as version {version} already: {what}")
    }
}

fn as_json(came: &Came) -> Value {
    match came {
        Came::Imported(answer) => {
            let mut object = json!(answer);
            object["imported"] = true.into();
            object
        }
        Came::Refused { complaints, faults } => {
            json!({ "imported": false, "changed": false, "faults": faults, "complaints": complaints })
        }
    }
}

const fn exit_for(came: &Came) -> Exit {
    match came {
        Came::Imported(_) => Exit::Done,
        Came::Refused { .. } => Exit::Failed,
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
            let args = Command::try_parse_from(["import", &file, "--config", &config]).expect("known options").args;
            exits.push(run(args).await.expect("a file that can be read"));
        }
        (exits, place("keeper.db").exists())
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
    async fn a_file_over_the_limit_is_refused_before_it_is_read_or_sent() {
        // Nothing answers there: a file that were sent would end otherwise.
        let more = "[import]\nmax_bytes = 1000\n[client]\nurl = \"http://127.0.0.1:9\"\n";
        let (exits, stored) = import_file(&ROW.repeat(20), more, 1).await;
        assert_eq!((exits.as_slice(), stored), ([ExitCode::from(Exit::Failed)].as_slice(), false));
    }

    #[test]
    fn faults_are_told_one_a_line_also_those_that_the_daemon_found() {
        let problem = json!({
            "code": "schedule_refused", "faults": 3,
            "complaints": [
                {"line": 3, "column": "start", "value": "9am", "reason": "is not a date and time"},
                {"line": null, "column": null, "value": null, "reason": "the file is empty"},
            ],
        });
        let Some(Came::Refused { complaints, faults }) = refusal(&problem) else { panic!("faults") };
        assert_eq!(
            refused_lines(&complaints, faults, "week.csv"),
            [
                "week.csv: line 3, column start: \"9am\" is not a date and time",
                "week.csv: the file is empty",
                "week.csv: 1 more fault, not listed",
                "week.csv is not imported: 3 faults; nothing was changed",
            ]
        );
        assert!(refusal(&json!({"code": "not_permitted", "detail": "no"})).is_none());
    }
}
