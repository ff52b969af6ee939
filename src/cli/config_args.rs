//! The options with which every command finds its configuration.

use std::path::PathBuf;

use crate::config::{Config, ConfigRefused, Environment, Flag, Loaded};

/// Where the configuration comes from.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Configuration file; given more than once, later ones are laid over earlier ones.
    #[arg(
        long = "config",
        short = 'c',
        value_name = "FILE",
        env = "SHIFTKEEPER_CONFIG",
        default_value = "shiftkeeper.toml"
    )]
    pub files: Vec<PathBuf>,
    /// Sets one key over files and environment, as in `--set tenants.acme.mode=dry_run`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_set)]
    pub set: Vec<Flag>,
}

impl ConfigArgs {
    /// Loads it, with the environment of this process.
    pub fn load(&self) -> Result<Loaded, ConfigRefused> {
        self.load_in(&Environment::of_process())
    }

    /// Loads it for a command beside the daemon, whose secrets may be kept where this process cannot read them.
    pub fn load_for_command(&self) -> Result<Loaded, ConfigRefused> {
        self.load_in(&Environment::of_process().for_command())
    }

    /// Loads it, with this environment.
    pub fn load_in(&self, environment: &Environment) -> Result<Loaded, ConfigRefused> {
        Config::load(&self.files, environment, &self.set)
    }
}

fn parse_set(text: &str) -> Result<Flag, String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as in server.listen=127.0.0.1:9000")?;
    let key = key.trim().to_owned();
    Ok(Flag { option: format!("--set {key}"), key, value: value.trim().to_owned() })
}
