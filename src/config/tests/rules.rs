//! Rules come from the configuration and from files beside it; what is wrong with them is said at their place.

use super::super::{Config, LoadedConfig};
use super::{default_environment, environment, load, text, with_tenant};
use crate::domain::changes::policy::OnContact;
use crate::domain::rules::rule::Mode;

const RULE: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = "Paused", for = "2m" }
then = { set_state = "Ready" }
"#;

/// A folder with a configuration and a file of rules beside it.
fn write_files(config: &str, rules: &str) -> (tempfile::TempDir, Vec<std::path::PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rules.toml"), rules).expect("written");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, config).expect("written");
    (folder, vec![file])
}

fn modes(loaded: &LoadedConfig) -> Vec<(String, Mode)> {
    loaded.config.rules.iter().map(|rule| (rule.id.to_string(), rule.mode)).collect()
}

#[test]
fn every_mistake_in_the_rules_has_its_place() {
    let rules = r#"
[[rules]]
id = "back"
wen = { state = "Paused" }
when = { planned = "work", state = "Pausd", for = "soon" }
then = { set_state = "OnContact" }

[[rules]]
id = "back"
when = { state = "Paused" }
then = { log_out = true }
mode = "enforced"

[[rules]]
when = { state = "Paused" }
then = { set_state = "Ready", tell = "x" }
cooldown = 5
"#;
    let refused = load(&with_tenant(rules)).expect_err("broken");
    assert!(refused.is_about_rules_only());
    insta::assert_snapshot!(refused.to_string(), @r"
    c.toml:9:1: rules[back].wen: `wen` is not known here; did you mean `when`?
    c.toml:10:28: rules[back].when.state: `Pausd` is not a state; did you mean `Paused`?
    c.toml:10:45: rules[back].when.for: `soon` is not a span of time; write it as 90s, 2m or 1h30m
    c.toml:11:10: rules[back].then.set_state: this platform cannot set OnContact; it can set Ready, NotReady, Paused, Idle
    c.toml:13:1: rules[back]: unknown variant `enforced`, expected one of `watch`, `enforce`, `approve`
    c.toml:19:1: rules[#3]: invalid type: integer `5`, expected a string
    ");
}

#[test]
fn rules_of_files_come_first_and_can_be_changed_by_id() {
    let own = "[[rules]]\nid = \"back\"\nmode = \"enforce\"\n";
    let more = RULE.replace("back", "more");
    let config = format!("rules_files = [\"rules.toml\"]\n{}{own}{more}", with_tenant(""));
    let (_folder, files) = write_files(&config, RULE);
    let loaded = Config::load(&files, &default_environment(), &[]).expect("sound");
    assert_eq!(modes(&loaded), [("back".to_owned(), Mode::Enforce), ("more".to_owned(), Mode::Watch)]);

    let overlay = environment(&[("ACME_SECRET", "x"), ("SHIFTKEEPER__RULES__MORE__MODE", "approve")]);
    let loaded = Config::load(&files, &overlay, &[]).expect("sound");
    assert_eq!(modes(&loaded).pop(), Some(("more".to_owned(), Mode::Approve)));

    let none = environment(&[("ACME_SECRET", "x"), ("SHIFTKEEPER__RULES_FILES", "")]);
    let refused = Config::load(&files, &none, &[]).expect_err("a mode alone is no rule").to_string();
    assert!(refused.contains("rules[back]"), "{refused}");
}

#[test]
fn a_file_of_rules_holds_rules_alone() {
    let config = format!("rules_files = [\"rules.toml\", \"none.toml\"]\n{}", with_tenant(""));
    let rules = "id = \"x\"\n[[rules]]\nid = \"back\"\nwhen = {\n[server]\nlisten = \"127.0.0.1:1\"\n";
    let (folder, files) = write_files(&config, rules);
    let refused = Config::load(&files, &default_environment(), &[]).expect_err("broken").to_string();
    insta::assert_snapshot!(refused.replace(&folder.path().display().to_string(), "DIR"), @r"
    DIR/c.toml:1:1: rules_files: DIR/none.toml cannot be read: there is no such file; check its path
    DIR/rules.toml:1:1: id: does not belong into a file of rules; it holds [[rules]] alone
    DIR/rules.toml:5:1: not valid TOML: missing key for inline table element, expected key
    DIR/rules.toml:6:23: not valid TOML: unclosed inline table, expected `}`
    ");
}

#[test]
fn a_tenant_enforces_watching_rules_and_unknown_ones_are_refused() {
    let with =
        |enforce: &str| load(&format!("{}\n{RULE}", with_tenant(&format!("automation = {{ enforce = {enforce} }}"))));
    for (enforce, mode) in [("[]", Mode::Watch), ("[\"back\"]", Mode::Enforce), ("[\"all\"]", Mode::Enforce)] {
        let config = with(enforce).expect("sound").config;
        let rules = config.rules_for(&config.tenants[0]);
        assert_eq!(rules[0].mode, mode, "{enforce}");
    }
    let refused = with("[\"bakc\"]").expect_err("unknown").to_string();
    let what = "names a rule that does not exist; did you mean \"back\"?";
    assert_eq!(refused, format!("c.toml:6:16: tenants[acme].automation.enforce: {what}"));
}

#[test]
fn a_rule_that_does_not_say_what_to_do_on_a_contact_does_as_the_tenant_s_policy_says() {
    let own = RULE.replace("back", "own").replace("\"Ready\" }", "\"Ready\", on_contact = \"after\" }");
    let tell = "[[rules]]\nid = \"tell\"\nwhen = { state = \"Paused\" }\nthen = { tell = \"x\" }\n";
    let policy = "policy = { on_contact = \"skip\" }";
    let config = load(&format!("{}\n{RULE}{own}{tell}", with_tenant(policy))).expect("sound").config;
    let found = config.rules_for(&config.tenants[0]).into_iter().map(|rule| rule.then.on_contact);
    assert_eq!(found.collect::<Vec<_>>(), [Some(OnContact::Skip), Some(OnContact::After), None]);
}

#[test]
fn a_rule_that_requires_approval_gives_no_warning() {
    let rule = RULE.replace("then =", "mode = \"approve\"\nthen =");
    let loaded = load(&with_tenant(&rule)).expect("sound");
    assert!(loaded.warnings.iter().all(|warning| !warning.contains("approve")), "{:?}", loaded.warnings);
}

#[test]
fn a_changed_rule_is_a_reload() {
    let old = load(&with_tenant(RULE)).expect("sound");
    let new = load(&with_tenant(&RULE.replace("2m", "3m"))).expect("sound");
    let changes = old.settings.changes_to(&new.settings);
    assert_eq!(changes.reload.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["rules[back]"]);
    assert!(changes.restart.is_empty());
}

#[test]
fn adherence_is_read_and_checked_key_by_key() {
    let toml = "[tenants.adherence]\ntolerance = \"3m\"\nactivities = { lunch = { allowed = [\"Paused\"], tolerance = \"5m\" } }";
    let config = load(&with_tenant(toml)).expect("sound").config;
    let adherence = &config.tenants[0].adherence;
    let lunch = adherence.allowance(&crate::domain::schedules::schedule::Activity::Lunch);
    assert_eq!(lunch.tolerance, std::time::Duration::from_secs(300));
    assert_eq!(adherence.allowance(&crate::domain::schedules::schedule::Activity::Work).tolerance.as_secs(), 180);

    let broken = "[tenants.adherence]\nactivities = { lunch = { alowed = [\"Pausd\"], tolerance = \"5h\" } }";
    let texts = [text("c.toml", &with_tenant(broken))];
    let refused = Config::load_texts(&texts, &default_environment(), &[]).expect_err("broken");
    insta::assert_snapshot!(refused.to_string(), @r#"
    c.toml:7:26: tenants[acme].adherence.activities: is not a known key; did you mean "allowed"?
    c.toml:7:46: tenants[acme].adherence.activities: must be between 0s and 1h
    "#);
}

#[test]
fn a_rule_sets_no_state_that_a_tenant_s_dialect_has_no_code_for() {
    let rule = RULE.replace("Ready", "Idle");
    let tenant = |codes: &str| {
        let keys = format!("dialect = \"incontact\"\nincontact = {{ area = \"na1\", codes = {codes} }}\n");
        load(&format!("{}{rule}", with_tenant(&keys)))
    };
    assert!(tenant("{ Idle = 13 }").is_ok());
    let refused = tenant("{ Paused = 12 }").expect_err("no code").to_string();
    assert!(refused.contains("Idle"), "{refused}");
}
