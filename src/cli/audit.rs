//! `shiftkeeper audit`: check the audit trail, or write it out so that others can. Reads the store alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::config_args::ConfigArgs;
use super::exit::Exit;
use super::output::{Output, print, print_json};
use super::scope::{one_tenant, open_reader, usage};
use crate::config::Config;
use crate::domain::audit::BadEntry;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::words::count;
use crate::store::{PAGE_LIMIT, Reader, StoredEntry};

/// What to do with the audit trail.
#[derive(clap::Subcommand, Debug)]
pub enum AuditCommand {
    /// Check every entry: number, link, hash, and the columns beside it.
    Verify(VerifyArgs),
    /// Write the entries out, one JSON object a line.
    Export(ExportArgs),
}

/// Options of `audit verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Ends with 0 when every chain holds, with 4 when one does not.

Examples:
  shiftkeeper audit verify
  shiftkeeper audit verify --tenant acme --output json")]
pub struct VerifyArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One tenant; all of them without it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
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
  shiftkeeper audit export --agents | jq -r '.agent'"
)]
pub struct ExportArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The first entry, by its number.
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// The last entry, by its number; the last there is without it.
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// Add the agent's id to each line whose subject is still known; `null` where it was erased or the entry is about none.
    #[arg(long)]
    pub agents: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ExportOutput,
}

/// How `audit export` prints.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExportOutput {
    /// One JSON object a line.
    #[default]
    Jsonl,
}

/// Runs it.
pub async fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify(args).await,
        AuditCommand::Export(args) => export(args).await,
    }
}

/// How one tenant's chain holds; its JSON shape is part of the command's interface.
#[derive(Serialize, Debug)]
pub struct TenantAudit {
    /// The tenant.
    pub id: TenantId,
    /// Entries looked at, the bad one included.
    pub entries: u64,
    /// All of them hold.
    pub verified: bool,
    /// The first that does not; what comes after it was not looked at.
    pub first_bad: Option<BadEntry>,
}

/// Checks one tenant's chain.
pub async fn verify_tenant(reader: &Reader, tenant: &TenantId) -> anyhow::Result<TenantAudit> {
    let verdict = reader.verify_chain(tenant).await?;
    Ok(TenantAudit {
        id: tenant.clone(),
        entries: verdict.entries,
        verified: verdict.first_bad.is_none(),
        first_bad: verdict.first_bad,
    })
}

async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let reader = open_reader(&loaded.config).await?;
    let mut audits = Vec::new();
    for tenant in audited(&loaded.config, &reader, args.tenant).await? {
        audits.push(verify_tenant(&reader, &tenant).await?);
    }
    reader.close().await;
    match args.output {
        Output::Json => print_json(&json!({ "tenants": audits }))?,
        Output::Table => print(audits.iter().map(TenantAudit::line).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(exit_for(&audits).into())
}

/// The tenant that is named, or those of the configuration and those that the store has a chain of.
async fn audited(config: &Config, reader: &Reader, named: Option<TenantId>) -> anyhow::Result<Vec<TenantId>> {
    let mut tenants: Vec<TenantId> = config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    tenants.extend(reader.audited_tenants().await?);
    tenants.sort();
    tenants.dedup();
    match named {
        None => Ok(tenants),
        Some(named) if tenants.contains(&named) => Ok(vec![named]),
        Some(named) => {
            let known: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
            Err(usage(format!(
                "neither the configuration nor the store has a tenant {named}; there are: {}",
                known.join(", ")
            )))
        }
    }
}

fn exit_for(audits: &[TenantAudit]) -> Exit {
    if audits.iter().all(|audit| audit.verified) { Exit::Done } else { Exit::Problems }
}

impl TenantAudit {
    fn line(&self) -> String {
        match &self.first_bad {
            None => format!("{}: {}, verified", self.id, count(self.entries, "entry")),
            Some(bad) => format!("{}: entry {} does not hold: {}", self.id, bad.seq, bad.reason),
        }
    }
}

async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let tenant = &one_tenant(&loaded.config, args.tenant.as_ref())?.id;
    let last = args.to.unwrap_or(u64::MAX);
    if last < args.from {
        return Err(usage(format!("--to {last} lies before --from {}", args.from)));
    }
    let ExportOutput::Jsonl = args.output;
    let reader = open_reader(&loaded.config).await?;
    let mut names = None;
    if args.agents {
        let agents = reader.agents(tenant).await?;
        names = Some(agents.into_iter().map(|one| (one.subject.to_string(), one.agent.id)).collect::<Names>());
    }
    let mut after = args.from - 1;
    loop {
        let page = reader.audit_entries(tenant, after, PAGE_LIMIT).await?;
        let Some(newest) = page.last().map(|entry| entry.seq) else { break };
        if !write_page(page.iter().filter(|entry| entry.seq <= last), names.as_ref())? || newest >= last {
            break;
        }
        after = newest;
    }
    reader.close().await;
    Ok(Exit::Done.into())
}

/// Agents by their subjects.
type Names = HashMap<String, AgentId>;

/// False when the reader of the output has gone away.
fn write_page<'a>(entries: impl Iterator<Item = &'a StoredEntry>, names: Option<&Names>) -> io::Result<bool> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&line(entry, names));
        text.push('\n');
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

fn line(entry: &StoredEntry, names: Option<&Names>) -> String {
    // As it stands, also where a forger's is not of 32 bytes.
    let hash = entry.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut line = json!({ "seq": entry.seq, "hash": hash, "body": entry.body });
    if let Some(names) = names {
        line["agent"] = json!(entry.columns.subject.as_ref().and_then(|subject| names.get(subject)));
    }
    line.to_string()
}
