//! Webhook targets: whether they may be sent to, have an address and accept connections. No event is sent.

use std::time::Duration;

use super::context::CheckContext;
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::cli::webhooks::is_configured_for;
use crate::domain::webhooks::target::Target;
use crate::engine::webhooks::deliver::send::{Network, check_reachable};
use crate::store::Reader;

/// The time limit of one connection including TLS, in real time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to each target in turn. The daemon, if it runs, or else the store tells which are disabled.
pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let mut group = FindingGroup::new("webhooks");
    if let (None, Some(reader)) = (&context.daemon, &context.reader) {
        report_disabled(&mut group, context, reader).await;
    }
    let hooks = &context.config.webhooks;
    if hooks.is_empty() {
        group.ok("endpoints", "none is configured");
        return group.into_findings();
    }
    if context.offline {
        group.skipped("endpoints", "not connected to: --offline");
        return group.into_findings();
    }
    let network = match Network::system() {
        Ok(network) => network,
        Err(error) => {
            group.wrong("certificates", error.to_string(), "install the package ca-certificates");
            return group.into_findings();
        }
    };
    for hook in hooks {
        // Show only host and port, since the path may be a secret.
        let place = Target::from_url(&hook.url).map_or_else(|| "no host".to_owned(), |target| target.to_string());
        match check_reachable(&hook.url, &hook.allowed_targets, &network, CONNECT_TIMEOUT).await {
            Ok(()) => group.ok(&hook.id, format!("{place} takes connections; no event was sent")),
            Err(reason) => {
                let advice =
                    "start the receiver, mend its name or certificate, or correct url and allow of [[webhooks]]";
                group.wrong(&hook.id, reason, advice);
            }
        }
    }
    group.into_findings()
}

async fn report_disabled(group: &mut FindingGroup, context: &CheckContext, reader: &Reader) {
    for tenant in &context.config.tenants {
        let stored = reader.endpoints(&tenant.id).await.unwrap_or_default();
        let ours = |id| context.config.webhooks.iter().any(|hook| is_configured_for(hook, id, &tenant.id));
        for endpoint in stored.iter().filter(|endpoint| ours(&endpoint.id)) {
            let Some((at, why)) = endpoint.disabled else { continue };
            let (id, tenant) = (&endpoint.id, &tenant.id);
            let detail = format!("disabled since {at}, as {}: it gets nothing, its events wait", why.text());
            let advice = format!(
                "mend the receiver, start the daemon, then: shiftkeeper webhooks recover {id} --since {at} --tenant {tenant}"
            );
            group.wrong(format!("{id} of {tenant}"), detail, advice);
        }
    }
}
