//! Records everything that the API answered or that others could read. It must be there for ever.

use shiftkeeper::domain::ids::{EventId, TenantId, TransitionId};
use shiftkeeper::store::{ChainTrust, PAGE_LIMIT, Reader};

/// Events that every look at a database compares one by one, from the newest back.
const COMPARED_EVENTS: usize = 1000;

/// How much had been acknowledged at a moment, as counts from the beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Extent {
    pub audit: usize,
    pub events: usize,
    pub transitions: usize,
}

/// Everything that was acknowledged, in its order.
#[derive(Default, Debug)]
pub struct Witness {
    /// Hashes of the audit entries, from number 1.
    audit: Vec<Vec<u8>>,
    /// Ids of the events, from number 1.
    events: Vec<EventId>,
    transitions: Vec<TransitionId>,
}

impl Witness {
    /// Reads on from where it stood, as a reader beside the daemon does.
    pub async fn read_new(&mut self, reader: &Reader, tenant: &TenantId) {
        loop {
            let page = reader.audit_entries(tenant, self.audit.len() as u64, PAGE_LIMIT).await.expect("readable");
            let more = page.len() == PAGE_LIMIT as usize;
            for entry in page {
                self.audit.push(entry.hash);
                assert_eq!(entry.seq, self.audit.len() as u64, "the audit chain has a hole");
            }
            if !more {
                break;
            }
        }
        loop {
            let page = reader.events(tenant, self.events.len() as u64, PAGE_LIMIT).await.expect("readable");
            let more = page.len() == PAGE_LIMIT as usize;
            for event in page {
                self.events.push(event.id);
                assert_eq!(event.number, self.events.len() as u64, "the outbox has a hole");
            }
            if !more {
                break;
            }
        }
    }

    /// The API answered that these were taken in.
    pub fn record_accepted(&mut self, transitions: impl IntoIterator<Item = TransitionId>) {
        self.transitions.extend(transitions);
    }

    /// How much is acknowledged by now.
    pub fn extent(&self) -> Extent {
        Extent { audit: self.audit.len(), events: self.events.len(), transitions: self.transitions.len() }
    }

    /// What of an extent a database does not hold any more, or holds otherwise; `None` when all is there and the chain holds.
    pub async fn loss(&self, extent: Extent, reader: &Reader, tenant: &TenantId) -> Option<String> {
        let verdict = reader.verify_chain(tenant, ChainTrust::default()).await.expect("readable");
        if let Some(bad) = verdict.first_bad {
            return Some(format!("audit entry {} does not hold: {}", bad.seq, bad.reason));
        }
        if verdict.entries < extent.audit as u64 {
            return Some(format!("{} of {} audit entries", verdict.entries, extent.audit));
        }
        if let Some(last) = extent.audit.checked_sub(1) {
            // Each entry holds the hash of the one before, so that this one speaks for all.
            let entry = reader.audit_entries(tenant, last as u64, 1).await.expect("readable").remove(0);
            if entry.hash != self.audit[last] {
                return Some(format!("audit entry {} is another one", extent.audit));
            }
        }
        if let Some(lost) = self.lost_event(extent, reader, tenant).await {
            return Some(lost);
        }
        for id in &self.transitions[..extent.transitions] {
            if reader.transition(tenant, *id).await.expect("readable").is_none() {
                return Some(format!("transition {id} of {} answered ones", extent.transitions));
            }
        }
        None
    }

    async fn lost_event(&self, extent: Extent, reader: &Reader, tenant: &TenantId) -> Option<String> {
        let kept: u64 = reader.event_counts(tenant).await.expect("readable").iter().map(|(_, count)| count).sum();
        if kept < extent.events as u64 {
            return Some(format!("{kept} of {} events", extent.events));
        }
        let mut number = extent.events.saturating_sub(COMPARED_EVENTS);
        while number < extent.events {
            let page = reader.events(tenant, number as u64, PAGE_LIMIT).await.expect("readable");
            if page.is_empty() {
                return Some(format!("the events from number {} on", number + 1));
            }
            for event in page.iter().take(extent.events - number) {
                if (event.number, event.id) != (number as u64 + 1, self.events[number]) {
                    return Some(format!("event {} is another one", number + 1));
                }
                number += 1;
            }
        }
        None
    }
}
