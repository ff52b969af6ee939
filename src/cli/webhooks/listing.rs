//! `webhooks list` and `webhooks show`: read from the store, with or without a running daemon.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::shared::config_args::ConfigArgs;
use super::super::shared::exit::Exit;
use super::super::shared::output::{Output, print, print_json, table_with_header};
use super::super::shared::scope::{one_tenant, open_reader, selected_tenants, usage_error};
use super::super::shared::tenant_client::TenantArgs;
use crate::config::Webhook;
use crate::domain::ids::{EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::STATUS_NAMES;
use crate::http::{DeliveryResponse, EndpointResponse};
use crate::store::{DeliveryFilter, PAGE_LIMIT, Reader};

/// Options of `webhooks list`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "An endpoint is healthy, failing (only failures lately), disabled (after 410 or five days of failures; see
`recover`) or removed (no longer in the configuration).

Examples:
  shiftkeeper webhooks list
  shiftkeeper webhooks list --tenant acme --output json"
)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `webhooks show`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper webhooks show wfm --status parked
  shiftkeeper webhooks show wfm --since 2026-10-26T08:00:00Z --limit 500 --output json
  shiftkeeper webhooks show wfm --event 01990000-0000-7000-8000-000000000001")]
pub struct ShowArgs {
    /// The endpoint's id.
    #[arg(value_name = "ID")]
    pub id: EndpointId,
    #[command(flatten)]
    scope: TenantArgs,
    /// Only deliveries with this status: waiting, delivered or parked.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATUS_NAMES))]
    pub status: Option<String>,
    /// Only deliveries of events since this instant, as in 2026-10-26T08:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    pub since: Option<UtcMicros>,
    /// One event, with its attempts.
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["status", "since"])]
    pub event: Option<EventId>,
    /// The maximum number of deliveries, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_LIMIT)))]
    pub limit: u32,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints the state of every endpoint.
pub async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let reader = open_reader(config).await?;
    let mut rows = Vec::new();
    for tenant in selected_tenants(config, args.tenant.as_ref())? {
        for stored in reader.endpoints(&tenant.id).await? {
            let backlog = reader.backlog(&tenant.id, &stored.id).await?;
            let configured = config.webhooks.iter().any(|webhook| is_configured_for(webhook, &stored.id, &tenant.id));
            let mut row = json!(EndpointResponse::from_stored(stored, backlog, configured));
            row["tenant"] = json!(tenant.id);
            rows.push(row);
        }
    }
    reader.close().await;
    let columns = ["id", "tenant", "status", "waiting", "parked", "unread", "failing_since", "last_error"];
    args.output.print(&json!({ "webhooks": rows }), || table(&columns, &rows))?;
    Ok(Exit::Done.into())
}

pub(in crate::cli) fn is_configured_for(webhook: &Webhook, id: &EndpointId, tenant: &TenantId) -> bool {
    webhook.id == id.as_str() && (webhook.tenants.is_empty() || webhook.tenants.contains(tenant))
}

/// Prints deliveries of one endpoint.
pub async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.scope.config.load_for_command()?;
    let tenant = one_tenant(&loaded.config, args.scope.tenant.as_ref())?.id.clone();
    let reader = open_reader(&loaded.config).await?;
    let known = reader.endpoints(&tenant).await?;
    if !known.iter().any(|stored| stored.id == args.id) {
        let ids: Vec<_> = known.iter().map(|stored| stored.id.as_str()).collect();
        let known = if ids.is_empty() { "it has none yet".to_owned() } else { format!("it has {}", ids.join(", ")) };
        return Err(usage_error(format!("tenant {tenant} has no webhook {}: {known}", args.id)));
    }
    let rows = match args.event {
        Some(event) => fetch_delivery(&reader, &tenant, &args.id, event).await?,
        None => fetch_deliveries(&reader, &tenant, &args).await?,
    };
    reader.close().await;
    match args.output {
        Output::Json => print_json(&json!({ "deliveries": rows }))?,
        Output::Table => {
            let columns = ["event", "kind", "agent", "sequence", "at", "status", "attempts", "next_at", "parked_for"];
            print(table(&columns, &rows))?;
            let attempts: Vec<Value> =
                rows.iter().filter_map(|row| row["attempt_log"].as_array()).flatten().cloned().collect();
            if !attempts.is_empty() {
                let columns = ["attempt", "sent_at", "latency_ms", "status_code", "error", "answer"];
                print(table(&columns, &attempts))?;
            }
        }
    }
    Ok(Exit::Done.into())
}

async fn fetch_deliveries(reader: &Reader, tenant: &TenantId, args: &ShowArgs) -> anyhow::Result<Vec<Value>> {
    let status = STATUS_NAMES.into_iter().find(|known| Some(*known) == args.status.as_deref());
    let filter = DeliveryFilter { status, since: args.since, before: None };
    let rows = reader.deliveries(tenant, &args.id, &filter, args.limit).await?;
    Ok(rows.iter().map(|row| json!(DeliveryResponse::from_stored(row))).collect())
}

async fn fetch_delivery(
    reader: &Reader,
    tenant: &TenantId,
    id: &EndpointId,
    event: EventId,
) -> anyhow::Result<Vec<Value>> {
    let Some(stored) = reader.event(tenant, event).await? else {
        return Err(usage_error(format!("tenant {tenant} has no event {event}; retention may have deleted it")));
    };
    let filter = DeliveryFilter { before: Some(stored.number + 1), ..DeliveryFilter::default() };
    let rows = reader.deliveries(tenant, id, &filter, 1).await?;
    let attempts = reader.delivery_attempts(tenant, id, stored.number).await?;
    let of_event = rows.iter().filter(|row| row.event == event);
    Ok(of_event.map(|row| json!(DeliveryResponse::from_stored(row).with_attempts(&attempts))).collect())
}

fn table(columns: &[&str], rows: &[Value]) -> String {
    let mut table = table_with_header(columns.iter().map(|column| column.replace('_', " ").to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| match &row[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
    }
    table.trim_fmt()
}
