//! Every mistake in a rule is named, all in one run.

use super::*;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::{Class, Mode, parse};

const GOOD: &str = r#"
[[rules]]
id = "good"
when = { planned = "work", state = "Paused", for = "2m" }
then = { set_state = "Ready" }
"#;

/// All complaints on a file, `field: reason` each.
fn diagnostics(text: &str) -> Vec<String> {
    let (rules, mut diagnostics) = parse::parse_rules(text).expect("TOML");
    diagnostics.extend(check(&rules, Capabilities::guide()));
    diagnostics.into_iter().map(|complaint| format!("{}: {}", complaint.field, complaint.reason)).collect()
}

fn rule(body: &str) -> String {
    format!("[[rules]]\nid = \"r\"\n{body}")
}

#[test]
fn a_good_rule_has_careful_defaults() {
    assert_eq!(diagnostics(GOOD), [""; 0]);
    let (rules, _) = parse::parse_rules(GOOD).expect("TOML");
    let set = RuleSet::compile(&rules, Capabilities::guide()).expect("good");
    let [rule] = set.rules() else { panic!("one rule") };
    assert_eq!((rule.mode, rule.class, rule.cooldown), (Mode::Watch, Class::Schedule, DEFAULT_COOLDOWN));
    let RuleAction::SetState { reason, on_contact, .. } = &rule.action else { panic!("a state") };
    assert_eq!((reason.as_str(), *on_contact), ("WORKING", OnContact::After));
}

const THEN: &str = "then = { set_state = \"Ready\" }";
const WHEN: &str = "when = { state = \"Paused\" }";

/// Each body has one mistake, which is named with its place and the way out.
fn assert_one_mistake_each<const N: usize>(mistakes: [(String, &str, &str); N]) {
    for (body, field, reason) in mistakes {
        let found = diagnostics(&rule(&body));
        let [only] = found.as_slice() else { panic!("{body}: {found:#?}") };
        assert!(only.starts_with(&format!("{field}: ")) && only.contains(reason), "{body}: {only}");
    }
}

#[test]
fn conditions_that_cannot_be_read_are_named_with_the_way_out() {
    let then = THEN;
    assert_one_mistake_each([
        (format!("when = {{ state = \"Pausd\" }}\n{then}"), "when.state", "did you mean `Paused`"),
        (format!("when = {{ planned = \"brake\" }}\n{then}"), "when.planned", "did you mean `break`"),
        (
            format!("when = {{ planed = \"work\", state = \"Paused\" }}\n{then}"),
            "when.planed",
            "did you mean `planned`",
        ),
        (format!("when = {{ state = [] }}\n{then}"), "when.state", "empty"),
        (format!("when = {{ shift = {{ ended_for = \"73h\" }} }}\n{then}"), "when.shift.ended_for", "72h at most"),
        (
            format!("when = {{ shift = {{ ended_within = \"96h\" }} }}\n{then}"),
            "when.shift.ended_within",
            "72h at most",
        ),
        (
            format!("when = {{ shift = {{ starts_within = \"97h\" }} }}\n{then}"),
            "when.shift.starts_within",
            "96h at most",
        ),
        (format!("when = {{ planned = \"off\", planned_for = \"73h\" }}\n{then}"), "when.planned_for", "72h at most"),
        (format!("when = {{ planned = \"off\", planned_left = \"97h\" }}\n{then}"), "when.planned_left", "96h at most"),
        (
            format!("when = {{ verdict = \"unscheduled\", verdict_for = \"73h\" }}\n{then}"),
            "when.verdict_for",
            "72h at most",
        ),
        (format!("when = {{}}\n{then}"), "when", "every agent"),
        (format!("when = {{ state = \"Paused\", for = \"2\" }}\n{then}"), "when.for", "write it as"),
        (format!("when = {{ state = \"Paused\", for = \"0s\" }}\n{then}"), "when.for", "zero"),
        (format!("when = {{ state = \"Paused\", for = \"200h\" }}\n{then}"), "when.for", "a week"),
        (format!("when = {{ break = \"over!\" }}\n{then}"), "when.break", "did you mean `over`"),
        (format!("when = {{ verdict = \"outt\" }}\n{then}"), "when.verdict", "did you mean `out`"),
        (format!("when = {{ verdict_for = \"2m\" }}\n{then}"), "when.verdict_for", "name the `verdict`"),
        (format!("when = {{ weekdays = \"mond\" }}\n{then}"), "when.weekdays", "mon to sun"),
        (
            format!("when = {{ local_time = {{ from = \"25:00\", to = \"09:00\" }} }}\n{then}"),
            "when.local_time.from",
            "08:30",
        ),
        (
            format!("when = {{ local_time = {{ from = \"08:00\", to = \"08:00\" }} }}\n{then}"),
            "when.local_time",
            "same",
        ),
        (format!("when = {{ shift = {{}} }}\n{then}"), "when.shift", "no time of the shift is given"),
        (
            format!("when = {{ shift = {{ ended = \"2m\", started_for = \"2m\" }} }}\n{then}"),
            "when.shift.ended",
            "did you mean `ended_for`",
        ),
        (format!("when = {{ skill = [] }}\n{then}"), "when.skill", "empty"),
    ]);
}

