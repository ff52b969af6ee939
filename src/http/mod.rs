//! The HTTP server: the API under `/api/v1`, the console, and the health checks.
//!
//! It asks the engine through its handles and reads the store. It decides nothing and never writes to the store itself.
//!
//! Each of these imports only what stands above it:
//!
//! - `problem` and `services`: errors, and what `app` implements
//! - `state` and `auth`: what all handlers share, and who the caller is
//! - `request`: what handlers read from a request, and the answer to a repeated one
//! - `api`, `live_stream`, `metrics`: the handlers for programs
//! - `console`, `sign_in`, `openapi`: the handlers of pages
//! - `routes`: the table of all handlers, and the router
//! - `server`: connections

pub mod auth;
pub mod problem;

mod api;
mod console;
mod guard;
mod live_stream;
mod metrics;
mod openapi;
mod request;
mod routes;
mod server;
mod services;
mod sign_in;
mod state;

pub use api::access::accounts::AccountResponse;
pub use api::access::tokens::TokenResponse;
pub use api::analytics::{AnalyticsRowResponse, AnalyticsRowsResponse, AnalyticsRunResponse, AnalyticsRunsResponse};
pub use api::schedules::staffing::StaffingResponse;
pub use api::webhooks::{DeliveryAttemptResponse, DeliveryResponse, EndpointResponse};
pub use auth::{ConfiguredAccess, ConfiguredToken, GroupRole, Right, TrustedProxy};
pub use problem::Code;
pub use routes::limits::LONG_TIMEOUT;
pub use routes::role_table::role_table_markdown;
pub use routes::route::AccessRequirement;
pub use routes::{RouteInfo, list_routes, router};
pub use server::serve;
pub use server::tls::{Certificate, CertificateError, TlsFiles, watch_files};
pub use services::reports::{ReportRequest, ReportRequestError, ReportService};
pub use services::schedule_changes::{
    AgentChanges, AppliedScheduleChange, ChangedShift, LeftOutAgent, RuleActionChange, RulePreview, ScheduleChange,
    ScheduleChangeError, ScheduleChangeRequest, ScheduleCheck, ScheduleEditor, ScheduleVersionSummary, TeamChanges,
};
pub use services::schedule_offers::{MadeOffer, NewOffer, OfferError, OfferToAgent, ScheduleOffers};
pub use services::schedules::{
    DayOfShifts, ImportError, ImportRequest, ImportResult, PlanCheck, PutShiftsError, PutShiftsRequest,
    ScheduleImporter, file_name,
};
pub use services::shifts::ShiftBody;
pub use services::staffing::{StaffingImportRequest, StaffingImportResult, StaffingImporter};
pub use services::webhooks::{KeyRotation, KeyRotationError, KeyRotationRequest, KeyRotator};
pub use state::{ApiServices, ApiState};
