//! Properties that hold for every roster: explaining is deciding, stale observations decide nothing, open changes are
//! not repeated.

use proptest::prelude::*;

use super::*;
use crate::domain::agents::roster::BlockingTransition;
use crate::domain::analytics::anomaly::tests::record as anomaly_record;
use crate::domain::analytics::anomaly::{Anomalies, AnomalyRecord};
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::changes::priority::Priority;

const SET: &str = r#"
[[rules]]
id = "mandatory"
mode = "enforce"
priority = "mandatory_break"
when = { mandatory = true, break = "due" }
unless = { on_contact = true }
then = { set_state = "NotReady" }
[[rules]]
id = "back"
mode = "enforce"
when = { planned = "work", state = ["Paused", "NotReady"], for = "2m", after = ["break", "lunch", "off"] }
then = { set_state = "Ready" }
cooldown = "1m"
limit = { per_minute = 3, share_of_team = 0.4 }
[[rules]]
id = "project"
mode = "watch"
when = { planned = ["project", "off", "uncovered"], on_contact = false }
then = { set_state = "Idle" }
[[rules]]
id = "out"
mode = "approve"
when = { verdict = ["out", "unscheduled"], verdict_for = "3m" }
unless = { team = "Red" }
then = { set_state = "Paused" }
[[rules]]
id = "long"
mode = "enforce"
when = { worked = "30m", local_time = { from = "11:00", to = "20:00" } }
then = { tell = "x" }
[[rules]]
id = "odd"
mode = "enforce"
when = { state = "NotReady", anomaly = { series = "voice", within = "1h" } }
then = { ask = "y" }
[[rules]]
id = "end"
mode = "enforce"
priority = "housekeeping"
when = { shift = { ended_for = "1m" }, state = "Ready" }
then = { log_out = true }
"#;

#[derive(Clone, Debug)]
struct RandomAgent {
    state: Option<usize>,
    entered_s: i64,
    seen_s: i64,
    in_red_team: bool,
    busy: Option<usize>,
    reversed: bool,
    changes: usize,
}

fn random_agent() -> impl Strategy<Value = RandomAgent> {
    (
        prop::option::of(0..8usize),
        0..1800i64,
        0..45i64,
        any::<bool>(),
        prop::option::weighted(0.2, 0..4usize),
        0..20u8,
        0..6usize,
    )
        .prop_map(|(state, entered_s, seen_s, team, busy, luck, changes)| RandomAgent {
            state,
            entered_s,
            seen_s,
            in_red_team: team,
            busy,
            reversed: luck == 0,
            changes: if luck > 15 { changes } else { 0 },
        })
}

fn build_roster(agents: &[RandomAgent], now: UtcMicros) -> Roster {
    let mut roster = Roster::new(TenantId::new("acme"));
    for (n, draw) in agents.iter().enumerate() {
        let index = add(&mut roster, &format!("a{n}"), if draw.in_red_team { "Red" } else { "Blue" });
        let Some(state) = draw.state else { continue };
        let state = AgentState::KNOWN.get(state).cloned().unwrap_or(AgentState::Unknown("coffee".into()));
        let mut observed = observed_state(&state, "00:00");
        observed.entered_at = now.offset(-draw.entered_s * 1_000_000);
        roster.record_observation(index, observed, now.offset(-draw.seen_s * 1_000_000));
        roster.set_blocking_transition(
            index,
            draw.busy
                .map(|class| BlockingTransition { priority: Priority::ALL[class], blocks_same_priority: class != 0 }),
        );
        if draw.reversed {
            roster.pause_automation(index, now.offset(60_000_000));
        }
        for _ in 0..draw.changes {
            roster.record_rule_action(index, &"back".into(), 0, true, now.offset(-50_000_000));
        }
    }
    // Odd until a part of the day, so that some passes see it.
    let found = at("00:00").offset(4 * 3_600_000_000);
    let record = AnomalyRecord {
        detected_at: found,
        last_observed_at: found,
        ended_at: Some(at("09:00")),
        ..anomaly_record("voice", AnomalyKind::Drop, 1, 1, None)
    };
    roster.set_anomalies(Arc::new(Anomalies { monitored: vec!["voice".into()], recent: vec![record] }));
    roster
}

