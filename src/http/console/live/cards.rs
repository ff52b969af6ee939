//! The figures of skills and queues as cards, on the Live page and on the wallboard. The module `figures.js` fills the same cards
//! from the stream.

use std::time::Duration;

use super::picture::Picture;
use crate::domain::live::figures::{Figures, PPM, QueueFigures, SkillFigures, Taken};
use crate::domain::live::thresholds::{Standing, Thresholds};
use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::{Span, Stamp, Times};

/// The figures of a skill or a queue.
pub(in crate::http::console) struct Card {
    pub(in crate::http::console) id: String,
    pub(in crate::http::console) name: String,
    /// `skill` or `queue`.
    pub(in crate::http::console) kind: &'static str,
    /// As a share of a hundred, or a dash.
    pub(in crate::http::console) service_level: String,
    /// What the platform counts as its service level, in words.
    pub(in crate::http::console) variant: String,
    /// `good`, `warning`, `poor` or `none`, with the word.
    pub(in crate::http::console) standing: &'static str,
    pub(in crate::http::console) word: &'static str,
    pub(in crate::http::console) waiting: String,
    pub(in crate::http::console) wait_label: &'static str,
    pub(in crate::http::console) wait: String,
    pub(in crate::http::console) available: String,
    pub(in crate::http::console) staffed: String,
    pub(in crate::http::console) taken: Stamp,
    /// Too old to tell anything of now.
    pub(in crate::http::console) old: bool,
}

/// What cards of a tenant are made with.
struct Maker<'a> {
    figures: &'a Figures,
    thresholds: &'a Thresholds,
    times: &'a Times,
    now: UtcMicros,
}

/// The figures of all skills, then of all queues.
pub(in crate::http::console) fn cards(picture: &Picture, times: &Times) -> Vec<Card> {
    let newest = &picture.newest;
    let maker = Maker { figures: &newest.figures, thresholds: &newest.thresholds, times, now: newest.at };
    let skills = newest.figures.skills.iter().map(|taken| maker.skill(taken));
    let queues = newest.figures.queues.iter().map(|taken| maker.queue(taken));
    skills.chain(queues).collect()
}

/// How many cards stand how, in words: what is to be done something about comes first.
pub(in crate::http::console) fn standings(cards: &[Card]) -> String {
    let words = [("poor", "act"), ("warning", "watch"), ("good", "good"), ("none", "without a figure")];
    let count = |standing| cards.iter().filter(|card| card.standing == standing).count();
    let parts = words.map(|(standing, word)| (count(standing), word)).into_iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

impl Maker<'_> {
    fn skill(&self, taken: &Taken<SkillFigures>) -> Card {
        let Taken { at, figures } = taken;
        let wait = figures.longest_queue_duration_s.map(Duration::from_secs);
        let card = Card {
            waiting: figure(figures.contacts_queued),
            wait_label: "Longest wait",
            wait: span(wait),
            available: figure(figures.agents_available),
            staffed: figure(figures.agents_staffed),
            variant: variant(self.thresholds.skills_answered_within),
            ..self.blank("skill", *at)
        };
        let level = Level { ppm: figures.service_level_ppm, idle: figures.is_idle() };
        self.named(card, (figures.id.as_str(), figures.name.as_deref()), level)
    }

    fn queue(&self, taken: &Taken<QueueFigures>) -> Card {
        let Taken { at, figures } = taken;
        let wait = figures.average_wait_time_ms.map(Duration::from_millis);
        let card = Card {
            waiting: figure(figures.calls_waiting),
            wait_label: "Average wait",
            wait: span(wait),
            available: figure(figures.agents_available),
            staffed: figure(figures.agents_logged_on),
            variant: variant(self.thresholds.queues_answered_within),
            ..self.blank("queue", *at)
        };
        let level = Level { ppm: figures.service_level_ppm, idle: figures.is_idle() };
        self.named(card, (figures.id.as_str(), figures.name.as_deref()), level)
    }

    fn named(&self, card: Card, (id, name): (&str, Option<&str>), level: Level) -> Card {
        let (service_level, standing, word) = share(level, self.thresholds);
        Card { id: id.to_owned(), name: name.unwrap_or(id).to_owned(), service_level, standing, word, ..card }
    }

    fn blank(&self, kind: &'static str, taken: UtcMicros) -> Card {
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
            old: !self.figures.fresh(taken, self.now),
        }
    }
}

fn figure(value: Option<u64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn span(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "–".to_owned(), |wait| Span(wait).to_string())
}

/// What is counted as in time: the platform does not say it, whoever configures may.
fn variant(within: Option<Duration>) -> String {
    match within {
        Some(within) => format!("Service level: answered within {}", Span::in_words(within)),
        None => "Service level: answered in time, as the platform counts".to_owned(),
    }
}

/// A service level as it is known.
#[derive(Clone, Copy)]
struct Level {
    ppm: Option<u64>,
    /// Nothing goes on: there are no contacts to be a share of.
    idle: bool,
}

fn share(level: Level, thresholds: &Thresholds) -> (String, &'static str, &'static str) {
    let Some(level) = level.ppm else {
        return ("–".to_owned(), "none", if level.idle { "no contacts offered" } else { "no figure" });
    };
    let standing = thresholds.standing(level);
    let word = match standing {
        Standing::Good => "good",
        Standing::Warning => "watch",
        Standing::Poor => "act",
    };
    // Cut, not rounded: 79.9 % is not yet 80.
    (format!("{} %", level * 100 / PPM), standing.name(), word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_level_is_cut_and_says_what_it_counts() {
        let thresholds = Thresholds { good_percent: 90, ..Thresholds::default() };
        for (level, text, standing) in [
            (Some(900_000), "90 %", "good"),
            (Some(899_999), "89 %", "warning"),
            (Some(290_000), "29 %", "poor"),
            (None, "–", "none"),
        ] {
            let (shown, class, _) = share(Level { ppm: level, idle: false }, &thresholds);
            assert_eq!((shown.as_str(), class), (text, standing));
        }
        let why = |idle| share(Level { ppm: None, idle }, &thresholds).2;
        assert_eq!((why(true), why(false)), ("no contacts offered", "no figure"));
        assert_eq!(variant(Some(Duration::from_secs(20))), "Service level: answered within 20 s");
        assert!(variant(None).ends_with("as the platform counts"));
    }
}
