//! `shiftkeeper healthcheck`: whether the daemon answers, for a container's health check: fast, and by its exit code alone.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::Daemon;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::talk::say;

/// How long the answer may take, in real time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Asks /healthz of the configured address; ends with 0 when the daemon answers, else with 1.
///
/// It says nothing of the platform: an outage there is no reason to restart the daemon. `shiftkeeper status` tells of that.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper healthcheck --config config/shiftkeeper.toml
  HEALTHCHECK CMD [\"/shiftkeeper\", \"healthcheck\"]   in a Dockerfile with SHIFTKEEPER_CONFIG")]
pub struct HealthcheckArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs the command. Whatever goes wrong ends with 1: health checks know no other code.
pub async fn run(args: HealthcheckArgs) -> ExitCode {
    match lives(&args).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            say(format!("error: {error:#}"));
            Exit::Failed.into()
        }
    }
}

async fn lives(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let config = args.config.load_for_command()?.config;
    Daemon::lives(&config, ANSWER_WITHIN).await
}
