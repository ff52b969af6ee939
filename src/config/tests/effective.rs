//! What is in force, where it comes from, and what a reload changes.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::super::{ChangeEffect, Config, Enforce, Origin, Right, SettingChanges, TenantScope, described_keys};
use super::{environment, flag, load, text, with_tenant};
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TenantId;

#[test]
fn the_defaults_are_those_of_the_design() {
    let loaded = load(&with_tenant("")).expect("sound");
    let config = loaded.config;
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.url, "sqlite://data/shiftkeeper.db");
    let tenant = config.tenant(&TenantId::from("acme")).expect("configured");
    assert_eq!((tenant.requests_per_minute, tenant.urgent_reserve), (100, 2));
    assert_eq!(tenant.token.path, "/oauth2/token");
    assert_eq!(tenant.client_secret.expose(), "hunter2");
    assert_eq!(tenant.subscription.interval, Duration::from_secs(10));
    assert_eq!(tenant.subscription.renew_after, Duration::from_secs(23 * 3600));
    assert_eq!(tenant.retry.share_percent, 20);
    assert_eq!(tenant.automation.max_changes_per_agent_hour, 4);
    assert!(matches!(&tenant.automation.enforce, Enforce::Only(rules) if rules.is_empty()));
    assert_eq!(
        loaded.warnings,
        ["server.tokens: no token is configured, so the API answers accounts and stored tokens alone"]
    );
}

#[test]
fn later_sources_win_and_every_key_says_where_it_comes_from() {
    let texts = [
        text("base.toml", &with_tenant("requests_per_minute = 50\nagents = [\"u_1\"]\nurgent_reserve = 5")),
        text(
            "site.toml",
            "[log]\nlevel = \"debug\"\n\n[[tenants]]\nid = \"acme\"\nrequests_per_minute = 60\nurgent_reserve = 6\n",
        ),
    ];
    let environment = environment(&[
        ("ACME_SECRET", "hunter2"),
        ("SHIFTKEEPER__TENANTS__ACME__URGENT_RESERVE", "7"),
        ("SHIFTKEEPER__TENANTS__ACME__AGENTS", "u_7, u_8"),
        ("SHIFTKEEPER__LOG__LEVEL", "warn"),
        ("SHIFTKEEPER__TENANTS__ACME__TOKEN__STYLE", "basic"),
        ("SHIFTKEEPER_TEST_POSTGRES", "not ours to read"),
    ]);
    let loaded = Config::load_texts(&texts, &environment, &[flag("log.level", "error")]).expect("sound");
    let shown: Vec<_> = loaded
        .settings
        .iter()
        .filter(|(_, setting)| setting.origin != Origin::Default)
        .map(|(key, setting)| format!("{key} = {}  # {}", setting.value, setting.origin))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    log.level = "error"  # option --set log.level
    tenants[acme].agents = ["u_7", "u_8"]  # environment variable SHIFTKEEPER__TENANTS__ACME__AGENTS
    tenants[acme].base_url = "http://127.0.0.1:7070"  # base.toml:3:1
    tenants[acme].client_id = "shiftkeeper"  # base.toml:4:1
    tenants[acme].client_secret = *** (env ACME_SECRET)  # base.toml:5:1
    tenants[acme].id = "acme"  # site.toml:5:1
    tenants[acme].requests_per_minute = 60  # site.toml:6:1
    tenants[acme].token.style = "basic"  # environment variable SHIFTKEEPER__TENANTS__ACME__TOKEN__STYLE
    tenants[acme].urgent_reserve = 7  # environment variable SHIFTKEEPER__TENANTS__ACME__URGENT_RESERVE
    "#);
    assert_eq!(loaded.config.tenants[0].token.path, "/oauth/token", "the default goes by the style");
}

#[test]
fn tenants_are_found_by_id_whatever_its_signs() {
    let toml = with_tenant("").replace("\"acme\"", "\"Acme-EU.1\"");
    let environment = environment(&[("ACME_SECRET", "x"), ("SHIFTKEEPER__TENANTS__ACME_EU_1__MODE", "dry_run")]);
    let loaded = Config::load_texts(&[text("c.toml", &toml)], &environment, &[]).expect("sound");
    assert_eq!(loaded.config.tenants[0].mode, super::super::Mode::DryRun);
}

