//! The text of the configuration that `init` writes.

use std::fmt::Write as _;

use super::answers::{Answers, DialectAnswers, IncontactAnswers};
use super::code_proposal::{CodeLine, CodeProposal};
use super::platform_facts::PlatformFacts;

/// Returns the text. Without `token_file`, it has no token of the command line.
pub(super) fn render(
    answers: &Answers,
    token_file: Option<&str>,
    facts: Option<&PlatformFacts>,
    codes: Option<&CodeProposal>,
) -> String {
    let mut text =
        "# The configuration of Shiftkeeper. config/shiftkeeper.toml and docs/configuration.md have all keys.\n"
            .to_owned();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, answers, token_file, facts, codes);
    text
}

fn write_all(
    text: &mut String,
    answers: &Answers,
    token_file: Option<&str>,
    facts: Option<&PlatformFacts>,
    codes: Option<&CodeProposal>,
) -> std::fmt::Result {
    writeln!(
        text,
        "\n# Files with `[[rules]]`, relative to this file, such as config/rules.toml.\n#rules_files = [\"rules.toml\"]\n"
    )?;
    writeln!(text, "[server]\n# Address and port of the HTTP server.\nlisten = \"127.0.0.1:8080\"\n")?;
    if let Some(file) = token_file {
        writeln!(text, "# The token of the command line.\n[[server.tokens]]\nid = \"operator\"")?;
        writeln!(text, "token = {{ file = {} }}", toml_text(file))?;
        writeln!(
            text,
            "may = [\"read\", \"change\", \"import\", \"edit_schedules\", \"excuse\", \"edit_rules\", \"report\", \"analytics\", \"audit\", \"accounts\"]\n"
        )?;
    }
    writeln!(
        text,
        "[store]\n# The database, relative to the working directory.\nurl = \"sqlite://data/shiftkeeper.db\"\n"
    )?;
    writeln!(text, "[[tenants]]\nid = {}", toml_text(answers.tenant.as_str()))?;
    writeln!(text, "# The services of the platform (docs/platforms.md).\ndialect = \"{}\"", answers.dialect.name())?;
    let (of_url, of_id, of_secret) = match &answers.dialect {
        DialectAnswers::Incontact(_) => {
            ("The URL of discovery and tokens.", "The access key's id.", "The access key's secret.")
        }
        DialectAnswers::Guide { .. } => ("The base URL of the API.", "The client id.", "The client secret."),
    };
    writeln!(text, "# {of_url}\nbase_url = {}", toml_text(answers.base_url.as_str().trim_end_matches('/')))?;
    writeln!(text, "# {of_id}\nclient_id = {}", toml_text(&answers.client_id))?;
    writeln!(text, "# {of_secret}\nclient_secret = {}", answers.secret)?;
    writeln!(
        text,
        "# The maximum number of requests in any 60 seconds, less what other clients of the tenant use.\nrequests_per_minute = 100"
    )?;
    writeln!(text, "# `dry_run` reads everything and sends no state changes; `live` sends them.\nmode = \"dry_run\"")?;
    match &answers.dialect {
        DialectAnswers::Guide { token_style } => {
            writeln!(text, "# Ids of agents in addition to those of imported schedules.\n#agents = []\n")?;
            writeln!(
                text,
                "[tenants.token]\n# How credentials are sent: body, basic or legacy.\nstyle = {}",
                toml_text(token_style)
            )
        }
        DialectAnswers::Incontact(incontact) => write_incontact(text, incontact, facts, codes),
    }
}

fn write_incontact(
    text: &mut String,
    answers: &IncontactAnswers,
    facts: Option<&PlatformFacts>,
    codes: Option<&CodeProposal>,
) -> std::fmt::Result {
    writeln!(text, "\n[tenants.incontact]")?;
    if let Some(app_id) = &answers.app_id {
        writeln!(
            text,
            "# Tokens are requested with the access key and a registered application.\ntoken_kind = \"app\""
        )?;
        writeln!(text, "app_id = {}", toml_text(app_id))?;
        if let Some(secret) = &answers.app_secret {
            writeln!(text, "app_secret = {secret}")?;
        }
    }
    if let Some(area) = &answers.area {
        writeln!(text, "# The area of the tenant.\narea = {}", toml_text(area))?;
    }
    if let Some(url) = &answers.user_hub_url {
        writeln!(text, "# The origin of access-key tokens.\nuser_hub_url = {}", toml_text(url.as_str()))?;
    }
    match (&answers.api_url, facts) {
        (Some(url), _) => writeln!(text, "# The origin of the API.\napi_url = {}", toml_text(url.as_str()))?,
        (None, Some(facts)) => {
            let found = comment_text(facts.token.api_url.as_str().trim_end_matches('/'));
            writeln!(
                text,
                "# The origin of the API. The default is the one that discovery names.\n#api_url = {}",
                toml_text(&found)
            )?;
        }
        (None, None) => {}
    }
    if let Some(version) = facts.and_then(|facts| facts.version) {
        writeln!(text, "# The version in the API's paths. The default does not answer.\nversion = \"{version}\"")?;
    }
    writeln!(text, "# Whether all active agents whom the platform lists are observed.\nroster = true")?;
    codes.map_or(Ok(()), |codes| write_codes(text, codes))
}