/// What is asked of figures, the field that is wrong, and what is said of it.
const WRONG_FIGURES: &[(&str, &str, &str)] = &[
    ("skill_figures = { id = 1 }", "when.skill_figures", "names no figure; name one of contacts_queued"),
    ("skill_figures = { id = ' ', contacts_queued = { at_least = 5 } }", "when.skill_figures.id", "empty"),
    (
        "skill_figures = { id = 1, contact_queued = { at_least = 5 } }",
        "when.skill_figures.contact_queued",
        "did you mean `contacts_queued`",
    ),
    (
        "queue_figures = { id = 'q', contacts_queued = { below = 5 } }",
        "when.queue_figures.contacts_queued",
        "not known",
    ),
    ("queue_figures = { id = 'q', calls_waiting = {} }", "when.queue_figures.calls_waiting", "at_least or below"),
    (
        "queue_figures = { id = 'q', calls_waiting = { at_least = 2.5 } }",
        "when.queue_figures.calls_waiting.at_least",
        "whole number",
    ),
    (
        "queue_figures = { id = 'q', calls_waiting = { below = -1 } }",
        "when.queue_figures.calls_waiting.below",
        "negative",
    ),
    (
        "queue_figures = { id = 'q', calls_waiting = { at_least = 0 } }",
        "when.queue_figures.calls_waiting.at_least",
        "zero has no effect",
    ),
    (
        "queue_figures = { id = 'q', calls_waiting = { at_least = 5, below = 5 } }",
        "when.queue_figures.calls_waiting",
        "no value is",
    ),
    (
        "queue_figures = { id = 'q', average_wait_time = { at_least = 5 } }",
        "when.queue_figures.average_wait_time.at_least",
        "as in \"2m\"",
    ),
    (
        "skill_figures = { id = 1, longest_queue_duration = { at_least = '1500ms' } }",
        "when.skill_figures.longest_queue_duration.at_least",
        "whole seconds",
    ),
    (
        "skill_figures = { id = 1, estimated_wait_time = { at_least = '9000h' } }",
        "when.skill_figures.estimated_wait_time.at_least",
        "at most",
    ),
    (
        "skill_figures = { id = 1, service_level = { below = 80 } }",
        "when.skill_figures.service_level.below",
        "0.8 for 80 %",
    ),
    (
        "skill_figures = { id = 1, service_level = { below = '80' } }",
        "when.skill_figures.service_level.below",
        "0.8 for 80 %",
    ),
];

#[test]
fn figures_that_cannot_be_asked_for_are_named_with_the_way_out() {
    for (condition, field, reason) in WRONG_FIGURES {
        assert_one_mistake_each([(format!("when = {{ {condition} }}\n{THEN}"), field, reason)]);
    }
    for (condition, reason) in [
        ("skill_figures = { contacts_queued = { at_least = 5 } }", "missing field `id`"),
        ("skill_figures = { id = 1, contacts_queued = { at_most = 5 } }", "at_most"),
        ("skill_figures = { id = 1, contacts_queued = 5 }", "invalid type"),
        ("skill_figures = { id = [1], contacts_queued = { at_least = 5 } }", "an id was expected"),
    ] {
        let found = diagnostics(&rule(&format!("when = {{ {condition} }}\n{THEN}")));
        assert!(matches!(found.as_slice(), [only] if only.contains(reason)), "{condition}: {found:?}");
    }
}

