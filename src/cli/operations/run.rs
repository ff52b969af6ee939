//! `shiftkeeper run`: the daemon, until it is stopped.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::log;
use crate::app::{App, Reload, RuntimeEnvironment, ServiceManager, clock_for};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::print_json;
use crate::config::{Environment, LoadedConfig};
use crate::engine::operations::supervisor::SupervisorExit;

/// Runs the daemon. When it is ready, it prints one line of JSON on standard output: {"ready": true, "listen":
/// "IP:PORT"}.
///
/// SIGTERM and Ctrl-C stop it gracefully; SIGHUP reloads the configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper run --config config/shiftkeeper.toml
  shiftkeeper run --set tenants.acme.mode=dry_run")]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs until a signal arrives or a task fails for good.
pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = args.config.load()?;
    let log = log::start(loaded.config.log);
    for warning in &loaded.warnings {
        print_message(format!("warning: {warning}"));
    }
    let shutdown = CancellationToken::new();
    // Register signals before anything runs, so that an early stop is not lost.
    let mut signals = Signals::new()?;
    let clock = clock_for(&loaded.config).await;
    let environment = RuntimeEnvironment { log: Some(log.log.clone()), ..RuntimeEnvironment::system(clock) };
    let mut app = App::start_with_environment(environment, loaded.config.clone(), shutdown.clone()).await?;
    let manager = ServiceManager::of(&Environment::of_process(), app.listen);
    manager.ready();
    app.log_start(manager);
    if let Err(error) = print_json(&json!({"ready": true, "listen": app.listen.to_string()})) {
        tracing::warn!("the line that says that the daemon serves is lost, and it serves all the same: {error:#}");
    }
    tracing::info!(listen = %app.listen, version = env!("CARGO_PKG_VERSION"), "serving");
    let (reload, reload_requested) = (app.reload(), app.reload_requested());
    let daemon = app.run();
    tokio::pin!(daemon);
    let ended = loop {
        tokio::select! {
            ended = &mut daemon => break ended,
            signal = signals.next_or(&reload_requested) => match signal {
                Signal::Stop => {
                    manager.stopping();
                    shutdown.cancel();
                }
                Signal::Reload => {
                    manager.reloading();
                    reload_configuration(&args.config, &mut loaded, &reload);
                    log.set_level(loaded.config.log.level);
                    manager.ready();
                }
            },
        }
    };
    match ended {
        SupervisorExit::Requested => {
            tracing::info!("stopped");
            Ok(Exit::Done.into())
        }
        SupervisorExit::TaskFailed(task) => {
            print_message(format!("error: {task} failed for good; see the log"));
            Ok(Exit::Failed.into())
        }
    }
}

enum Signal {
    Stop,
    Reload,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("the process cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. A reload requested through the daemon counts as one.
    async fn next_or(&mut self, reload_requested: &Notify) -> Signal {
        tokio::select! {
            () = reload_requested.notified() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// Reloads the configuration. One with mistakes leaves the running one in force.
fn reload_configuration(args: &ConfigArgs, running: &mut LoadedConfig, reload: &Reload) {
    let applied = match args.load() {
        Ok(newer) => reload.apply(running, newer).map_err(|error| error.to_string()),
        Err(refused) => Err(refused.to_string()),
    };
    if let Err(error) = &applied {
        tracing::error!("the configuration was not reloaded: {error}");
    }
    reload.log_result(applied.is_ok());
}
