//! A client of the running daemon with the configuration's tokens, for one tenant or all within reach. Every command
//! that uses the API starts with it.

use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::config_args::ConfigArgs;
use super::daemon::{DaemonClient, DaemonError, DaemonRequest};
use super::exit::{CommandFailure, Exit};
use super::scope::{requested_tenant, usage_error};
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;

/// The running daemon, and the configuration with the tokens for it. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ConfiguredDaemon {
    config: Arc<Config>,
    client: DaemonClient,
}

impl ConfiguredDaemon {
    /// Connects to the daemon of a configuration.
    pub(in crate::cli) async fn connect(config: Config) -> anyhow::Result<Self> {
        let daemon = DaemonClient::find(&config).await?;
        Ok(Self { config: Arc::new(config), client: daemon })
    }

    /// Returns the client.
    pub(in crate::cli) const fn client(&self) -> &DaemonClient {
        &self.client
    }

    /// Returns the scopes of requests that together cover every tenant within reach: one for all if one token is for
    /// all, or else one for each configured tenant, since each may have its own token.
    pub(in crate::cli) fn tenant_scopes(&self) -> Vec<Option<TenantId>> {
        if self.config.client.token.is_some() || self.config.tenants.is_empty() {
            return vec![None];
        }
        self.config.tenants.iter().map(|tenant| Some(tenant.id.clone())).collect()
    }

    /// Returns the named tenant only, or else the same scopes as `tenant_scopes`.
    pub(in crate::cli) fn tenant_scopes_or(
        &self,
        requested: Option<&TenantId>,
    ) -> anyhow::Result<Vec<Option<TenantId>>> {
        match requested {
            Some(_) => Ok(vec![Some(requested_tenant(&self.config, requested)?)]),
            None => Ok(self.tenant_scopes()),
        }
    }

    /// Returns the tenants of the daemon within reach of the token.
    async fn tenants(&self) -> Result<Vec<TenantId>, DaemonError> {
        #[derive(Deserialize)]
        struct Tenants {
            tenants: Vec<TenantEntry>,
        }
        #[derive(Deserialize)]
        struct TenantEntry {
            id: TenantId,
        }
        let request = DaemonRequest {
            method: Method::GET,
            path: "/api/v1/tenants",
            right: Right::Read,
            tenant: None,
            query: &[],
        };
        let Tenants { tenants } = self.call(request, |request| request).await?;
        Ok(tenants.into_iter().map(|tenant| tenant.id).collect())
    }

    /// Sends a GET request, with the tenant, if any, in the query.
    pub(in crate::cli) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        tenant: Option<&TenantId>,
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
        let request = DaemonRequest { method: Method::GET, path, right: Right::Read, tenant, query: &query };
        self.call(request, |request| request).await
    }

    /// Sends a request. An answer of another shape is an error, since it is not from this version of the daemon.
    pub(in crate::cli) async fn call<T: DeserializeOwned>(
        &self,
        request: DaemonRequest<'_>,
        configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, DaemonError> {
        let answer = self.client.call(&self.config, request, configure).await?;
        let foreign = |_| DaemonError::NotShiftkeeper { url: self.client.url().to_owned(), status: StatusCode::OK };
        serde_json::from_value(answer).map_err(foreign)
    }
}

/// A client for one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::cli) struct TenantClient {
    daemon: ConfiguredDaemon,
    tenant: TenantId,
}

impl TenantClient {
    /// Connects for the named tenant, or the only one.
    pub(in crate::cli) async fn from_config(config: Config, tenant: Option<&TenantId>) -> anyhow::Result<Self> {
        if tenant.is_none() && daemon_knows_tenants(&config) {
            let daemon = ConfiguredDaemon::connect(config).await?;
            let tenant = single_tenant(daemon.tenants().await?)?;
            return Ok(Self { daemon, tenant });
        }
        let tenant = requested_tenant(&config, tenant)?;
        Ok(Self { daemon: ConfiguredDaemon::connect(config).await?, tenant })
    }

