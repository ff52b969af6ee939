//! `schedules export`: the schedule in force as a file that the import reads back to the same schedule.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::civil::Date;

use crate::app::clock_for;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::pipe_status;
use crate::cli::shared::scope::{one_tenant, open_reader, usage_error};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::schedules::export::{ExportFormat, ExportedSchedule, export, span_of_days};
use crate::domain::wording::{count_with_noun, list_names};

/// Options of `schedules export`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The file has every shift that begins on one of the days, and the days off. `import` reads it back to the same
schedule, here or in another installation. The command reads the store, with or without a running daemon.

Examples:
  shiftkeeper schedules export --from 2026-10-26 --through 2026-11-01 --out week-44.csv
  shiftkeeper schedules export --from 2026-10-26 --through 2026-10-26 --team 'Team A' --format ics"
)]
pub struct ScheduleExportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The tenant. Optional if there is only one.
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// The first day, in each agent's time zone.
    #[arg(long, value_name = "DATE")]
    from: Date,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    through: Date,
    /// Only agents of this team.
    #[arg(long, value_name = "NAME")]
    team: Option<TeamName>,
    /// The format of the file.
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,
    /// Write to this file; an existing file is replaced. Without it, the schedule goes to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The format of the file.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
enum FileFormat {
    /// A table.
    #[default]
    Csv,
    /// A calendar (iCalendar).
    Ics,
}

impl From<FileFormat> for ExportFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Csv => Self::Csv,
            FileFormat::Ics => Self::ICalendar,
        }
    }
}

/// Runs `schedules export`.
pub(super) async fn run(args: ScheduleExportArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let tenant = one_tenant(&config, args.tenant.as_ref())?.id.clone();
    let span = span_of_days(args.from, args.through).map_err(|reason| usage_error(format!("--{reason}")))?;
    let reader = open_reader(&config).await?;
    let mut agents = reader.exported_agents(&tenant, span).await?;
    agents.retain(|agent| args.team.as_ref().is_none_or(|team| agent.team.as_ref() == Some(team)));
    let now = clock_for(&config).await.now();
    let exported = export(&agents, (args.from, args.through), args.format.into(), &config.import, now);
    let ExportedSchedule { agents, shifts, partly_covered, text } = exported;
    if agents == 0 {
        let days = format!("{} to {}", args.from, args.through);
        return Err(CommandFailure::with_exit(Exit::Failed, format!("no schedule covers {days}; nothing was written")));
    }
    if !partly_covered.is_empty() {
        let agents = count_with_noun(partly_covered.len(), "agent");
        let names = list_names(&partly_covered);
        print_message(format!(
            "the schedule of {agents} does not cover all of these days: {names}; if the file is imported, they are off on the others"
        ));
    }
    let Some(path) = args.out else {
        pipe_status(std::io::stdout().write_all(text.as_bytes()))?;
        return Ok(Exit::Done.into());
    };
    std::fs::write(&path, &text).with_context(|| format!("{} could not be written", path.display()))?;
    print_message(format!(
        "{}: {} of {}",
        path.display(),
        count_with_noun(shifts, "shift"),
        count_with_noun(agents, "agent")
    ));
    Ok(Exit::Done.into())
}