#[test]
fn a_rule_may_depend_on_a_skill_and_a_queue() {
    let when = "when = { skill_figures = { id = 12, contacts_queued = { at_least = 5 } }, \
                queue_figures = { id = 'q', calls_waiting = { at_least = 5 } } }";
    let unless = "unless = { skill_figures = { id = '12', contacts_queued = { at_least = 5 } }, state = 'Idle' }";
    let (rules, complaints) = parse::parse_rules(&rule(&format!("{when}\n{unless}\n{THEN}"))).expect("TOML");
    assert_eq!(complaints, []);
    let set = RuleSet::compile(&rules, Capabilities::guide()).expect("good");
    assert_eq!(set.figures().len(), 2, "the same figure with the same bounds is looked at once");
    let again = serde_json::to_value(&rules[0]).expect("JSON");
    assert_eq!(again["when"]["skill_figures"]["id"], "12");
    assert_eq!(serde_json::from_value::<Rule>(again).expect("a rule"), rules[0]);
}

#[test]
fn conditions_that_never_hold_are_named() {
    let (when, then) = (WHEN, THEN);
    assert_one_mistake_each([
        (format!("when = {{ planned = \"off\", worked = \"2h\" }}\n{then}"), "when", "planned, worked"),
        (format!("when = {{ planned = \"work\", break = \"running\" }}\n{then}"), "when", "planned, break"),
        (
            format!("when = {{ shift = {{ ended_for = \"2m\", ends_within = \"2m\" }} }}\n{then}"),
            "when",
            "shift.ended_for",
        ),
        (
            format!("when = {{ shift = {{ ended_for = \"9m\", ended_within = \"2m\" }} }}\n{then}"),
            "when.shift",
            "no time",
        ),
        (format!("when = {{ state = \"Paused\", on_contact = true }}\n{then}"), "when", "state, on_contact"),
        (format!("when = {{ state = \"Ready\" }}\n{then}"), "then.set_state", "already"),
        (format!("{when}\nunless = {{ on_contact = false }}\n{then}"), "unless.on_contact", "never act"),
        (format!("{when}\nunless = {{ state = [\"Paused\", \"Idle\"] }}\n{then}"), "unless.state", "never act"),
        (format!("{when}\nunless = {{}}\n{then}"), "unless", "every agent"),
    ]);
}

#[test]
fn actions_and_limits_that_are_impossible_are_reported() {
    let (when, then) = (WHEN, THEN);
    assert_one_mistake_each([
        (format!("{when}\nthen = {{ set_state = \"Redy\" }}"), "then.set_state", "did you mean `Ready`"),
        (format!("{when}\nthen = {{ set_state = \"OnContact\" }}"), "then.set_state", "it can set Ready, NotReady"),
        (
            format!("{when}\nthen = {{ log_out = true }}"),
            "then.log_out",
            "cannot log an agent out, or the tenant's configuration does not allow it",
        ),
        (format!("{when}\nthen = {{ tell = \" \" }}"), "then.tell", "1 to 500"),
        (format!("{when}\nthen = {{ tell = \"x\", reason = \"Y\" }}"), "then.reason", "set_state alone"),
        (format!("{when}\nthen = {{ ask = \"x\", on_contact = \"now\" }}"), "then.on_contact", "set_state or log_out"),
        (format!("{when}\nthen = {{ tell = \"x\", ask = \"y\" }}"), "then", "exactly one"),
        (format!("{when}\n{then}\ncooldown = \"-1m\""), "cooldown", "negative"),
        (format!("{when}\n{then}\ncooldown = \"48h\""), "cooldown", "24h"),
        (format!("{when}\n{then}\nlimit = {{}}"), "limit", "names no limit"),
        (format!("{when}\n{then}\nlimit = {{ per_minute = 0 }}"), "limit.per_minute", "1 to"),
        (format!("{when}\n{then}\nlimit = {{ per_minute = -3 }}"), "limit.per_minute", "1 to"),
        (format!("{when}\n{then}\nlimit = {{ share_of_team = 1.5 }}"), "limit.share_of_team", "at most 1"),
        (format!("{when}\n{then}\nlimit = {{ share_of_team = nan }}"), "limit.share_of_team", "at most 1"),
        (format!("{when}\n{then}\nmode = \"enforced\""), "", "enforce"),
        (format!("{when}\n{then}\npriority = \"person\""), "", "mandatory_break"),
    ]);
}

