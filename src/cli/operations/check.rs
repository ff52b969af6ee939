//! `shiftkeeper check`: checks the configuration and its rules, and shows what is in force. It starts nothing, connects to
//! nothing, and only looks into a database file for the notes about a tenant's dialect.

mod dialect_notes;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::print;
use crate::config::{
    Config, ConfigError, Diagnostic, DiagnosticSubject, Environment, LoadedConfig, Origin, Tenant, reference,
};
use crate::domain::rules::rule::Mode as RuleMode;
use crate::domain::wording::count_with_noun;
use crate::http::role_table_markdown;

/// Options of `check`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Ends with 0 when all is well, with 4 where only rules are wrong, with 78 where the configuration is.

Examples:
  shiftkeeper check
  shiftkeeper check --config config/shiftkeeper.toml --output json
  shiftkeeper check --show --set tenants.acme.requests_per_minute=60"
)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
    /// Print every key in effect with its origin. Secrets are masked.
    #[arg(long)]
    pub show: bool,
    /// Print the reference of all keys, as in docs/configuration.md.
    #[arg(long, exclusive = true)]
    pub reference: bool,
    /// Print the roles of all routes, as in docs/routes.md.
    #[arg(long, exclusive = true)]
    pub routes: bool,
}

/// The output format of `check`.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckOutput {
    /// One line per mistake, in the format of a compiler.
    Text,
    /// One JSON object.
    Json,
}

/// Runs the check and prints the result. Returns 0, 4 if only rules are wrong, or 78 if the configuration is.
pub async fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    if args.reference {
        print(reference())?;
        return Ok(Exit::Done.into());
    }
    if args.routes {
        print(role_table_markdown())?;
        return Ok(Exit::Done.into());
    }
    let mut output = Vec::new();
    let exit = check(args, &Environment::of_process(), &mut output).await?;
    print(String::from_utf8_lossy(&output))?;
    Ok(exit.into())
}

async fn check(args: &CheckArgs, environment: &Environment, out: &mut impl Write) -> io::Result<Exit> {
    let result = args.config.load_in(environment);
    let notes = match &result {
        Ok(loaded) => dialect_notes::notes(&loaded.config).await,
        Err(_) => Vec::new(),
    };
    match (&result, args.output) {
        (Ok(loaded), CheckOutput::Text) => print_summary(loaded, &notes, args.show, out)?,
        (Err(refused), CheckOutput::Text) => print_mistakes(refused, out)?,
        (Ok(loaded), CheckOutput::Json) => writeln!(out, "{}", summary_json(loaded, &notes, args.show))?,
        (Err(refused), CheckOutput::Json) => writeln!(out, "{}", mistakes_json(refused))?,
    }
    Ok(match result {
        Ok(_) => Exit::Done,
        Err(refused) if refused.is_about_rules_only() => Exit::Problems,
        Err(_) => Exit::BadConfiguration,
    })
}

fn print_mistakes(refused: &ConfigError, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{refused}")?;
    writeln!(out, "{} found", count_with_noun(refused.diagnostics.len(), "mistake"))
}

