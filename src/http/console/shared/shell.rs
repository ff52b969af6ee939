//! The frame of every page: the navigation, the tenant and the preferences; and the response of a page.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::times::{Stamp, TimeFormat};
use crate::domain::time::UtcMicros;
use crate::http::auth::Right;
use crate::http::problem::{Code, Problem};

/// A page of the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum ConsolePage {
    /// The agents now.
    Live,
    /// The figures for a screen on the wall.
    Wallboard,
    /// A team's day, planned against actual.
    Schedule,
    /// Bulk changes.
    Changes,
    /// The rules.
    Rules,
    /// Changes that wait for approval.
    Approvals,
    /// Approved exceptions.
    Exceptions,
    /// Reports to run and download.
    Reports,
    /// Analytics queries of the platform and their results.
    Analytics,
    /// Figures over time, and their anomalies.
    Trends,
    /// The audit log.
    Audit,
    /// Webhooks and their deliveries.
    Webhooks,
    /// The status of the daemon.
    System,
    /// The viewer's account, behind the viewer's name.
    Account,
}

impl ConsolePage {
    /// The pages of the navigation, in its order.
    pub(in crate::http::console) const ALL: [Self; 13] = [
        Self::Live,
        Self::Schedule,
        Self::Wallboard,
        Self::Changes,
        Self::Approvals,
        Self::Rules,
        Self::Exceptions,
        Self::Trends,
        Self::Analytics,
        Self::Reports,
        Self::Audit,
        Self::Webhooks,
        Self::System,
    ];

    /// Returns the name, the path and the right of the page.
    const fn facts(self) -> (&'static str, &'static str, Right) {
        match self {
            Self::Live => ("Live", "/", Right::Read),
            Self::Schedule => ("Schedule", "/schedule", Right::Read),
            Self::Wallboard => ("Wallboard", "/wallboard", Right::Read),
            Self::Changes => ("Changes", "/changes", Right::Read),
            Self::Rules => ("Rules", "/rules", Right::Read),
            Self::Approvals => ("Approvals", "/approvals", Right::Read),
            Self::Exceptions => ("Exceptions", "/exceptions", Right::Read),
            Self::Reports => ("Reports", "/reports", Right::Report),
            Self::Analytics => ("Analytics", "/analytics", Right::Analytics),
            Self::Trends => ("Trends", "/trends", Right::Read),
            Self::Audit => ("Audit", "/audit", Right::Audit),
            Self::Webhooks => ("Webhooks", "/webhooks", Right::Read),
            Self::System => ("System", "/system", Right::Read),
            Self::Account => ("Your account", "/account", Right::Read),
        }
    }

    /// Returns the number of the page's group in the navigation: the floor, changes, figures, and operation.
    const fn group(self) -> u8 {
        match self {
            Self::Live | Self::Schedule | Self::Wallboard => 0,
            Self::Changes | Self::Approvals | Self::Rules => 1,
            Self::Exceptions | Self::Trends | Self::Analytics | Self::Reports => 2,
            Self::Audit | Self::Webhooks | Self::System | Self::Account => 3,
        }
    }

    /// Returns the name of the page.
    pub(in crate::http::console) const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns the path of the page.
    pub(in crate::http::console) const fn path(self) -> &'static str {
        self.facts().1
    }

    /// Returns the right that the page takes.
    pub(in crate::http::console) const fn right(self) -> Right {
        self.facts().2
    }
}

/// The frame of a page.
pub(in crate::http::console) struct Shell {
    pub(in crate::http::console) title: String,
    pub(in crate::http::console) place: ConsolePage,
    pub(in crate::http::console) tenant: String,
    pub(in crate::http::console) tenants: Vec<String>,
    /// `light`, `dark`, or empty for the system's theme.
    pub(in crate::http::console) theme: &'static str,
    pub(in crate::http::console) times: TimeFormat,
    pub(in crate::http::console) here: String,
    pub(in crate::http::console) who: String,
    pub(in crate::http::console) role: &'static str,
    pub(in crate::http::console) can_sign_out: bool,
    pub(in crate::http::console) places: Vec<ConsolePage>,
    /// How many approvals wait for the viewer; `None` if the viewer may not decide.
    pub(in crate::http::console) waiting: Option<u64>,
    pub(in crate::http::console) may_change: bool,
    /// The daemon's clock in milliseconds; `speed` is how many times faster than real time it runs.
    pub(in crate::http::console) now_ms: i64,
    pub(in crate::http::console) speed: u32,
}

impl Shell {
    /// Returns the address of a page for the current tenant.
    pub(in crate::http::console) fn link(&self, place: &ConsolePage) -> String {
        self.to(place.path())
    }

    /// Whether a page is the first of its group among those that the navigation offers.
    pub(in crate::http::console) fn starts_group(&self, place: &ConsolePage) -> bool {
        let before = self.places.iter().take_while(|other| *other != place).last();
        before.is_some_and(|before| before.group() != place.group())
    }

    /// Returns an address for the current tenant.
    pub(in crate::http::console) fn to(&self, path: &str) -> String {
        let tenant: String = url::form_urlencoded::byte_serialize(self.tenant.as_bytes()).collect();
        format!("{path}?tenant={tenant}")
    }

    /// Formats an instant for lists.
    pub(in crate::http::console) fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// Returns the address that sets a preference and redirects back.
    pub(in crate::http::console) fn choose(&self, choice: &str, value: &str) -> String {
        let here: String = url::form_urlencoded::byte_serialize(self.here.as_bytes()).collect();
        format!("/preferences?{choice}={value}&next={here}")
    }
}

/// Renders a page.
pub(in crate::http) fn render_page(template: &impl Template) -> Response {
    render_page_with_status(StatusCode::OK, template)
}

/// Renders a page with a status.
pub(in crate::http) fn render_page_with_status(status: StatusCode, template: &impl Template) -> Response {
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
            Problem::from_code(Code::Internal, detail).into_response()
        }
    }
}
