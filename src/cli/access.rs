//! The work of `account` and `token`: through the running daemon if there is one, or else on the store itself, as
//! `import` does.

pub mod account;
pub(super) mod password;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::schedules::import::find_daemon;
use super::shared::daemon::{DaemonClient, DaemonError, DaemonRequest};
use super::shared::exit::{CommandFailure, Exit};
use super::shared::output::table_with_header;
use super::shared::scope::{open_existing_reader, usage_error};
use super::shared::tenant_client::path_part;
use crate::app::{clock_for, identity, open_accounts};
use crate::clock::SystemRandom;
use crate::config::{Config, Right};
use crate::domain::access::rights::{Role, ScopeRequest, TenantScopeRequest};
use crate::domain::access::secret::Secret;
use crate::domain::ids::{TeamName, TenantId};
use crate::engine::access::accounts::{AccountChanges, AccountError, Accounts, Author, NewAccount, NewToken};
use crate::http::{AccountResponse, TokenResponse};
use crate::store::{ProcessRole, Store};

/// Options for the tenants and teams of an account or token.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ReachArgs {
    /// A tenant that it may access, or '*' for all of them. May be given more than once.
    #[arg(long = "tenant", value_name = "ID")]
    tenants: Vec<String>,
    /// A team that it is limited to, as TEAM or TENANT/TEAM, or '*' for all of them. May be given more than once.
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
}

impl ReachArgs {
    /// Returns whether nothing was named.
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.teams.is_empty()
    }

    /// Returns the requested reach. Without a tenant it is the only one of the configuration.
    pub(super) fn requested_reach(&self, config: &Config) -> anyhow::Result<ScopeRequest> {
        let mut tenants = self.tenants.clone();
        if tenants.iter().any(|tenant| tenant == "*") {
            if self.teams.is_empty() && tenants.len() == 1 {
                return Ok(ScopeRequest { everywhere: true, tenants: Vec::new() });
            }
            tenants = config.tenants.iter().map(|tenant| tenant.id.to_string()).collect();
        }
        if tenants.is_empty() {
            match config.tenants.as_slice() {
                [only] => tenants.push(only.id.to_string()),
                _ => {
                    return Err(usage_error(
                        "name the tenants with --tenant, or every one with --tenant '*'".to_owned(),
                    ));
                }
            }
        }
        let mut requested: Vec<TenantScopeRequest> =
            tenants.iter().map(|id| TenantScopeRequest { id: TenantId::new(id), teams: None }).collect();
        for team in &self.teams {
            let named = team.split_once('/').filter(|(tenant, _)| tenants.iter().any(|id| id == tenant));
            match (named, requested.as_mut_slice()) {
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
                (None, _) => {
                    return Err(usage_error(format!("the tenant of team {team} is missing: write TENANT/{team}")));
                }
            }
        }
        Ok(ScopeRequest { everywhere: false, tenants: requested })
    }
}

/// A request about accounts or tokens.
pub(super) enum AccessRequest {
    Accounts,
    AddAccount(NewAccount),
    ChangeAccount(String, AccountEdits),
    SetPassword(String, Secret),
    MakeLink(String, Duration),
    Tokens,
    CreateToken(NewToken),
    RevokeToken(String),
}

/// The changes to an account; what is not set stays as it is.
#[derive(Default)]
pub(super) struct AccountEdits {
    pub(super) name: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) reach: Option<ScopeRequest>,
    pub(super) disabled: Option<bool>,
}