    /// Connects for the named tenant, or for each configured one, since each may have its own token.
    pub(in crate::cli) async fn connect_each(
        args: &ConfigArgs,
        tenant: Option<&TenantId>,
    ) -> anyhow::Result<Vec<Self>> {
        let config = args.load_for_command()?.config;
        let configured: Option<Vec<TenantId>> = match tenant {
            None if daemon_knows_tenants(&config) => None,
            None if !config.tenants.is_empty() => Some(config.tenants.iter().map(|tenant| tenant.id.clone()).collect()),
            named => Some(vec![requested_tenant(&config, named)?]),
        };
        let daemon = ConfiguredDaemon::connect(config).await?;
        let tenants = match configured {
            Some(tenants) => tenants,
            None => daemon.tenants().await?,
        };
        Ok(tenants.into_iter().map(|tenant| Self { daemon: daemon.clone(), tenant }).collect())
    }

    pub(in crate::cli) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Sends a GET request with the tenant and `parameters` in the query.
    pub(in crate::cli) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, DaemonError> {
        self.get_as(Right::Read, path, parameters).await
    }

    /// Sends a GET request that needs a right other than the usual one.
    pub(in crate::cli) async fn get_as<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = [("tenant", self.tenant.as_str())].into_iter().chain(parameters.iter().copied()).collect();
        let request = DaemonRequest { method: Method::GET, path, right, tenant: Some(&self.tenant), query: &query };
        self.daemon.call(request, |request| request).await
    }

    /// Sends a POST request with the tenant in the body.
    pub(in crate::cli) async fn post<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        mut body: Value,
    ) -> Result<T, DaemonError> {
        body["tenant"] = json!(self.tenant);
        let request = DaemonRequest { method: Method::POST, path, right, tenant: Some(&self.tenant), query: &[] };
        self.daemon.call(request, |request| request.json(&body)).await
    }

    /// Uploads a body that is not JSON, with the tenant and `parameters` in the query.
    pub(in crate::cli) async fn upload<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        parameters: &[(&str, &str)],
        configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = [("tenant", self.tenant.as_str())].into_iter().chain(parameters.iter().copied()).collect();
        let request = DaemonRequest { method: Method::POST, path, right, tenant: Some(&self.tenant), query: &query };
        self.daemon.call(request, configure).await
    }
}

/// The options of a command for one tenant.
#[derive(clap::Args, Clone, Debug)]
pub(in crate::cli) struct TenantArgs {
    /// Options for the configuration.
    #[command(flatten)]
    pub(in crate::cli) config: ConfigArgs,
    /// The tenant. Optional if there is only one.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) tenant: Option<TenantId>,
}

impl TenantArgs {
    /// Connects to the daemon for the tenant.
    pub(in crate::cli) async fn connect(&self) -> anyhow::Result<TenantClient> {
        TenantClient::from_config(self.config.load_for_command()?.config, self.tenant.as_ref()).await
    }
}

/// Returns whether only the daemon knows the tenants: it runs elsewhere, and the configuration has none.
const fn daemon_knows_tenants(config: &Config) -> bool {
    config.client.url.is_some() && config.tenants.is_empty()
}

/// Returns the one tenant that a token reaches.
fn single_tenant(mut tenants: Vec<TenantId>) -> anyhow::Result<TenantId> {
    match (tenants.pop(), tenants.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => {
            Err(CommandFailure::with_exit(Exit::NotPermitted, "the token cannot access any tenant of the daemon"))
        }
        (Some(last), _) => {
            tenants.push(last);
            let ids: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
            Err(usage_error(format!("name a tenant with --tenant: the token can access {}", ids.join(", "))))
        }
    }
}

/// Encodes an id as part of a path.
pub(in crate::cli) fn path_part(id: &str) -> String {
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