proptest! {
    #[test]
    fn the_explanation_of_an_agent_is_what_the_pass_decided(
        agents in prop::collection::vec(random_agent(), 1..12),
        minute in 0..1500i64,
    ) {
        let now = at("00:00").offset(minute * 60_000_000);
        let (roster, rules, settings) = (build_roster(&agents, now), rules(SET), DecideSettings::default());
        let decisions = decide(&roster, &rules, &settings, now);
        for (index, slot) in roster.iter() {
            let (explanation, same_pass) =
                super::super::explain::explain_with_decisions(&roster, slot.id().as_str(), &rules, &settings, now)
                    .expect("in the roster");
            prop_assert_eq!(&same_pass, &decisions, "looking on changes nothing");
            prop_assert_eq!(explanation.rules.len(), rules.rules().len());
            let decided: Vec<_> = explanation.rules.iter().filter(|rule| rule.outcome == RuleOutcome::Decided).collect();
            let intents: Vec<_> = decisions.intents.iter().filter(|intent| intent.index == index).collect();
            prop_assert_eq!(decided.len(), intents.len());
            for (rule, intent) in decided.iter().zip(&intents) {
                prop_assert_eq!((&rule.rule, &rule.wish, &rule.facts), (&intent.rule, &intent.action, &intent.facts));
            }
            let held = explanation.rules.iter().filter_map(|rule| match &rule.outcome {
                RuleOutcome::Held { guard, .. } if guard.is_listed() => Some((&rule.rule, *guard)),
                RuleOutcome::Held { .. } | RuleOutcome::NoMatch | RuleOutcome::Taken { .. } | RuleOutcome::Decided => None,
            });
            let listed = decisions.held.iter().filter(|held| held.index == index).map(|held| (&held.rule, held.guard));
            prop_assert!(held.eq(listed), "{}", explanation);
        }
    }

    #[test]
    fn stale_observations_and_unknown_states_lead_to_no_action(
        agents in prop::collection::vec(random_agent(), 1..12),
        minute in 0..1500i64,
    ) {
        let now = at("00:00").offset(minute * 60_000_000);
        let (roster, settings) = (build_roster(&agents, now), DecideSettings::default());
        for intent in decide(&roster, &rules(SET), &settings, now).intents {
            let slot = roster.get(intent.index).expect("there");
            prop_assert!(now.since(slot.last_observed_at().expect("seen")) <= settings.stale_after);
            prop_assert!(!matches!(slot.observed().expect("seen").state, AgentState::Unknown(_)));
        }
    }

    #[test]
    fn what_was_taken_up_is_not_decided_again_while_it_is_open(
        agents in prop::collection::vec(random_agent(), 1..12),
        minute in 0..1500i64,
    ) {
        let now = at("00:00").offset(minute * 60_000_000);
        let (mut roster, rules, settings) = (build_roster(&agents, now), rules(SET), DecideSettings::default());
        let first = decide(&roster, &rules, &settings, now).intents;
        let changes = |intents: &[Intent]| {
            intents.iter().filter(|i| i.mode == Mode::Enforce && i.action.changes_state()).map(|i| i.index).collect::<Vec<_>>()
        };
        let mut once = changes(&first);
        once.dedup();
        prop_assert_eq!(&once, &changes(&first), "at most one change of an agent");
        for intent in &first {
            record_intent(&mut roster, intent, now);
            if intent.mode == Mode::Enforce && intent.action.changes_state() {
                roster.set_blocking_transition(intent.index, Some(BlockingTransition { priority: intent.priority, blocks_same_priority: true }));
            }
        }
        for again in decide(&roster, &rules, &settings, now.offset(1_000_000)).intents {
            prop_assert!(!first.iter().any(|i| (i.index, &i.rule) == (again.index, &again.rule)), "{}", again);
        }
    }
}
