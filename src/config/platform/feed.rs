//! `[tenants.feed]`: the platform's live feed, which reports changes as they happen, beside the snapshots (guide 000).

use std::time::Duration;

use reqwest::Url;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};

/// The platform's live feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Feed {
    /// Whether the feed is used, if the tenant has skills.
    pub enabled: bool,
    /// The feed's base URL, if it differs from that of the other calls.
    pub base_url: Option<Url>,
    /// The feed's path below the base.
    pub path: String,
    /// How long a feed may be silent before it counts as lost.
    pub silent_after: Duration,
}

impl Feed {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let enabled = section.value(
            reloadable("enabled", "Whether to open the live feed. Only tenants with skills have one."),
            &kind::boolean(),
            true,
        );
        let base_url = section.optional(
            reloadable(
                "base_url",
                "The base URL of the feed, if it differs from that of the other calls; https stands for wss.",
            ),
            &kind::url(),
        );
        if base_url.as_ref().is_some_and(|url| url.scheme() == "http" && !kind::is_loopback(url)) {
            section.add_diagnostic(
                "base_url",
                ValueFault::new("would send the token in clear").with_suggestion("use https://"),
            );
        }
        let path = section.value(
            reloadable("path", "The path of the feed below the base URL, including the version."),
            &kind::path(),
            "/InContactAPI/services/v18.0/interactions/subscribe".to_owned(),
        );
        let silent_after = section.value(
            reloadable(
                "silent_after",
                "A feed without messages or heartbeats for this long is considered lost and reopened.",
            ),
            &kind::duration(Duration::from_secs(30)..=Duration::from_secs(3_600)),
            Duration::from_secs(120),
        );
        Self { enabled, base_url, path, silent_after }
    }

    /// Returns these settings with those of `newer` that a running worker takes over.
    pub(in crate::config) fn with_reloadable_from(&self, newer: &Self) -> Self {
        Self { enabled: newer.enabled, silent_after: newer.silent_after, ..self.clone() }
    }
}
