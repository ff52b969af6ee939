//! The figures of skills and queues as cards, on the live page and the wallboard. The module `figures.js` updates the
//! same cards from the stream.

use std::time::Duration;

use super::live_view::LiveView;
use crate::domain::live::figures::{Figures, PPM, QueueFigures, SkillFigures, TimedFigures};
use crate::domain::live::thresholds::{ServiceLevelRating, Thresholds};
use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::{DurationText, Stamp, TimeFormat};

/// The card of a skill or a queue.
pub(in crate::http::console) struct Card {
    pub(in crate::http::console) id: String,
    pub(in crate::http::console) name: String,
    /// `skill` or `queue`.
    pub(in crate::http::console) kind: &'static str,
    /// The service level in per cent, or a dash.
    pub(in crate::http::console) service_level: String,
    /// What counts towards the service level, for people.
    pub(in crate::http::console) variant: String,
    /// `good`, `warning`, `poor` or `none`; `word` is the text for it.
    pub(in crate::http::console) standing: &'static str,
    pub(in crate::http::console) word: &'static str,
    pub(in crate::http::console) waiting: String,
    pub(in crate::http::console) wait_label: &'static str,
    pub(in crate::http::console) wait: String,
    pub(in crate::http::console) available: String,
    pub(in crate::http::console) staffed: String,
    pub(in crate::http::console) taken: Stamp,
    /// Whether the figures are too old to describe the present.
    pub(in crate::http::console) old: bool,
}

impl Card {
    /// Returns a number by which cards are sorted, so that those that need action come first.
    pub(in crate::http::console) fn urgency(&self) -> usize {
        STANDING_LABELS.iter().position(|(standing, _)| *standing == self.standing).unwrap_or(STANDING_LABELS.len())
    }
}

/// The ratings with their labels; those that need action come first.
const STANDING_LABELS: [(&str, &str); 4] =
    [("poor", "act"), ("warning", "watch"), ("good", "good"), ("none", "without a figure")];

/// The settings and figures that the cards of a tenant are built from.
struct CardBuilder<'a> {
    figures: &'a Figures,
    thresholds: &'a Thresholds,
    times: &'a TimeFormat,
    now: UtcMicros,
}

/// Builds the cards of all skills, then of all queues.
pub(in crate::http::console) fn build_cards(live_view: &LiveView, times: &TimeFormat) -> Vec<Card> {
    let current = &live_view.current;
    let builder = CardBuilder { figures: &current.figures, thresholds: &current.thresholds, times, now: current.at };
    let skills = current.figures.skills.iter().map(|taken| builder.skill(taken));
    let queues = current.figures.queues.iter().map(|taken| builder.queue(taken));
    skills.chain(queues).collect()
}

/// Returns how many cards have each rating, for people; those that need action come first.
pub(in crate::http::console) fn summarize_standings(cards: &[Card]) -> String {
    let count = |standing| cards.iter().filter(|card| card.standing == standing).count();
    let parts =
        STANDING_LABELS.map(|(standing, word)| (count(standing), word)).into_iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

impl CardBuilder<'_> {
    fn skill(&self, taken: &TimedFigures<SkillFigures>) -> Card {
        let TimedFigures { at, figures } = taken;
        let wait = figures.longest_queue_duration_s.map(Duration::from_secs);
        let card = Card {
            waiting: figure_text(figures.contacts_queued),
            wait_label: "Longest wait",
            wait: wait_text(wait),
            available: figure_text(figures.agents_available),
            staffed: figure_text(figures.agents_staffed),
            variant: service_level_definition(self.thresholds.skills_answered_within),
            ..self.empty_card("skill", *at)
        };
        let level = ServiceLevel {
            ppm: figures.service_level_ppm,
            has_contacts: [figures.contacts_queued, figures.contacts_active] != [Some(0); 2],
            has_available: figures.agents_available != Some(0),
        };
        self.with_service_level(card, (figures.id.as_str(), figures.name.as_deref()), level)
    }

    fn queue(&self, taken: &TimedFigures<QueueFigures>) -> Card {
        let TimedFigures { at, figures } = taken;
        let wait = figures.average_wait_time_ms.map(Duration::from_millis);
        let card = Card {
            waiting: figure_text(figures.calls_waiting),
            wait_label: "Average wait",
            wait: wait_text(wait),
            available: figure_text(figures.agents_available),
            staffed: figure_text(figures.agents_logged_on),
            variant: service_level_definition(self.thresholds.queues_answered_within),
            ..self.empty_card("queue", *at)
        };
        let level = ServiceLevel {
            ppm: figures.service_level_ppm,
            has_contacts: [figures.calls_waiting, figures.agents_busy] != [Some(0); 2],
            has_available: figures.agents_available != Some(0),
        };
        self.with_service_level(card, (figures.id.as_str(), figures.name.as_deref()), level)
    }

    fn with_service_level(&self, card: Card, (id, name): (&str, Option<&str>), level: ServiceLevel) -> Card {
        let (service_level, standing, word) = service_level_text(level, self.thresholds);
        Card { id: id.to_owned(), name: name.unwrap_or(id).to_owned(), service_level, standing, word, ..card }
    }

    fn empty_card(&self, kind: &'static str, taken: UtcMicros) -> Card {
        Card {
            id: String::new(),
            name: String::new(),
            kind,
            service_level: String::new(),
            variant: String::new(),
            standing: "none",
            word: "",
            waiting: String::new(),
            wait_label: "",
            wait: String::new(),
            available: String::new(),
            staffed: String::new(),
            taken: self.times.time(taken),
            old: !self.figures.is_fresh(taken, self.now),
        }
    }
}