/// Carries out the request and returns what the API would answer.
pub(super) async fn execute(config: &Config, request: AccessRequest, reason: Option<&str>) -> anyhow::Result<Value> {
    let Some(daemon) = find_daemon(config).await? else { return execute_locally(config, request, reason).await };
    match execute_remotely(config, &daemon, &request, reason).await {
        Ok(answer) => Ok(answer),
        // The store still names a daemon that crashed. If one does run, the store's lock says so.
        Err(DaemonError::NotReachable { .. }) if config.client.url.is_none() => {
            execute_locally(config, request, reason).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn execute_remotely(
    config: &Config,
    daemon: &DaemonClient,
    request: &AccessRequest,
    reason: Option<&str>,
) -> Result<Value, DaemonError> {
    let with_reason = |mut body: Value| {
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        body
    };
    match request {
        AccessRequest::Accounts => fetch_all_pages(config, daemon, "accounts").await,
        AccessRequest::Tokens => fetch_all_pages(config, daemon, "tokens").await,
        AccessRequest::AddAccount(new) => {
            let mut body = with_reach(&new.scope, json!({ "id": new.id, "name": new.name, "role": new.role }));
            if let Some(password) = &new.password {
                body["password"] = password.expose().into();
            }
            post(config, daemon, "/api/v1/accounts", &with_reason(body)).await
        }
        AccessRequest::ChangeAccount(id, edits) => {
            let path = format!("/api/v1/accounts/{}", path_part(id));
            let before = send_request(config, daemon, Method::GET, &path, &[], |request| request).await?;
            let mut body = json!({
                "name": edits.name.as_ref().map_or_else(|| before["name"].clone(), |name| name.as_str().into()),
                "role": edits.role.map_or_else(|| before["role"].clone(), |role| role.name().into()),
                "disabled": edits.disabled.map_or_else(|| before["disabled"].clone(), Value::from),
            });
            if let Some(reach) = &edits.reach {
                body = with_reach(reach, body);
            } else {
                body["everywhere"] = before["everywhere"].clone();
                body["tenants"] = with_all_teams(&before["tenants"]);
            }
            let (body, tag) = (with_reason(body), format!("\"{}\"", before["version"]));
            send_request(config, daemon, Method::PUT, &path, &[], |request| request.header("If-Match", tag).json(&body))
                .await
        }
        AccessRequest::SetPassword(id, password) => {
            let body = with_reason(json!({ "password": password.expose() }));
            post(config, daemon, &format!("/api/v1/accounts/{}/password", path_part(id)), &body).await
        }
        AccessRequest::MakeLink(id, lasts) => {
            let body = with_reason(json!({ "lasts_s": lasts.as_secs() }));
            let mut link = post(config, daemon, &format!("/api/v1/accounts/{}/link", path_part(id)), &body).await?;
            link["url"] = format!("{}{}", daemon.url(), link["path"].as_str().unwrap_or_default()).into();
            Ok(link)
        }
        AccessRequest::CreateToken(new) => {
            let mut body = with_reach(&new.scope, json!({ "id": new.id, "may": new.rights }));
            body["role"] = json!(new.role);
            body["account"] = json!(new.account);
            body["expires_in_days"] = json!(new.expires_in_days);
            post(config, daemon, "/api/v1/tokens", &with_reason(body)).await
        }
        AccessRequest::RevokeToken(id) => {
            let path = format!("/api/v1/tokens/{}/revoke", path_part(id));
            send_request(config, daemon, Method::POST, &path, &[], |request| request).await
        }
    }
}

/// Names all teams explicitly for a role that is restricted to teams but has all of them.
fn with_all_teams(tenants: &Value) -> Value {
    let mut tenants = tenants.clone();
    for tenant in tenants.as_array_mut().into_iter().flatten() {
        if tenant["teams"].is_null() {
            tenant["teams"] = json!(["*"]);
        }
    }
    tenants
}

fn with_reach(reach: &ScopeRequest, mut body: Value) -> Value {
    body["everywhere"] = reach.everywhere.into();
    body["tenants"] = json!(reach.tenants);
    body
}

async fn post(config: &Config, daemon: &DaemonClient, path: &str, body: &Value) -> Result<Value, DaemonError> {
    send_request(config, daemon, Method::POST, path, &[], |request| request.json(body)).await
}

/// Fetches all pages of a list as one.
async fn fetch_all_pages(config: &Config, daemon: &DaemonClient, name: &str) -> Result<Value, DaemonError> {
    let path = format!("/api/v1/{name}");
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "500")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page = send_request(config, daemon, Method::GET, &path, &query, |request| request).await?;
        rows.extend(page[name].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            None => return Ok(json!({ name: rows })),
            Some(next) => cursor = Some(next.to_owned()),
        }
    }
}

async fn send_request(
    config: &Config,
    daemon: &DaemonClient,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    configure: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Value, DaemonError> {
    // This right belongs to the daemon as a whole, so a token that has it for any tenant will do.
    daemon.call(config, DaemonRequest { method, path, right: Right::Accounts, tenant: None, query }, configure).await
}

async fn execute_locally(config: &Config, request: AccessRequest, reason: Option<&str>) -> anyhow::Result<Value> {
    match request {
        AccessRequest::Accounts => {
            let mut rows = Vec::new();
            if let Some(reader) = open_existing_reader(config).await? {
                rows = reader.accounts().await?;
                reader.close().await;
            }
            Ok(json!({ "accounts": rows.iter().map(AccountResponse::from).collect::<Vec<_>>() }))
        }
        AccessRequest::Tokens => {
            let mut rows = Vec::new();
            if let Some(reader) = open_existing_reader(config).await? {
                rows = reader.api_tokens().await?;
                reader.close().await;
            }
            Ok(json!({ "tokens": rows.iter().map(TokenResponse::from).collect::<Vec<_>>() }))
        }
        AccessRequest::MakeLink(..) => Err(CommandFailure::with_exit(
            Exit::Unreachable,
            "no daemon runs on the configured store, and a link is kept by the daemon alone: start one with `shiftkeeper run \
             --config FILE`",
        )),
        request => execute_in_store(config, request, reason).await,
    }
}

async fn execute_in_store(config: &Config, request: AccessRequest, reason: Option<&str>) -> anyhow::Result<Value> {
    let clock = clock_for(config).await;
    let url = config.store.connection_url();
    let store = Store::open(url.expose(), ProcessRole::Import, clock.clone(), &identity()).await?;
    let accounts = open_accounts(config, &store, clock, Arc::new(SystemRandom)).await?;
    let by = Author::command_line("account", reason.map(str::to_owned));
    let written = apply_request(&accounts, request, &by).await;
    // It holds a writer, and the store closes when the last one is dropped.
    drop(accounts);
    store.close().await;
    written.map_err(|error| match error {
        AccountError::Store(error) => {
            anyhow::Error::from(error).context("the change could not be stored; nothing was changed")
        }
        error => CommandFailure::with_exit(Exit::Failed, error.to_string()),
    })
}

async fn apply_request(accounts: &Accounts, request: AccessRequest, by: &Author) -> Result<Value, AccountError> {
    let to_json = |account: &crate::domain::access::account::Account| json!(AccountResponse::from(account));
    match request {
        AccessRequest::AddAccount(new) => accounts.add_account(new, by).await.map(|account| to_json(&account)),
        AccessRequest::ChangeAccount(id, edits) => {
            let before = accounts.account(by, &id)?;
            let to = AccountChanges {
                name: edits.name.unwrap_or_else(|| before.name.clone()),
                role: edits.role.unwrap_or(before.role),
                scope: edits.reach,
                disabled: edits.disabled.unwrap_or(before.disabled),
                version: Some(before.version),
            };
            accounts.change_account(&id, to, by).await.map(|account| to_json(&account))
        }
        AccessRequest::SetPassword(id, password) => {
            accounts.set_password(&id, password, by).await.map(|account| to_json(&account))
        }
        AccessRequest::CreateToken(new) => {
            let (made, text) = accounts.add_token(new, by).await?;
            let mut response = json!(TokenResponse::from(&*made));
            response["token"] = text.expose().into();
            Ok(response)
        }
        AccessRequest::RevokeToken(id) => {
            accounts.revoke_token(&id, by).await.map(|token| json!(TokenResponse::from(&*token)))
        }
        AccessRequest::Accounts | AccessRequest::Tokens | AccessRequest::MakeLink(..) => Ok(Value::Null),
    }
}

/// Formats rows as a table.
pub(super) fn table(columns: &[&str], rows: &Value) -> String {
    let mut table = table_with_header(columns.iter().map(|column| column.replace('_', " ").to_uppercase()));
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

/// Formats a reach as `*` or `acme, beta/Care`.
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
            let found = args(tenants, teams).requested_reach(config).ok();
            assert_eq!(found.as_ref().map(|reach| json!(reach.tenants)), wanted, "{tenants:?} {teams:?}");
            assert_eq!(found.is_some_and(|reach| reach.everywhere), tenants == ["*"] && teams.is_empty());
        }
    }

    #[tokio::test]
    async fn without_a_daemon_the_store_is_written_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path(), &["acme"]);
        assert_eq!(execute(&config, AccessRequest::Accounts, None).await.expect("none yet"), json!({ "accounts": [] }));
        let reach = args(&[], &["Care"]).requested_reach(&config).expect("a reach");
        let new = |id: &str| NewAccount {
            id: id.into(),
            name: "Ann".into(),
            role: Role::Supervisor,
            scope: reach.clone(),
            password: Some(Secret::new("correct horse battery")),
        };
        let response = execute(&config, AccessRequest::AddAccount(new("ann")), Some("new here")).await.expect("made");
        assert_eq!((&response["version"], &response["made_by"]), (&json!(1), &json!("command:account")));
        let again = execute(&config, AccessRequest::AddAccount(new("ann")), None).await.expect_err("taken").to_string();
        assert!(again.contains("ann is taken"), "{again}");
        let edits = AccountEdits { disabled: Some(true), ..AccountEdits::default() };
        let changed = execute(&config, AccessRequest::ChangeAccount("ann".into(), edits), None).await.expect("changed");
        assert_eq!((&changed["disabled"], &changed["role"]), (&json!(true), &json!("supervisor")));
        let new = NewToken {
            id: "board".into(),
            role: Some(Role::Viewer),
            rights: std::collections::BTreeSet::new(),
            account: None,
            scope: args(&[], &[]).requested_reach(&config).expect("a reach"),
            expires_in_days: Some(1),
        };
        let response = execute(&config, AccessRequest::CreateToken(new), None).await.expect("made");
        assert!(response["token"].as_str().is_some_and(|text| text.starts_with("skt_")), "{response}");
        execute(&config, AccessRequest::RevokeToken("board".into()), None).await.expect("revoked");
        let listed = execute(&config, AccessRequest::Tokens, None).await.expect("listed");
        assert!(
            listed["tokens"][0]["revoked_at"].is_string() && listed["tokens"][0].get("token").is_none(),
            "{listed}"
        );
        let listed = execute(&config, AccessRequest::Accounts, None).await.expect("listed");
        assert!(table(&["id", "reach", "disabled"], &listed["accounts"]).contains("acme/Care"), "{listed}");
        let link = execute(&config, AccessRequest::MakeLink("ann".into(), Duration::from_secs(60)), None).await;
        assert!(link.expect_err("no daemon").to_string().contains("no daemon runs"));
    }
}
