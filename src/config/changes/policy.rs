//! `[tenants.policy]`: what every change must obey, a rule's and a person's (design.md part 6).

use std::time::Duration;

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads};
use crate::domain::changes::policy::{OnContact, UnscheduledForbids};

/// What a change must obey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What an agent without a shift now may not be set to; a mandatory break always forbids Ready, and only that.
    pub unscheduled_forbids: UnscheduledForbids,
    /// What happens to a change of an agent who is on a contact, unless the request or the rule says so.
    pub on_contact: OnContact,
    /// How long a held change waits at most before it expires.
    pub wait_at_most: Duration,
    /// How long an answer of the platform about a shift or break is kept.
    pub answers_kept: Duration,
    /// The part of the budget that such questions may take, in percent.
    pub read_share_percent: u32,
}

const FORBIDS: &[(&str, UnscheduledForbids)] =
    &[("ready", UnscheduledForbids::Ready), ("all", UnscheduledForbids::All)];

const ON_CONTACT: &[(&str, OnContact)] =
    &[("now", OnContact::Now), ("after", OnContact::After), ("skip", OnContact::Skip)];

impl Policy {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            unscheduled_forbids: section.value(
                reloads("unscheduled_forbids", "Which states are forbidden to an agent without a shift now."),
                &kind::choice(FORBIDS),
                UnscheduledForbids::Ready,
            ),
            on_contact: section.value(
                reloads(
                    "on_contact",
                    "A change of an agent on a contact, unless the request or the rule (`then.on_contact`) says: sent now, after \
                     the contact, or skipped.",
                ),
                &kind::choice(ON_CONTACT),
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
            read_share_percent: section.value(
                reloads(
                    "read_share_percent",
                    "The part of the budget that questions about shifts and breaks may take.",
                ),
                &kind::integer(0..=100),
                20,
            ),
        }
    }
}
