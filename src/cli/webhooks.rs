//! `shiftkeeper webhooks`: the endpoints that receive events. Reading uses the store, everything else the daemon.

mod actions;
mod events;
mod listing;
mod rotate;

use std::process::ExitCode;

pub(super) use listing::is_configured_for;

/// Subcommands of `webhooks`.
#[derive(clap::Subcommand, Debug)]
pub enum WebhooksCommand {
    /// List endpoints with their status and waiting deliveries.
    List(listing::ListArgs),
    /// Show the deliveries of one endpoint, or one delivery with its attempts.
    Show(listing::ShowArgs),
    /// List the event types with their fields and an example of each.
    Events(events::EventsArgs),
    /// Resend one event.
    Retry(actions::RetryArgs),
    /// Resend failed deliveries, and enable a disabled endpoint.
    Recover(actions::RecoverArgs),
    /// Send a test event to one endpoint and show the result.
    #[command(after_help = "Ends with 0 when the receiver answered with 2xx, with 1 otherwise. Nothing is recorded.

Examples:
  shiftkeeper webhooks test wfm")]
    Test(actions::EndpointArgs),
    /// Rotate the signing key of an endpoint; the old key also signs for 24 hours.
    Rotate(rotate::RotateArgs),
}

/// Runs a subcommand.
pub async fn run(command: WebhooksCommand) -> anyhow::Result<ExitCode> {
    match command {
        WebhooksCommand::List(args) => listing::list(args).await,
        WebhooksCommand::Show(args) => listing::show(args).await,
        WebhooksCommand::Events(args) => events::run(&args),
        WebhooksCommand::Retry(args) => actions::retry(args).await,
        WebhooksCommand::Recover(args) => actions::recover(args).await,
        WebhooksCommand::Test(args) => actions::test(args).await,
        WebhooksCommand::Rotate(args) => rotate::run(args).await,
    }
}
