//! `[[webhooks]]`: endpoints that are told what happens (design.md part 8). Targets inside private networks are refused unless
//! they are named, so that nobody can use the daemon to reach what only it can reach. What is such a target, `domain::webhooks::target` says;
//! the sender asks it again at every connect.

use std::path::PathBuf;

use reqwest::Url;

use super::shared::complaint::Fault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloads};
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::event::EventKind;
use crate::domain::webhooks::signature::{KeyError, Keyring, SigningKey};
use crate::domain::webhooks::target::Target;
use crate::domain::words::nearest;

/// The way out for a secret that is no key.
const KEY_ADVICE: &str = "make one with: echo whsec_$(openssl rand -base64 32)";

/// One endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Names it in deliveries and logs.
    pub id: String,
    /// Where deliveries go.
    pub url: Url,
    /// Signs them: `whsec_` and base64 of 24 to 64 bytes; from a file, perhaps with the key before on a second line.
    pub secret: Secret,
    /// The file that the secret is kept in, where it is one.
    pub secret_file: Option<PathBuf>,
    /// The key before and until when it signs too, where the secret itself does not say.
    pub previous: Option<(Secret, UtcMicros)>,
    /// Which events it wants; empty is all.
    pub events: Vec<String>,
    /// Whose events it gets; empty is every tenant's.
    pub tenants: Vec<TenantId>,
    /// Deliveries under way at once, for each tenant.
    pub concurrency: usize,
    /// Private targets that are meant.
    pub allow: Vec<Target>,
    /// The shape of the body.
    pub format: WebhookFormat,
}

impl Webhook {
    /// The keys that sign its deliveries. An error means that this configuration was loaded for a command, without secrets.
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
        let id = section.required(reloads("id", "Names the endpoint in deliveries and logs."), &kind::id());
        let url = section.required(reloads("url", "Where deliveries go."), &kind::url());
        let (secret_file, secret) = read_secret(section);
        let previous = read_previous(section, secret.as_ref());
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
            reloads(
                "concurrency",
                "Deliveries under way at once, for each tenant; of one agent there is never more than one.",
            ),
            &kind::integer(1..=1_000),
            64,
        );
        let allow = section.value(
            reloads("allow", "Private targets that are meant, as in `127.0.0.1:9000`."),
            &kind::list(target()),
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
        Some(Self {
            id: id?,
            url: url?,
            secret: secret?,
            secret_file,
            previous,
            events,
            tenants,
            concurrency,
            allow,
            format,
        })
    }
}

fn read_secret(section: &mut Section<'_, '_>) -> (Option<PathBuf>, Option<Secret>) {
    let file = section.secret_file("secret");
    let key = reloads(
        "secret",
        "Signs deliveries: `whsec_` and base64 of 24 to 64 bytes. A file may have the key before on its second line, as in \
         `whsec_… until 2026-11-23T10:00:00Z`.",
    );
    let secret = section.daemon_secret(key);
    if let Some(secret) = secret.as_ref().filter(|secret| !secret.expose().is_empty())
        && let Err(error) = Keyring::parse(secret.expose())
    {
        section.complain("secret", key_fault(error));
    }
    (file, secret)
}

fn read_previous(section: &mut Section<'_, '_>, secret: Option<&Secret>) -> Option<(Secret, UtcMicros)> {
    let previous = section.optional_daemon_secret(reloads(
        "previous_secret",
        "The key before, which signs beside the new one until `previous_until`; for secrets that are not kept in a file.",
    ));
    let until = section
        .optional(reloads("previous_until", "Until when `previous_secret` signs too, in real time."), &kind::instant());
    match (previous, until) {
        (Some(previous), Some(until)) => {
            if !previous.expose().is_empty()
                && let Err(error) = SigningKey::parse(previous.expose())
            {
                section.complain("previous_secret", key_fault(error));
            }
            if secret.is_some_and(|secret| secret.expose().trim_end().contains('\n')) {
                let fault = Fault::new("stands beside a secret that has its own key before");
                section.complain("previous_secret", fault.advise("keep one of the two"));
            }
            Some((previous, until))
        }
        (Some(_), None) => {
            let fault = Fault::new("needs an end").advise("set previous_until, as in \"2026-11-23T10:00:00Z\"");
            section.complain("previous_secret", fault);
            None
        }
        (None, Some(_)) => {
            section.complain("previous_until", Fault::new("needs previous_secret").advise("set both or none"));
            None
        }
        (None, None) => None,
    }
}

fn key_fault(error: KeyError) -> Fault {
    match error {
        KeyError::Prefix | KeyError::Encoding | KeyError::Length(_) => {
            Fault::new("must be whsec_ and the base64 of 24 to 64 bytes").advise(KEY_ADVICE)
        }
        KeyError::Previous | KeyError::TooMany => Fault::new(error.to_string()),
    }
}

fn check_target(section: &mut Section<'_, '_>, url: &Url, allow: &[Target], plain: bool) {
    let Some(target) = Target::of(url) else { return };
    if let Some(why) = target.refused_by_its_words(allow) {
        let fault = Fault::new(format!("leads to {why}"));
        section.complain("url", fault.advise("if it is meant, add its host:port to allow"));
    }
    if url.scheme() == "http" && !plain && !target.is_loopback() {
        let fault = Fault::new("would send events in clear");
        section.complain("url", fault.advise("use https://, or set allow_plain_http = true"));
    }
}

/// Whether a URL leads to this machine by its words alone; no name is looked up.
pub(super) fn is_loopback(url: &Url) -> bool {
    Target::of(url).is_some_and(|target| target.is_loopback())
}

fn target() -> Kind<Target> {
    let convert = |text: &str| Target::parse(text).map_err(|error| Fault::new(error.to_string()));
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
            return Err(Fault::new("must be an event such as \"agent.state_changed\"").advise(known_events()));
        }
        if EventKind::from_selector(text).is_some() {
            return Ok(text.to_owned());
        }
        let fault = Fault::new("is no event that there is");
        Err(match nearest(text, EventKind::ALL.into_iter().map(EventKind::selector)) {
            Some(near) => fault.advise(format!("did you mean \"{near}\"? {}", known_events())),
            None => fault.advise(known_events()),
        })
    };
    Kind::from_text("event", convert, |event| format!("{event:?}"))
}