fn write_codes(text: &mut String, codes: &CodeProposal) -> std::fmt::Result {
    let mark = if codes.is_refused { "#" } else { "" };
    writeln!(
        text,
        "\n# Unavailable codes that stand for states in all teams, by their names: please check them. A state without a code is not"
    )?;
    writeln!(text, "# set, and a code that is not listed is read as NotReady.\n[tenants.incontact.codes]")?;
    if codes.is_empty() {
        writeln!(text, "#NotReady = 11\n#Paused = 12\n#Idle = 13")?;
    }
    codes.common.iter().try_for_each(|line| write_line(text, mark, line))?;
    if !codes.by_team.is_empty() {
        writeln!(text, "\n# Codes of single teams, which replace those above.")?;
    }
    for (team, lines) in &codes.by_team {
        writeln!(text, "{mark}[tenants.incontact.team_codes.{}]", toml_key(team.as_str()))?;
        lines.iter().try_for_each(|line| write_line(text, mark, line))?;
    }
    if !codes.unclear.is_empty() {
        writeln!(
            text,
            "\n# Active codes whose names do not say which state they stand for. Add them above if they are needed."
        )?;
    }
    codes.unclear.iter().try_for_each(|code| writeln!(text, "# {}", comment_text(&code.to_string())))?;
    if !codes.unusable.is_empty() {
        writeln!(text, "\n# Codes that cannot be set.")?;
    }
    codes.unusable.iter().try_for_each(|code| writeln!(text, "# {}", comment_text(&code.to_string())))
}

fn write_line(text: &mut String, mark: &str, line: &CodeLine) -> std::fmt::Result {
    writeln!(text, "{mark}{} = {}   # {}", toml_key(&line.key), line.code, comment_text(&line.name))
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn toml_key(text: &str) -> String {
    let is_bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_bare { text.to_owned() } else { toml_text(text) }
}

/// Returns a text of the platform without characters that could end a comment.
fn comment_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::answers::SecretPlace;
    use super::super::code_proposal::TeamCodes;
    use super::*;
    use crate::config::{Config, ConfigText, Environment, Mode};
    use crate::domain::agents::state::AgentState;
    use crate::domain::agents::unavailable_codes::UnavailableCode;
    use crate::domain::ids::{ReasonCode, TeamName, TenantId};

    fn team(name: &str, codes: &[(i64, &str)]) -> TeamCodes {
        let code = |(code, name): &(i64, &str)| UnavailableCode {
            code: *code,
            name: (*name).into(),
            is_active: true,
            is_after_contact_work: false,
            timeout: None,
        };
        TeamCodes { team: TeamName::new(name), codes: codes.iter().map(code).collect() }
    }

    fn load(text: &str) -> Config {
        let environment: Environment = [("ACME_KEY".to_owned(), "s3cr3t".to_owned())].into_iter().collect();
        let texts = [ConfigText { file: PathBuf::from("c.toml"), text: text.to_owned() }];
        Config::load_texts(&texts, &environment, &[]).unwrap_or_else(|error| panic!("{error}\n{text}")).config
    }

    fn answers(dialect: DialectAnswers) -> Answers {
        Answers {
            tenant: TenantId::new("acme"),
            base_url: "https://cxone.niceincontact.com".parse().expect("a URL"),
            client_id: "key \"1\"".to_owned(),
            secret: SecretPlace::Variable("ACME_KEY".to_owned()),
            dialect,
        }
    }

    #[test]
    fn the_configuration_is_valid_whatever_the_platform_calls_teams_and_codes() {
        let teams = [
            team("Care \"A\".1\n", &[(12, "Break\n[server]"), (15, "Lunch"), (30, "Other\u{1b}")]),
            team("Sales", &[(12, "Break\n[server]"), (16, "Lunch")]),
        ];
        let proposal = CodeProposal::of(&teams);
        let incontact = IncontactAnswers { area: Some("na1".to_owned()), ..IncontactAnswers::default() };
        let answers = answers(DialectAnswers::Incontact(Box::new(incontact)));
        let config = load(&render(&answers, None, None, Some(&proposal)));
        let tenant = &config.tenants[0];
        assert_eq!((tenant.mode, tenant.client_id.as_str()), (Mode::DryRun, "key \"1\""));
        let code = |team: &str, reason: &str| {
            tenant.incontact.codes.code(Some(&TeamName::new(team)), &AgentState::Paused, &ReasonCode::new(reason))
        };
        assert_eq!((code("Sales", ""), code("Sales", "LUNCH")), (Some(12), Some(16)));
        assert_eq!(code("Care \"A\".1\n", "LUNCH"), Some(15));
        let config = load(&render(&answers, None, None, Some(&proposal.into_comments())));
        assert!(config.tenants[0].incontact.codes.0.is_empty());
    }

    #[test]
    fn an_application_and_the_guides_are_configured_too() {
        let incontact = IncontactAnswers {
            app_id: Some("app".to_owned()),
            app_secret: Some(SecretPlace::Variable("ACME_KEY".to_owned())),
            api_url: "https://api-na1.niceincontact.com".parse().ok(),
            ..IncontactAnswers::default()
        };
        let config = load(&render(&answers(DialectAnswers::Incontact(Box::new(incontact))), None, None, None));
        let incontact = &config.tenants[0].incontact;
        assert_eq!(incontact.app_id.as_deref(), Some("app"));
        assert!(incontact.app_secret.is_some() && incontact.api_url.is_some());
        let guide = DialectAnswers::Guide { token_style: "basic".to_owned() };
        let config = load(&render(&answers(guide), None, None, None));
        assert_eq!(config.tenants[0].token.path, "/oauth/token");
    }
}