#[test]
fn a_secret_comes_from_a_file_beside_the_configuration_or_from_the_overlay() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("acme.key"), "hunter2\n").expect("written");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, with_tenant("").replace("{ env = \"ACME_SECRET\" }", "{ file = \"acme.key\" }"))
        .expect("written");
    let files = [file];
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(folder.path().join("acme.key"), Permissions::from_mode(mode)).expect("sets");
        let warnings = Config::load(&files, &environment(&[]), &[]).expect("sound").warnings;
        let told =
            warnings.iter().any(|line| line.contains("client_secret: every user of this host can read its file"));
        assert_eq!(told, warned, "{mode:o}: {warnings:?}");
    }
    let loaded = Config::load(&files, &environment(&[]), &[]).expect("sound");
    assert_eq!(loaded.config.tenants[0].client_secret.expose(), "hunter2");
    assert_eq!(
        loaded.settings.get("tenants[acme].client_secret").expect("set").value.to_string(),
        "*** (file acme.key)"
    );
    assert!(!format!("{loaded:?}").contains("hunter2"));

    let overlay = environment(&[("SHIFTKEEPER__TENANTS__ACME__CLIENT_SECRET", "other")]);
    let loaded = Config::load(&files, &overlay, &[]).expect("sound");
    assert_eq!(loaded.config.tenants[0].client_secret.expose(), "other");
}

#[test]
fn a_secret_may_be_a_credential_of_the_service_manager() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("acme-secret"), "hunter2\n").expect("written");
    let toml = with_tenant("").replace("{ env = \"ACME_SECRET\" }", "{ credential = \"acme-secret\" }");
    let texts = [text("c.toml", &toml)];
    let place = folder.path().display().to_string();
    let loaded = Config::load_texts(&texts, &environment(&[("CREDENTIALS_DIRECTORY", &place)]), &[]).expect("sound");
    assert_eq!(loaded.config.tenants[0].client_secret.expose(), "hunter2");
    let shown = loaded.settings.get("tenants[acme].client_secret").expect("set").value.to_string();
    assert_eq!(shown, "*** (credential acme-secret)");
    let elsewhere = Config::load_texts(&texts, &environment(&[]).for_command(), &[]);
    assert!(elsewhere.expect("a command needs none").config.tenants[0].client_secret.is_stored_elsewhere());
}

