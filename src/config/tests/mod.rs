//! Whole configurations in, complaints or settings out.

mod analytics;
mod broken;
mod detection;
mod effective;
mod jobs;
mod profiles;
mod rules;
mod sample;
mod sign_in;

use super::{Config, ConfigError, ConfigText, Environment, Flag, LoadedConfig};

/// An environment of these variables.
fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The variables that the tests' configurations name.
fn default_environment() -> Environment {
    environment(&[("ACME_SECRET", "hunter2"), ("API_TOKEN", "0123456789abcdef")])
}

fn text(file: &str, text: &str) -> ConfigText {
    ConfigText { file: file.into(), text: text.to_owned() }
}

fn load(toml: &str) -> Result<LoadedConfig, ConfigError> {
    Config::load_texts(&[text("c.toml", toml)], &default_environment(), &[])
}

fn flag(key: &str, value: &str) -> Flag {
    Flag { option: format!("--set {key}"), key: key.to_owned(), value: value.to_owned() }
}

/// The least that makes a tenant.
const TENANT: &str = r#"
[[tenants]]
id = "acme"
base_url = "http://127.0.0.1:7070"
client_id = "shiftkeeper"
client_secret = { env = "ACME_SECRET" }
"#;

/// The least configuration with one tenant and the given text behind it.
fn with_tenant(more: &str) -> String {
    format!("{}\n{more}", TENANT.trim())
}
