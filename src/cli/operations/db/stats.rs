//! `db stats`: rows, bytes and age of every table.

use std::process::ExitCode;

use comfy_table::CellAlignment;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::finding::bytes_text;
use crate::cli::shared::output::{Output, table_with_header};
use crate::domain::time::UtcMicros;
use crate::store::{StatsError, StoreStats, TableStats, stats};

/// Options of `db stats`.
#[derive(clap::Args, Debug)]
#[command(after_help = "All rows are counted, which takes about a second for ten million rows.

Examples:
  shiftkeeper db stats
  shiftkeeper db stats --output json | jq '.tables[] | select(.name == \"events\")'")]
pub struct StatsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: StatsArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let counted = stats(config.store.connection_url().expose()).await.map_err(|error| match error {
        StatsError::Open(error) => anyhow::Error::from(error),
        StatsError::Read(error) => error.into(),
    })?;
    args.output.print(&counted, || stats_text(&counted))?;
    Ok(Exit::Done.into())
}

fn stats_text(stats: &StoreStats) -> String {
    let mut table = table_with_header(["TABLE", "ROWS", "SIZE", "OLDEST", "NEWEST", "BY TENANT"]);
    for one in &stats.tables {
        table.add_row(row(one));
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut sum = vec![bytes_text(stats.bytes)];
    sum.extend(stats.free_bytes.map(|free| format!("of which {} free", bytes_text(free))));
    sum.push(match stats.log_bytes {
        Some(log) => format!("write-ahead log {}", bytes_text(log)),
        None => "write-ahead log and free pages are PostgreSQL's own business".to_owned(),
    });
    format!("{table}\n{}: {}", stats.place, sum.join(", "))
}

fn row(table: &TableStats) -> [String; 6] {
    let instant = |at: Option<UtcMicros>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let tenant =
        |(tenant, rows): (&String, &u64)| format!("{} {rows}", if tenant.is_empty() { "(daemon)" } else { tenant });
    [
        table.name.clone(),
        table.rows.to_string(),
        table.bytes.map_or_else(|| "-".to_owned(), bytes_text),
        instant(table.oldest),
        instant(table.newest),
        table.tenants.iter().map(tenant).collect::<Vec<_>>().join(", "),
    ]
}
