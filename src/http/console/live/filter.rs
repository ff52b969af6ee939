//! The filter of the live page, as the address contains it.

use url::form_urlencoded::Serializer;

use super::rows::{AgentRow, RowSort};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::http::console::shared::wording;

/// The maximum number of values per key; further ones are ignored.
const MAX_VALUES: usize = 50;

/// The filter and the order of the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct LiveFilter {
    pub(in crate::http::console) search: String,
    pub(in crate::http::console) states: Vec<String>,
    pub(in crate::http::console) verdicts: Vec<String>,
    pub(in crate::http::console) teams: Vec<String>,
    pub(in crate::http::console) queues: Vec<String>,
    pub(in crate::http::console) sort: RowSort,
    pub(in crate::http::console) reversed: bool,
    /// The parts that are expanded; they are collapsed on a narrow screen by default.
    pub(in crate::http::console) open: Vec<String>,
}

impl LiveFilter {
    /// Reads the filter from the pairs of a query.
    pub(in crate::http::console) fn from_query(query: &[(String, String)]) -> Self {
        let all = |wanted: &str| -> Vec<String> {
            // An empty name is a state too: that of agents whom the platform has not shown yet.
            let has_name = |value: &String| !value.is_empty() || wanted == "state";
            let values = query.iter().filter(|(key, value)| key == wanted && has_name(value));
            values.map(|(_, value)| value.clone()).take(MAX_VALUES).collect()
        };
        let one = |wanted: &str| query.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value.as_str());
        let sort = one("sort");
        Self {
            search: one("q").trim().to_owned(),
            states: all("state"),
            verdicts: all("verdict"),
            teams: all("team"),
            queues: all("queue"),
            sort: RowSort::from_name(sort.trim_start_matches('-')),
            reversed: sort.starts_with('-'),
            open: all("open"),
        }
    }

    /// Whether a row matches.
    pub(in crate::http::console) fn matches(&self, row: &AgentRow) -> bool {
        let any = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == value);
        let search = self.search.to_lowercase();
        let found = || [&row.name, &row.id, &row.team].iter().any(|text| text.to_lowercase().contains(&search));
        any(&self.states, &row.state.key)
            && any(&self.verdicts, &row.verdict.key)
            && any(&self.teams, &row.team)
            && any(&self.queues, &row.queue)
            && (search.is_empty() || found())
    }

    /// Returns the filter without its verdicts, to count the verdicts of the remaining agents.
    pub(in crate::http::console) fn without_verdicts(&self) -> Self {
        Self { verdicts: Vec::new(), ..self.clone() }
    }

    /// Returns the filter without its states, to count the states of the remaining agents.
    pub(in crate::http::console) fn without_states(&self) -> Self {
        Self { states: Vec::new(), ..self.clone() }
    }

    /// Returns a description for the page's heading and title; empty if the filter selects everything. The module
    /// `live.js` writes the same.
    pub(in crate::http::console) fn description(&self) -> String {
        let verdict = |name: &String| {
            Verdict::from_name(name).map_or_else(|| name.clone(), |verdict| wording::verdict(verdict).label)
        };
        let state = |name: &String| {
            let known = AgentState::KNOWN.into_iter().find(|state| state.name() == name);
            if name.is_empty() {
                wording::no_state().label
            } else {
                wording::state_label(&known.unwrap_or_else(|| AgentState::Unknown(name.as_str().into())))
            }
        };
        let search = (!self.search.is_empty()).then(|| format!("“{}”", self.search));
        let teams = self.teams.iter().chain(&self.queues).cloned();
        let parts = teams.chain(self.verdicts.iter().map(verdict)).chain(self.states.iter().map(state)).chain(search);
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Whether a collapsible part is expanded.
    pub(in crate::http::console) fn shows(&self, fold: &str) -> bool {
        self.open.iter().any(|open| open == fold)
    }

    /// Whether the filter selects everything.
    pub(in crate::http::console) fn is_empty(&self) -> bool {
        self.search.is_empty()
            && self.states.is_empty()
            && self.verdicts.is_empty()
            && self.teams.is_empty()
            && self.queues.is_empty()
    }

    /// Returns the address of the page with this filter.
    pub(in crate::http::console) fn address(&self, tenant: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("tenant", tenant);
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        let lists =
            [("state", &self.states), ("verdict", &self.verdicts), ("team", &self.teams), ("queue", &self.queues)];
        for (key, values) in lists {
            for value in values {
                query.append_pair(key, value);
            }
        }
        if self.sort != RowSort::Worst || self.reversed {
            let minus = if self.reversed { "-" } else { "" };
            query.append_pair("sort", &format!("{minus}{}", self.sort.name()));
        }
        for fold in &self.open {
            query.append_pair("open", fold);
        }
        format!("/?{}", query.finish())
    }

    /// Returns the address with a state added, or removed if the filter has it.
    pub(in crate::http::console) fn with_state(&self, state: &str, tenant: &str) -> String {
        Self { states: toggled(&self.states, state), ..self.clone() }.address(tenant)
    }

    /// Returns the address with a verdict added, or removed if the filter has it.
    pub(in crate::http::console) fn with_verdict(&self, verdict: &str, tenant: &str) -> String {
        Self { verdicts: toggled(&self.verdicts, verdict), ..self.clone() }.address(tenant)
    }

    /// Returns the address with another order; choosing the current order again reverses it.
    pub(in crate::http::console) fn with_sort(&self, sort: RowSort, tenant: &str) -> String {
        let reversed = self.sort == sort && !self.reversed;
        Self { sort, reversed, ..self.clone() }.address(tenant)
    }
}

