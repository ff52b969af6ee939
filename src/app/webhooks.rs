//! Converts `[[webhooks]]` to the endpoints of the workers. An endpoint that a reload does not change remains the same
//! object, so that its worker is not disturbed.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::rotation::SecretFiles;
use crate::config::{Config, Webhook};
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::event::EventKind;
use crate::engine::webhooks::deliver::send::{self, HttpPost, Network, Post};
use crate::engine::webhooks::deliver::{Endpoint, Endpoints, Outbox, cloud_event_body, stored_body};

/// The endpoints in effect and their configuration.
pub(super) struct Webhooks {
    configured: Vec<(Webhook, Arc<Endpoint>)>,
    endpoints: watch::Sender<Endpoints>,
    /// The outbox, where people find the endpoints as soon as they are in effect.
    outbox: Outbox,
    /// The files of the secrets.
    files: watch::Sender<SecretFiles>,
    /// The network, created with the first endpoint.
    network: Option<Network>,
}

impl Webhooks {
    /// Creates the endpoints of a configuration, and a receiver of their changes for the workers. Uses the system's
    /// network if `network` is `None`.
    pub(super) fn new(
        config: &Config,
        outbox: Outbox,
        network: Option<Network>,
    ) -> anyhow::Result<(Self, watch::Receiver<Endpoints>)> {
        let (endpoints, updates) = watch::channel(Endpoints::from([]));
        let files = watch::Sender::default();
        let mut webhooks = Self { configured: Vec::new(), endpoints, outbox, files, network };
        webhooks.apply(config)?;
        Ok((webhooks, updates))
    }

    /// Applies the endpoints of a newer configuration. Nothing changes if one of them cannot be created.
    pub(super) fn apply(&mut self, config: &Config) -> anyhow::Result<()> {
        let mut configured = Vec::with_capacity(config.webhooks.len());
        for webhook in &config.webhooks {
            let tenants = tenants_of(config, webhook);
            let existing =
                self.configured.iter().find(|(before, endpoint)| before == webhook && endpoint.tenants == tenants);
            let endpoint = if let Some((_, endpoint)) = existing {
                endpoint.clone()
            } else {
                if self.network.is_none() {
                    self.network = Some(Network::system()?);
                }
                let network = self.network.as_ref().context("the network of the webhook sender could not be set up")?;
                Arc::new(endpoint_of(webhook, tenants, network)?)
            };
            configured.push((webhook.clone(), endpoint));
        }
        self.configured = configured;
        let endpoints: Endpoints = self.configured.iter().map(|(_, endpoint)| endpoint.clone()).collect();
        self.outbox.retain_endpoints(&endpoints);
        self.endpoints.send_replace(endpoints);
        let files =
            self.configured.iter().map(|(webhook, endpoint)| (endpoint.id.clone(), webhook.secret_file.clone()));
        self.files.send_replace(files.collect());
        Ok(())
    }

    /// Returns a receiver of the files of the endpoints' secrets, updated by reloads.
    pub(super) fn files(&self) -> watch::Receiver<SecretFiles> {
        self.files.subscribe()
    }
}

fn tenants_of(config: &Config, webhook: &Webhook) -> Vec<TenantId> {
    let ids = config.tenants.iter().map(|tenant| tenant.id.clone());
    ids.filter(|id| webhook.tenants.is_empty() || webhook.tenants.contains(id)).collect()
}

fn endpoint_of(webhook: &Webhook, tenants: Vec<TenantId>, network: &Network) -> anyhow::Result<Endpoint> {
    let kinds = webhook.events.iter().filter_map(|event| EventKind::from_selector(event)).collect();
    Ok(Endpoint {
        id: EndpointId::new(&webhook.id),
        tenants,
        kinds: (!webhook.events.is_empty()).then_some(kinds),
        concurrency: webhook.concurrency,
        format_body: match webhook.format {
            WebhookFormat::Guide => stored_body,
            WebhookFormat::CloudEvents => cloud_event_body,
        },
        sender: sender_of(webhook, network).with_context(|| format!("webhook {} cannot be used", webhook.id))?,
    })
}

/// Creates the sender for an endpoint.
fn sender_of(webhook: &Webhook, network: &Network) -> anyhow::Result<Arc<dyn Post>> {
    let target = send::EndpointTarget {
        url: webhook.url.clone(),
        keys: webhook.keys().context("its secret is not a signing key")?,
        allow: webhook.allowed_targets.clone(),
        format: webhook.format,
    };
    Ok(Arc::new(HttpPost::new(target, network)?))
}
