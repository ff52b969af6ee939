//! `[tenants.policy]`: what every change must obey, whether made by a rule or a person (design.md part 6).

use std::time::Duration;

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::changes::policy::{OnContact, UnscheduledPolicy};

/// The policy for changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The states that an agent without a current shift may not be set to. A mandatory break always forbids Ready, and
    /// only that.
    pub unscheduled_forbids: UnscheduledPolicy,
    /// What happens to a change of an agent on a contact, unless the request or the rule says otherwise.
    pub on_contact: OnContact,
    /// How long a held change waits before it expires.
    pub max_wait: Duration,
    /// How long the platform's answers about shifts and breaks are kept.
    pub answer_retention: Duration,
    /// The share of the budget for calls about shifts and breaks, in percent.
    pub read_share_percent: u32,
}

const FORBIDS: &[(&str, UnscheduledPolicy)] = &[("ready", UnscheduledPolicy::Ready), ("all", UnscheduledPolicy::All)];

const ON_CONTACT: &[(&str, OnContact)] =
    &[("now", OnContact::Now), ("after", OnContact::After), ("skip", OnContact::Skip)];

impl Policy {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            unscheduled_forbids: section.value(
                reloadable("unscheduled_forbids", "Which states are forbidden for agents who have no shift now."),
                &kind::choice(FORBIDS),
                UnscheduledPolicy::Ready,
            ),
            on_contact: section.value(
                reloadable(
                    "on_contact",
                    "What to do with a change for an agent on a contact: send it now (`now`), send it after the \
                     contact (`after`), or skip it (`skip`). A request or a rule (`then.on_contact`) may override \
                     this.",
                ),
                &kind::choice(ON_CONTACT),
                OnContact::After,
            ),
            max_wait: section.value(
                reloadable(
                    "wait_at_most",
                    "How long a held change waits before it expires, unless the request specifies a time.",
                ),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(30 * 60),
            ),
            answer_retention: section.value(
                reloadable(
                    "answers_kept",
                    "How long an answer of the platform about a shift or a break remains valid.",
                ),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(15 * 60),
            ),
            read_share_percent: section.value(
                reloadable("read_share_percent", "The share of the budget for shift and break queries, in percent."),
                &kind::integer(0..=100),
                20,
            ),
        }
    }
}