fn print_summary(loaded: &LoadedConfig, notes: &[String], show: bool, out: &mut impl Write) -> io::Result<()> {
    if show {
        for (key, setting) in loaded.settings.iter() {
            writeln!(out, "{key} = {}  # {}", setting.value, setting.origin)?;
        }
    }
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let config = &loaded.config;
    let ids: Vec<_> = config.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    let agents: usize = config.tenants.iter().map(|tenant| tenant.agents.len()).sum();
    let webhooks = config.webhooks.len();
    writeln!(out, "ok: tenants: {}; agents named here: {agents}; webhooks: {webhooks}", list_text(&ids))?;
    for tenant in &config.tenants {
        let counts = rule_mode_counts(config, tenant).map(|(mode, count)| format!("{count} {}", mode.name()));
        writeln!(out, "rules for {}: {}", tenant.id, counts.join(", "))?;
    }
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

/// Returns the number of a tenant's rules in each mode.
fn rule_mode_counts(config: &Config, tenant: &Tenant) -> [(RuleMode, usize); 3] {
    let rules = config.rules_for(tenant);
    [RuleMode::Enforce, RuleMode::Approve, RuleMode::Watch]
        .map(|mode| (mode, rules.iter().filter(|rule| rule.mode == mode).count()))
}

fn list_text(words: &[&str]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn summary_json(loaded: &LoadedConfig, notes: &[String], show: bool) -> Value {
    let config = &loaded.config;
    let tenants = config.tenants.iter().map(|tenant| {
        let rules: serde_json::Map<String, Value> = rule_mode_counts(config, tenant)
            .into_iter()
            .map(|(mode, count)| (mode.name().to_owned(), count.into()))
            .collect();
        json!({ "id": tenant.id, "agents": tenant.agents.len(), "rules": rules })
    });
    let mut object = json!({
        "ok": true,
        "complaints": [],
        "warnings": loaded.warnings,
        "notes": notes,
        "tenants": tenants.collect::<Vec<_>>(),
        "webhooks": config.webhooks.len(),
    });
    if show {
        let settings = loaded.settings.iter().map(|(key, setting)| {
            let value = json!({ "value": setting.value.to_string(), "origin": setting.origin.to_string() });
            (key.to_owned(), value)
        });
        object["settings"] = Value::Object(settings.collect());
    }
    object
}

fn mistakes_json(refused: &ConfigError) -> Value {
    let diagnostics: Vec<_> = refused.diagnostics.iter().map(diagnostic_json).collect();
    json!({ "ok": false, "complaints": diagnostics })
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let (file, line, column) = match &diagnostic.origin {
        Origin::File { file, line, column } => (Some(file.display().to_string()), Some(*line), Some(*column)),
        Origin::Default | Origin::Environment(_) | Origin::Flag(_) => (None, None, None),
    };
    json!({
        "origin": diagnostic.origin.to_string(),
        "file": file,
        "line": line,
        "column": column,
        "key": diagnostic.key,
        "message": diagnostic.problem,
        "suggestion": diagnostic.suggestion,
        "about": match diagnostic.subject {
            DiagnosticSubject::Configuration => "configuration",
            DiagnosticSubject::Rule => "rule",
        },
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: CheckArgs,
    }

    async fn run_on(toml: &str, options: &[&str]) -> (Exit, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("c.toml");
        std::fs::write(&file, toml).expect("written");
        let file = file.display().to_string();
        let words = ["check", "--config", &file].into_iter().chain(options.iter().copied());
        let args = Command::try_parse_from(words).expect("known options").args;
        let environment = [("SECRET_TEXT".to_owned(), "hunter2".to_owned())].into_iter().collect();
        let mut out = Vec::new();
        let exit = check(&args, &environment, &mut out).await.expect("printed");
        (exit, String::from_utf8(out).expect("text").replace(&file, "c.toml"))
    }

    const SOUND: &str = "[[tenants]]\nid = \"acme\"\nbase_url = \"https://na1.example\"\nclient_id = \"x\"\n\
                         client_secret = { env = \"SECRET_TEXT\" }\nagents = [\"u_1\", \"u_2\"]\n";

    #[tokio::test]
    async fn a_sound_configuration_is_summed_up() {
        let (exit, out) = run_on(SOUND, &[]).await;
        assert_eq!(exit, Exit::Done);
        insta::assert_snapshot!(out, @r"
    warning: server.tokens: no token is configured, so the API answers accounts and stored tokens alone
    ok: tenants: acme; agents named here: 2; webhooks: 0
    rules for acme: 0 enforce, 0 approve, 0 watch
    ");
    }

    #[tokio::test]
    async fn what_a_dialect_lacks_is_noted() {
        let dialect = "dialect = \"incontact\"\n[tenants.incontact]\narea = \"na1\"\ncodes = { Paused = 12 }\n\
                       [store]\nurl = \"sqlite://no/such/file.db\"\n";
        let (exit, out) = run_on(&format!("{SOUND}{dialect}"), &[]).await;
        assert_eq!(exit, Exit::Done);
        let notes: Vec<&str> = out.lines().filter(|line| line.starts_with("note: ")).collect();
        insta::assert_snapshot!(notes.join("\n"), @r"
        note: tenant acme: dialect incontact: there is no live feed, so states are up to 10s old
        note: tenant acme: polls count: at least 6 of 100 requests per minute, more if the list of states has several pages
        note: tenant acme: shifts and breaks are known only from schedules that were imported or exported by the platform; an agent without one may be changed at any time
        note: tenant acme: NotReady, Idle cannot be set: no unavailable code in incontact.codes
        ");
        let (_, json) = run_on(&format!("{SOUND}{dialect}"), &["--output", "json"]).await;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["notes"].as_array().map(Vec::len), Some(notes.len()));
    }

    #[tokio::test]
    async fn mistakes_in_rules_alone_end_in_4() {
        let rule = "[[rules]]\nid = \"r\"\nwhen = { state = \"Redy\" }\nthen = { set_state = \"NotReady\" }\n";
        let (exit, out) = run_on(&format!("{SOUND}{rule}"), &[]).await;
        assert_eq!(exit, Exit::Problems);
        assert!(out.starts_with("c.toml:9:10: rules[r].when.state: "), "{out}");
        let (exit, _) = run_on(&format!("{SOUND}mod = 1\n{rule}"), &[]).await;
        assert_eq!(exit, Exit::BadConfiguration);
    }

    #[tokio::test]
    async fn what_is_in_force_is_shown_with_its_origin_and_without_secrets() {
        let (exit, out) = run_on(SOUND, &["--show", "--set", "log.level=debug"]).await;
        assert_eq!(exit, Exit::Done);
        for line in [
            "tenants[acme].client_secret = *** (env SECRET_TEXT)  # c.toml:5:1\n",
            "tenants[acme].urgent_reserve = 2  # default\n",
            "log.level = \"debug\"  # option --set log.level\n",
        ] {
            assert!(out.contains(line), "{line}{out}");
        }
        let (_, json) = run_on(SOUND, &["--show", "--output", "json"]).await;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["settings"]["tenants[acme].urgent_reserve"], json!({ "value": "2", "origin": "default" }));
        assert!(!out.contains("hunter2") && !json.to_string().contains("hunter2"));
    }

    #[tokio::test]
    async fn mistakes_are_printed_as_compilers_do_and_end_in_78() {
        let broken = "[server]\nlistn = 1\n[log]\nlevel = 3\n";
        let (exit, out) = run_on(broken, &[]).await;
        assert_eq!(exit.code(), 78);
        insta::assert_snapshot!(out, @r#"
    c.toml:2:1: server.listn: is not a known key; did you mean "listen"?
    c.toml:4:9: log.level: expects text (one of "error", "warn", "info", "debug", "trace"), not an integer
    2 mistakes found
    "#);
        let (exit, out) = run_on(broken, &["--output", "json"]).await;
        assert_eq!(exit, Exit::BadConfiguration);
        let json: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(json["complaints"][0]["line"], 2);
        assert_eq!(json["complaints"][0]["suggestion"], "did you mean \"listen\"?");
    }
}
