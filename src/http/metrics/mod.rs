//! `/metrics`: the status of the daemon in Prometheus' text format, or in that of `OpenMetrics` if the client accepts
//! it.
//!
//! Labels are bounded by the configuration: tenant, endpoint, job, subscription, and fixed words. No label names an
//! agent.

mod families;
mod process;
mod writer;

use std::fmt::Write as _;

use axum::extract::{FromRequestParts as _, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::auth::{Caller, Right};
use super::problem::{Code, Problem};
use super::state::ApiState;
use crate::engine::operations::status::StatusSnapshot;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Retrieve metrics
///
/// The format is Prometheus' text format, or `OpenMetrics` if `Accept` asks for it. Requires the right `read`, unless
/// `server.metrics` is `"open"`. With a token, only the tenants that it can access are included.
// With `server.metrics = "open"` anybody who can reach the port may read all metrics.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "daemon",
    operation_id = "show_metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"))
)]
pub(super) async fn show(State(state): State<ApiState>, mut parts: Parts) -> Result<Response, Problem> {
    let caller = if state.metrics_open {
        None
    } else {
        let caller = Caller::from_request_parts(&mut parts, &state).await?;
        caller.require(Right::Read)?;
        Some(caller)
    };
    let snapshot =
        state.status.collect(|tenant| caller.as_ref().is_none_or(|caller| caller.can_access_tenant(tenant))).await;
    let open_metrics = wants_open_metrics(&parts.headers);
    let body = encode(snapshot, open_metrics)
        .map_err(|_| Problem::from_code(Code::Internal, "the metrics cannot be written"))?;
    let kind = if open_metrics { OPEN_METRICS } else { PROMETHEUS };
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accept| accept.contains("application/openmetrics-text"))
}

fn encode(snapshot: StatusSnapshot, open_metrics: bool) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::MetricFamilies(snapshot)));
    let mut body = String::new();
    text::encode(&mut body, &registry)?;
    Ok(if open_metrics { body } else { to_prometheus(&body) })
}

/// Converts metrics to Prometheus' own format, in which a counter is declared under the name of its samples and there
/// is no end mark.
fn to_prometheus(open_metrics: &str) -> String {
    let mut body = String::with_capacity(open_metrics.len() + 4096);
    let mut help = None;
    for line in open_metrics.lines() {
        if line == "# EOF" {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        let declared = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '));
        if let Some((name, kind)) = declared {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                let _ = writeln!(body, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(body, "# TYPE {name}{suffix} {kind}");
        } else {
            let _ = writeln!(body, "{line}");
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_declared_by_the_name_of_its_samples() {
        let open = "# HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{x=\"1\"} 2\n# HELP b_bytes Size.\n\
                    # TYPE b_bytes gauge\nb_bytes 3\n# EOF\n";
        let expected = "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total{x=\"1\"} 2\n\
                        # HELP b_bytes Size.\n# TYPE b_bytes gauge\nb_bytes 3\n";
        assert_eq!(to_prometheus(open), expected);
    }
}
