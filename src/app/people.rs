//! Who may use the daemon: the parts that a configuration decides, and the accounts in the store.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::settings::{access, session_limits, taken_ids};
use crate::clock::{SharedClock, SharedRandom, SystemClock};
use crate::config::{Config, Server};
use crate::engine::access::accounts::{Accounts, AccountsParts, SessionLimits};
use crate::engine::operations::tenants::Tenants;
use crate::http::{Certificate, TlsFiles, Tokens};
use crate::store::{Reader, Store};

/// What a reload may change of it.
pub(super) struct Access {
    tokens: watch::Sender<Arc<Tokens>>,
    limits: watch::Sender<SessionLimits>,
    taken: watch::Sender<Arc<[Arc<str>]>>,
}

impl Access {
    /// As a configuration has it.
    pub(super) fn new(server: &Server) -> Self {
        Self {
            tokens: watch::Sender::new(Arc::new(access(server))),
            limits: watch::Sender::new(session_limits(server)),
            taken: watch::Sender::new(taken_ids(server)),
        }
    }

    /// Takes over a newer one.
    pub(super) fn take(&self, server: &Server) {
        self.limits.send_replace(session_limits(server));
        self.taken.send_replace(taken_ids(server));
        self.tokens.send_replace(Arc::new(access(server)));
    }

    /// For those who look at it.
    pub(super) fn tokens(&self) -> watch::Receiver<Arc<Tokens>> {
        self.tokens.subscribe()
    }

    /// The accounts of a store.
    pub(super) async fn accounts(
        &self,
        store: &Store,
        clock: SharedClock,
        random: SharedRandom,
        tenants: Tenants,
    ) -> anyhow::Result<Accounts> {
        let parts = AccountsParts {
            writer: store.writer().clone(),
            clock,
            real: Arc::new(SystemClock::real()),
            random,
            tenants,
            limits: self.limits.subscribe(),
            taken: self.taken.subscribe(),
        };
        load(parts, store.reader()).await
    }
}

async fn load(parts: AccountsParts, reader: &Reader) -> anyhow::Result<Accounts> {
    Accounts::load(parts, reader).await.context("the accounts in the store cannot be read")
}

/// The accounts of a store that no daemon has, for the command line.
pub async fn accounts_of(
    config: &Config,
    store: &Store,
    clock: SharedClock,
    random: SharedRandom,
) -> anyhow::Result<Accounts> {
    let tenants = Tenants::named(config.tenants.iter().map(|tenant| tenant.id.clone()));
    Access::new(&config.server).accounts(store, clock, random, tenants).await
}

/// The certificate of a configuration that has one: where its files are, what is in force, and where a newer one is put.
pub(super) type Secured = (TlsFiles, Certificate, Arc<watch::Sender<Arc<rustls::ServerConfig>>>);

/// Reads it.
pub(super) fn certificate(server: &Server) -> anyhow::Result<Option<Secured>> {
    let Some(tls) = &server.tls else { return Ok(None) };
    let files = TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() };
    let (certificate, sender) = Certificate::open(&files)?;
    Ok(Some((files, certificate, Arc::new(sender))))
}
