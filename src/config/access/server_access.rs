//! `[server.tls]`, `[server.sessions]` and `[server.proxy]`: the certificate, the sign-ins and the proxies of the HTTP
//! server.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable, restart_only};
use crate::domain::access::network::Network;
use crate::domain::access::rights::{Role, Scope, ScopeRequest, TenantScopeRequest};
use crate::domain::ids::{TeamName, TenantId};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The certificate of the HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerTls {
    /// The PEM file of the certificate and its chain up to a root.
    pub certificate: PathBuf,
    /// The PEM file of the certificate's key.
    pub key: PathBuf,
}

impl ServerTls {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let certificate = section.optional(
            restart_only(
                "certificate",
                "The file with the certificate and its chain, in PEM format, relative to this file. It is read again \
                 when it changes. With a certificate and a key, the daemon serves TLS only.",
            ),
            &kind::file(),
        );
        let key = section.optional(
            restart_only("key", "The file with the certificate's private key, in PEM format, relative to this file."),
            &kind::file(),
        );
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Self { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                section.add_diagnostic(
                    "key",
                    ValueFault::new("is missing: a certificate needs its key").with_suggestion("set both or none"),
                );
                None
            }
            (None, Some(_)) => {
                section.add_diagnostic(
                    "certificate",
                    ValueFault::new("is missing: a key needs its certificate").with_suggestion("set both or none"),
                );
                None
            }
        }
    }
}

/// The duration of sign-ins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sessions {
    /// How long a sign-in lasts without use.
    pub idle_timeout: Duration,
    /// How long a sign-in lasts at most, even if it is used.
    pub max_lifetime: Duration,
}

impl Sessions {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let idle = section.value(
            reloadable(
                "idle",
                "A session ends after this time without use, in real time. An open page that follows the live view \
                 counts as use.",
            ),
            &kind::duration(5 * MINUTE..=30 * DAY),
            Duration::from_secs(2 * 3600),
        );
        let longest = section.value(
            reloadable("longest", "A session ends after this time in any case, in real time."),
            &kind::duration(5 * MINUTE..=90 * DAY),
            Duration::from_secs(12 * 3600),
        );
        if idle > longest {
            section.add_diagnostic(
                "idle",
                ValueFault::new("is longer than longest").with_suggestion("raise longest, or lower idle"),
            );
        }
        Self { idle_timeout: idle, max_lifetime: longest }
    }
}

/// The trusted proxies, which tell who has signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerProxy {
    /// The proxies' addresses.
    pub peers: Vec<Network>,
    /// The header with the name of the person who has signed in, in lower case.
    pub user_header: Option<String>,
    /// The header with the person's groups, in lower case.
    pub groups_header: Option<String>,
    /// The separator between groups.
    pub groups_separator: char,
    /// The roles that groups grant.
    pub roles: Vec<ProxyRole>,
}

/// The role that a group grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyRole {
    /// The id of the mapping.
    pub id: String,
    /// The group, as the proxy writes it.
    pub group: String,
    /// The role.
    pub role: Role,
    /// The tenants and teams for which the role is granted.
    pub scope: Scope,
}

impl ServerProxy {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let peers = section.value(
            reloadable(
                "peers",
                "Addresses or networks of trusted reverse proxies. Their `X-Forwarded-For`, `-Proto` and `-Host` \
                 headers and the user that they report are believed, so they must remove these headers from incoming \
                 requests.",
            ),
            &kind::list(network()),
            Vec::new(),
        );
        let user_header = section.optional(
            reloadable(
                "user_header",
                "The header with the name of the signed-in user, such as `X-Forwarded-User`. Without it, nobody \
                     signs in through the proxy.",
            ),
            &header(),
        );
        let groups_header = section.optional(
            reloadable("groups_header", "The header with the user's groups, such as `X-Forwarded-Groups`."),
            &header(),
        );
        let groups_separator =
            section.value(reloadable("groups_separator", "The character between two groups."), &separator(), ',');
        let roles = section.tables("roles", ProxyRole::read);
        if user_header.is_some() && peers.is_empty() {
            section.add_diagnostic(
                "user_header",
                ValueFault::new("has no effect without a trusted proxy").with_suggestion("name the proxy in peers"),
            );
        }
        if !roles.is_empty() && groups_header.is_none() {
            section.add_diagnostic("roles", ValueFault::new("need the groups").with_suggestion("set groups_header"));
        }
        Self { peers, user_header, groups_header, groups_separator, roles }
    }
}

