//! The options with which every command finds its configuration.

use std::path::PathBuf;

use crate::config::{Config, ConfigRefused, Environment, Flag, Loaded};

/// The variable that names the configuration file.
const VARIABLE: &str = "SHIFTKEEPER_CONFIG";

/// The file where nothing names one.
const USUAL: &str = "shiftkeeper.toml";

/// Where the configuration comes from.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Configuration file; given more than once, later ones are laid over earlier ones. Without it the one that the variable
    /// `SHIFTKEEPER_CONFIG` names, else shiftkeeper.toml.
    // Not clap's own `env`: its usage lines would show the option as one that has to be there.
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
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

    /// The files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() {
            return self.files.clone();
        }
        let named = std::env::var_os(VARIABLE).filter(|named| !named.is_empty());
        vec![named.map_or_else(|| PathBuf::from(USUAL), PathBuf::from)]
    }

    /// Loads it, with this environment.
    pub fn load_in(&self, environment: &Environment) -> Result<Loaded, ConfigRefused> {
        Config::load(&self.files(), environment, &self.set)
    }
}

fn parse_set(text: &str) -> Result<Flag, String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as in server.listen=127.0.0.1:9000")?;
    let key = key.trim().to_owned();
    Ok(Flag { option: format!("--set {key}"), key, value: value.trim().to_owned() })
}
