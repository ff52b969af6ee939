//! Access to the daemon: the parts given by the configuration, and the accounts in the store.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::settings::{configured_tokens, reserved_ids, session_limits};
use crate::clock::{SharedClock, SharedRandom, SystemClock};
use crate::config::{Config, Server};
use crate::engine::access::accounts::{AccountServices, Accounts, SessionLimits};
use crate::engine::operations::tenants::Tenants;
use crate::http::{Certificate, ConfiguredAccess, TlsFiles};
use crate::store::Store;

/// The access settings that a reload may change.
pub(super) struct AccessSettings {
    tokens: watch::Sender<Arc<ConfiguredAccess>>,
    limits: watch::Sender<SessionLimits>,
    reserved_ids: watch::Sender<Arc<[Arc<str>]>>,
}

impl AccessSettings {
    /// Returns the settings of a configuration.
    pub(super) fn new(server: &Server) -> Self {
        Self {
            tokens: watch::Sender::new(Arc::new(configured_tokens(server))),
            limits: watch::Sender::new(session_limits(server)),
            reserved_ids: watch::Sender::new(reserved_ids(server)),
        }
    }

    /// Applies the settings of a newer configuration.
    pub(super) fn apply(&self, server: &Server) {
        self.limits.send_replace(session_limits(server));
        self.reserved_ids.send_replace(reserved_ids(server));
        self.tokens.send_replace(Arc::new(configured_tokens(server)));
    }

    /// Returns a receiver of the configured tokens and their changes.
    pub(super) fn tokens(&self) -> watch::Receiver<Arc<ConfiguredAccess>> {
        self.tokens.subscribe()
    }

    /// Returns the accounts of a store.
    pub(super) async fn accounts(
        &self,
        store: &Store,
        clock: SharedClock,
        random: SharedRandom,
        tenants: Tenants,
    ) -> anyhow::Result<Accounts> {
        let parts = AccountServices {
            writer: store.writer().clone(),
            clock,
            real_clock: Arc::new(SystemClock::real()),
            random,
            tenants,
            limits: self.limits.subscribe(),
            reserved_ids: self.reserved_ids.subscribe(),
        };
        Accounts::load(parts, store.reader()).await.context("the accounts in the store cannot be read")
    }
}

/// Opens the accounts of a store that no daemon uses, for the command line.
pub async fn open_accounts(
    config: &Config,
    store: &Store,
    clock: SharedClock,
    random: SharedRandom,
) -> anyhow::Result<Accounts> {
    let tenants = Tenants::from_ids(config.tenants.iter().map(|tenant| tenant.id.clone()));
    AccessSettings::new(&config.server).accounts(store, clock, random, tenants).await
}

/// The certificate of a configuration that has one: its files, the certificate in use, and the sender for a newer one.
pub(super) type TlsParts = (TlsFiles, Certificate, Arc<watch::Sender<Arc<rustls::ServerConfig>>>);

/// Loads the certificate, if one is configured.
pub(super) fn certificate(server: &Server) -> anyhow::Result<Option<TlsParts>> {
    let Some(tls) = &server.tls else { return Ok(None) };
    let files = TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() };
    let (certificate, sender) = Certificate::load(&files)?;
    Ok(Some((files, certificate, Arc::new(sender))))
}
