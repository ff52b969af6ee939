//! `[tenants.policy]`: what every change must obey, a rule's and a person's (design.md part 6).

use std::time::Duration;

use super::kind;
use super::reader::{Section, reloads};

/// What a change must obey.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Policy {
    /// What an agent without a shift now may not be set to.
    pub unscheduled_forbids: Forbids,
    /// What an agent in a mandatory break may not be set to.
    pub mandatory_break_forbids: Forbids,
    /// What happens to a change of an agent who is on a contact, unless the rule or the request says so.
    pub on_contact: OnContact,
    /// How long a held change waits at most before it expires.
    pub wait_at_most: Duration,
    /// How long an answer of the platform about a shift or break is kept.
    pub answers_kept: Duration,
    /// The share of the budget that such questions may take, 0 to 1.
    pub read_share: f64,
}

/// Which target states are forbidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbids {
    /// Ready alone.
    Ready,
    /// Every state.
    All,
}

/// What happens to a change of an agent who is on a contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnContact {
    /// It is sent now.
    Now,
    /// It waits for the end of the contact.
    After,
    /// It is refused.
    Skip,
}

const FORBIDS: &[(&str, Forbids)] = &[("ready", Forbids::Ready), ("all", Forbids::All)];

impl Policy {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            unscheduled_forbids: section.value(
                reloads("unscheduled_forbids", "Which states are forbidden to an agent without a shift now."),
                &kind::choice(FORBIDS),
                Forbids::Ready,
            ),
            mandatory_break_forbids: section.value(
                reloads("mandatory_break_forbids", "Which states are forbidden to an agent in a mandatory break."),
                &kind::choice(FORBIDS),
                Forbids::Ready,
            ),
            on_contact: section.value(
                reloads("on_contact", "A change of an agent on a contact: sent now, after the contact, or skipped."),
                &kind::choice(&[("now", OnContact::Now), ("after", OnContact::After), ("skip", OnContact::Skip)]),
                OnContact::After,
            ),
            wait_at_most: section.value(
                reloads("wait_at_most", "How long a held change waits before it expires, unless the request says."),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(30 * 60),
            ),
            answers_kept: section.value(
                reloads("answers_kept", "How long the platform's answer about a shift or break counts, at longest."),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(15 * 60),
            ),
            read_share: section.value(
                reloads("read_share", "The share of the budget that questions about shifts and breaks may take."),
                &kind::number(0.0..=1.0),
                0.2,
            ),
        }
    }
}
