//! `[[webhooks]]`: endpoints that receive events (design.md part 8).
//!
//! Targets in private networks are refused unless they are listed, so that nobody can use the daemon to reach what only
//! it can reach. `domain::webhooks::target` defines which targets are private; the sender checks again at every
//! connection.

use std::path::PathBuf;

use reqwest::Url;

use super::shared::diagnostic::ValueFault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloadable};
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::event::EventKind;
use crate::domain::webhooks::signature::{KeyError, Keyring, SigningKey};
use crate::domain::webhooks::target::Target;
use crate::domain::wording::closest_name;

/// The suggestion for a secret that is not a key.
const KEY_ADVICE: &str = "make one with: echo whsec_$(openssl rand -base64 32)";

/// One endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// The id in deliveries and logs.
    pub id: String,
    /// The URL of deliveries.
    pub url: Url,
    /// The secret that signs deliveries: `whsec_` and 24 to 64 bytes in base64. A file may have the previous key on a
    /// second line.
    pub secret: Secret,
    /// The file of the secret, if it is kept in one.
    pub secret_file: Option<PathBuf>,
    /// The previous key and until when it signs too, if the secret itself does not contain it.
    pub previous: Option<(Secret, UtcMicros)>,
    /// The types of events to deliver; all if empty.
    pub events: Vec<String>,
    /// The tenants whose events are delivered; all if empty.
    pub tenants: Vec<TenantId>,
    /// The maximum number of deliveries in progress for each tenant.
    pub concurrency: usize,
    /// Private targets that are allowed.
    pub allowed_targets: Vec<Target>,
    /// The format of the body.
    pub format: WebhookFormat,
}

