//! `[tenants.feed]`: hearing of changes as they happen, beside the snapshots (guide 000).

use std::time::Duration;

use reqwest::Url;

use crate::config::operations::tenant::path;
use crate::config::shared::complaint::Fault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads};
use crate::config::webhooks::is_loopback;

/// The platform's live feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Feed {
    /// Whether it is opened, where the tenant has skills.
    pub enabled: bool,
    /// Where it is, if not at the base of the other calls.
    pub base_url: Option<Url>,
    /// Its path below the base.
    pub path: String,
    /// A feed that says nothing for so long is lost.
    pub silent_after: Duration,
}

impl Feed {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let enabled = section.value(
            reloads("enabled", "Whether the live feed is opened; there is one only for a tenant with skills."),
            &kind::boolean(),
            true,
        );
        let base_url = section.optional(
            reloads("base_url", "Where the feed is, where it is not at the base of the other calls; https means wss."),
            &kind::url(),
        );
        if base_url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_loopback(url)) {
            section.complain("base_url", Fault::new("would send the token in clear").advise("use https://"));
        }
        let path = section.value(
            reloads("path", "The feed's path below the base, with its version."),
            &path(),
            "/InContactAPI/services/v18.0/interactions/subscribe".to_owned(),
        );
        let silent_after = section.value(
            reloads(
                "silent_after",
                "A feed that says nothing for so long, heartbeats included, is lost and opened anew.",
            ),
            &kind::duration(Duration::from_secs(30)..=Duration::from_secs(3_600)),
            Duration::from_secs(120),
        );
        Self { enabled, base_url, path, silent_after }
    }

    /// With what its worker takes over as it runs.
    pub(in crate::config) fn taking_over(&self, newer: &Self) -> Self {
        Self { enabled: newer.enabled, silent_after: newer.silent_after, ..self.clone() }
    }
}
