//! The answers that a configuration is made from: options of the command line, or asked for.

use std::fmt;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use reqwest::Url;

use super::prompts::{Prompts, Question};
use crate::cli::shared::output::Output;
use crate::config::{Environment, is_id, is_loopback};
use crate::domain::ids::TenantId;

/// The origin at which tenants outside of government clouds are looked up.
const GLOBAL_AUTH_URL: &str = "https://cxone.niceincontact.com";

/// Options of `init`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Asks for what the options do not say; without a terminal, or with --yes, nothing is asked, and a missing answer is an error.
It requests a token, and with the dialect incontact it reads teams, unavailable codes and agent states. It never changes anything on the
platform. The configuration has mode = \"dry_run\". The secret stays where it is; the configuration only names the place. A token for the
command line is created in the file operator-token beside the configuration.

Examples:
  shiftkeeper init
  shiftkeeper init --tenant acme --area na1 --client-id KEY_ID --secret env:ACME_CLIENT_SECRET --yes
  shiftkeeper init --dialect guide --tenant acme --secret file:acme-secret"
)]
pub struct InitArgs {
    /// The file to write. The default is the file that the variable `SHIFTKEEPER_CONFIG` names, otherwise shiftkeeper.toml.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The platform services to use: the published ones (incontact, the default), or those of the vendor's guides (guide).
    #[arg(long, value_name = "DIALECT")]
    dialect: Option<String>,
    /// The name of the tenant in Shiftkeeper, such as acme.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The authentication URL (incontact; `https://cxone.niceincontact.com` by default), or the base URL of the API (guide).
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The area of the tenant, such as na1 (incontact).
    #[arg(long, value_name = "AREA")]
    area: Option<String>,
    /// The id of the access key (incontact), or the client id (guide).
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Where the secret is kept: `env:NAME`, or `file:PATH` with a path relative to the configuration file.
    #[arg(long, value_name = "PLACE")]
    secret: Option<String>,
    /// The client id of a registered application, if tokens are requested with one (incontact).
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Where the application's secret is kept, if it has one (incontact).
    #[arg(long, value_name = "PLACE", requires = "app_id")]
    app_secret: Option<String>,
    /// The origin of the API, if discovery does not name it (incontact).
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// The origin of access-key tokens, if it is not that of the area (incontact).
    #[arg(long, value_name = "URL")]
    user_hub_url: Option<String>,
    /// How credentials are sent: body, basic or legacy (guide).
    #[arg(long, value_name = "STYLE")]
    token_style: Option<String>,
    /// Ask nothing: use defaults and the proposed codes.
    #[arg(long)]
    pub yes: bool,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

impl InitArgs {
    /// Returns the file to write.
    pub fn file_in(&self, environment: &Environment) -> PathBuf {
        let named = self.config.clone().or_else(|| environment.configuration_file());
        named.unwrap_or_else(|| PathBuf::from("shiftkeeper.toml"))
    }
}

/// What the configuration says about the tenant.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) tenant: TenantId,
    pub(super) base_url: Url,
    pub(super) client_id: String,
    pub(super) secret: SecretPlace,
    pub(super) dialect: DialectAnswers,
}

/// What only one dialect needs.
#[derive(Clone, Debug)]
pub(super) enum DialectAnswers {
    /// The published services.
    Incontact(Box<IncontactAnswers>),
    /// The services of the guides.
    Guide {
        /// How credentials are sent.
        token_style: String,
    },
}

/// What the published services need.
#[derive(Clone, Debug, Default)]
pub(super) struct IncontactAnswers {
    pub(super) area: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) app_secret: Option<SecretPlace>,
    pub(super) api_url: Option<Url>,
    pub(super) user_hub_url: Option<Url>,
}

/// Where a secret is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SecretPlace {
    /// In an environment variable.
    Variable(String),
    /// In a file.
    File(String),
}

impl DialectAnswers {
    /// Returns the name of the dialect in the configuration.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Incontact(_) => "incontact",
            Self::Guide { .. } => "guide",
        }
    }
}

/// As the configuration spells it.
impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, place) = match self {
            Self::Variable(name) => ("env", name),
            Self::File(path) => ("file", path),
        };
        write!(f, "{{ {kind} = {} }}", toml::Value::from(place.as_str()))
    }
}

