//! What `account` and `token` do: through the running daemon where there is one, else on the store itself, as `import` does.

pub mod account;
pub(super) mod password;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::schedules::import::daemon_for;
use super::shared::caller::path_part;
use super::shared::daemon::{Ask, Daemon, DaemonError};
use super::shared::exit::Exit;
use super::shared::scope::{open_reader, usage};
use super::shared::talk::Failure;
use crate::app::{accounts_of, clock_of, identity};
use crate::clock::SystemRandom;
use crate::config::{Config, Right};
use crate::domain::access::rights::{Role, WantedReach, WantedTenant};
use crate::domain::access::secret::Secret;
use crate::domain::ids::{TeamName, TenantId};
use crate::engine::access::accounts::{AccountChanges, AccountError, Accounts, By, NewAccount, NewToken};
use crate::http::{AccountShown, TokenShown};
use crate::store::{OpenError, Role as Opens, Store};

/// How far somebody is to reach, as options.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ReachArgs {
    /// A tenant that it reaches, or '*' for every one; may be given more than once.
    #[arg(long = "tenant", value_name = "ID")]
    tenants: Vec<String>,
    /// A team that it is bound to, as TEAM or TENANT/TEAM, or '*' for all of them; may be given more than once.
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
}

impl ReachArgs {
    /// Nothing was named.
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.teams.is_empty()
    }

    /// What that comes to. Without a tenant, the only one of the configuration.
    pub(super) fn wanted(&self, config: &Config) -> anyhow::Result<WantedReach> {
        let mut tenants = self.tenants.clone();
        if tenants.iter().any(|tenant| tenant == "*") {
            if self.teams.is_empty() && tenants.len() == 1 {
                return Ok(WantedReach { everywhere: true, tenants: Vec::new() });
            }
            tenants = config.tenants.iter().map(|tenant| tenant.id.to_string()).collect();
        }
        if tenants.is_empty() {
            match config.tenants.as_slice() {
                [only] => tenants.push(only.id.to_string()),
                _ => return Err(usage("name the tenants with --tenant, or every one with --tenant '*'".to_owned())),
            }
        }
        let mut wanted: Vec<WantedTenant> =
            tenants.iter().map(|id| WantedTenant { id: TenantId::new(id), teams: None }).collect();
        for team in &self.teams {
            let named = team.split_once('/').filter(|(tenant, _)| tenants.iter().any(|id| id == tenant));
            match (named, wanted.as_mut_slice()) {
                (Some((tenant, team)), all) => {
                    for wanted in all.iter_mut().filter(|wanted| wanted.id.as_str() == tenant) {
                        wanted.teams.get_or_insert_default().push(TeamName::new(team));
                    }
                }
                (None, [only]) => only.teams.get_or_insert_default().push(TeamName::new(team)),
                (None, all) if team == "*" => {
                    for wanted in all {
                        wanted.teams = Some(vec![TeamName::new("*")]);
                    }
                }
                (None, _) => return Err(usage(format!("of which tenant is the team {team}? write TENANT/{team}"))),
            }
        }
        Ok(WantedReach { everywhere: false, tenants: wanted })
    }
}

/// What is wanted.
pub(super) enum Wish {
    Accounts,
    AddAccount(NewAccount),
    ChangeAccount(String, Edits),
    SetPassword(String, Secret),
    MakeLink(String, Duration),
    Tokens,
    CreateToken(NewToken),
    RevokeToken(String),
}

/// What is to be different about an account; the rest stays.
#[derive(Default)]
pub(super) struct Edits {
    pub(super) name: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) reach: Option<WantedReach>,
    pub(super) disabled: Option<bool>,
}

/// Does it; gives what the API would answer.
pub(super) async fn carry_out(config: &Config, wish: Wish, reason: Option<&str>) -> anyhow::Result<Value> {
    let Some(daemon) = daemon_for(config).await? else { return here(config, wish, reason).await };
    match there(config, &daemon, &wish, reason).await {
        Ok(answer) => Ok(answer),
        // A daemon that crashed still stands in the store; where one does run after all, the store's lock says so.
        Err(DaemonError::NotReachable { .. }) if config.client.url.is_none() => here(config, wish, reason).await,
        Err(error) => Err(error.into_failure()),
    }
}

