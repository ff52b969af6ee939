//! `[[webhooks]]`: endpoints that are told what happens (design.md part 8). Targets inside private networks are refused unless
//! they are named, so that nobody can use the daemon to reach what only it can reach.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use super::complaint::{Fault, nearest};
use super::kind::{self, Kind};
use super::reader::{Section, reloads};
use crate::domain::event::EventKind;
use crate::domain::ids::TenantId;
use crate::domain::secret::Secret;

/// Bytes of a signing key (source: Standard Webhooks).
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// One endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Names it in deliveries, logs and metrics.
    pub id: String,
    /// Where deliveries go.
    pub url: Url,
    /// Signs them: `whsec_` and base64 of 24 to 64 bytes.
    pub secret: Secret,
    /// Which events it wants; empty is all.
    pub events: Vec<String>,
    /// Whose events it gets; empty is every tenant's.
    pub tenants: Vec<TenantId>,
    /// Deliveries under way at once, for each tenant.
    pub concurrency: usize,
    /// `host:port` of private targets that are meant.
    pub allow: Vec<String>,
    /// The shape of the body.
    pub format: WebhookFormat,
}

/// The shape of a delivery's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebhookFormat {
    /// `{"event", "timestamp", "data"}` as guide 003 has it.
    Guide,
    /// A `CloudEvents` 1.0 envelope.
    CloudEvents,
}

impl Webhook {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section.required(reloads("id", "Names the endpoint in deliveries, logs and metrics."), &kind::id());
        let url = section.required(reloads("url", "Where deliveries go."), &kind::url());
        let secret =
            section.daemon_secret(reloads("secret", "Signs deliveries: `whsec_` and base64 of 24 to 64 bytes."));
        if secret.as_ref().is_some_and(|secret| !secret.expose().is_empty() && !is_signing_key(secret)) {
            let fault = Fault::new("must be whsec_ and the base64 of 24 to 64 bytes");
            section.complain("secret", fault.advise("make one with: echo whsec_$(openssl rand -base64 32)"));
        }
        let events = section.value(
            reloads("events", "Events that are delivered, as in `agent.state_changed`; none named is all of them."),
            &kind::list(event()),
            Vec::new(),
        );
        let tenants = section.value(
            reloads("tenants", "Tenants whose events it gets; none named is all of them."),
            &kind::list(kind::id()),
            Vec::new(),
        );
        let concurrency = section.value(
            reloads("concurrency", "Deliveries under way at once, for each tenant; of one agent there is never more than one."),
            &kind::integer(1..=1_000),
            64,
        );
        let allow = section.value(
            reloads("allow", "Private targets that are meant, as `host:port`."),
            &kind::list(kind::text()),
            Vec::new(),
        );
        let plain = section.value(
            reloads("allow_plain_http", "Lets url be http:// on another machine; events then travel in clear."),
            &kind::boolean(),
            false,
        );
        let format = section.value(
            reloads("format", "The shape of the body: as in the guides, or CloudEvents."),
            &kind::choice(&[("guide", WebhookFormat::Guide), ("cloudevents", WebhookFormat::CloudEvents)]),
            WebhookFormat::Guide,
        );
        if let Some(url) = &url {
            check_target(section, url, &allow, plain);
        }
        Some(Self { id: id?, url: url?, secret: secret?, events, tenants, concurrency, allow, format })
    }
}

fn check_target(section: &mut Section<'_, '_>, url: &Url, allow: &[String], plain: bool) {
    let target = target(url);
    if is_private(url) && !allow.contains(&target) {
        let fault = Fault::new("leads into a private network");
        section.complain("url", fault.advise("if it is meant, add its host:port to allow"));
    }
    if url.scheme() == "http" && !plain && !is_loopback(url) {
        let fault = Fault::new("would send events in clear");
        section.complain("url", fault.advise("use https://, or set allow_plain_http = true"));
    }
}

fn target(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Whether a URL leads to this machine by its words alone; no name is looked up.
pub(super) fn is_loopback(url: &Url) -> bool {
    literal(url).map_or(url.host_str() == Some("localhost"), |address| address.is_loopback())
}

fn literal(url: &Url) -> Option<IpAddr> {
    let address: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
    Some(address.to_canonical())
}

/// Whether a URL names a target that only this machine or its network can reach. Names that resolve to such an address are
/// for the sender to refuse, at each delivery.
fn is_private(url: &Url) -> bool {
    match literal(url) {
        Some(IpAddr::V4(v4)) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || shared
        }
        Some(IpAddr::V6(v6)) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
        None => {
            let host = url.host_str().unwrap_or_default().trim_end_matches('.');
            host == "localhost" || [".localhost", ".internal", ".local"].iter().any(|end| host.ends_with(end))
        }
    }
}

fn is_signing_key(secret: &Secret) -> bool {
    let key = secret.expose().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    key.is_some_and(|key| KEY_BYTES.contains(&key.len()))
}

fn event() -> Kind<String> {
    let convert = |text: &str| {
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let sound = text.split_once('.').is_some_and(|(subject, what)| word(subject) && word(what));
        if !sound {
            return Err(Fault::new("must be an event such as \"agent.state_changed\""));
        }
        if EventKind::from_selector(text).is_some() {
            return Ok(text.to_owned());
        }
        let fault = Fault::new("is no event that there is");
        Err(match nearest(text, EventKind::ALL.into_iter().map(EventKind::selector)) {
            Some(near) => fault.advise(format!("did you mean \"{near}\"?")),
            None => fault.advise("docs/webhooks.md lists them"),
        })
    };
    Kind::from_text("event", convert, |event| format!("{event:?}"))
}
