//! The running daemon, asked with the token that the configuration has for it, about one tenant or about all within reach: what every
//! command that goes through the API begins with.

use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::config_args::ConfigArgs;
use super::daemon::{Ask, Daemon, DaemonError};
use super::exit::Exit;
use super::scope::{tenant_asked, usage};
use super::talk::Failure;
use crate::config::{Config, Right};
use crate::domain::ids::TenantId;

/// The running daemon, and the configuration that has the tokens for it. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Reach {
    config: Arc<Config>,
    daemon: Daemon,
}

impl Reach {
    /// The daemon of a configuration.
    pub(in crate::cli) async fn of(config: Config) -> anyhow::Result<Self> {
        let daemon = Daemon::find(&config).await?;
        Ok(Self { config: Arc::new(config), daemon })
    }

    /// The daemon itself.
    pub(in crate::cli) const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// What to ask about so that every tenant within reach is in some answer: all at once, where one token is for all; else each that
    /// is configured, since each may have a token of its own.
    pub(in crate::cli) fn parts(&self) -> Vec<Option<TenantId>> {
        if self.config.client.token.is_some() || self.config.tenants.is_empty() {
            return vec![None];
        }
        self.config.tenants.iter().map(|tenant| Some(tenant.id.clone())).collect()
    }

    /// The same, or the tenant that is named.
    pub(in crate::cli) fn parts_or(&self, named: Option<&TenantId>) -> anyhow::Result<Vec<Option<TenantId>>> {
        match named {
            Some(_) => Ok(vec![Some(tenant_asked(&self.config, named)?)]),
            None => Ok(self.parts()),
        }
    }

    /// The tenants that the daemon serves, within reach of the token.
    async fn tenants(&self) -> Result<Vec<TenantId>, DaemonError> {
        #[derive(Deserialize)]
        struct Tenants {
            tenants: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            id: TenantId,
        }
        let ask = Ask { method: Method::GET, path: "/api/v1/tenants", right: Right::Read, tenant: None, query: &[] };
        let Tenants { tenants } = self.ask(ask, |request| request).await?;
        Ok(tenants.into_iter().map(|tenant| tenant.id).collect())
    }

    /// Looks, with the tenant in the query where it is about one.
    pub(in crate::cli) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        tenant: Option<&TenantId>,
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
        let ask = Ask { method: Method::GET, path, right: Right::Read, tenant, query: &query };
        self.ask(ask, |request| request).await
    }

    /// Asks; what answers in another shape is no daemon of this version.
    pub(in crate::cli) async fn ask<T: DeserializeOwned>(
        &self,
        ask: Ask<'_>,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, DaemonError> {
        let answer = self.daemon.ask(&self.config, ask, fill).await?;
        let foreign = |_| DaemonError::NotShiftkeeper { url: self.daemon.url().to_owned(), status: StatusCode::OK };
        serde_json::from_value(answer).map_err(foreign)
    }
}

/// Somebody who asks about one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Caller {
    reach: Reach,
    tenant: TenantId,
}

impl Caller {
    /// For the tenant that is named, or the only one.
    pub(in crate::cli) async fn of(args: &ConfigArgs, tenant: Option<&TenantId>) -> anyhow::Result<Self> {
        Self::of_config(args.load_for_command()?.config, tenant).await
    }

    /// The same of a configuration that is read already.
    pub(in crate::cli) async fn of_config(config: Config, tenant: Option<&TenantId>) -> anyhow::Result<Self> {
        if tenant.is_none() && are_told_there(&config) {
            let reach = Reach::of(config).await?;
            let tenant = only(reach.tenants().await.map_err(DaemonError::into_failure)?)?;
            return Ok(Self { reach, tenant });
        }
        let tenant = tenant_asked(&config, tenant)?;
        Ok(Self { reach: Reach::of(config).await?, tenant })
    }

    /// One for the tenant that is named, or for each that is configured: each may have a token of its own.
    pub(in crate::cli) async fn of_each(args: &ConfigArgs, tenant: Option<&TenantId>) -> anyhow::Result<Vec<Self>> {
        let config = args.load_for_command()?.config;
        let told_here: Option<Vec<TenantId>> = match tenant {
            None if are_told_there(&config) => None,
            None if !config.tenants.is_empty() => Some(config.tenants.iter().map(|tenant| tenant.id.clone()).collect()),
            named => Some(vec![tenant_asked(&config, named)?]),
        };
        let reach = Reach::of(config).await?;
        let tenants = match told_here {
            Some(tenants) => tenants,
            None => reach.tenants().await.map_err(DaemonError::into_failure)?,
        };
        Ok(tenants.into_iter().map(|tenant| Self { reach: reach.clone(), tenant }).collect())
    }

    pub(in crate::cli) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Looks, with the tenant and `more` in the query.
    pub(in crate::cli) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<T, DaemonError> {
        self.get_as(Right::Read, path, more).await
    }

    /// The same of what takes another right to be seen.
    pub(in crate::cli) async fn get_as<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = [("tenant", self.tenant.as_str())].into_iter().chain(more.iter().copied()).collect();
        let ask = Ask { method: Method::GET, path, right, tenant: Some(&self.tenant), query: &query };
        self.reach.ask(ask, |request| request).await
    }

    /// Asks for something that takes a right, with the tenant in the body.
    pub(in crate::cli) async fn post<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        mut body: Value,
    ) -> Result<T, DaemonError> {
        body["tenant"] = json!(self.tenant);
        let ask = Ask { method: Method::POST, path, right, tenant: Some(&self.tenant), query: &[] };
        self.reach.ask(ask, |request| request.json(&body)).await
    }

    /// Hands something over that is no JSON, with the tenant and `more` in the query.
    pub(in crate::cli) async fn hand_over<T: DeserializeOwned>(
        &self,
        right: Right,
        path: &str,
        more: &[(&str, &str)],
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, DaemonError> {
        let query: Vec<_> = [("tenant", self.tenant.as_str())].into_iter().chain(more.iter().copied()).collect();
        let ask = Ask { method: Method::POST, path, right, tenant: Some(&self.tenant), query: &query };
        self.reach.ask(ask, fill).await
    }
}

/// Whether the daemon alone knows which tenants there are: one elsewhere, by a configuration that has none.
const fn are_told_there(config: &Config) -> bool {
    config.client.url.is_some() && config.tenants.is_empty()
}

/// The one tenant that a token reaches.
fn only(mut tenants: Vec<TenantId>) -> anyhow::Result<TenantId> {
    match (tenants.pop(), tenants.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(Failure::because(Exit::NotPermitted, "the token reaches no tenant that the daemon serves")),
        (Some(last), _) => {
            tenants.push(last);
            let ids: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
            Err(usage(format!("name a tenant with --tenant: the token reaches {}", ids.join(", "))))
        }
    }
}

/// An id as a part of a path.
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