impl Webhook {
    /// Returns the keys that sign deliveries. An error means that this configuration was loaded for a command, without
    /// secrets.
    pub fn keys(&self) -> Result<Keyring, KeyError> {
        match &self.previous {
            None => Keyring::parse(self.secret.expose()),
            Some((previous, until)) => {
                let current = SigningKey::parse(self.secret.expose())?;
                Ok(Keyring::new(current, Some((SigningKey::parse(previous.expose())?, *until))))
            }
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section.required(reloadable("id", "The name of the endpoint in deliveries and logs."), &kind::id());
        let url = section.required(reloadable("url", "The URL that receives deliveries."), &kind::url());
        let (secret_file, secret) = read_secret(section);
        let previous = read_previous(section, secret.as_ref());
        let events = section.value(
            reloadable("events", "The events to deliver, as in `agent.state_changed`; all of them by default."),
            &kind::list(event()),
            Vec::new(),
        );
        let tenants = section.value(
            reloadable("tenants", "The tenants whose events are delivered; all of them by default."),
            &kind::list(kind::id()),
            Vec::new(),
        );
        let concurrency = section.value(
            reloadable(
                "concurrency",
                "The maximum number of simultaneous deliveries per tenant. There is never more than one per agent.",
            ),
            &kind::integer(1..=1_000),
            64,
        );
        let allow = section.value(
            reloadable("allow", "Private addresses that are allowed as targets, as in `127.0.0.1:9000`."),
            &kind::list(target()),
            Vec::new(),
        );
        let allow_plain_http = section.value(
            reloadable(
                "allow_plain_http",
                "Allows url to be http:// on another machine. Events are then sent unencrypted.",
            ),
            &kind::boolean(),
            false,
        );
        let format = section.value(
            reloadable(
                "format",
                "The format of the body: as in the vendor's guides (`guide`), or CloudEvents (`cloudevents`).",
            ),
            &kind::choice(&[("guide", WebhookFormat::Guide), ("cloudevents", WebhookFormat::CloudEvents)]),
            WebhookFormat::Guide,
        );
        if let Some(url) = &url {
            check_target(section, url, &allow, allow_plain_http);
        }
        Some(Self {
            id: id?,
            url: url?,
            secret: secret?,
            secret_file,
            previous,
            events,
            tenants,
            concurrency,
            allowed_targets: allow,
            format,
        })
    }
}

fn read_secret(section: &mut Section<'_, '_>) -> (Option<PathBuf>, Option<Secret>) {
    let file = section.secret_file("secret");
    let key = reloadable(
        "secret",
        "The key that signs deliveries: `whsec_` and the base64 form of 24 to 64 bytes. A file may contain the \
         previous key on its second line, as in `whsec_… until 2026-11-23T10:00:00Z`.",
    );
    let secret = section.daemon_secret(key);
    if let Some(secret) = secret.as_ref().filter(|secret| !secret.expose().is_empty())
        && let Err(error) = Keyring::parse(secret.expose())
    {
        section.add_diagnostic("secret", key_fault(error));
    }
    (file, secret)
}

fn read_previous(section: &mut Section<'_, '_>, secret: Option<&Secret>) -> Option<(Secret, UtcMicros)> {
    let previous = section.optional_daemon_secret(reloadable(
        "previous_secret",
        "The previous key, which signs in addition to the new one until `previous_until`; for secrets that are not \
         kept in a file.",
    ));
    let until = section.optional(
        reloadable("previous_until", "The end of the time in which `previous_secret` also signs, in real time."),
        &kind::instant(),
    );
    match (previous, until) {
        (Some(previous), Some(until)) => {
            if !previous.expose().is_empty()
                && let Err(error) = SigningKey::parse(previous.expose())
            {
                section.add_diagnostic("previous_secret", key_fault(error));
            }
            if secret.is_some_and(|secret| secret.expose().trim_end().contains('\n')) {
                let fault = ValueFault::new("cannot be combined with a secret that has its own previous key");
                section.add_diagnostic("previous_secret", fault.with_suggestion("keep one of the two"));
            }
            Some((previous, until))
        }
        (Some(_), None) => {
            let fault =
                ValueFault::new("needs an end").with_suggestion("set previous_until, as in \"2026-11-23T10:00:00Z\"");
            section.add_diagnostic("previous_secret", fault);
            None
        }
        (None, Some(_)) => {
            section.add_diagnostic(
                "previous_until",
                ValueFault::new("needs previous_secret").with_suggestion("set both or none"),
            );
            None
        }
        (None, None) => None,
    }
}

fn key_fault(error: KeyError) -> ValueFault {
    match error {
        KeyError::Prefix | KeyError::Encoding | KeyError::Length(_) => {
            ValueFault::new("must be whsec_ and the base64 of 24 to 64 bytes").with_suggestion(KEY_ADVICE)
        }
        KeyError::Previous | KeyError::TooMany => ValueFault::new(error.to_string()),
    }
}

fn check_target(section: &mut Section<'_, '_>, url: &Url, allowed_targets: &[Target], allow_plain_http: bool) {
    let Some(target) = Target::from_url(url) else { return };
    if let Some(why) = target.forbidden_without_lookup(allowed_targets) {
        let fault = ValueFault::new(format!("leads to {why}"));
        section.add_diagnostic("url", fault.with_suggestion("if it is meant, add its host:port to allow"));
    }
    if url.scheme() == "http" && !allow_plain_http && !target.is_loopback() {
        let fault = ValueFault::new("would send events in clear");
        section.add_diagnostic("url", fault.with_suggestion("use https://, or set allow_plain_http = true"));
    }
}

fn target() -> Kind<Target> {
    let convert = |text: &str| Target::parse(text).map_err(|error| ValueFault::new(error.to_string()));
    Kind::from_text("host:port", convert, |target| format!("{:?}", target.to_string()))
}

fn known_events() -> String {
    let known: Vec<_> = EventKind::ALL.into_iter().map(EventKind::selector).collect();
    format!("there are: {}", known.join(", "))
}

fn event() -> Kind<String> {
    let convert = |text: &str| {
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let sound = text.split_once('.').is_some_and(|(subject, what)| word(subject) && word(what));
        if !sound {
            return Err(
                ValueFault::new("must be an event such as \"agent.state_changed\"").with_suggestion(known_events())
            );
        }
        if EventKind::from_selector(text).is_some() {
            return Ok(text.to_owned());
        }
        let fault = ValueFault::new("is not a known event");
        Err(match closest_name(text, EventKind::ALL.into_iter().map(EventKind::selector)) {
            Some(near) => fault.with_suggestion(format!("did you mean \"{near}\"? {}", known_events())),
            None => fault.with_suggestion(known_events()),
        })
    };
    Kind::from_text("event", convert, |event| format!("{event:?}"))
}
