//! A row of the table of routes.

use axum::routing::MethodRouter;
use utoipa_axum::router::UtoipaMethodRouter;

use super::limits::RouteKind;
use crate::http::auth::Right;
use crate::http::problem::Code;
use crate::http::state::ApiState;

/// What a request needs in order to be accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessRequirement {
    /// Nothing: everybody who can reach the port may send it.
    Public,
    /// This right, for at least one tenant.
    Right(Right),
    /// A known caller, whatever their rights.
    SignedIn,
}

/// The handlers of a row.
pub(super) enum RouteHandlers {
    /// Routes with one path that are part of the OpenAPI document. They are built on demand and one at a time, because
    /// all descriptions together take 15 MB.
    Documented(fn() -> UtoipaMethodRouter<ApiState>),
    /// A page or a file for browsers.
    Page(&'static str, Box<MethodRouter<ApiState>>),
}

/// One row of the table.
pub(in crate::http) struct Route {
    pub(super) access: AccessRequirement,
    pub(super) kind: RouteKind,
    /// The errors specific to this route, in addition to those that any request may end with.
    pub(super) error_codes: Vec<Code>,
    pub(super) handlers: RouteHandlers,
}

impl Route {
    /// Creates a row from handlers with `#[utoipa::path]` that share one path and one access requirement.
    pub(in crate::http) const fn new(access: AccessRequirement, routes: fn() -> UtoipaMethodRouter<ApiState>) -> Self {
        Self { access, kind: RouteKind::Ordinary, error_codes: Vec::new(), handlers: RouteHandlers::Documented(routes) }
    }

    /// Creates a row for a page, which is not part of the OpenAPI document.
    pub(in crate::http) fn page(
        access: AccessRequirement,
        path: &'static str,
        methods: MethodRouter<ApiState>,
    ) -> Self {
        Self {
            access,
            kind: RouteKind::Ordinary,
            error_codes: Vec::new(),
            handlers: RouteHandlers::Page(path, Box::new(methods)),
        }
    }

    /// Sets the limits.
    pub(in crate::http) fn with_kind(self, kind: RouteKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds errors specific to the route.
    pub(in crate::http) fn with_errors(mut self, error_codes: &[Code]) -> Self {
        self.error_codes.extend_from_slice(error_codes);
        self
    }

    /// Adds the errors of a request that changes something and that the store has to take.
    pub(in crate::http) fn that_changes(self) -> Self {
        self.with_errors(&[Code::KeyReused, Code::Unavailable, Code::StoreUnavailable])
    }
}
