//! `[server]`, its tokens, and `[client]`: where the HTTP server listens and how the command line reaches it. Its
//! certificate, sessions and proxies are in `server_access`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::config::access::server_access::{ServerProxy, ServerTls, Sessions};
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable, restart_only};
use crate::domain::access::rights::Right;
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;

/// The minimum length of a bearer token, in characters, so that it cannot be guessed.
const MIN_TOKEN_CHARS: usize = 16;

/// The maximum number of viewers. Each is a connection and takes some twenty kilobytes.
const MAX_VIEWERS: usize = 50_000;

/// The settings of the HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// The address to listen on. Port 0 chooses a free one.
    pub listen: SocketAddr,
    /// The maximum number of viewers that follow the live view at the same time.
    pub max_viewers: usize,
    /// The tokens that may use the API.
    pub tokens: Vec<ApiToken>,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// The certificate, if TLS is used.
    pub tls: Option<ServerTls>,
    /// How long sign-ins last.
    pub sessions: Sessions,
    /// The trusted proxies.
    pub proxy: ServerProxy,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricsAccess {
    /// Anyone with a token that may read; only the token's tenants are shown.
    Token,
    /// Anyone who can reach the port.
    Open,
}

/// A bearer token of the HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// The token's id in logs and audit entries.
    pub id: String,
    /// The token itself.
    pub token: Secret,
    /// The tenants that the token may access.
    pub tenants: TenantScope,
    /// The token's rights for these tenants.
    pub rights: BTreeSet<Right>,
}

/// The tenants that a token may access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantScope {
    /// Every tenant (`["*"]`).
    All,
    /// The listed tenants.
    Only(BTreeSet<TenantId>),
}

impl TenantScope {
    /// Returns whether the token may access the tenant.
    pub fn contains(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Only(tenants) => tenants.contains(tenant),
        }
    }
}

/// The rights that `change` includes in the configuration. They belonged to it before they got names of their own.
const IMPLIED_BY_CHANGE: [Right; 2] = [Right::Webhooks, Right::RunJobs];

impl Server {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let listen = section.value(
            restart_only(
                "listen",
                "Address and port of the HTTP server. Port 0 takes a free port, which `run` prints.",
            ),
            &kind::address(),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
        );
        let max_viewers = section.value(
            restart_only(
                "viewers",
                "The maximum number of viewers that follow the live view at the same time. Further viewers are \
                     refused.",
            ),
            &kind::integer(1..=MAX_VIEWERS),
            2000,
        );
        let tokens = section.tables("tokens", ApiToken::read);
        if tokens.is_empty() {
            section.warn("tokens", "no token is configured, so the API answers accounts and stored tokens alone");
        }
        let metrics = section.value(
            restart_only(
                "metrics",
                "Who may read `/metrics`: with `token`, tokens with the right `read`, each for its own tenants; with \
                 `open`, anyone who can reach the port.",
            ),
            &kind::choice(&[("token", MetricsAccess::Token), ("open", MetricsAccess::Open)]),
            MetricsAccess::Token,
        );
        let tls = section.table("tls", ServerTls::read);
        let sessions = section.table("sessions", Sessions::read);
        let proxy = section.table("proxy", ServerProxy::read);
        Self { listen, max_viewers, tokens, metrics, tls, sessions, proxy }
    }

    /// Returns the scheme of the server's URLs.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl ApiToken {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section
            .required(reloadable("id", "The name of the token in logs and audit entries."), &kind::id::<String>());
        let token = section.daemon_secret(reloadable("token", "The bearer token, at least 16 characters."));
        let is_short =
            |token: &Secret| !token.is_stored_elsewhere() && token.expose().chars().count() < MIN_TOKEN_CHARS;
        if token.as_ref().is_some_and(is_short) {
            let fault = ValueFault::new(format!("is shorter than {MIN_TOKEN_CHARS} characters"));
            section.add_diagnostic("token", fault.with_suggestion("make one with: openssl rand -hex 32"));
        }
        let tenants = section.value(
            reloadable("tenants", "The ids of the tenants that the token may access; `[\"*\"]` for all of them."),
            &kind::list(kind::text()),
            vec!["*".to_owned()],
        );
        let rights = section.value(
            reloadable("may", "The rights of the token (docs/rights.md). `change` includes `webhooks` and `run_jobs`."),
            &kind::list(kind::named(&Right::ALL, Right::name)),
            vec![Right::Read],
        );
        if rights.is_empty() {
            section.add_diagnostic("may", ValueFault::new("gives no right").with_suggestion("as in [\"read\"]"));
        }
        let tenants = if tenants.iter().any(|tenant| tenant == "*") {
            TenantScope::All
        } else {
            TenantScope::Only(tenants.into_iter().map(TenantId::from).collect())
        };
        let mut may: BTreeSet<Right> = rights.into_iter().collect();
        if may.contains(&Right::Change) {
            may.extend(IMPLIED_BY_CHANGE);
        }
        Some(Self { id: id?, token: token?, tenants, rights: may })
    }
}

/// How the command line reaches a running daemon.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Client {
    /// The daemon's address. `None` means `server.listen`.
    pub url: Option<Url>,
    /// The file of trusted certificates. `None` means the daemon's own certificate if it is found by `server.listen`,
    /// or else the system's authorities.
    pub ca: Option<PathBuf>,
    /// The bearer token. `None` means the first of `server.tokens` that has the right for the command.
    pub token: Option<Secret>,
}

impl Client {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            url: section.optional(
                reloadable(
                    "url",
                    "The URL of the daemon for the command line. The default is `server.listen` on this machine.",
                ),
                &kind::url(),
            ),
            ca: section.optional(
                reloadable(
                    "ca",
                    "The file with the certificates that the command line trusts, in PEM format, relative to this \
                     file: certificate authorities, or the daemon's own certificate. The default is \
                     `server.tls.certificate` if the daemon is found by `server.listen`, otherwise the system's \
                     certificates.",
                ),
                &kind::file(),
            ),
            token: section.optional_daemon_secret(reloadable(
                "token",
                "The token of the command line. The default is the first of `server.tokens` with the required right.",
            )),
        }
    }
}
