//! The published services, as a client meets them.

mod lists;
mod states;
mod tokens;
mod traps;

use super::*;

const SERVICES: &str = "/incontactapi/services/v31.0";

fn published_options() -> SimOptions {
    SimOptions { agent_ids: AgentIds::Numbers, special_users: false, requests_per_minute: 10_000, ..quiet_options() }
}

fn trapped(traps: &[Trap]) -> SimOptions {
    SimOptions { traps: traps.to_vec(), ..published_options() }
}

impl Bench {
    async fn key_token(&self, tenant: usize) -> Value {
        let TenantDescription { client_id, client_secret, .. } = &self.tenants[tenant];
        let body = json!({ "accessKeyId": client_id, "accessKeySecret": client_secret });
        let request = self.http.post(format!("{}/authentication/v1/token/access-key", self.base)).json(&body);
        let (status, answer) = send(request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn key_access(&self, tenant: usize) -> String {
        self.key_token(tenant).await["access_token"].as_str().expect("a token").to_owned()
    }

    async fn read(&self, path: &str, token: &str) -> (StatusCode, Value) {
        send(self.get(&format!("{SERVICES}{path}"), token)).await
    }

    /// Reads what has to be there.
    async fn list(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.read(path, token).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn request_state(&self, token: &str, agent: &str, query: &str) -> StatusCode {
        let path = format!("{SERVICES}/agents/{agent}/state?{query}");
        self.http.post(format!("{}{path}", self.base)).bearer_auth(token).send().await.expect("answered").status()
    }

    async fn log_out(&self, token: &str, agent: &str) -> StatusCode {
        let path = format!("{SERVICES}/agents/{agent}/logout");
        self.http.post(format!("{}{path}", self.base)).bearer_auth(token).send().await.expect("answered").status()
    }

    fn put(&self, agent: &str, state: &str) {
        self.direct(json!({ "agent": agent, "state": state, "hold": true }));
    }

    fn direct(&self, script: Value) {
        self.simulator.apply_script(&serde_json::from_value(script).expect("a script")).expect("followed");
    }

    fn change_code(&self, script: Value) {
        self.simulator.apply_code_script(&serde_json::from_value(script).expect("a script")).expect("followed");
    }

    /// The state and the code that an agent's row shows.
    async fn shown(&self, token: &str, agent: &str) -> (String, i64) {
        let body = self.list(&format!("/agents/{agent}/states"), token).await;
        let row = &body["agentStates"][0];
        (row["agentStateName"].as_str().expect("a name").to_owned(), row["outStateId"].as_i64().expect("a number"))
    }

    fn acceptances(&self) -> Vec<Option<Acceptance>> {
        let log = self.simulator.log(0, 1000);
        log.requests
            .iter()
            .filter(|request| request.method == "POST")
            .skip(1)
            .map(|request| request.acceptance)
            .collect()
    }
}

fn rows<'a>(body: &'a Value, list: &str) -> &'a Vec<Value> {
    body[list].as_array().unwrap_or_else(|| panic!("no {list}: {body}"))
}