#[test]
fn an_offer_is_relative_and_needs_approval() {
    let offer = |then: &str, mode: &str| format!("{WHEN}\nthen = {{ {then} }}\nmode = \"{mode}\"");
    let early = "offer = { move_end = { by_minutes = -60 } }";
    let set = "offer = { set_shift = { end = \"2026-10-26T18:00:00Z\" } }";
    let one = "offer = { move = { activity = \"lunch\", start = \"2026-10-26T12:00:00Z\", by_minutes = 30 } }";
    assert_one_mistake_each([
        (offer(early, "enforce"), "mode", "needs the approval of a person"),
        (offer(set, "approve"), "then.offer", "times of one day"),
        (offer(one, "approve"), "then.offer", "times of one day"),
        (offer(&format!("{early}, places = 0"), "approve"), "then.places", "1 to 500"),
        (offer(&format!("{early}, open_for = \"90s\""), "approve"), "then.open_for", "whole minutes"),
        (offer(&format!("{early}, open_for = \"25h\""), "approve"), "then.open_for", "24h"),
        (offer(&format!("{early}, open_for = \"soon\""), "approve"), "then.open_for", ""),
        (offer(&format!("{early}, reason = \"X\""), "approve"), "then.reason", "set_state alone"),
        (offer("tell = \"x\", places = 2", "watch"), "then.places", "goes with offer alone"),
        (offer("tell = \"x\", open_for = \"5m\"", "watch"), "then.open_for", "goes with offer alone"),
    ]);
    for then in [early, "offer = { move = { activity = \"lunch\", by_minutes = 30 } }, places = 3, open_for = \"45m\""]
    {
        let text = rule(&offer(then, "approve"));
        assert_eq!(diagnostics(&text), [""; 0]);
        let (rules, _) = parse::parse_rules(&text).expect("TOML");
        let toml = toml::to_string(&rules[0]).expect("TOML");
        assert_eq!(toml::from_str::<Rule>(&toml).expect("the same again"), rules[0], "{toml}");
        let json = serde_json::to_string(&rules[0]).expect("JSON");
        assert_eq!(serde_json::from_str::<Rule>(&json).expect("the same again"), rules[0], "{json}");
    }
}

#[test]
fn all_mistakes_come_in_one_run() {
    let text = format!(
        "{GOOD}{GOOD}\n[[rules]]\nid = \"bad id\"\nwen = 1\nwhen = {{ state = [\"Pausd\", \"Redy\"], for = \"x\" }}\n\
         then = {{ set_state = \"OnContact\" }}\n[[rules]]\nid = \"unread\"\nmode = \"watch\"\n"
    );
    let fields: Vec<_> = diagnostics(&text).iter().map(|c| c.split(':').next().unwrap_or("").to_owned()).collect();
    assert_eq!(fields, ["wen", "", "id", "id", "when.state", "when.state", "when.for", "then.set_state"]);
}

#[test]
fn a_set_has_a_limit_and_says_so_once() {
    let text: String = (0..=MAX_RULES + 1).map(|n| GOOD.replace("\"good\"", &format!("\"rule-{n}\""))).collect();
    assert_eq!(diagnostics(&text), [": a set holds at most 64 rules"]);
}

#[test]
fn what_is_no_list_of_rules_is_refused() {
    for text in ["rules = 3", "[server]\nlisten = \"x\"", "[[rules"] {
        assert!(parse::parse_rules(text).is_err(), "{text}");
    }
    assert_eq!(parse::parse_rules("").expect("no rules at all").0, []);
}

#[test]
fn a_rule_survives_json_and_its_version_changes_with_it() {
    let (rules, _) = parse::parse_rules(GOOD).expect("TOML");
    let json = serde_json::to_string(&rules[0]).expect("JSON");
    let mut back: Rule = serde_json::from_str(&json).expect("read back");
    assert_eq!(back, rules[0]);
    assert_eq!(back.version().expect("JSON"), rules[0].version().expect("JSON"));
    back.mode = Mode::Enforce;
    assert_ne!(back.version().expect("JSON"), rules[0].version().expect("JSON"));
    assert_eq!(back.version().expect("JSON").len(), 12);
}

#[test]
fn names_of_a_centre_s_own_activities_pass() {
    assert_eq!(diagnostics(&rule("when = { planned = [\"coaching\", \"off\"] }\nthen = { tell = \"x\" }")), [""; 0]);
}

#[test]
fn a_platform_that_can_log_out_is_allowed_to() {
    let (rules, _) = parse::parse_rules(&rule("when = { state = \"Idle\" }\nthen = { log_out = true }")).expect("TOML");
    let able = Capabilities { can_log_out: true, ..Capabilities::guide() };
    assert_eq!(check(&rules, able), []);
    let (rules, _) =
        parse::parse_rules(&rule("when = { state = \"Idle\" }\nthen = { log_out = false }")).expect("TOML");
    assert_eq!(check(&rules, able)[0].field, "then.log_out");
}
