//! The running daemon, asked for one tenant with the token that the configuration has for it: what every command that goes through
//! the API begins with.

use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::config_args::ConfigArgs;
use super::daemon::{Ask, Daemon, DaemonError};
use super::scope::{tenant_asked, tenants_asked};
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;

/// Somebody who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    config: Arc<Config>,
    daemon: Daemon,
    tenant: TenantId,
}

impl Caller {
    /// For the tenant that is named, or the only one.
    pub(super) async fn of(args: &ConfigArgs, tenant: Option<&TenantId>) -> anyhow::Result<Self> {
        let config = args.load_for_command()?.config;
        let tenant = tenant_asked(&config, tenant)?;
        let daemon = Daemon::find(&config).await?;
        Ok(Self { config: Arc::new(config), daemon, tenant })
    }

    /// One for the tenant that is named, or for each that is configured: each may have a token of its own.
    pub(super) async fn of_each(args: &ConfigArgs, tenant: Option<&TenantId>) -> anyhow::Result<Vec<Self>> {
        let config = Arc::new(args.load_for_command()?.config);
        let tenants = tenants_asked(&config, tenant)?;
        let daemon = Daemon::find(&config).await?;
        let of = |tenant| Self { config: config.clone(), daemon: daemon.clone(), tenant };
        Ok(tenants.into_iter().map(of).collect())
    }

    pub(super) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Looks, with the tenant and `more` in the query.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, more: &[(&str, &str)]) -> Result<T, DaemonError> {
        self.get_as(Right::Read, path, more).await
    }

    /// The same of what takes another right to be seen.
    pub(super) async fn get_as<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = [("tenant", self.tenant.as_str())].into_iter().chain(more.iter().copied()).collect();
        let ask = Ask { method: Method::GET, path, right, tenant: &self.tenant, query: &query };
        self.read(self.daemon.ask(&self.config, ask, |request| request).await?)
    }

    /// Asks for something that takes a right, with the tenant in the body.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        mut body: Value,
    ) -> Result<T, DaemonError> {
        body["tenant"] = json!(self.tenant);
        let ask = Ask { method: Method::POST, path, right, tenant: &self.tenant, query: &[] };
        self.read(self.daemon.ask(&self.config, ask, |request| request.json(&body)).await?)
    }

    /// What answers in another shape is no daemon of this version.
    fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T, DaemonError> {
        let foreign = |_| DaemonError::NotShiftkeeper { url: self.daemon.url().to_owned(), status: StatusCode::OK };
        serde_json::from_value(answer).map_err(foreign)
    }
}

/// An id as a part of a path.
pub(super) fn path_part(id: &str) -> String {
    let mut part = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(part, "%{byte:02X}");
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_part_of_a_path() {
        assert_eq!(path_part("u_1/../x?é"), "u_1%2F..%2Fx%3F%C3%A9");
    }
}
