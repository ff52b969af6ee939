//! `shiftkeeper audit`: verifies the audit log, or exports it so that others can. It only reads the store, and only
//! the public half of the key.

mod chains;
mod entry_line;
mod folder;
mod heads;
mod verify;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::shared::exit::Exit;
use super::shared::messages::print_message;
use super::shared::output::{PipeStatus, pipe_status};
use super::shared::scope::{one_tenant, open_reader, usage_error};
use super::shared::tenant_client::TenantArgs;
use crate::domain::wording::count_with_noun;
use crate::store::{PAGE_LIMIT, StoredEntry};

pub(super) use chains::{audited_tenants, fault_texts, local_public_keys};
use entry_line::{AgentIdsBySubject, entry_line};

/// Subcommands of `audit`.
#[derive(clap::Subcommand, Debug)]
pub enum AuditCommand {
    /// Verify every entry: number, link, hash, the indexed columns, and the signed heads that cover it.
    Verify(verify::VerifyArgs),
    /// List the signed heads.
    Heads(heads::HeadsArgs),
    /// Show the public key that verifies signed heads.
    Key(heads::KeyArgs),
    /// Export the entries, one JSON object per line, or as a folder that an auditor can check offline.
    Export(ExportArgs),
}

/// Options of `audit export`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A line is {\"seq\": …, \"hash\": …, \"body\": …}. The body is text, byte for byte what was hashed, so \
                  that anyone can check an entry: SHA-256 of the body is the hash, and the `prev` in it is the hash of the entry before.

Examples:
  shiftkeeper audit export --tenant acme > acme.jsonl
  shiftkeeper audit export --from 1001 --to 2000
  shiftkeeper audit export | head -1 | jq -j .body | sha256sum
  shiftkeeper audit export --agents | jq -r '.agent'
  shiftkeeper audit export --folder november   # then: python3 november/verify.py --key PUBLIC"
)]
pub struct ExportArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The number of the first entry.
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// The number of the last entry. The default is the last one that exists.
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// Add the agent's id to each line where it is known. It is `null` where the agent was erased or the entry is about
    /// no agent.
    #[arg(long)]
    pub agents: bool,
    /// Write entries, signed heads, a manifest and a verification script to this folder, which must be new or empty.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ExportOutput,
}

/// The output format of `audit export`.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExportOutput {
    /// One JSON object per line.
    #[default]
    Jsonl,
}

/// Runs a subcommand.
pub async fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify::run(args).await,
        AuditCommand::Heads(args) => heads::list(args).await,
        AuditCommand::Key(args) => heads::key(&args),
        AuditCommand::Export(args) => export(args).await,
    }
}

async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.scope.config.load_for_command()?;
    let tenant = &one_tenant(&loaded.config, args.scope.tenant.as_ref())?.id;
    let last = args.to.unwrap_or(u64::MAX);
    if last < args.from {
        return Err(usage_error(format!("--to {last} lies before --from {}", args.from)));
    }
    let ExportOutput::Jsonl = args.output;
    let reader = open_reader(&loaded.config).await?;
    let mut names = None;
    if args.agents {
        let agents = reader.agents(tenant).await?;
        names =
            Some(agents.into_iter().map(|one| (one.subject.to_string(), one.agent.id)).collect::<AgentIdsBySubject>());
    }
    if let Some(folder) = &args.folder {
        let keys = local_public_keys(&loaded.config);
        let request =
            folder::FolderExport { tenant, seq_range: (args.from, last), agent_ids: names.as_ref(), keys: &keys };
        let written = folder::write(&reader, &request, folder).await;
        reader.close().await;
        let manifest = written?;
        let (entries, heads) = (count_with_noun(manifest.entries, "entry"), count_with_noun(manifest.heads, "head"));
        print_message(format!(
            "{entries} and {heads} in {0}; check them with: python3 {0}/verify.py --key PUBLIC",
            folder.display()
        ));
        return Ok(Exit::Done.into());
    }
    let mut after = args.from - 1;
    loop {
        let page = reader.audit_entries(tenant, after, PAGE_LIMIT).await?;
        let Some(newest) = page.last().map(|entry| entry.seq) else { break };
        let pipe = write_page(page.iter().filter(|entry| entry.seq <= last), names.as_ref())?;
        if pipe == PipeStatus::Closed || newest >= last {
            break;
        }
        after = newest;
    }
    reader.close().await;
    Ok(Exit::Done.into())
}

fn write_page<'a>(
    entries: impl Iterator<Item = &'a StoredEntry>,
    names: Option<&AgentIdsBySubject>,
) -> anyhow::Result<PipeStatus> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&entry_line(entry, names));
        text.push('\n');
    }
    pipe_status(io::stdout().lock().write_all(text.as_bytes()))
}