impl Answers {
    /// Takes the answers from the options, and asks for the others.
    pub(super) fn collect<R: BufRead, W: Write>(args: &InitArgs, prompts: &mut Prompts<R, W>) -> anyhow::Result<Self> {
        let mut ask = |given: &Option<String>, option, text: &str, default: Option<&str>, parse: Parser| {
            prompts.answer(given.as_deref(), &Question { option, text, default }, parse)
        };
        let question = "Dialect of the platform, incontact or guide";
        let dialect = ask(&args.dialect, "--dialect", question, Some("incontact"), parse_dialect)?;
        let is_incontact = dialect == "incontact";
        let tenant = ask(&args.tenant, "--tenant", "Name of the tenant in Shiftkeeper, such as acme", None, parse_id)?;
        let (question, default) =
            if is_incontact { ("Authentication URL", Some(GLOBAL_AUTH_URL)) } else { ("Base URL of the API", None) };
        let base_url = parsed_url(&ask(&args.base_url, "--base-url", question, default, parse_url)?)?;
        let incontact = if is_incontact {
            let optional_url = |given: &Option<String>| given.as_deref().map(parsed_url).transpose();
            let (api_url, user_hub_url) = (optional_url(&args.api_url)?, optional_url(&args.user_hub_url)?);
            let needs_area = args.app_id.is_none() && user_hub_url.is_none() && !is_loopback(&base_url);
            let area = if needs_area || args.area.is_some() {
                Some(ask(&args.area, "--area", "Area of the tenant, such as na1", None, parse_area)?)
            } else {
                None
            };
            Some(Box::new(IncontactAnswers {
                area,
                app_id: args.app_id.clone(),
                app_secret: args
                    .app_secret
                    .as_deref()
                    .map(SecretPlace::parse)
                    .transpose()
                    .map_err(anyhow::Error::msg)?,
                api_url,
                user_hub_url,
            }))
        } else {
            None
        };
        let question = if is_incontact { "Access key id" } else { "Client id" };
        let client_id = ask(&args.client_id, "--client-id", question, None, parse_text)?;
        let question = "Where the secret is kept, as env:NAME or file:PATH";
        let secret =
            ask(&args.secret, "--secret", question, None, |text| SecretPlace::parse(text).map(|_| text.to_owned()))?;
        let secret = SecretPlace::parse(&secret).map_err(anyhow::Error::msg)?;
        let dialect = if let Some(incontact) = incontact {
            DialectAnswers::Incontact(incontact)
        } else {
            let question = "How credentials are sent, body, basic or legacy";
            let token_style = ask(&args.token_style, "--token-style", question, Some("body"), parse_style)?;
            DialectAnswers::Guide { token_style }
        };
        Ok(Self { tenant: TenantId::new(tenant), base_url, client_id, secret, dialect })
    }
}

/// Checks an answer and returns it.
type Parser = fn(&str) -> Result<String, String>;

impl SecretPlace {
    /// Parses `env:NAME` or `file:PATH`. The message does not repeat the text, which may be a secret.
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ => Err("must be env:NAME or file:PATH, not the secret itself".to_owned()),
        }
    }
}

fn parse_choice(text: &str, choices: &[&str]) -> Result<String, String> {
    let choice = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text));
    choice.map(|choice| (*choice).to_owned()).ok_or_else(|| format!("must be one of: {}", choices.join(", ")))
}

fn parse_dialect(text: &str) -> Result<String, String> {
    parse_choice(text, &["incontact", "guide"])
}

fn parse_style(text: &str) -> Result<String, String> {
    parse_choice(text, &["body", "basic", "legacy"])
}

fn parse_id(text: &str) -> Result<String, String> {
    if is_id(text) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit".to_owned())
    }
}

fn parse_area(text: &str) -> Result<String, String> {
    let is_sound = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_sound { Ok(text.to_owned()) } else { Err("must be a name such as na1".to_owned()) }
}

fn parse_text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        Err("must be text".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn parse_url(text: &str) -> Result<String, String> {
    parsed_url(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn parsed_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| crate::cli::shared::scope::usage_error("must be a URL such as https://api.example".to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: InitArgs,
    }

    fn collect(options: &[&str], input: Option<&str>) -> Result<Answers, String> {
        let words = ["init"].into_iter().chain(options.iter().copied());
        let args = Command::try_parse_from(words).expect("known options").args;
        let mut prompts = Prompts::new(input.map(str::as_bytes), Vec::new());
        Answers::collect(&args, &mut prompts).map_err(|error| error.to_string())
    }

    #[test]
    fn a_person_is_asked_in_order() {
        let typed = "\nacme\n\nna1\nKEY\nhunter2\nenv:ACME_KEY\n";
        let answers = collect(&[], Some(typed)).expect("answers");
        assert_eq!((answers.tenant.as_str(), answers.base_url.as_str()), ("acme", "https://cxone.niceincontact.com/"));
        assert_eq!(
            (answers.client_id.as_str(), &answers.secret),
            ("KEY", &SecretPlace::Variable("ACME_KEY".to_owned()))
        );
        let DialectAnswers::Incontact(incontact) = &answers.dialect else { panic!("{answers:?}") };
        assert_eq!(incontact.area.as_deref(), Some("na1"));

        let answers = collect(&[], Some("guide\nacme\nhttps://api.example\nID\nfile:a b\nbasic\n")).expect("answers");
        assert_eq!(answers.secret.to_string(), "{ file = \"a b\" }");
        let DialectAnswers::Guide { token_style } = &answers.dialect else { panic!("{answers:?}") };
        assert_eq!(token_style, "basic");
    }

    #[test]
    fn a_script_learns_the_first_option_that_is_missing_or_wrong() {
        let given = ["--tenant", "acme", "--area", "na1", "--client-id", "KEY", "--secret", "env:ACME_KEY"];
        assert!(collect(&given, None).is_ok());
        for (from, missing) in [(0, "--tenant"), (2, "--area"), (4, "--client-id"), (6, "--secret")] {
            let without: Vec<&str> = [&given[..from], &given[from + 2..]].concat();
            assert_eq!(collect(&without, None).map(|_| ()), Err(format!("{missing} is missing")));
        }
        let secret = collect(&[&given[..7], &["hunter2"]].concat(), None);
        assert!(
            secret.as_ref().is_err_and(|text| text.starts_with("--secret: ") && !text.contains("hunter2")),
            "{secret:?}"
        );
        let local =
            ["--tenant", "acme", "--base-url", "http://127.0.0.1:7070", "--client-id", "K", "--secret", "env:K"];
        assert!(collect(&local, None).is_ok(), "a simulator has no area");
    }
}
