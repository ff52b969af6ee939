//! Which parts are ready, and since when.
//!
//! There are two kinds of parts. The daemon's own (its tasks, the store) decide whether it is ready. External ones
//! (such as a platform that does not answer) make it degraded: it keeps serving and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::SharedClock;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The most parts kept. More can only be a defect, and are ignored.
const MAX_PARTS: usize = 10_000;

/// A part of the daemon, or something that it depends on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// The name of the part, such as `store`, `tenant acme: picture` or `task tenant acme: keeper`.
    pub name: String,
    /// Whether the part is ready.
    pub ready: bool,
    /// Whether the daemon as a whole is not ready without the part.
    pub own: bool,
    /// Whether the part stays as it is until a person acts.
    pub needs_person: bool,
    /// Since when the part has been ready or not ready.
    pub since: UtcMicros,
    /// Why the part is not ready and what to do; empty if it is ready.
    pub detail: String,
}

impl Part {
    /// Returns whether the part's name says that it belongs to this tenant.
    pub fn is_of(&self, tenant: &TenantId) -> bool {
        let name = self.name.strip_prefix("task ").unwrap_or(&self.name);
        let rest = name.strip_prefix("tenant ").and_then(|rest| rest.strip_prefix(tenant.as_str()));
        let last = self.name.strip_suffix(tenant.as_str());
        rest.is_some_and(|rest| rest.starts_with(':')) || last.is_some_and(|front| front.ends_with(' '))
    }
}

/// The present state of a part.
#[derive(Default)]
struct PartState {
    ready: bool,
    own: bool,
    needs_person: bool,
    detail: String,
}

/// The readiness of the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct Report {
    /// Whether all parts that the daemon needs are ready.
    pub ready: bool,
    /// The status: `ready`, `degraded` or `not_ready`.
    pub status: &'static str,
    /// The parts by name. Parts that are not ready come first.
    pub parts: Vec<Part>,
}

/// The registry in which parts report their state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    clock: SharedClock,
    parts: Arc<Mutex<BTreeMap<String, Part>>>,
}

impl Readiness {
    /// Creates an empty registry.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, parts: Arc::default() }
    }

    /// Returns the current time of the daemon's clock.
    pub fn now(&self) -> UtcMicros {
        self.clock.now()
    }

    /// Reports that one of the daemon's own parts is ready.
    pub fn ready(&self, name: &str) {
        self.set(name, PartState { ready: true, own: true, ..PartState::default() });
    }

    /// Reports that one of the daemon's own parts is not ready.
    pub fn not_ready(&self, name: &str, detail: impl Into<String>) {
        self.set(name, PartState { own: true, detail: detail.into(), ..PartState::default() });
    }

    /// Reports that an external part is working.
    pub fn restored(&self, name: &str) {
        self.set(name, PartState { ready: true, ..PartState::default() });
    }

    /// Reports that an external part is not working.
    pub fn degraded(&self, name: &str, detail: impl Into<String>) {
        self.set(name, PartState { detail: detail.into(), ..PartState::default() });
    }

    /// Reports that an external part stays out of use until a person acts.
    pub fn needs_attention(&self, name: &str, detail: impl Into<String>) {
        self.set(name, PartState { needs_person: true, detail: detail.into(), ..PartState::default() });
    }

    /// Removes every part whose name starts with the prefix, and the tasks with such names.
    pub fn remove_all(&self, prefix: &str) {
        self.parts().retain(|name, _| !name.strip_prefix("task ").unwrap_or(name).starts_with(prefix));
    }

    /// Removes these parts.
    pub fn remove(&self, names: &[String]) {
        let mut parts = self.parts();
        for name in names {
            parts.remove(name);
        }
    }

    fn set(&self, name: &str, state: PartState) {
        let PartState { ready, own, needs_person, detail } = state;
        let now = self.clock.now();
        let mut parts = self.parts();
        let since = parts.get(name).filter(|part| part.ready == ready).map_or(now, |part| part.since);
        if parts.contains_key(name) || parts.len() < MAX_PARTS {
            parts.insert(name.to_owned(), Part { name: name.to_owned(), ready, own, needs_person, since, detail });
        }
    }

    /// Returns all parts as they are now.
    pub fn report(&self) -> Report {
        let mut parts: Vec<Part> = self.parts().values().cloned().collect();
        parts.sort_by_key(|part| (part.ready, !part.own));
        let ready = parts.iter().all(|part| part.ready || !part.own);
        let status = match (ready, parts.iter().all(|part| part.ready)) {
            (true, true) => "ready",
            (true, false) => "degraded",
            (false, _) => "not_ready",
        };
        Report { ready, status, parts }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    #[test]
    fn a_part_is_of_the_tenant_that_its_name_names() {
        let is_of = |name: &str, tenant: &str| {
            let (name, since) = (name.to_owned(), UtcMicros::EPOCH);
            let part = Part { name, ready: true, own: true, needs_person: false, since, detail: String::new() };
            part.is_of(&TenantId::from(tenant))
        };
        for name in ["tenant acme: picture", "task tenant acme: keeper", "webhook wfm of acme", "job import of acme"] {
            assert!(is_of(name, "acme") && !is_of(name, "globex") && !is_of(name, "me"), "{name}");
        }
        assert!(!is_of("store", "acme") && !is_of("tenant acme2: picture", "acme"));
    }

    #[test]
    fn a_report_says_what_is_not_ready_and_since_when() {
        let clock = ManualClock::at(UtcMicros::EPOCH);
        let readiness = Readiness::new(Arc::new(clock.clone()));
        readiness.ready("store");
        readiness.degraded("tenant acme: sight", "no snapshot yet");
        clock.advance(Duration::from_secs(60));
        readiness.degraded("tenant acme: sight", "connection refused");
        let report = readiness.report();
        assert_eq!((report.ready, report.status), (true, "degraded"));
        assert_eq!(report.parts[0].detail, "connection refused");
        assert_eq!(report.parts[0].since, UtcMicros::EPOCH, "a new detail does not restart the time");

        readiness.not_ready("store", "disk full");
        let report = readiness.report();
        assert_eq!((report.ready, report.status), (false, "not_ready"));
        assert_eq!((report.parts[0].name.as_str(), report.parts[0].since), ("store", clock.now()));

        readiness.ready("store");
        readiness.restored("tenant acme: sight");
        assert_eq!(readiness.report().status, "ready");
        readiness.needs_attention("webhook wfm of acme", "disabled");
        let report = readiness.report();
        assert!(report.ready && report.parts[0].needs_person, "{report:?}");
    }
}
