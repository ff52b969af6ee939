//! `schedules sources`: the sources of the schedule with their ages.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, table_with_header};
use crate::cli::shared::tenant_client::TenantArgs;
use crate::domain::time::rough_duration_text;
use crate::engine::jobs::sources::ScheduleSourceView;

/// Options of `schedules sources`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A source is late when its last good version is older than its max_age. Exit codes: 0 if no source is late, 4 if
one is.

Examples:
  shiftkeeper schedules sources
  shiftkeeper schedules sources --tenant acme --output json"
)]
pub struct SourcesArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Sources {
    sources: Vec<ScheduleSourceView>,
}

/// Runs the command.
pub(super) async fn run(args: SourcesArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let found: Sources = client.get("/api/v1/schedule-sources", &[]).await?;
    args.output.print(&found, || table(&found.sources))?;
    let is_late = found.sources.iter().any(|source| source.late);
    Ok(if is_late { Exit::Problems } else { Exit::Done }.into())
}

fn table(sources: &[ScheduleSourceView]) -> String {
    if sources.is_empty() {
        return "no source of schedules is configured".to_owned();
    }
    let mut table =
        table_with_header(["", "SOURCE", "KIND", "VERSION", "AGE", "LATE AFTER", "LAST TRIED", "LAST ERROR"]);
    let span = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| rough_duration_text(Duration::from_millis(ms)));
    for source in sources {
        table.add_row([
            if source.late { "late" } else { "" }.to_owned(),
            source.id.to_string(),
            source.kind.clone(),
            source.version.map_or("-".to_owned(), |version| version.to_string()),
            span(source.age_ms),
            span(source.max_age_ms),
            source.tried_at.map_or("-".to_owned(), |at| format!("{at:.0}")),
            source.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.trim_fmt()
}