impl ProxyRole {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section.required(reloadable("id", "The name of the mapping."), &kind::id::<String>());
        let group = section.required(reloadable("group", "The group, spelled as the proxy spells it."), &kind::text());
        let role = section.required(
            reloadable(
                "role",
                "The role of the group's members. For a user in several groups, the first mapping in this list \
                     applies.",
            ),
            &kind::named(&Role::ALL, Role::name),
        );
        let tenants = section.value(
            reloadable("tenants", "The ids of the tenants where the role applies; `[\"*\"]` for all of them."),
            &kind::list(kind::text()),
            vec!["*".to_owned()],
        );
        let teams = section.value(
            reloadable(
                "teams",
                "The teams that the role is limited to, such as `acme/Billing`; `acme/*` or no entry for all teams \
                 of a tenant. A supervisor needs at least one entry for each tenant.",
            ),
            &kind::list(kind::text()),
            Vec::new(),
        );
        let Ok(requested) = scope_request(&tenants, &teams) else {
            let fault = ValueFault::new("names a team of none of the tenants");
            section.add_diagnostic(
                "teams",
                fault.with_suggestion("write TENANT/TEAM with a tenant of tenants, as in \"acme/Billing\""),
            );
            return None;
        };
        match requested.to_scope(role) {
            Ok(reach) => Some(Self { id: id?, group: group?, role: role?, scope: reach }),
            Err(error) => {
                section.add_diagnostic("teams", ValueFault::new(error.to_string()));
                None
            }
        }
    }
}

/// The error for a team that belongs to none of the tenants.
struct UnknownTenant;

/// Parses a scope from lists such as `["acme"]` and `["acme/Care"]`.
fn scope_request(tenants: &[String], teams: &[String]) -> Result<ScopeRequest, UnknownTenant> {
    if tenants.iter().any(|tenant| tenant == "*") && teams.is_empty() {
        return Ok(ScopeRequest { everywhere: true, tenants: Vec::new() });
    }
    let mut requested: Vec<TenantScopeRequest> =
        tenants.iter().map(|id| TenantScopeRequest { id: TenantId::new(id), teams: None }).collect();
    for named in teams {
        let matched = named.split_once('/').and_then(|(tenant, team)| {
            let found = requested.iter_mut().find(|wanted| wanted.id.as_str() == tenant)?;
            Some((found, TeamName::new(team)))
        });
        let Some((tenant, team)) = matched else { return Err(UnknownTenant) };
        tenant.teams.get_or_insert_default().push(team);
    }
    Ok(ScopeRequest { everywhere: false, tenants: requested })
}

fn network() -> Kind<Network> {
    let convert = |text: &str| {
        text.parse().map_err(|_| {
            ValueFault::new("must be an address or a network")
                .with_suggestion("as in \"10.0.0.7\" or \"10.0.0.0/8\", with zeros after the prefix")
        })
    };
    Kind::from_text("address or network", convert, |network| format!("\"{network}\""))
}

fn header() -> Kind<String> {
    let convert = |text: &str| {
        let sound = !text.is_empty()
            && text.len() <= 100
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let reserved = ["host", "cookie", "authorization", "origin"].contains(&text.to_ascii_lowercase().as_str());
        if sound && !reserved {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(ValueFault::new("must be the name of a header").with_suggestion("as in \"X-Forwarded-User\""))
        }
    };
    Kind::from_text("header", convert, |name| format!("\"{name}\""))
}

fn separator() -> Kind<char> {
    let convert = |text: &str| {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if one.is_ascii_punctuation() || one == ' ' => Ok(one),
            _ => Err(ValueFault::new("must be one character").with_suggestion("as in \",\" or \";\"")),
        }
    };
    Kind::from_text("character", convert, kind::quoted)
}
