//! What every page has around it: the way to the others, the tenant, the choices, and the page's answer.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::auth::Right;
use crate::http::problem::{Code, Problem};

/// A place of the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum Place {
    /// The agents now.
    Live,
    /// The figures for a screen on the wall.
    Wallboard,
    /// Bulk changes.
    Changes,
    /// The rules.
    Rules,
    /// What rules ask people about.
    Approvals,
    /// Who is excused.
    Exceptions,
    /// Reports to run and take along.
    Reports,
    /// Queries of the platform and what came of them.
    Analytics,
    /// How figures move, and what is odd.
    Trends,
    /// The audit chain.
    Audit,
    /// Webhooks and their deliveries.
    Webhooks,
    /// How the daemon is.
    System,
    /// Whoever looks; behind the name.
    Account,
}

impl Place {
    /// Those of the navigation, in its order.
    pub(in crate::http::console) const ALL: [Self; 12] = [
        Self::Live,
        Self::Wallboard,
        Self::Changes,
        Self::Rules,
        Self::Approvals,
        Self::Exceptions,
        Self::Reports,
        Self::Analytics,
        Self::Trends,
        Self::Audit,
        Self::Webhooks,
        Self::System,
    ];

    /// Its name.
    pub(in crate::http::console) const fn name(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Wallboard => "Wallboard",
            Self::Changes => "Changes",
            Self::Rules => "Rules",
            Self::Approvals => "Approvals",
            Self::Exceptions => "Exceptions",
            Self::Reports => "Reports",
            Self::Analytics => "Analytics",
            Self::Trends => "Trends",
            Self::Audit => "Audit",
            Self::Webhooks => "Webhooks",
            Self::System => "System",
            Self::Account => "Your account",
        }
    }

    /// Its address.
    pub(in crate::http::console) const fn path(self) -> &'static str {
        match self {
            Self::Live => "/",
            Self::Wallboard => "/wallboard",
            Self::Changes => "/changes",
            Self::Rules => "/rules",
            Self::Approvals => "/approvals",
            Self::Exceptions => "/exceptions",
            Self::Reports => "/reports",
            Self::Analytics => "/analytics",
            Self::Trends => "/trends",
            Self::Audit => "/audit",
            Self::Webhooks => "/webhooks",
            Self::System => "/system",
            Self::Account => "/account",
        }
    }

    /// What it takes to see it.
    pub(in crate::http::console) const fn right(self) -> Right {
        match self {
            Self::Reports => Right::Report,
            Self::Analytics => Right::Analytics,
            Self::Audit => Right::Audit,
            Self::Live
            | Self::Wallboard
            | Self::Changes
            | Self::Rules
            | Self::Approvals
            | Self::Exceptions
            | Self::Trends
            | Self::Webhooks
            | Self::System
            | Self::Account => Right::Read,
        }
    }
}

/// The frame of a page.
pub(in crate::http::console) struct Shell {
    pub(in crate::http::console) title: String,
    pub(in crate::http::console) place: Place,
    pub(in crate::http::console) tenant: String,
    pub(in crate::http::console) tenants: Vec<String>,
    /// `light`, `dark`, or empty for the system's.
    pub(in crate::http::console) theme: &'static str,
    pub(in crate::http::console) by_agent: bool,
    /// The viewer's zone, and what the browser has told of it.
    pub(in crate::http::console) zone: String,
    pub(in crate::http::console) told_zone: String,
    pub(in crate::http::console) here: String,
    pub(in crate::http::console) who: String,
    pub(in crate::http::console) role: &'static str,
    pub(in crate::http::console) signs_out: bool,
    pub(in crate::http::console) places: Vec<Place>,
    /// How many changes of rules wait for the viewer; `None` where it is not for the viewer to decide.
    pub(in crate::http::console) waiting: Option<u64>,
    pub(in crate::http::console) may_change: bool,
    /// The daemon's clock, in milliseconds, and how many times faster than real time it runs.
    pub(in crate::http::console) now_ms: i64,
    pub(in crate::http::console) speed: u32,
}

impl Shell {
    /// A place's address for the tenant that is looked at.
    pub(in crate::http::console) fn link(&self, place: &Place) -> String {
        self.to(place.path())
    }

    /// An address for the tenant that is looked at.
    pub(in crate::http::console) fn to(&self, path: &str) -> String {
        let tenant: String = url::form_urlencoded::byte_serialize(self.tenant.as_bytes()).collect();
        format!("{path}?tenant={tenant}")
    }

    /// The address that makes a choice and comes back.
    pub(in crate::http::console) fn choose(&self, choice: &str, value: &str) -> String {
        let here: String = url::form_urlencoded::byte_serialize(self.here.as_bytes()).collect();
        format!("/preferences?{choice}={value}&next={here}")
    }
}

/// A page as an answer.
pub(in crate::http) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// A page as an answer with a status.
pub(in crate::http::console) fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, headers, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "defect: a page cannot be drawn");
            let detail = "the page could not be drawn; see the log";
            Problem::of(Code::Internal, detail).into_response()
        }
    }
}
