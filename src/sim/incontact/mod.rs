//! The published services of the platform (the daemon's dialect `incontact`).
//!
//! It shares no code with the daemon's adapter, so that one checks the other.
//!
//! | file | content |
//! |---|---|
//! | `operations` | the calls, and how they word errors |
//! | `tokens` | tokens by access key, by application and by refresh token |
//! | `states`, `agents`, `skills`, `history`, `schedules` | the calls, by what they are about |
//! | `codes`, `facts` | unavailable codes by team, and what else only these services know |
//! | `page` | pages, links and spellings |
//! | `trap` | what may be different from the documents |

mod agents;
pub(in crate::sim) mod codes;
pub(in crate::sim) mod facts;
mod history;
pub(in crate::sim) mod operations;
mod page;
mod schedules;
mod skills;
mod states;
mod tokens;
pub(in crate::sim) mod trap;

use std::time::Duration;

use serde_json::{Value, json};

use super::call::Call;
use super::faults::FaultKind;
use super::platform_state::{PlatformState, Tenant};
use super::wire::{self, Problem};
use crate::domain::time::UtcMicros;

use operations::{PublishedCall, PublishedReply};

/// How a call is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallSettings {
    /// The number of the request in the journal.
    pub(super) seq: u64,
    /// How long a requested state waits.
    pub(super) delay: Duration,
    /// The error of the platform's clock, in milliseconds.
    pub(super) skew_ms: i64,
    pub(super) fault: Option<FaultKind>,
}

impl PlatformState {
    /// Returns the tenant that a call of the published services without a bearer token claims.
    pub(super) fn published_tenant(&self, published: PublishedCall, call: &Call) -> Option<usize> {
        if published == PublishedCall::Discovery {
            let id = call.query.get("tenantId")?;
            return self.tenants.iter().position(|tenant| tenant.id.as_str() == id);
        }
        self.claimed_tenant(published, call)
    }

    /// Answers a call of the published services.
    pub(super) fn answer_published(
        &mut self,
        published: PublishedCall,
        call: &Call,
        tenant: Option<usize>,
        settings: CallSettings,
        now: UtcMicros,
    ) -> Result<PublishedReply, Problem> {
        if matches!(published, PublishedCall::KeyToken | PublishedCall::KeyRefresh | PublishedCall::AppToken) {
            return self.grant_token(published, call, tenant, now);
        }
        let tenant = tenant.and_then(|at| self.tenants.get_mut(at));
        tenant.ok_or_else(|| Problem::new(404, "NotFound", "no such tenant"))?.answer(published, call, settings)
    }
}

impl Tenant {
    fn answer(
        &mut self,
        published: PublishedCall,
        call: &Call,
        CallSettings { seq, delay, skew_ms, fault }: CallSettings,
    ) -> Result<PublishedReply, Problem> {
        match published {
            // The caller has handled these.
            PublishedCall::KeyToken | PublishedCall::KeyRefresh | PublishedCall::AppToken => {
                Err(Problem::new(404, "NotFound", "no such thing"))
            }
            PublishedCall::Discovery => Ok(PublishedReply::json(discovery_body(call, self))),
            PublishedCall::States => self.agent_states(call, skew_ms, fault),
            PublishedCall::AgentStates => self.one_agent_states(call, skew_ms),
            PublishedCall::SetState => self.set_agent_state(call, seq, delay),
            PublishedCall::LogOut => self.log_agent_out(call, seq, delay),
            PublishedCall::Agents => self.agent_list(call, None, skew_ms),
            PublishedCall::Teams => self.team_list(call),
            PublishedCall::TeamAgents => self.team_agents(call, skew_ms),
            PublishedCall::Codes => self.code_list(call),
            PublishedCall::TeamCodes => self.team_codes(call),
            PublishedCall::SkillActivity => self.skill_activity(call, skew_ms, fault),
            PublishedCall::SkillSearch => self.skill_search(call, skew_ms, fault),
            PublishedCall::StateHistory => self.state_history(call, skew_ms),
            PublishedCall::AgentStateHistory => self.agent_state_history(call, skew_ms),
            PublishedCall::ScheduleExport => self.export_schedule(call, skew_ms),
            PublishedCall::ServerTime => {
                let now = wire::instant_text(self.world.current_time(), skew_ms);
                Ok(PublishedReply::json(self.spelled(json!({ "ServerTime": now }))))
            }
        }
    }
}

fn discovery_body(call: &Call, tenant: &Tenant) -> Value {
    json!({
        "api_endpoint": &*call.base_url,
        "auth_endpoint": &*call.base_url,
        "ui_endpoint": &*call.base_url,
        "domain": "simulator.example",
        "uhDomain": "simulator.example",
        "tenantId": tenant.id,
    })
}