fn figure_text(value: Option<u64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "–".to_owned(), |wait| DurationText(wait).to_string())
}

/// Describes which contacts count as answered in time. The platform does not say it, but the configuration may.
fn service_level_definition(within: Option<Duration>) -> String {
    match within {
        Some(within) => format!("Service level: answered within {}", DurationText::in_largest_unit(within)),
        None => "Service level: answered in time, as the platform counts".to_owned(),
    }
}

/// A service level, if it is known.
#[derive(Clone, Copy)]
struct ServiceLevel {
    ppm: Option<u64>,
    /// Whether contacts wait or are active, or this is unknown.
    has_contacts: bool,
    /// Whether an agent could take a contact now, or this is unknown.
    has_available: bool,
}

/// Returns the service level, its rating and the word for it. The module `figures.js` writes the same.
///
/// Nothing is good where there is nothing to answer, or nobody to answer it.
fn service_level_text(level: ServiceLevel, thresholds: &Thresholds) -> (String, &'static str, &'static str) {
    let ServiceLevel { ppm, has_contacts, has_available } = level;
    let none = |word| ("–".to_owned(), "none", word);
    let Some(ppm) = ppm else {
        return none(if has_contacts { "no figure" } else { "no contacts" });
    };
    // Truncate, do not round: 79.9 % has not reached 80.
    let text = format!("{} %", ppm * 100 / PPM);
    match thresholds.service_level_rating(ppm) {
        ServiceLevelRating::Good if !has_contacts => none("no contacts"),
        ServiceLevelRating::Good if !has_available => (text, "warning", "nobody available"),
        ServiceLevelRating::Good => (text, "good", "good"),
        ServiceLevelRating::Warning => (text, "warning", "watch"),
        ServiceLevelRating::Poor => (text, "poor", "act"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_level_is_cut_and_says_what_it_counts() {
        let thresholds = Thresholds { good_percent: 90, ..Thresholds::default() };
        for (ppm, text, standing) in [
            (Some(900_000), "90 %", "good"),
            (Some(899_999), "89 %", "warning"),
            (Some(290_000), "29 %", "poor"),
            (None, "–", "none"),
        ] {
            let level = ServiceLevel { ppm, has_contacts: true, has_available: true };
            let (shown, class, _) = service_level_text(level, &thresholds);
            assert_eq!((shown.as_str(), class), (text, standing));
        }
        assert_eq!(service_level_definition(Some(Duration::from_secs(20))), "Service level: answered within 20 s");
        assert!(service_level_definition(None).ends_with("as the platform counts"));
    }

    #[test]
    fn a_service_level_is_not_good_without_contacts_or_without_anybody_available() {
        let text = |ppm, has_contacts, has_available| {
            let level = ServiceLevel { ppm, has_contacts, has_available };
            let (shown, standing, word) = service_level_text(level, &Thresholds::default());
            format!("{shown} {standing} {word}")
        };
        let all = Some(PPM);
        assert_eq!(text(all, true, true), "100 % good good");
        assert_eq!(text(all, false, true), "– none no contacts");
        assert_eq!(text(all, false, false), "– none no contacts");
        assert_eq!(text(all, true, false), "100 % warning nobody available");
        assert_eq!(text(Some(0), false, false), "0 % poor act", "a bad level of earlier contacts is not hidden");
        assert_eq!(text(None, false, true), "– none no contacts");
        assert_eq!(text(None, true, true), "– none no figure");
    }
}