async fn there(config: &Config, daemon: &Daemon, wish: &Wish, reason: Option<&str>) -> Result<Value, DaemonError> {
    let with_reason = |mut body: Value| {
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        body
    };
    match wish {
        Wish::Accounts => all(config, daemon, "accounts").await,
        Wish::Tokens => all(config, daemon, "tokens").await,
        Wish::AddAccount(new) => {
            let mut body = reaching(&new.reach, json!({ "id": new.id, "name": new.name, "role": new.role }));
            if let Some(password) = &new.password {
                body["password"] = password.expose().into();
            }
            post(config, daemon, "/api/v1/accounts", &with_reason(body)).await
        }
        Wish::ChangeAccount(id, edits) => {
            let path = format!("/api/v1/accounts/{}", path_part(id));
            let before = ask(config, daemon, Method::GET, &path, &[], |request| request).await?;
            let mut body = json!({
                "name": edits.name.as_ref().map_or_else(|| before["name"].clone(), |name| name.as_str().into()),
                "role": edits.role.map_or_else(|| before["role"].clone(), |role| role.name().into()),
                "disabled": edits.disabled.map_or_else(|| before["disabled"].clone(), Value::from),
            });
            if let Some(reach) = &edits.reach {
                body = reaching(reach, body);
            } else {
                body["everywhere"] = before["everywhere"].clone();
                body["tenants"] = with_all_teams(&before["tenants"]);
            }
            let (body, tag) = (with_reason(body), format!("\"{}\"", before["version"]));
            ask(config, daemon, Method::PUT, &path, &[], |request| request.header("If-Match", tag).json(&body)).await
        }
        Wish::SetPassword(id, password) => {
            let body = with_reason(json!({ "password": password.expose() }));
            post(config, daemon, &format!("/api/v1/accounts/{}/password", path_part(id)), &body).await
        }
        Wish::MakeLink(id, lasts) => {
            let body = with_reason(json!({ "lasts_s": lasts.as_secs() }));
            let mut link = post(config, daemon, &format!("/api/v1/accounts/{}/link", path_part(id)), &body).await?;
            link["url"] = format!("{}{}", daemon.url(), link["path"].as_str().unwrap_or_default()).into();
            Ok(link)
        }
        Wish::CreateToken(new) => {
            let mut body = reaching(&new.reach, json!({ "id": new.id, "may": new.may }));
            body["role"] = json!(new.role);
            body["account"] = json!(new.account);
            body["expires_in_days"] = json!(new.expires_in_days);
            post(config, daemon, "/api/v1/tokens", &with_reason(body)).await
        }
        Wish::RevokeToken(id) => {
            let path = format!("/api/v1/tokens/{}/revoke", path_part(id));
            ask(config, daemon, Method::POST, &path, &[], |request| request).await
        }
    }
}

/// A role that is bound to teams and has all of them says so by name.
fn with_all_teams(tenants: &Value) -> Value {
    let mut tenants = tenants.clone();
    for tenant in tenants.as_array_mut().into_iter().flatten() {
        if tenant["teams"].is_null() {
            tenant["teams"] = json!(["*"]);
        }
    }
    tenants
}

fn reaching(reach: &WantedReach, mut body: Value) -> Value {
    body["everywhere"] = reach.everywhere.into();
    body["tenants"] = json!(reach.tenants);
    body
}

async fn post(config: &Config, daemon: &Daemon, path: &str, body: &Value) -> Result<Value, DaemonError> {
    ask(config, daemon, Method::POST, path, &[], |request| request.json(body)).await
}

/// Every page of a list, as one.
async fn all(config: &Config, daemon: &Daemon, name: &str) -> Result<Value, DaemonError> {
    let path = format!("/api/v1/{name}");
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "500")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page = ask(config, daemon, Method::GET, &path, &query, |request| request).await?;
        rows.extend(page[name].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            None => return Ok(json!({ name: rows })),
            Some(next) => cursor = Some(next.to_owned()),
        }
    }
}

