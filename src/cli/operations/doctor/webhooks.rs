//! Webhook targets: may they be sent to, have they an address, do they take connections. No event is sent.

use std::time::Duration;

use super::Desk;
use super::platform::Way;
use crate::cli::shared::finding::{Finding, Group};
use crate::cli::webhooks::serves;
use crate::domain::webhooks::target::Target;
use crate::engine::webhooks::deliver::send::{Network, reach};
use crate::store::Reader;

/// For one connection, TLS included, in real time.
const WITHIN: Duration = Duration::from_secs(5);

/// Connects to each, one after the other. Which of them are disabled is told by the daemon where one runs, else by the store.
pub(super) async fn look(desk: &Desk, way: Way<'_>) -> Vec<Finding> {
    let mut group = Group::new("webhooks");
    if let (None, Some(reader)) = (way.daemon, way.reader) {
        disabled(&mut group, desk, reader).await;
    }
    let hooks = &desk.config.webhooks;
    if hooks.is_empty() {
        group.ok("endpoints", "none is configured");
        return group.done();
    }
    if desk.offline {
        group.skipped("endpoints", "not connected to: --offline");
        return group.done();
    }
    let network = match Network::system() {
        Ok(network) => network,
        Err(error) => {
            group.wrong("certificates", error.to_string(), "install the package ca-certificates");
            return group.done();
        }
    };
    for hook in hooks {
        // Host and port alone: the path may be a secret.
        let place = Target::of(&hook.url).map_or_else(|| "no host".to_owned(), |target| target.to_string());
        match reach(&hook.url, &hook.allow, &network, WITHIN).await {
            Ok(()) => group.ok(&hook.id, format!("{place} takes connections; no event was sent")),
            Err(reason) => {
                let advice =
                    "start the receiver, mend its name or certificate, or correct url and allow of [[webhooks]]";
                group.wrong(&hook.id, reason, advice);
            }
        }
    }
    group.done()
}

async fn disabled(group: &mut Group, desk: &Desk, reader: &Reader) {
    for tenant in &desk.config.tenants {
        let stored = reader.endpoints(&tenant.id).await.unwrap_or_default();
        let ours = |id| desk.config.webhooks.iter().any(|hook| serves(hook, id, &tenant.id));
        for endpoint in stored.iter().filter(|endpoint| ours(&endpoint.id)) {
            let Some((at, why)) = endpoint.disabled else { continue };
            let (id, tenant) = (&endpoint.id, &tenant.id);
            let detail = format!("disabled since {at}, as {}: it gets nothing, its events wait", why.words());
            let advice = format!(
                "mend the receiver, start the daemon, then: shiftkeeper webhooks recover {id} --since {at} --tenant {tenant}"
            );
            group.wrong(format!("{id} of {tenant}"), detail, advice);
        }
    }
}
