//! The one merge of what is seen of an agent: snapshots, feed messages and accepted state POSTs of ours meet here.
//!
//! A change is a new state, or the same state entered again; jitter of a timestamp, repeats and older rows are nothing
//! (guide 004's false deltas).
//!
//! A snapshot says since when, by the platform's clock, and is a sample. The feed tells every change in order and not when it
//! was: a message takes its time, so the receipt less the duration that it names is an estimate that is never too early, and
//! late by as long as the message was on its way. Where that leaves open whether a message is older than what is known, the feed's own
//! order decides; where that does not either, the message is not believed yet.

use std::sync::Arc;
use std::time::Duration;

use super::agent::{Observed, Source};
use super::state::AgentState;
use crate::domain::time::UtcMicros;

/// The same state within this time is the same change (design: the way of the data).
pub const SAME_CHANGE: Duration = Duration::from_secs(5);

/// A row of another state that is older than the picture is believed once this many snapshots in a row have shown it.
pub const CONTRADICTIONS_BELIEVED: u8 = 3;

/// What is known of one agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// What the picture holds.
    pub now: Option<&'a Observed>,
    /// What it held before that, where `now` is an estimate.
    pub before: Option<&'a Observed>,
    /// The feed has told of `now`: whatever it says next is later.
    pub told: bool,
    /// The snapshots in a row that showed an older row of another state.
    pub contradictions: u8,
    /// How late an estimate may be; at least [`SAME_CHANGE`].
    pub late_by: Duration,
    /// Our clock.
    pub at: UtcMicros,
}

/// One agent's row in a snapshot, its instants converted to our clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighted {
    /// The state shown.
    pub state: AgentState,
    /// The queue shown.
    pub queue: Option<Arc<str>>,
    /// Since when, where the platform says it.
    pub changed_at: Option<UtcMicros>,
    /// The same by the platform's own clock.
    pub platform_at: Option<UtcMicros>,
    /// When the snapshot was generated.
    pub generated_at: UtcMicros,
}

/// One agent's state by a message of the feed, on our clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fed {
    /// The state told.
    pub state: AgentState,
    /// When the message arrived.
    pub received_at: UtcMicros,
    /// The arrival less the duration that the message names.
    pub began_at: UtcMicros,
    /// How long it may have waited here before it was looked at, beyond its way.
    pub waited: Duration,
    /// Which of the tenant's connections told it. Between two of them messages may be lost.
    pub connection: u64,
}

/// What a sighting means for the picture and for history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merged {
    /// Nothing new.
    Nothing,
    /// The queue alone changed; the row of history keeps its instant.
    Queue(Observed),
    /// The instant of the row in the picture was an estimate and is replaced by the platform's own, or by a better one.
    Settled(Observed),
    /// A change.
    Changed(Observed),
    /// A stay that had ended before what is known began, and of which nothing told: it belongs into history between the two.
    Between(Observed),
    /// It may be older than what is known: not believed yet.
    Contradiction,
}

/// Merges a snapshot's row into what is known.
pub fn merge(known: Known<'_>, sighted: &Sighted) -> Merged {
    // An instant after the snapshot itself can only be a clock's error.
    let changed_at = sighted.changed_at.unwrap_or(sighted.generated_at).min(sighted.generated_at);
    let sound = sighted.changed_at.is_some_and(|at| at <= sighted.generated_at + SAME_CHANGE);
    let seen = |entered_at| Observed {
        state: sighted.state.clone(),
        reason: None,
        queue: sighted.queue.clone(),
        entered_at,
        platform_at: sighted.platform_at.filter(|_| sound),
        row_at: entered_at,
        source: Source::Snapshot,
        transition: None,
        by_person: false,
    };
    let Some(now) = known.now else { return Merged::Changed(seen(changed_at)) };
    if now.state.is_out_of_sight() {
        // What the platform says of the time out of sight is believed, what it says of the time before does not fill it.
        let again = if changed_at > now.entered_at {
            seen(changed_at)
        } else {
            Observed { platform_at: None, ..seen(sighted.generated_at) }
        };
        return Merged::Changed(again.following(Some(now)));
    }
    // An instant ahead of our clock is of one that was set back since: what is seen now is later, whatever the instants say.
    let behind = (now.entered_at > known.at)
        .then(|| Observed { entered_at: now.entered_at.min(changed_at.offset(-1)), ..now.clone() });
    let now = behind.as_ref().unwrap_or(now);
    if now.state == sighted.state {
        // Without an instant that can be, a state that is known already is no news.
        return if sound { same_state(known, now, sighted, seen(changed_at)) } else { same_stay(now, sighted) };
    }
    if is_newer(known, now, sighted, changed_at) {
        return Merged::Changed(seen(changed_at).following(Some(now)));
    }
    if lies_between(known, now, sighted, changed_at) {
        return Merged::Between(seen(changed_at).following(known.before));
    }
    // A snapshot from before the change it contradicts says nothing, however many went before it.
    if known.contradictions + 1 >= CONTRADICTIONS_BELIEVED && sighted.generated_at > now.known_from(known.at) {
        // The instant that the platform says is the one that was not believed.
        let believed = Observed { platform_at: None, ..seen(sighted.generated_at) };
        return Merged::Changed(believed.following(Some(now)));
    }
    Merged::Contradiction
}

