//! `[server]`, its tokens, and `[client]`: where the HTTP face listens and how the command line reaches it. What stands around it
//! (certificate, sessions, proxies) is `doorway`'s.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::config::access::doorway::{ServerProxy, ServerTls, Sessions, file};
use crate::config::shared::complaint::Fault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads, restarts};
use crate::domain::access::rights::Right;
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;

/// Characters that a bearer token needs at least, so that it cannot be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Each viewer is a connection and some twenty kilobytes.
const MOST_VIEWERS: usize = 50_000;

/// The HTTP face.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many viewers may follow the live view at once.
    pub viewers: usize,
    /// Who may use it. Without tokens the API answers nobody.
    pub tokens: Vec<ApiToken>,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// The certificate, where it has one.
    pub tls: Option<ServerTls>,
    /// How long sign-ins last.
    pub sessions: Sessions,
    /// Who stands in front and is believed.
    pub proxy: ServerProxy,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricsAccess {
    /// Whoever has a token that may read; it shows the token's tenants.
    Token,
    /// Whoever reaches the port.
    Open,
}

const METRICS: &[(&str, MetricsAccess)] = &[("token", MetricsAccess::Token), ("open", MetricsAccess::Open)];

/// A bearer token of the HTTP face.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// Names the token in logs and audit entries.
    pub id: String,
    /// The token itself.
    pub token: Secret,
    /// The tenants that it reaches.
    pub tenants: TenantScope,
    /// What it may do there.
    pub may: BTreeSet<Right>,
}

/// Which tenants a token reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantScope {
    /// Every tenant (`["*"]`).
    All,
    /// The named ones.
    Only(BTreeSet<TenantId>),
}

impl TenantScope {
    /// Whether the tenant is within reach.
    pub fn contains(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Only(tenants) => tenants.contains(tenant),
        }
    }
}

const RIGHTS: &[(&str, Right)] = &[
    (Right::Read.name(), Right::Read),
    (Right::Change.name(), Right::Change),
    (Right::Import.name(), Right::Import),
    (Right::Excuse.name(), Right::Excuse),
    (Right::EditRules.name(), Right::EditRules),
    (Right::Report.name(), Right::Report),
    (Right::Analytics.name(), Right::Analytics),
    (Right::Audit.name(), Right::Audit),
    (Right::Webhooks.name(), Right::Webhooks),
    (Right::RunJobs.name(), Right::RunJobs),
    (Right::Accounts.name(), Right::Accounts),
    (Right::Erase.name(), Right::Erase),
];

/// What stood under `change` before it had a name of its own, and still does in the configuration.
const WITH_CHANGE: [Right; 2] = [Right::Webhooks, Right::RunJobs];

impl Server {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let listen = section.value(
            restarts("listen", "Address and port of the HTTP face; port 0 takes a free one, which `run` prints."),
            &kind::address(),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
        );
        let viewers = section.value(
            restarts("viewers", "How many viewers may follow the live view at once; one more is turned away."),
            &kind::integer(1..=MOST_VIEWERS),
            2000,
        );
        let tokens = section.tables("tokens", ApiToken::read);
        if tokens.is_empty() {
            section.warn("tokens", "no token is configured, so the API answers accounts and stored tokens alone");
        }
        let metrics = section.value(
            restarts(
                "metrics",
                "Who may read `/metrics`: `token`, whoever has a token that may read (which shows its tenants alone); `open`, \
                 whoever reaches the port.",
            ),
            &kind::choice(METRICS),
            MetricsAccess::Token,
        );
        let tls = section.table("tls", ServerTls::read);
        let sessions = section.table("sessions", Sessions::read);
        let proxy = section.table("proxy", ServerProxy::read);
        Self { listen, viewers, tokens, metrics, tls, sessions, proxy }
    }
}

impl Server {
    /// What addresses of it begin with.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl ApiToken {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section.required(reloads("id", "Names the token in logs and audit entries."), &kind::id::<String>());
        let token = section.daemon_secret(reloads("token", "The bearer token, at least 16 characters."));
        let is_short = |token: &Secret| !token.is_elsewhere() && token.expose().chars().count() < SHORTEST_TOKEN;
        if token.as_ref().is_some_and(is_short) {
            let fault = Fault::new(format!("is shorter than {SHORTEST_TOKEN} characters"));
            section.complain("token", fault.advise("make one with: openssl rand -hex 32"));
        }
        let tenants = section.value(
            reloads("tenants", "The tenants that the token reaches, by id; `[\"*\"]` is all of them."),
            &kind::list(kind::text()),
            vec!["*".to_owned()],
        );
        let may = section.value(
            reloads(
                "may",
                "What the token may do, by the names of docs/rights.md; `change` stands for `webhooks` and `run_jobs` too.",
            ),
            &kind::list(kind::choice(RIGHTS)),
            vec![Right::Read],
        );
        if may.is_empty() {
            section.complain("may", Fault::new("gives no right").advise("as in [\"read\"]"));
        }
        let tenants = if tenants.iter().any(|tenant| tenant == "*") {
            TenantScope::All
        } else {
            TenantScope::Only(tenants.into_iter().map(TenantId::from).collect())
        };
        let mut may: BTreeSet<Right> = may.into_iter().collect();
        if may.contains(&Right::Change) {
            may.extend(WITH_CHANGE);
        }
        Some(Self { id: id?, token: token?, tenants, may })
    }
}

/// How the command line reaches a running daemon.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Client {
    /// The daemon's address; `None` means `server.listen`.
    pub url: Option<Url>,
    /// The file of certificates that are trusted there; `None` means the daemon's own where it is found by `server.listen`, else the
    /// system's.
    pub ca: Option<PathBuf>,
    /// The bearer token; `None` means the first of `server.tokens` that may do what the command needs.
    pub token: Option<Secret>,
}

impl Client {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            url: section.optional(
                reloads("url", "Where the command line finds the daemon; by default `server.listen` on this machine."),
                &kind::url(),
            ),
            ca: section.optional(
                reloads(
                    "ca",
                    "The file of certificates that the command line trusts there, alone: of authorities, or of the daemon itself; PEM, relative \
                     to this file. By default `server.tls.certificate` where the daemon is found by `server.listen`, else the system's.",
                ),
                &file(),
            ),
            token: section.optional_daemon_secret(reloads(
                "token",
                "The token of the command line; by default the first of `server.tokens` that may do what is asked.",
            )),
        }
    }
}