#[test]
fn reloaded_changes_are_distinguished_from_those_that_need_a_restart() {
    let old = load(&with_tenant("requests_per_minute = 50")).expect("sound");
    let keys = "requests_per_minute = 60\nagents = [\"u_1\"]\nrequest_timeout = \"20s\"\n[audit]\nhead_entries = 500";
    let changed = with_tenant(keys);
    let rotated = environment(&[("ACME_SECRET", "hunter3")]);
    let new = Config::load_texts(&[text("c.toml", &changed)], &rotated, &[]).expect("sound");
    let SettingChanges { reload, restart } = old.settings.changes_to(&new.settings);
    let lines =
        |keys: &[super::super::SettingChange]| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(lines(&reload), @r#"
    tenants[acme].agents: [] -> ["u_1"]
    tenants[acme].client_secret: *** (env ACME_SECRET) -> *** (env ACME_SECRET)
    tenants[acme].request_timeout: "10s" -> "20s"
    tenants[acme].requests_per_minute: 50 -> 60
    "#);
    insta::assert_snapshot!(lines(&restart), @r#"audit.head_entries: 1000 -> 500"#);
    assert!(old.settings.changes_to(&old.settings).is_empty());
}

#[test]
fn sections_become_what_the_daemon_works_with() {
    let toml = with_tenant(
        r#"
states = { incoming = { Mittag = "paused" }, outgoing = { LoggedOut = "GONE" } }
automation = { enforce = ["all"] }
[import]
columns = { agent_id = "Employee" }
delimiter = "semicolon"
[[server.tokens]]
id = "ops"
token = { env = "API_TOKEN" }
tenants = ["acme"]
may = ["read", "change"]
[store]
url = "postgres://me@db/x"
password = { env = "API_TOKEN" }
"#,
    );
    let config = load(&toml).expect("sound").config;
    let tenant = &config.tenants[0];
    assert_eq!(tenant.states.state("MITTAG"), AgentState::Paused);
    assert_eq!(tenant.states.platform_name(&AgentState::LoggedOut), Some("GONE"));
    assert_eq!(tenant.automation.enforce, Enforce::All);
    assert_eq!(config.import.delimiter, Some(b';'));
    let token = &config.server.tokens[0];
    assert!(matches!(&token.tenants, TenantScope::Only(only) if only.len() == 1));
    assert!(token.rights.contains(&Right::Change) && !token.rights.contains(&Right::Import));
    assert_eq!(config.store.connection_url().expose(), "postgres://me:0123456789abcdef@db/x");
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

/// Every key that a reload picks up and that has a default, with another value.
const ALL_RELOADABLE: &str = r#"
dialect = "guide"
allow_plain_http = true
api_version = "v3"
requests_per_minute = 50
urgent_reserve = 1
request_timeout = "20s"
mode = "dry_run"
agents = ["u_1"]
skills = ["4101"]
queues = ["q_1"]
token = { style = "basic", path = "/token" }
states = { incoming = { Mittag = "paused" }, outgoing = { LoggedOut = "GONE" } }
[tenants.subscription]
interval = "30s"
agents_per_subscription = 100
renew_after = "20h"
oversize_bytes = 100000
max_body_bytes = 1000000
[tenants.feed]
enabled = false
path = "/feed"
silent_after = "1m"
[tenants.figures]
interval = "45s"
requests_per_minute = 20
skill_path = "/skills"
queue_service_level = "share"
[tenants.policy]
unscheduled_forbids = "all"
on_contact = "now"
wait_at_most = "1m"
answers_kept = "1m"
read_share_percent = 30
[tenants.retry]
first = "2s"
max = "30s"
attempts = 3
share_percent = 10
at_least_per_minute = 5
[tenants.adherence]
tolerance = "1m"
activities = { lunch = { tolerance = "5m" } }
[tenants.automation]
enforce = ["all"]
max_changes_per_agent_hour = 2
leave_alone = "1h"
stale_intervals = 5
trial_days = 14
[tenants.incontact]
token_kind = "app"
version = "32.0"
versions = { codes = "23.0" }
codes = { Paused = 12 }
team_codes = { Care = { Paused = 112 } }
activities = { Mittag = "lunch" }
mandatory_activities = ["Mittag"]
roster = false
state_in_body = true
log_out = true
dialer_state = "NotReady"
overlap = "3s"
full_read_every = "10m"
page_rows = 500
[tenants.staffing]
team_queues = { Care = ["Support"] }
[tenants.thresholds]
in_state = { Paused = { watch = "1m" }, Idle = {} }
service_level_good = 90
service_level_warning = 60
[[tenants.series]]
id = "queued"
of = "adherence:team:Care"
window = 5
[server.sessions]
idle = "1h"
longest = "8h"
[server.proxy]
peers = ["10.0.0.1"]
groups_separator = ";"
[log]
level = "warn"
[import]
columns = { agent_id = "Employee" }
delimiter = "tab"
max_shift = "12h"
max_bytes = 1000
max_rows = 10
max_days = 7
[import.profiles.NAME]
layout = "activities"
sheets = ["A"]
skip_sheets = ["B"]
header_row = 2
skip = ["Total"]
agent_key = "id"
date_format = "cell"
time_format = "cell"
decimal = "comma"
midnight = "next_day"
time_zone = "column"
time_zones = { CET = "Europe/Berlin" }
shifts = "touching"
join_at_midnight = true
work = ["Open"]
off = ["Off"]
ignore = ["Skill"]
yes = ["ja"]
no = ["nein"]
columns = { agent = 1, time_zone = 2, date = 3, activity = 4, start = "Start", end = "End" }
[retention]
history_days = 40
audit_days = 40
deliveries_days = 40
job_runs_days = 40
"#;

#[test]
fn a_reload_takes_over_exactly_the_keys_that_say_so() {
    let old = load(&with_tenant("")).expect("sound");
    let new = load(&with_tenant(ALL_RELOADABLE)).expect("sound");
    let changes = old.settings.changes_to(&new.settings);
    let changed = changes.reload.iter().map(|change| change.key.replace("[acme]", "[]"));
    let elsewhere = |path: &str| {
        [
            "rules",
            "server.tokens",
            "server.proxy.roles",
            "client",
            "webhooks",
            "jobs",
            "import.profiles.NAME.",
            "tenants[].series[",
            "tenants[].schedule_sources[",
            "tenants[].analytics[",
        ]
        .iter()
        .any(|name| path.starts_with(name))
    };
    let reloadable =
        described_keys().into_iter().filter(|key| key.change == ChangeEffect::Reload && key.default.is_some());
    // The other dialect needs other keys.
    let only_one = |path: &str| path == "tenants[].dialect";
    let paths = reloadable.map(|key| key.path);
    let expected: BTreeSet<_> = paths.filter(|path| !elsewhere(path) && !only_one(path)).collect();
    let changed: BTreeSet<_> = changed.filter(|path| !elsewhere(path)).collect();
    assert_eq!(changed, expected, "a key was added: name it in ALL_RELOADABLE, and take it over in a reload");
    assert!(changes.restart.is_empty());
    let in_force = old.config.with_reloadable_from(&new.config);
    assert_eq!(format!("{in_force:?}"), format!("{:?}", new.config));

    let fixed =
        "[server]\nlisten = \"127.0.0.1:9\"\n[store]\nurl = \"sqlite://elsewhere.db\"\n[log]\nformat = \"json\"\n";
    let new = load(&with_tenant(fixed)).expect("sound");
    assert_eq!(old.settings.changes_to(&new.settings).restart.len(), 3);
    assert_eq!(format!("{:?}", old.config.with_reloadable_from(&new.config)), format!("{:?}", old.config));
}

#[test]
fn an_added_or_removed_tenant_is_one_change() {
    let old = load(&with_tenant("")).expect("sound");
    let two = format!("{}{}", with_tenant(""), with_tenant("").replace("\"acme\"", "\"bravo\""));
    let new = load(&two).expect("sound");
    for (from, to, line) in [
        (&old, &new, "tenants[bravo].id: nothing -> \"bravo\""),
        (&new, &old, "tenants[bravo].id: \"bravo\" -> nothing"),
    ] {
        let changes = from.settings.changes_to(&to.settings);
        assert_eq!(changes.reload.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
        assert!(changes.restart.is_empty());
    }
    let ids = |config: &Config| config.tenants.iter().map(|tenant| tenant.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&old.config.with_reloadable_from(&new.config)), ["acme", "bravo"]);
    assert_eq!(ids(&new.config.with_reloadable_from(&old.config)), ["acme"]);
}

#[test]
fn a_tenant_s_workers_go_on_with_keys_that_they_take_over_as_they_run_and_with_no_others() {
    let tenant = |keys: &str| load(&with_tenant(keys)).expect("sound").config.tenants[0].clone();
    let old = tenant("");
    for keys in [
        "",
        "agents = [\"u_1\"]",
        "schedule_folder = \"in\"",
        "schedule_folder = \"in\"\nschedule_max_age = \"1h\"",
        "[[tenants.schedule_sources]]\nid = \"wfm\"\nurl = \"https://wfm.example/x.csv\"\ncron = \"* * * * *\"",
        "schedule_profile = \"calendar\"\n[import.profiles.calendar]\nlayout = \"calendar\"",
        "retry = { attempts = 2 }",
        "policy = { on_contact = \"now\" }",
        "thresholds = { skills_answered_within = \"20s\" }",
    ] {
        assert!(old.is_same_tenant(&tenant(keys)), "{keys}");
    }
    for keys in [
        "requests_per_minute = 7",
        "mode = \"dry_run\"",
        "subscription = { interval = \"30s\" }",
        "token = { scope = \"x\" }",
    ] {
        assert!(!old.is_same_tenant(&tenant(keys)), "{keys}");
    }
}

#[test]
fn simulated_time_that_a_reload_leaves_in_force_is_not_mixed_with_a_real_platform() {
    let simulated = load(&with_tenant("[clock]\nspeed = 60")).expect("sound");
    let real = load(&with_tenant("").replace("http://127.0.0.1:7070", "https://na1.example")).expect("sound");
    assert!(!simulated.config.mixes_real_and_simulated_time() && !real.config.mixes_real_and_simulated_time());
    assert!(
        simulated.config.with_reloadable_from(&real.config).mixes_real_and_simulated_time(),
        "the clock waits for a restart"
    );
}

#[test]
fn the_command_line_finds_the_daemon_and_a_token_that_fits() {
    let tokens = "[[server.tokens]]\nid = \"r\"\ntoken = { env = \"API_TOKEN\" }\n\
                  [[server.tokens]]\nid = \"c\"\ntoken = { env = \"OTHER_TOKEN\" }\nmay = [\"change\"]\ntenants = [\"acme\"]\n";
    let environment =
        environment(&[("ACME_SECRET", "x"), ("API_TOKEN", "0123456789abcdef"), ("OTHER_TOKEN", "fedcba9876543210")]);
    let listening = |listen: &str| {
        let toml = with_tenant(&format!("[server]\nlisten = \"{listen}\"\n{tokens}"));
        Config::load_texts(&[text("c.toml", &toml)], &environment, &[]).expect("sound").config
    };
    for (listen, url) in [
        ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
        ("0.0.0.0:81", Some("http://127.0.0.1:81")),
        ("[::]:81", Some("http://[::1]:81")),
        ("127.0.0.1:0", None),
    ] {
        assert_eq!(listening(listen).client_url().as_deref(), url);
    }
    let config = listening("127.0.0.1:8080");
    let token = |right, tenant: &str| config.client_token(right, Some(&TenantId::from(tenant))).map(Secret::expose);
    assert_eq!(token(Right::Read, "acme"), Some("0123456789abcdef"));
    assert_eq!(token(Right::Change, "acme"), Some("fedcba9876543210"));
    assert_eq!(token(Right::Change, "bravo"), None);
    assert_eq!(token(Right::Import, "acme"), None);
    let anywhere = |right| config.client_token(right, None).map(Secret::expose);
    assert_eq!((anywhere(Right::Change), anywhere(Right::Import)), (Some("fedcba9876543210"), None));
}

#[test]
fn a_command_needs_a_secret_only_when_it_uses_it() {
    let webhook =
        "[[webhooks]]\nid = \"wfm\"\nurl = \"https://wfm.example/hooks\"\nsecret = { file = \"no-such-file\" }\n";
    let tokens = "[[server.tokens]]\nid = \"a\"\ntoken = { env = \"NOT_HERE\" }\n\
                  [[server.tokens]]\nid = \"b\"\ntoken = { env = \"API_TOKEN\" }\n\
                  [[server.tokens]]\nid = \"c\"\ntoken = { env = \"NOT_HERE\" }\nmay = [\"change\"]\n";
    let texts = [text("c.toml", &with_tenant(&format!("{webhook}{tokens}")))];
    let bare = environment(&[("API_TOKEN", "0123456789abcdef")]);
    let refused = Config::load_texts(&texts, &bare, &[]).expect_err("the daemon needs them all");
    assert_eq!(refused.diagnostics.len(), 4, "{refused}");
    let config = Config::load_texts(&texts, &bare.clone().for_command(), &[]).expect("a command needs none").config;
    assert_eq!(config.tenants.len(), 1);
    let token = |right| config.client_token(right, Some(&TenantId::from("acme"))).map(Secret::expose);
    assert_eq!(token(Right::Read), Some("0123456789abcdef"), "the one that can be read");
    assert!(config.client_token(Right::Change, Some(&"acme".into())).is_some_and(Secret::is_stored_elsewhere));
    let own = "[client]\ntoken = { env = \"NOT_HERE\" }\n";
    let texts = [text("c.toml", &with_tenant(&format!("{own}{tokens}")))];
    let config = Config::load_texts(&texts, &bare.clone().for_command(), &[]).expect("nor its own").config;
    let own = config.client_token(Right::Read, Some(&"acme".into()));
    assert!(own.is_some_and(Secret::is_stored_elsewhere), "nobody else's is taken instead");
    for clear in [
        with_tenant("").replace("{ env = \"ACME_SECRET\" }", "\"hunter2\""),
        with_tenant(tokens).replace("{ env = \"NOT_HERE\" }", "\"0123456789abcdef\""),
    ] {
        Config::load_texts(&[text("c.toml", &clear)], &bare.clone().for_command(), &[])
            .expect_err("clear text is refused all the same");
    }
}