fn toggled(values: &[String], value: &str) -> Vec<String> {
    let mut values = values.to_vec();
    match values.iter().position(|known| known == value) {
        Some(index) => {
            values.remove(index);
        }
        None => values.push(value.to_owned()),
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> LiveFilter {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        LiveFilter::from_query(&pairs)
    }

    #[test]
    fn a_filter_stays_in_the_address() {
        let query =
            "tenant=acme&q=ann+%26&state=Ready&state=Paused&verdict=out&team=A%2FB&queue=Voice&sort=-time&open=filter";
        let read = filter(query);
        assert_eq!(read.address("acme"), format!("/?{query}"));
        assert_eq!(filter(&read.address("acme")[2..]), read);
        assert_eq!(filter("").address("a b"), "/?tenant=a+b");
    }

    #[test]
    fn a_chip_adds_its_word_and_takes_it_away_again() {
        let read = filter("state=Ready");
        assert_eq!(read.with_state("Paused", "t"), "/?tenant=t&state=Ready&state=Paused");
        assert_eq!(read.with_state("Ready", "t"), "/?tenant=t");
        assert_eq!(read.with_sort(RowSort::Time, "t"), "/?tenant=t&state=Ready&sort=time");
        assert_eq!(filter("sort=time").with_sort(RowSort::Time, "t"), "/?tenant=t&sort=-time");
    }

    #[test]
    fn a_filter_says_what_it_narrows_to() {
        for (query, expected) in [
            ("sort=name", ""),
            ("team=Billing&state=LoggedOut", "Billing, Logged out"),
            ("state=&team=&queue=", "Not observed yet"),
            ("q=ann&verdict=out&verdict=odd&queue=Voice&state=Coffee", "Voice, Out of adherence, odd, Coffee, “ann”"),
        ] {
            assert_eq!(filter(query).description(), expected, "{query}");
        }
    }

    #[test]
    fn a_row_passes_where_each_key_has_a_word_for_it() {
        let row =
            AgentRow { name: "Ann Smith".into(), id: "u_1".into(), team: "Billing".into(), ..AgentRow::template() };
        for (query, passes) in [
            ("", true),
            ("q=smith", true),
            ("q=U_1", true),
            ("q=billing", true),
            ("q=zoe", false),
            ("team=Billing&team=Care", true),
            ("team=Care", false),
            ("state=Ready", false),
            ("state=", true),
            ("verdict=unknown", true),
            ("queue=Voice", false),
        ] {
            assert_eq!(filter(query).matches(&row), passes, "{query}");
        }
    }
}
