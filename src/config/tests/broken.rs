//! What is wrong is said at its place, all of it in one run, and never with a value that may be a secret.

use super::super::Config;
use super::{default_environment, environment, load, text, with_tenant};

fn diagnostics(toml: &str) -> String {
    load(toml).expect_err("broken").to_string()
}

#[test]
fn every_mistake_of_a_file_is_found_in_one_run() {
    let toml = r#"
[server]
listen = "localhost"
prot = 1

[clock]
speed = 0

[store]
url = "mysql://x/y"

[log]
level = "inof"

[[tenants]]
id = "acme"
base_url = "ftp://platform.example"
requests_per_minute = "many"
request_timeout = "10"
mode = "dry-run"
client_id = ""
urgent_reserve = 200
agents = ["u_1", "", 3]
polcy = { on_contact = "now" }

[tenants.states]
incoming = { mittag = "Pausd" }

[[tenants]]
id = "acme"
base_url = "https://na1.example"
client_id = "x"
client_secret = { env = "NOT_SET" }

[[webhooks]]
id = "bad id"
url = "https://10.0.0.7/hooks"
secret = { env = "ACME_SECRET" }
events = ["AGENT_STATE_CHANGED"]
"#;
    insta::assert_snapshot!(diagnostics(toml), @r#"
    c.toml:3:10: server.listen: must be an IP address and a port; as in "127.0.0.1:8080" or "[::1]:8080"
    c.toml:4:1: server.prot: is not a known key; did you mean "proxy"?
    c.toml:7:9: clock.speed: must be an integer from 1 to 3600
    c.toml:10:7: store.url: must begin with sqlite:// or postgres://; as in "sqlite://data/shiftkeeper.db"
    c.toml:13:9: log.level: must be one of "error", "warn", "info", "debug", "trace"; did you mean "info"?
    c.toml:15:1: tenants[acme].client_secret: is missing; write { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }
    c.toml:17:12: tenants[acme].base_url: must begin with https:// or http:// and a host
    c.toml:18:23: tenants[acme].requests_per_minute: expects an integer from 1 to 6000, not text
    c.toml:19:19: tenants[acme].request_timeout: must be a duration; write it with units, as in "30s", "5m" or "1h30m"
    c.toml:20:8: tenants[acme].mode: must be one of "live", "dry_run"; did you mean "dry_run"?
    c.toml:21:13: tenants[acme].client_id: must not be empty
    c.toml:22:1: tenants[acme].urgent_reserve: must be less than requests_per_minute
    c.toml:23:18: tenants[acme].agents: must be an agent's id: up to 128 characters, no blanks
    c.toml:23:22: tenants[acme].agents: expects text (agent id), not an integer
    c.toml:24:1: tenants[acme].polcy: is not a known key; did you mean "policy"?
    c.toml:27:23: tenants[acme].states.incoming: must be one of our states: Ready, NotReady, Paused, Idle, LoggedOut, OnContact, AfterContactWork; did you mean "Paused"?
    c.toml:29:1: tenants[acme]: has an id that is already taken
    c.toml:33:17: tenants[#2].client_secret: the environment variable NOT_SET is not set; set it, or name another
    c.toml:36:6: webhooks[#1].id: must be 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit
    c.toml:37:1: webhooks[#1].url: leads to a private network; if it is meant, add its host:port to allow
    c.toml:38:1: webhooks[#1].secret: must be whsec_ and the base64 of 24 to 64 bytes; make one with: echo whsec_$(openssl rand -base64 32)
    c.toml:39:11: webhooks[#1].events: must be an event such as "agent.state_changed"; there are: agent.state_changed, transition.finished, policy.violated, automation.halted, automation.resumed, agent.reversed_change, picture.stale, subscription.near_expiry, snapshot.oversize, audit.head, schedule.imported, offer.proposed, offer.made, offer.answered, job.failed, report.completed, analytics.completed, anomaly.detected, anomaly.ended, rule.told, approval.waiting, webhook.disabled, webhook.test
    "#);
}

#[test]
fn broken_syntax_is_reported_line_by_line_without_the_line() {
    let toml = "[server]\nlisten = 127.0.0.1:8080\nlistn = 1\n\n[[tenants]]\nid = \"acme\"\nclient_secret = hunter2\ntoken \"hunter2\"\n";
    insta::assert_snapshot!(diagnostics(toml), @r#"
    c.toml:2:15: not valid TOML: invalid float
    c.toml:3:1: server.listn: is not a known key; did you mean "listen"?
    c.toml:7:17: not valid TOML: string values must be quoted, expected literal string
    c.toml:8:7: not valid TOML: key with no value, expected `=`
    "#);
}

#[test]
fn a_secret_in_a_wrong_place_is_never_repeated() {
    let cases = [
        with_tenant("api_key = \"hunter2\""),
        "[[tenants]]\nclient_secret = \"hunter2\"".to_owned(),
        "[[tenants]]\nclient_secret = \"hunter2".to_owned(),
        "[[tenants]]\nclient_secret = hunter2".to_owned(),
        "[[tenants]]\nclient_secret = 'hunter2' 'hunter2'".to_owned(),
        "[[tenants]]\nclient_secret = \"\"\"\nhunter2".to_owned(),
        "[[tenants]]\nclient_secret \"hunter2\"".to_owned(),
        "[[tenants]]\nclient_secret = [\"hunter2\"]".to_owned(),
        "[[tenants]]\nclient_secret = { env = \"hunter2\" }".to_owned(),
        "[[tenants]]\nclient_secret = { env = \"HUNTER2\" }".to_owned(),
        "[[tenants]]\nclient_secret = { file = \"hunter2\" }".to_owned(),
        "[[tenants]]\nclient_secret = { credential = \"hunter2\" }".to_owned(),
        "[[tenants]]\nclient_secret = { value = \"hunter2\" }".to_owned(),
        "[[tenants]]\nid = \"hunter2 \"".to_owned(),
        "[[tenants]]\nmode = \"hunter2\"\nrequest_timeout = \"hunter2\"\nagents = \"hunter2\"".to_owned(),
        "[[tenants]]\nbase_url = \"https://user:hunter2@na1.example\"".to_owned(),
        "[[tenants]]\nbase_url = \"https://na1.example/?key=hunter2\"".to_owned(),
        "[store]\nurl = \"postgres://user:hunter2@db/x\"".to_owned(),
        "[store]\nurl = \"postgres://user@db/x?password=hunter2\"".to_owned(),
        "[clock]\nstart = \"hunter2\"".to_owned(),
        "[import]\ndefault_zone = \"hunter2\"\ncolumns = { start = 1, hunter = \"hunter2\" }".to_owned(),
    ];
    for toml in cases {
        let refused = load(&toml).expect_err(&toml);
        let seen = format!("{refused} {refused:?}").to_lowercase();
        assert!(!seen.contains("hunter2"), "{toml}\n{seen}");
    }
}

#[test]
fn secrets_are_in_the_environment_or_in_files() {
    let cases = [
        (
            "client_secret = \"x\"",
            "a secret must not be written here in plain text; write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }",
        ),
        ("client_secret = { env = \"A_B\", file = \"x\" }", "has both env and file; keep one of them"),
        (
            "client_secret = {}",
            "has neither env nor file nor credential; write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }",
        ),
        ("client_secret = { file = \"x\", credential = \"x\" }", "has both file and credential; keep one of them"),
        (
            "client_secret = { credential = \"x\" }",
            "CREDENTIALS_DIRECTORY is not set, so there are no credentials; give it by LoadCredential= in the unit, or name an \
             environment variable or a file",
        ),
        ("client_secret = { credential = \"../x\" }", "credential must be a name: letters, digits, '-', '_' and '.'"),
        (
            "client_secret = { env = \"NOT_SET\" }",
            "the environment variable NOT_SET is not set; set it, or name another",
        ),
        ("client_secret = { env = \"EMPTY_ONE\" }", "the secret is empty"),
        ("client_secret = { file = \"none\" }", "its file cannot be read: there is no such file; check its path"),
    ];
    let base = "[[tenants]]\nid = \"acme\"\nbase_url = \"https://na1.example\"\nclient_id = \"x\"\n";
    for (line, what) in cases {
        let texts = [text("c.toml", &format!("{base}{line}"))];
        let refused = Config::load_texts(&texts, &environment(&[("EMPTY_ONE", "\n")]), &[]).expect_err(line);
        assert_eq!(refused.to_string(), format!("c.toml:5:17: tenants[acme].client_secret: {what}"));
    }
}

#[test]
fn a_mistake_in_the_environment_or_an_option_names_it() {
    let environment = environment(&[
        ("ACME_SECRET", "hunter2"),
        ("SHIFTKEEPER__SERVR__LISTEN", "x"),
        ("SHIFTKEEPER__TENANTS__ACEM__MODE", "live"),
        ("SHIFTKEEPER__TENANTS__ACME__MODE", "lve"),
        ("SHIFTKEEPER__TENANTS__ACME__REQUESTS_PER_MINUTE", "ten"),
        ("SHIFTKEEPER__STORE", "x"),
        ("SHIFTKEEPER____", "x"),
    ]);
    let flags = [super::flag("server.listen", "8080"), super::flag("tenants.acme.client_secret", "hunter2")];
    let refused = Config::load_texts(&[text("c.toml", &with_tenant(""))], &environment, &flags).expect_err("broken");
    insta::assert_snapshot!(refused.to_string(), @r#"
    environment variable SHIFTKEEPER__SERVR__LISTEN: servr: is not a known key; did you mean "server"?
    environment variable SHIFTKEEPER__STORE: store: expects a table, not text
    environment variable SHIFTKEEPER__TENANTS__ACEM__MODE: tenants.acem.mode: no element has this id; did you mean "acme"?
    environment variable SHIFTKEEPER__TENANTS__ACME__MODE: tenants[acme].mode: must be one of "live", "dry_run"; did you mean "live"?
    environment variable SHIFTKEEPER__TENANTS__ACME__REQUESTS_PER_MINUTE: tenants[acme].requests_per_minute: expects an integer from 1 to 6000, not text
    environment variable SHIFTKEEPER____: .: names no key; as in SHIFTKEEPER__SERVER__LISTEN
    option --set server.listen: server.listen: must be an IP address and a port; as in "127.0.0.1:8080" or "[::1]:8080"
    option --set tenants.acme.client_secret: tenants[acme].client_secret: a secret must not be written here in plain text; write { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"a = \"\xe9\"").expect("written");
    let refused = Config::load(&[folder.path().join("none.toml"), latin], &default_environment(), &[])
        .expect_err("broken")
        .to_string();
    let shown = refused.replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(shown, @r"
    DIR/latin.toml:1:1: is not UTF-8 text
    DIR/none.toml:1:1: cannot be read: there is no such file; check its path
    ");
}

#[test]
fn parts_are_checked_against_each_other() {
    let cases = [
        ("[clock]\nspeed = 60\n", true),
        ("[clock]\nstart = \"2026-10-26T08:00:00Z\"\n", true),
        (
            "[clock]\nspeed = 60\n[[webhooks]]\nid = \"w\"\nurl = \"https://wfm.example\"\nsecret = { env = \"HOOK\" }",
            false,
        ),
        ("[clock]\nspeed = 60\n[client]\nurl = \"https://else.example\"", false),
        ("[[server.tokens]]\nid = \"t\"\ntoken = { env = \"API_TOKEN\" }\ntenants = [\"acme\"]", true),
        ("[[server.tokens]]\nid = \"t\"\ntoken = { env = \"API_TOKEN\" }\ntenants = [\"bravo\"]", false),
        ("[[server.tokens]]\nid = \"t\"\ntoken = { env = \"ACME_SECRET\" }", false),
        ("[store]\npassword = { env = \"API_TOKEN\" }", false),
        ("[store]\nurl = \"postgres://me@db/x\"\npassword = { env = \"API_TOKEN\" }", true),
        ("[tenants.retry]\nfirst = \"30s\"\nmax = \"10s\"", false),
    ];
    for (more, sound) in cases {
        let environment = environment(&[
            ("ACME_SECRET", "hunter2"),
            ("API_TOKEN", "0123456789abcdef"),
            ("HOOK", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"),
        ]);
        let result = Config::load_texts(&[text("c.toml", &with_tenant(more))], &environment, &[]);
        assert_eq!(result.is_ok(), sound, "{more}: {result:?}");
    }
}

#[test]
fn every_spelling_of_a_forbidden_target_is_refused() {
    let environment = environment(&[("HOOK", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")]);
    let load = |url: &str| {
        let hook = format!(
            "[[webhooks]]\nid = \"w\"\nsecret = {{ env = \"HOOK\" }}\nallow_plain_http = true\nurl = {}\n",
            toml::Value::from(url)
        );
        Config::load_texts(&[text("c.toml", &hook)], &environment, &[])
    };
    assert!(load("http://wfm.example:9000/").is_ok());
    let spellings = include_str!("../../../tests/data/forbidden_targets.txt");
    let spellings: Vec<_> = spellings.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(spellings.len() >= 250);
    for spelling in spellings {
        let Err(refused) = load(&spelling.replace("PORT", "9000")) else { panic!("{spelling} passes") };
        assert!(
            refused.diagnostics.iter().all(|complaint| complaint.key == "webhooks[w].url"),
            "{spelling}: {refused}"
        );
    }
}

#[test]
fn a_url_whose_host_has_an_empty_part_is_refused() {
    for url in ["https://./hooks", "https://wfm..example/hooks", "https://wfm.example../hooks"] {
        let said = diagnostics(&format!("[[webhooks]]\nid = \"w\"\nurl = \"{url}\"\n"));
        assert!(said.contains("must begin with https:// or http:// and a host"), "{url}: {said}");
    }
}

#[test]
fn a_wrong_event_is_answered_with_the_nearest_and_with_all_there_are() {
    let said = diagnostics("[[webhooks]]\nid = \"w\"\nevents = [\"agent.state_change\"]\n");
    assert!(said.contains("did you mean \"agent.state_changed\"? there are: agent.state_changed, "), "{said}");
    assert!(said.contains("policy.violated") && said.contains("job.failed"), "{said}");
}

#[test]
fn the_key_before_comes_with_its_end_from_one_place() {
    const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    const BEFORE: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const UNTIL: &str = "2026-11-23T10:00:00Z";
    let folder = tempfile::tempdir().expect("a folder");
    let two = folder.path().join("two");
    std::fs::write(&two, format!("{KEY}\n{BEFORE} until {UNTIL}\n")).expect("writes");
    let broken = folder.path().join("broken");
    std::fs::write(&broken, format!("{KEY}\n{BEFORE}\n")).expect("writes");
    let environment = environment(&[("HOOK", KEY), ("BEFORE", BEFORE), ("SHORT", "whsec_c2hvcnQ=")]);
    let in_file = |path: &std::path::Path| format!("secret = {{ file = {path:?} }}");
    let by_env = "secret = { env = \"HOOK\" }\nprevious_secret = { env = \"BEFORE\" }";
    let end = format!("previous_until = {UNTIL:?}");
    for (lines, keys) in [
        ("secret = { env = \"HOOK\" }".to_owned(), Some(1)),
        (in_file(&two), Some(2)),
        (in_file(&broken), None),
        (format!("{by_env}\n{end}"), Some(2)),
        (by_env.to_owned(), None),
        (format!("secret = {{ env = \"HOOK\" }}\n{end}"), None),
        (format!("{}\nprevious_secret = {{ env = \"BEFORE\" }}\n{end}", in_file(&two)), None),
        (format!("{}\n{end}", by_env.replace("BEFORE", "SHORT")), None),
    ] {
        let hook = format!("[[webhooks]]\nid = \"w\"\nurl = \"https://wfm.example\"\n{lines}\n");
        match Config::load_texts(&[text("c.toml", &hook)], &environment, &[]) {
            Ok(loaded) => {
                let hook = &loaded.config.webhooks[0];
                let before: crate::domain::time::UtcMicros = "2026-11-23T09:59:59Z".parse().expect("an instant");
                let signatures = hook.keys().expect("keys").sign("e", "1", b"", before);
                assert_eq!(Some(signatures.split(' ').count()), keys, "{lines}");
                assert_eq!(hook.secret_file.as_deref(), lines.contains("file").then_some(two.as_path()));
                assert!(!format!("{loaded:?}").contains("whsec_"), "no key shows");
            }
            Err(refused) => {
                assert_eq!(keys, None, "{lines}: {refused}");
                assert!(!refused.to_string().contains(&BEFORE[6..]) && !refused.to_string().contains(&KEY[6..]));
            }
        }
    }
}

#[test]
fn plain_http_and_private_targets_must_be_meant() {
    let hook = |line: &str| format!("[[webhooks]]\nid = \"w\"\nsecret = {{ env = \"HOOK\" }}\n{line}");
    let cases = [
        ("url = \"https://wfm.example/hooks\"", true),
        ("url = \"http://wfm.example/hooks\"", false),
        ("url = \"http://wfm.example/hooks\"\nallow_plain_http = true", true),
        ("url = \"http://127.0.0.1:9000/hooks\"", false),
        ("url = \"http://127.0.0.1:9000/hooks\"\nallow = [\"127.0.0.1:9000\"]", true),
        ("url = \"http://localhost:9000/hooks\"\nallow = [\"127.0.0.1:9000\"]", false),
        ("url = \"https://169.254.169.254/latest\"", false),
        ("url = \"https://192.168.1.1\"", false),
        ("url = \"https://100.64.1.1\"", false),
        ("url = \"https://[::1]\"", false),
        ("url = \"https://[::ffff:10.0.0.1]\"", false),
        ("url = \"https://[fd00::1]\"", false),
        ("url = \"https://0x7f000001\"", false),
        ("url = \"https://metadata.google.internal\"", false),
        ("url = \"https://93.184.215.14\"", true),
        ("url = \"https://[::ffff:127.0.0.1]:9000\"\nallow = [\"0x7f.1:9000\"]", true),
        ("url = \"https://wfm.example\"\nallow = [\"wfm.example\"]", false),
    ];
    let environment = environment(&[("HOOK", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")]);
    for (line, sound) in cases {
        let result = Config::load_texts(&[text("c.toml", &hook(line))], &environment, &[]);
        assert_eq!(result.is_ok(), sound, "{line}: {result:?}");
    }
    let tenant = "[[tenants]]\nid = \"acme\"\nclient_id = \"x\"\nclient_secret = { env = \"HOOK\" }\n";
    for (line, sound) in [
        ("base_url = \"http://platform.example\"", false),
        ("base_url = \"http://platform.example\"\nallow_plain_http = true", true),
        ("base_url = \"http://localhost:7070\"", true),
    ] {
        let result = Config::load_texts(&[text("c.toml", &format!("{tenant}{line}"))], &environment, &[]);
        assert_eq!(result.is_ok(), sound, "{line}: {result:?}");
    }
}