async fn ask(
    config: &Config,
    daemon: &Daemon,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Value, DaemonError> {
    // The right is the daemon's own; a token that has it at some tenant will do.
    daemon.ask(config, Ask { method, path, right: Right::Accounts, tenant: None, query }, fill).await
}

async fn here(config: &Config, wish: Wish, reason: Option<&str>) -> anyhow::Result<Value> {
    match wish {
        Wish::Accounts => {
            let rows = match open_reader(config).await {
                Ok(reader) => {
                    let rows = reader.accounts().await?;
                    reader.close().await;
                    rows
                }
                Err(OpenError::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            Ok(json!({ "accounts": rows.iter().map(AccountShown::from).collect::<Vec<_>>() }))
        }
        Wish::Tokens => {
            let rows = match open_reader(config).await {
                Ok(reader) => {
                    let rows = reader.api_tokens().await?;
                    reader.close().await;
                    rows
                }
                Err(OpenError::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            Ok(json!({ "tokens": rows.iter().map(TokenShown::from).collect::<Vec<_>>() }))
        }
        Wish::MakeLink(..) => Err(Failure::because(
            Exit::Unreachable,
            "no daemon runs on the configured store, and a link is kept by the daemon alone: start one with `shiftkeeper run \
             --config FILE`",
        )),
        wish => write_here(config, wish, reason).await,
    }
}

async fn write_here(config: &Config, wish: Wish, reason: Option<&str>) -> anyhow::Result<Value> {
    let clock = clock_of(config).await;
    let url = config.store.connection_url();
    let store = Store::open(url.expose(), Opens::Import, clock.clone(), &identity()).await?;
    let accounts = accounts_of(config, &store, clock, Arc::new(SystemRandom)).await?;
    let by = By::command("account", reason.map(str::to_owned));
    let written = write(&accounts, wish, &by).await;
    // It holds a writer, and the store closes when the last of them is gone.
    drop(accounts);
    store.close().await;
    written.map_err(|error| match error {
        AccountError::Store(error) => anyhow::Error::from(error).context("it could not be stored; nothing was changed"),
        error => Failure::because(Exit::Failed, error.to_string()),
    })
}

async fn write(accounts: &Accounts, wish: Wish, by: &By) -> Result<Value, AccountError> {
    let shown = |account: &crate::domain::access::account::Account| json!(AccountShown::from(account));
    match wish {
        Wish::AddAccount(new) => accounts.add_account(new, by).await.map(|account| shown(&account)),
        Wish::ChangeAccount(id, edits) => {
            let before = accounts.account(by, &id)?;
            let to = AccountChanges {
                name: edits.name.unwrap_or_else(|| before.name.clone()),
                role: edits.role.unwrap_or(before.role),
                reach: edits.reach,
                disabled: edits.disabled.unwrap_or(before.disabled),
                version: Some(before.version),
            };
            accounts.change_account(&id, to, by).await.map(|account| shown(&account))
        }
        Wish::SetPassword(id, password) => {
            accounts.set_password(&id, password, by).await.map(|account| shown(&account))
        }
        Wish::CreateToken(new) => {
            let (made, text) = accounts.add_token(new, by).await?;
            let mut made = json!(TokenShown::from(&*made));
            made["token"] = text.expose().into();
            Ok(made)
        }
        Wish::RevokeToken(id) => accounts.revoke_token(&id, by).await.map(|token| json!(TokenShown::from(&*token))),
        Wish::Accounts | Wish::Tokens | Wish::MakeLink(..) => Ok(Value::Null),
    }
}

/// Rows as a table.
pub(super) fn table(columns: &[&str], rows: &Value) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(columns.iter().map(|column| column.replace('_', " ").to_uppercase()));
    for row in rows.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|column| cell(row, column)));
    }
    table.to_string()
}

fn cell(row: &Value, column: &str) -> String {
    if column == "reach" {
        return reach_text(row);
    }
    match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(answer) => if *answer { "yes" } else { "no" }.to_owned(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `*`, or `acme, beta/Care`.
fn reach_text(row: &Value) -> String {
    if row["everywhere"] == true {
        return "*".to_owned();
    }
    let mut parts = Vec::new();
    for tenant in row["tenants"].as_array().into_iter().flatten() {
        let id = tenant["id"].as_str().unwrap_or_default();
        match tenant["teams"].as_array() {
            None => parts.push(id.to_owned()),
            Some(teams) => parts.extend(teams.iter().filter_map(Value::as_str).map(|team| format!("{id}/{team}"))),
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigText, Environment};

    fn config(folder: &std::path::Path, tenants: &[&str]) -> Config {
        let mut text = format!("[store]\nurl = \"sqlite://{}\"\n", folder.join("keeper.db").display());
        for id in tenants {
            text.push_str("[[tenants]]\nid = ");
            text.push_str(&json!(id).to_string());
            text.push_str(
                "\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\nclient_secret = { env = \"SECRET\" }\n",
            );
        }
        let environment: Environment = [("SECRET".to_owned(), "x".to_owned())].into_iter().collect();
        let texts = [ConfigText { file: "c.toml".into(), text }];
        Config::load_texts(&texts, &environment, &[]).expect("sound").config
    }

    fn args(tenants: &[&str], teams: &[&str]) -> ReachArgs {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        ReachArgs { tenants: owned(tenants), teams: owned(teams) }
    }

    #[test]
    fn options_name_tenants_and_teams_as_people_write_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (config(folder.path(), &["acme"]), config(folder.path(), &["acme", "beta"]));
        for (config, tenants, teams, wanted) in [
            (&one, &[][..], &["Care"][..], Some(json!([{"id": "acme", "teams": ["Care"]}]))),
            (&one, &[], &[], Some(json!([{"id": "acme", "teams": null}]))),
            (&two, &["beta"], &["Care", "beta/Sales"], Some(json!([{"id": "beta", "teams": ["Care", "Sales"]}]))),
            (&two, &["beta"], &["North/South"], Some(json!([{"id": "beta", "teams": ["North/South"]}]))),
            (
                &two,
                &["acme", "beta"],
                &["acme/Care", "beta/Care"],
                Some(json!([{"id": "acme", "teams": ["Care"]}, {"id": "beta", "teams": ["Care"]}])),
            ),
            (&two, &["*"], &["*"], Some(json!([{"id": "acme", "teams": ["*"]}, {"id": "beta", "teams": ["*"]}]))),
            (&two, &["*"], &[], Some(json!([]))),
            (&two, &[], &[], None),
            (&two, &["acme", "beta"], &["Care"], None),
        ] {
            let found = args(tenants, teams).wanted(config).ok();
            assert_eq!(found.as_ref().map(|reach| json!(reach.tenants)), wanted, "{tenants:?} {teams:?}");
            assert_eq!(found.is_some_and(|reach| reach.everywhere), tenants == ["*"] && teams.is_empty());
        }
    }

    #[tokio::test]
    async fn without_a_daemon_the_store_is_written_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path(), &["acme"]);
        assert_eq!(carry_out(&config, Wish::Accounts, None).await.expect("none yet"), json!({ "accounts": [] }));
        let reach = args(&[], &["Care"]).wanted(&config).expect("a reach");
        let new = |id: &str| NewAccount {
            id: id.into(),
            name: "Ann".into(),
            role: Role::Supervisor,
            reach: reach.clone(),
            password: Some(Secret::new("correct horse battery")),
        };
        let made = carry_out(&config, Wish::AddAccount(new("ann")), Some("new here")).await.expect("made");
        assert_eq!((&made["version"], &made["made_by"]), (&json!(1), &json!("command:account")));
        let again = carry_out(&config, Wish::AddAccount(new("ann")), None).await.expect_err("taken").to_string();
        assert!(again.contains("ann is taken"), "{again}");
        let edits = Edits { disabled: Some(true), ..Edits::default() };
        let changed = carry_out(&config, Wish::ChangeAccount("ann".into(), edits), None).await.expect("changed");
        assert_eq!((&changed["disabled"], &changed["role"]), (&json!(true), &json!("supervisor")));
        let new = NewToken {
            id: "board".into(),
            role: Some(Role::Viewer),
            may: std::collections::BTreeSet::new(),
            account: None,
            reach: args(&[], &[]).wanted(&config).expect("a reach"),
            expires_in_days: Some(1),
        };
        let made = carry_out(&config, Wish::CreateToken(new), None).await.expect("made");
        assert!(made["token"].as_str().is_some_and(|text| text.starts_with("skt_")), "{made}");
        carry_out(&config, Wish::RevokeToken("board".into()), None).await.expect("revoked");
        let listed = carry_out(&config, Wish::Tokens, None).await.expect("listed");
        assert!(
            listed["tokens"][0]["revoked_at"].is_string() && listed["tokens"][0].get("token").is_none(),
            "{listed}"
        );
        let listed = carry_out(&config, Wish::Accounts, None).await.expect("listed");
        assert!(table(&["id", "reach", "disabled"], &listed["accounts"]).contains("acme/Care"), "{listed}");
        let link = carry_out(&config, Wish::MakeLink("ann".into(), Duration::from_secs(60)), None).await;
        assert!(link.expect_err("no daemon").to_string().contains("no daemon runs"));
    }
}
