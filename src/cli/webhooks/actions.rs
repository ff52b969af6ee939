//! `webhooks retry`, `recover` and `test`: sent to the running daemon, which alone writes to the store.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::shared::exit::Exit;
use super::super::shared::output::Output;
use super::super::shared::tenant_client::{TenantArgs, path_part};
use crate::config::Right;
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::time::UtcMicros;

/// Options of `webhooks test`; `retry` and `recover` have them too.
#[derive(clap::Args, Debug)]
pub struct EndpointArgs {
    /// The endpoint's id.
    #[arg(value_name = "ID")]
    pub id: EndpointId,
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `webhooks retry`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The event is sent with the same id, even when it was delivered before. Enables a disabled endpoint.

Examples:
  shiftkeeper webhooks retry wfm 01990000-0000-7000-8000-000000000001"
)]
pub struct RetryArgs {
    /// The endpoint.
    #[command(flatten)]
    pub common: EndpointArgs,
    /// The event's id (the `webhook-id` of its deliveries).
    #[arg(value_name = "EVENT")]
    pub event: EventId,
}

/// Options of `webhooks recover`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Parked deliveries since then start again from the first attempt, in order for each agent; waiting ones are attempted now.

Examples:
  shiftkeeper webhooks recover wfm --since 2026-10-26T08:00:00Z"
)]
pub struct RecoverArgs {
    /// The endpoint.
    #[command(flatten)]
    pub common: EndpointArgs,
    /// Failed deliveries of events since this instant, as in 2026-10-26T08:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    pub since: UtcMicros,
}

async fn post_action(common: &EndpointArgs, action: &str, body: Value) -> anyhow::Result<Value> {
    let client = common.scope.connect().await?;
    let path = format!("/api/v1/webhooks/{}/{action}", path_part(common.id.as_str()));
    Ok(client.post(Right::Webhooks, &path, body).await?)
}

/// Sends one event again.
pub async fn retry(args: RetryArgs) -> anyhow::Result<ExitCode> {
    let answer = post_action(&args.common, "retry", json!({"event": args.event})).await?;
    let enabled = if answer["enabled"] == true { "; the webhook is enabled again" } else { "" };
    let EndpointArgs { id, output, .. } = &args.common;
    output.print(&answer, || format!("{id}: {} is being sent again{enabled}", args.event))?;
    Ok(Exit::Done.into())
}

/// Sends parked deliveries again.
pub async fn recover(args: RecoverArgs) -> anyhow::Result<ExitCode> {
    let answer = post_action(&args.common, "recover", json!({"since": args.since})).await?;
    let enabled = if answer["enabled"] == true { "; it is enabled again" } else { "" };
    let EndpointArgs { id, output, .. } = &args.common;
    output.print(&answer, || format!("{id}: {} revived, {} wait{enabled}", answer["revived"], answer["waiting"]))?;
    Ok(Exit::Done.into())
}

/// Sends a test event.
pub async fn test(args: EndpointArgs) -> anyhow::Result<ExitCode> {
    let answer = post_action(&args, "test", json!({})).await?;
    let delivered = answer["delivered"] == true;
    args.output.print(&answer, || {
        let status =
            answer["status_code"].as_u64().map_or_else(|| "no answer".to_owned(), |code| format!("HTTP {code}"));
        let error = answer["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        let verdict = if delivered { "delivered" } else { "not delivered" };
        format!("{}: {verdict}, {status} after {} ms{error}", args.id, answer["latency_ms"])
    })?;
    Ok(if delivered { Exit::Done } else { Exit::Failed }.into())
}
