//! What is asked of the daemon of a world, over HTTP or beside it, and what is waited for.

use reqwest::StatusCode;
use serde_json::{Value, json};
use shiftkeeper::engine::access::accounts::Accounts;
use shiftkeeper::engine::changes::keeper_handle::KeeperHandle;
use shiftkeeper::http::{ImportRequest, ImportResult};

use super::daemon::{Daemon, InProcessDaemon, RunMode};
use super::{OPERATOR, Scenario, WAIT_TIMEOUT, send};

impl Scenario {
    /// Imports a schedule into the daemon that runs.
    pub async fn import(&self, csv: &str) -> ImportResult {
        self.import_as(csv, false).await
    }

    /// Imports a schedule, as the whole one of its days or as one of several.
    pub async fn import_as(&self, csv: &str, whole: bool) -> ImportResult {
        let RunMode::InProcess(InProcessDaemon { importer, .. }) = &self.daemon().mode else {
            let (status, body) = send(self.import_request(csv)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            return serde_json::from_value(body).expect("the answer of an import");
        };
        let wanted = ImportRequest {
            tenant: self.tenant.clone(),
            name: "schedule.csv".to_owned(),
            bytes: csv.as_bytes().into(),
            profile: None,
            move_weeks: 0,
            is_complete: whole,
            hash: None,
            actor: "person:scenario".to_owned(),
        };
        importer.run(wanted).await.expect("the schedule is sound")
    }

    /// An import by HTTP.
    pub fn import_request(&self, csv: &str) -> reqwest::RequestBuilder {
        let path = format!("/api/v1/schedule-imports?tenant={}&name=schedule.csv", self.tenant);
        self.request(reqwest::Method::POST, &path).body(csv.to_owned())
    }

    /// The way in for changes, without HTTP.
    pub fn keeper_client(&self) -> KeeperHandle {
        match &self.daemon().mode {
            RunMode::InProcess(InProcessDaemon { importer, .. }) => importer.keeper_client.clone(),
            RunMode::SeparateProcess(_) => panic!("the daemon is a process of its own"),
        }
    }

    /// The address of a page, as a browser on this machine opens it.
    pub fn page_url(&self, path: &str) -> String {
        format!("{}{path}", self.daemon().base)
    }

    /// Who may use the daemon, without HTTP.
    pub fn accounts(&self) -> Accounts {
        match &self.daemon().mode {
            RunMode::InProcess(InProcessDaemon { accounts, .. }) => accounts.clone(),
            RunMode::SeparateProcess(_) => panic!("the daemon is a process of its own"),
        }
    }

    /// A request to the daemon by nobody in particular.
    pub fn anonymous(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.daemon().base))
    }

    pub(super) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    /// What asks the daemon.
    pub fn client(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// Where the daemon is.
    pub fn base(&self) -> &str {
        &self.daemon().base
    }

    /// A request to the daemon's API with the operator's token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(OPERATOR, method, path)
    }

    /// A request to the daemon's API with a token.
    pub fn request_as(&self, token: &str, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.daemon().base)).bearer_auth(token)
    }

    /// `GET` with the operator's token.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        send(self.request(reqwest::Method::GET, path)).await
    }

    /// Asks for a change and gives what became of each agent, in the order asked.
    pub async fn request_change(&self, agents: &[impl AsRef<str>], to: &str) -> Vec<Value> {
        let agents: Vec<&str> = agents.iter().map(AsRef::as_ref).collect();
        let body = json!({"tenant": self.tenant, "agents": agents, "to": to});
        let (status, answer) = send(self.request(reqwest::Method::POST, "/api/v1/transitions").json(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let taken = answer["transitions"].as_array().expect("an entry per agent").clone();
        assert_eq!(taken.len(), agents.len());
        taken
    }

    /// One transition as the API shows it.
    pub async fn transition(&self, taken: &Value) -> Value {
        let id = taken["id"].as_str().expect("an id");
        let (status, body) = self.get(&format!("/api/v1/transitions/{id}?tenant={}", self.tenant)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Waits until a transition stands somewhere.
    pub async fn wait_for_status(&self, accepted: &Value, status: &str) -> Value {
        let what = format!("{} is {status}", accepted["agent"]);
        self.wait_until(&what, || async {
            let now = self.transition(accepted).await;
            if now["status"] == status { Ok(now) } else { Err(now.to_string()) }
        })
        .await
    }

    /// Waits until every one of these stands somewhere; looks at the store, since there may be many.
    pub async fn wait_for_all(&self, taken: &[Value], status: &str) {
        let reader = self.reader().await;
        let ids: Vec<_> = taken.iter().map(|one| one["id"].as_str().expect("an id").parse().expect("an id")).collect();
        let look = || async {
            let mut others = std::collections::BTreeMap::<String, usize>::new();
            for id in &ids {
                let stored = reader.transition(&self.tenant, *id).await.expect("readable").expect("stored");
                if stored.transition.status.name() != status {
                    *others.entry(format!("{}", stored.transition.status)).or_default() += 1;
                }
            }
            if others.is_empty() { Ok(()) } else { Err(format!("{others:?}")) }
        };
        self.wait_until_within(&format!("{} transitions are {status}", ids.len()), WAIT_TIMEOUT * 4, look).await;
    }

    /// The body of `/readyz`, whatever its status.
    pub async fn readiness(&self) -> Value {
        self.get("/readyz").await.1
    }

    /// Waits until the daemon says that it is `ready`, `degraded` or `not_ready`; gives the report.
    pub async fn wait_for_readiness(&self, status: &str) -> Value {
        self.wait_until(&format!("readiness is {status}"), || async {
            let report = self.readiness().await;
            if report["status"] == status { Ok(report) } else { Err(report.to_string()) }
        })
        .await
    }

    /// Waits until a part that is not ready says something with `words` in it.
    pub async fn wait_for_readiness_detail(&self, words: &str) -> Value {
        self.wait_until(&format!("readiness complains of {words:?}"), || async {
            let report = self.readiness().await;
            let complains = |part: &Value| {
                part["ready"] == false && part["detail"].as_str().is_some_and(|detail| detail.contains(words))
            };
            if report["parts"].as_array().is_some_and(|parts| parts.iter().any(complains)) {
                Ok(report)
            } else {
                Err(report.to_string())
            }
        })
        .await
    }
}