/// Whether a row of another state is from after what is known. Of two rows the instants decide, up to their jitter. What the feed
/// told may be late: a row that seems a little older is newer when its snapshot was made after the estimate, and it is not the stay
/// before. Our own POST is not late by more than its answer took: whatever began before the acceptance and is there after it began
/// before the change, which then waits for the end of a contact that nobody had seen.
fn is_newer(known: Known<'_>, now: &Observed, sighted: &Sighted, changed_at: UtcMicros) -> bool {
    match now.source {
        Source::Snapshot => changed_at + SAME_CHANGE >= now.entered_at,
        Source::Post => changed_at > now.known_from(known.at),
        Source::Feed => {
            let close = changed_at + known.late_by >= now.entered_at && sighted.generated_at > now.entered_at;
            changed_at > now.entered_at || (close && !is_stay_before(known, sighted, changed_at))
        }
    }
}

/// Whether a row of another state surely is from between what is known, an estimate, and what that followed: the snapshot was overtaken by
/// the estimate on its way, and all that was known then is older than the row.
fn lies_between(known: Known<'_>, now: &Observed, sighted: &Sighted, changed_at: UtcMicros) -> bool {
    let Some(before) = known.before.filter(|before| before.state != sighted.state) else { return false };
    // Of two snapshots the later shows what is later; an estimate may be late, and an instant jitters.
    let follows = if before.is_estimate() {
        changed_at > before.entered_at + SAME_CHANGE
    } else {
        changed_at + SAME_CHANGE > before.entered_at
    };
    let has_instant = sighted.changed_at.is_some_and(|at| at == changed_at);
    let known_from = now.known_from(known.at);
    let precedes = changed_at + known.late_by < known_from && sighted.generated_at < known_from;
    now.is_estimate() && !before.state.is_out_of_sight() && has_instant && follows && precedes
}

/// The stay that a row showed and that was not believed beside an estimate, where `settled`, a better instant of the estimate, leaves no
/// doubt that it came between: a contact, say, that nobody had seen when a change of ours was accepted, and that the change waited for.
pub fn between_settled(known: Known<'_>, settled: &Observed, doubted: &Sighted) -> Option<Observed> {
    let (entered_at, row_at) = (settled.entered_at, settled.row_at);
    let now = Observed { entered_at, row_at, ..known.now?.clone() };
    // The platform's own instants jitter and are not late.
    let late_by = if settled.is_estimate() { known.late_by } else { SAME_CHANGE };
    match merge(Known { now: Some(&now), late_by, ..known }, doubted) {
        Merged::Between(stay) => Some(stay),
        Merged::Nothing | Merged::Queue(_) | Merged::Settled(_) | Merged::Changed(_) | Merged::Contradiction => None,
    }
}

/// Whether a row shows the stay that the estimate followed.
fn is_stay_before(known: Known<'_>, sighted: &Sighted, changed_at: UtcMicros) -> bool {
    known.before.is_some_and(|before| before.state == sighted.state && changed_at <= before.entered_at + SAME_CHANGE)
}

fn same_state(known: Known<'_>, now: &Observed, sighted: &Sighted, seen: Observed) -> Merged {
    // Right after a start the platform's clock is known badly: where its own instant is the same, so is the stay.
    let same_instant = now.platform_at.is_some() && now.platform_at == sighted.platform_at;
    let close = same_instant || seen.entered_at <= now.entered_at + SAME_CHANGE;
    let settled = |seen| {
        Merged::Settled(Observed {
            reason: now.reason.clone(),
            transition: now.transition,
            by_person: now.by_person,
            ..seen
        })
    };
    // An earlier stay in the same state says nothing of this one.
    let older = known.before.is_some_and(|before| {
        sighted.generated_at < before.entered_at || seen.entered_at + known.late_by < before.entered_at
    });
    let earlier_stay = older || is_stay_before(known, sighted, seen.entered_at);
    match now.source {
        Source::Post | Source::Feed if earlier_stay => Merged::Nothing,
        // A change that waited for the end of a contact took effect long after it was accepted.
        Source::Post => settled(seen),
        Source::Feed if close => settled(seen),
        Source::Feed | Source::Snapshot if !close => Merged::Changed(seen.following(Some(now))),
        Source::Feed | Source::Snapshot => same_stay(now, sighted),
    }
}

/// The queue may be another one.
fn same_stay(now: &Observed, sighted: &Sighted) -> Merged {
    if now.queue == sighted.queue {
        return Merged::Nothing;
    }
    Merged::Queue(Observed { queue: sighted.queue.clone(), ..now.clone() })
}

/// Merges a message of the feed into what is known.
pub fn merge_fed(known: Known<'_>, fed: &Fed) -> Merged {
    let seen = Observed {
        state: fed.state.clone(),
        reason: None,
        queue: None,
        entered_at: fed.began_at,
        platform_at: None,
        row_at: fed.began_at,
        source: Source::Feed,
        transition: None,
        by_person: false,
    };
    let Some(now) = known.now else { return Merged::Changed(seen) };
    if now.state.is_out_of_sight() {
        let entered_at = if fed.began_at > now.entered_at { fed.began_at } else { fed.received_at };
        return Merged::Changed(Observed { entered_at, ..seen }.following(Some(now)));
    }
    let late_by = known.late_by + fed.waited;
    if now.state == fed.state {
        return match now.source {
            _ if fed.began_at <= now.entered_at + late_by => Merged::Nothing,
            Source::Post => Merged::Settled(Observed {
                reason: now.reason.clone(),
                transition: now.transition,
                by_person: now.by_person,
                ..seen
            }),
            Source::Feed | Source::Snapshot => Merged::Changed(seen.following(Some(now))),
        };
    }
    if fed.began_at + late_by < now.entered_at {
        return Merged::Nothing;
    }
    // What was sent after the known change began is newer, however long it was on its way.
    if known.told || fed.received_at - late_by > now.entered_at {
        return Merged::Changed(seen.following(Some(now)));
    }
    Merged::Contradiction
}

#[cfg(test)]
mod tests;
