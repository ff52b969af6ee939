//! The choices of the viewer of the schedule board, as its address has them.

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::http::console::shared::page_request::PageRequest;

/// The order of agents within a team.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Start,
    Adherence,
}

impl Sort {
    pub(super) const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Name, "name", "Name"),
        (Self::Start, "start", "Start of shift"),
        (Self::Adherence, "adherence", "Lowest adherence"),
    ];

    pub(super) fn from_value(value: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|(_, key, _)| Some(*key) == value).map_or(Self::Name, |(sort, _, _)| sort)
    }
}

/// The length of the board.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
}

impl Period {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Returns the number of days.
    pub(super) const fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
        }
    }
}

/// The choices of the viewer.
#[derive(Clone)]
pub(super) struct BoardView {
    pub(super) team: String,
    /// The day, or a day of the week.
    pub(super) day: Date,
    pub(super) period: Period,
    pub(super) sort: Sort,
    pub(super) only_out: bool,
}

impl BoardView {
    /// Returns the choices of a request; without a day, it is today.
    pub(super) fn new(request: &PageRequest, team: String, today: Date) -> Self {
        Self {
            team,
            day: request.value("day").and_then(|day| day.parse().ok()).unwrap_or(today),
            period: if request.value("view") == Some("week") { Period::Week } else { Period::Day },
            sort: Sort::from_value(request.value("sort")),
            only_out: request.value("show") == Some("out"),
        }
    }

    pub(super) const fn is_week(&self) -> bool {
        matches!(self.period, Period::Week)
    }

    /// Returns the first day: the Monday of the week, or the day itself.
    pub(super) fn first_day(&self) -> Date {
        match self.period {
            Period::Day => self.day,
            Period::Week => {
                let since_monday = i64::from(self.day.weekday().to_monday_zero_offset());
                self.day.saturating_sub(since_monday.days())
            }
        }
    }

    /// Returns whether the board shows this day.
    pub(super) fn shows(&self, day: Date) -> bool {
        let first = self.first_day();
        first <= day && day < first.saturating_add(self.period.days().days())
    }

    /// Returns the days in words.
    pub(super) fn title(&self) -> String {
        let (first, last) = (self.first_day(), self.first_day().saturating_add((self.period.days() - 1).days()));
        let format = match self.period {
            Period::Day => return first.strftime("%A %-d %B %Y").to_string(),
            Period::Week if first.year() != last.year() => "%-d %B %Y",
            Period::Week if first.month() != last.month() => "%-d %B",
            Period::Week => "%-d",
        };
        format!("{} to {}", first.strftime(format), last.strftime("%-d %B %Y"))
    }

    /// Returns the query of the page with these choices; without a day for today.
    pub(super) fn query(&self, tenant: &str, day: Option<Date>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("tenant", tenant).append_pair("team", &self.team);
        if let Some(day) = day {
            query.append_pair("day", &day.to_string());
        }
        if self.is_week() {
            query.append_pair("view", "week");
        }
        if let Some((_, key, _)) = Sort::ALL.into_iter().find(|(sort, _, _)| *sort == self.sort) {
            query.append_pair("sort", key);
        }
        if self.only_out {
            query.append_pair("show", "out");
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_from_monday_to_sunday_and_links_keep_the_choices() {
        let view = |day: &str, period| BoardView {
            team: "Care".to_owned(),
            day: day.parse().expect("a day"),
            period,
            sort: Sort::Start,
            only_out: true,
        };
        for day in ["2026-10-26", "2026-10-28", "2026-11-01"] {
            let week = view(day, Period::Week);
            assert_eq!(week.title(), "26 October to 1 November 2026", "{day}");
            let shown: Vec<bool> = ["2026-10-25", "2026-10-26", "2026-11-01", "2026-11-02"]
                .map(|day| week.shows(day.parse().expect("a day")))
                .into();
            assert_eq!(shown, [false, true, true, false], "{day}");
        }
        assert_eq!(view("2026-11-08", Period::Week).title(), "2 to 8 November 2026");
        assert_eq!(view("2027-01-01", Period::Week).title(), "28 December 2026 to 3 January 2027");
        let day = view("2026-10-28", Period::Day);
        assert_eq!((day.title().as_str(), day.first_day()), ("Wednesday 28 October 2026", day.day));
        let week = view("2026-10-28", Period::Week);
        assert_eq!(week.query("acme", None), "tenant=acme&team=Care&view=week&sort=start&show=out");
        assert_eq!(day.query("acme", Some(day.day)), "tenant=acme&team=Care&day=2026-10-28&sort=start&show=out");
    }
}
