//! The options by which every command finds its configuration.

use std::path::PathBuf;

use crate::config::{Config, ConfigError, Environment, Flag, LoadedConfig};

/// The default configuration file.
const DEFAULT_FILE: &str = "shiftkeeper.toml";

/// Options for the configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The configuration file. May be given more than once; later files override earlier ones. The default is the file that
    /// the variable `SHIFTKEEPER_CONFIG` names, otherwise shiftkeeper.toml.
    // Not clap's own `env`: its usage lines would show the option as one that has to be there.
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Set one key, overriding files and environment variables, as in `--set tenants.acme.mode=dry_run`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_set)]
    pub set: Vec<Flag>,
}

impl ConfigArgs {
    /// Loads the configuration with the environment of this process.
    pub fn load(&self) -> Result<LoadedConfig, ConfigError> {
        self.load_in(&Environment::of_process())
    }

    /// Loads the configuration for a command beside the daemon, whose secrets this process may be unable to read.
    pub fn load_for_command(&self) -> Result<LoadedConfig, ConfigError> {
        self.load_in(&Environment::of_process().for_command())
    }

    /// Returns the configuration files, in order.
    pub fn files_in(&self, environment: &Environment) -> Vec<PathBuf> {
        if self.files.is_empty() {
            return vec![environment.configuration_file().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))];
        }
        self.files.clone()
    }

    /// Loads the configuration with this environment.
    pub fn load_in(&self, environment: &Environment) -> Result<LoadedConfig, ConfigError> {
        Config::load(&self.files_in(environment), environment, &self.set)
    }
}

fn parse_set(text: &str) -> Result<Flag, String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as in server.listen=127.0.0.1:9000")?;
    let key = key.trim().to_owned();
    Ok(Flag { option: format!("--set {key}"), key, value: value.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_before_the_variable_and_that_before_the_usual_file() {
        let with = |files: &[&str], named: &[&str]| {
            let args = ConfigArgs { files: files.iter().map(PathBuf::from).collect(), set: Vec::new() };
            let variables = named.iter().map(|file| ("SHIFTKEEPER_CONFIG".to_owned(), (*file).to_owned()));
            args.files_in(&variables.collect())
        };
        assert_eq!(with(&["a", "b"], &["c"]), [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(with(&[], &["c"]), [PathBuf::from("c")]);
        assert_eq!(with(&[], &[""]), [PathBuf::from("shiftkeeper.toml")]);
        assert_eq!(with(&[], &[]), [PathBuf::from("shiftkeeper.toml")]);
    }
}
