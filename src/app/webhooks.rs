//! `[[webhooks]]` in the shape that the workers take: an endpoint that a reload leaves as it was stays the very same, so that its
//! worker is not disturbed.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::rotation::SecretFiles;
use crate::config::{Config, Webhook};
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::event::EventKind;
use crate::engine::webhooks::deliver::send::{self, HttpPost, Network, Post};
use crate::engine::webhooks::deliver::{Endpoint, Endpoints, Outbox, as_cloud_event, as_stored};

/// The endpoints in force, and what they were made of.
pub(super) struct Webhooks {
    made: Vec<(Webhook, Arc<Endpoint>)>,
    endpoints: watch::Sender<Endpoints>,
    /// Where people may ask for them from the moment that they are in force.
    outbox: Outbox,
    /// Where the secrets are.
    files: watch::Sender<SecretFiles>,
    /// Made with the first endpoint.
    network: Option<Network>,
}

impl Webhooks {
    /// Those of a configuration, and where the workers see what becomes of them; over the system's network where no other is given.
    pub(super) fn new(
        config: &Config,
        outbox: Outbox,
        network: Option<Network>,
    ) -> anyhow::Result<(Self, watch::Receiver<Endpoints>)> {
        let (endpoints, seen) = watch::channel(Endpoints::from([]));
        let files = watch::Sender::default();
        let mut webhooks = Self { made: Vec::new(), endpoints, outbox, files, network };
        webhooks.take(config)?;
        Ok((webhooks, seen))
    }

    /// Puts those of a newer configuration in force; nothing changes when one of them cannot be made.
    pub(super) fn take(&mut self, config: &Config) -> anyhow::Result<()> {
        let mut made = Vec::with_capacity(config.webhooks.len());
        for webhook in &config.webhooks {
            let tenants = tenants_of(config, webhook);
            let kept = self.made.iter().find(|(before, endpoint)| before == webhook && endpoint.tenants == tenants);
            let endpoint = if let Some((_, endpoint)) = kept {
                endpoint.clone()
            } else {
                if self.network.is_none() {
                    self.network = Some(Network::system()?);
                }
                let network = self.network.as_ref().context("the network")?;
                Arc::new(endpoint_of(webhook, tenants, network)?)
            };
            made.push((webhook.clone(), endpoint));
        }
        self.made = made;
        let endpoints: Endpoints = self.made.iter().map(|(_, endpoint)| endpoint.clone()).collect();
        self.outbox.keep(&endpoints);
        self.endpoints.send_replace(endpoints);
        let files = self.made.iter().map(|(webhook, endpoint)| (endpoint.id.clone(), webhook.secret_file.clone()));
        self.files.send_replace(files.collect());
        Ok(())
    }

    /// Where the secrets of the endpoints are, now and after each reload.
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
        shape: match webhook.format {
            WebhookFormat::Guide => as_stored,
            WebhookFormat::CloudEvents => as_cloud_event,
        },
        sender: sender_of(webhook, network).with_context(|| format!("webhook {} cannot be sent to", webhook.id))?,
    })
}

/// What sends to an endpoint.
fn sender_of(webhook: &Webhook, network: &Network) -> anyhow::Result<Arc<dyn Post>> {
    let target = send::Endpoint {
        url: webhook.url.clone(),
        keys: webhook.keys().context("its secret is no signing key")?,
        allow: webhook.allow.clone(),
        format: webhook.format,
    };
    Ok(Arc::new(HttpPost::new(target, network)?))
}
