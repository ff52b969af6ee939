//! `[server.tls]`, `[server.sessions]` and `[server.proxy]`: what stands around the HTTP face.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::shared::complaint::{Fault, Origin};
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, directory_of, reloads, restarts};
use crate::config::shared::tree::Value;
use crate::domain::access::network::Network;
use crate::domain::access::rights::{Reach, Role, WantedReach, WantedTenant};
use crate::domain::ids::{TeamName, TenantId};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The certificate of the HTTP face.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerTls {
    /// The file of the certificate and those that lead from it to a root, PEM.
    pub certificate: PathBuf,
    /// The file of its key, PEM.
    pub key: PathBuf,
}

impl ServerTls {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let certificate = section.optional(
            restarts(
                "certificate",
                "The file of the certificate, and of those that lead from it to a root: PEM, relative to this file. It is read again when \
                 it changes. With it, and a key, the daemon speaks TLS alone.",
            ),
            &file(),
        );
        let key = section
            .optional(restarts("key", "The file of the certificate's key: PEM, relative to this file."), &file());
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Self { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                section.complain("key", Fault::new("is missing beside certificate").advise("set both or none"));
                None
            }
            (None, Some(_)) => {
                section.complain("certificate", Fault::new("is missing beside key").advise("set both or none"));
                None
            }
        }
    }
}

/// How long sign-ins last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sessions {
    /// Without use.
    pub idle: Duration,
    /// With it.
    pub longest: Duration,
}

impl Sessions {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let idle = section.value(
            reloads(
                "idle",
                "A sign-in that nobody uses ends after this, in real time. An open page that follows the live view uses it.",
            ),
            &kind::duration(5 * MINUTE..=30 * DAY),
            Duration::from_secs(2 * 3600),
        );
        let longest = section.value(
            reloads("longest", "A sign-in ends after this in any case, in real time."),
            &kind::duration(5 * MINUTE..=90 * DAY),
            Duration::from_secs(12 * 3600),
        );
        if idle > longest {
            section.complain("idle", Fault::new("is longer than longest").advise("raise longest, or lower idle"));
        }
        Self { idle, longest }
    }
}

/// Who stands in front and is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerProxy {
    /// Their addresses.
    pub peers: Vec<Network>,
    /// The header that names who has signed in there, in small letters.
    pub user_header: Option<String>,
    /// The header that names the groups, in small letters.
    pub groups_header: Option<String>,
    /// What parts the groups.
    pub groups_separator: char,
    /// What groups give.
    pub roles: Vec<ProxyRole>,
}

/// What a group gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyRole {
    /// Names the mapping.
    pub id: String,
    /// The group, as the proxy spells it.
    pub group: String,
    /// The role.
    pub role: Role,
    /// Where.
    pub reach: Reach,
}

impl ServerProxy {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let peers = section.value(
            reloads(
                "peers",
                "Addresses or networks of reverse proxies that are believed: `X-Forwarded-For`, `-Proto` and `-Host`, and who has signed \
                 in there. They have to remove these headers from what comes to them.",
            ),
            &kind::list(network()),
            Vec::new(),
        );
        let user_header = section.optional(
            reloads("user_header", "The header in which they name who has signed in, as in `X-Forwarded-User`; without it nobody signs in there."),
            &header(),
        );
        let groups_header = section.optional(
            reloads("groups_header", "The header in which they name the groups, as in `X-Forwarded-Groups`."),
            &header(),
        );
        let groups_separator =
            section.value(reloads("groups_separator", "The character between two groups."), &separator(), ',');
        let roles = section.tables("roles", ProxyRole::read);
        if user_header.is_some() && peers.is_empty() {
            section.complain("user_header", Fault::new("is believed from nobody").advise("name the proxy in peers"));
        }
        if !roles.is_empty() && groups_header.is_none() {
            section.complain("roles", Fault::new("need the groups").advise("set groups_header"));
        }
        Self { peers, user_header, groups_header, groups_separator, roles }
    }
}

impl ProxyRole {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let id = section.required(reloads("id", "Names the mapping."), &kind::id::<String>());
        let group = section.required(reloads("group", "The group, as the proxy spells it."), &kind::text());
        let role = section.required(
            reloads("role", "What the group gives; of somebody who is in several, the first in this list counts."),
            &kind::choice(ROLES),
        );
        let tenants = section.value(
            reloads("tenants", "The tenants where it gives that, by id; `[\"*\"]` is all of them."),
            &kind::list(kind::text()),
            vec!["*".to_owned()],
        );
        let teams = section.value(
            reloads(
                "teams",
                "The teams that it is bound to, as in `acme/Billing`; `acme/*` is all of a tenant's, and so is naming none. For a \
                 supervisor there have to be some at each tenant.",
            ),
            &kind::list(kind::text()),
            Vec::new(),
        );
        let Ok(wanted) = wanted_reach(&tenants, &teams) else {
            let fault = Fault::new("names a team of none of the tenants");
            section
                .complain("teams", fault.advise("write TENANT/TEAM with a tenant of tenants, as in \"acme/Billing\""));
            return None;
        };
        match wanted.reach(role) {
            Ok(reach) => Some(Self { id: id?, group: group?, role: role?, reach }),
            Err(error) => {
                section.complain("teams", Fault::new(error.to_string()));
                None
            }
        }
    }
}

/// A team that is of none of the tenants.
struct NotOfATenant;

/// From `["acme"]` and `["acme/Care"]`.
fn wanted_reach(tenants: &[String], teams: &[String]) -> Result<WantedReach, NotOfATenant> {
    if tenants.iter().any(|tenant| tenant == "*") && teams.is_empty() {
        return Ok(WantedReach { everywhere: true, tenants: Vec::new() });
    }
    let mut wanted: Vec<WantedTenant> =
        tenants.iter().map(|id| WantedTenant { id: TenantId::new(id), teams: None }).collect();
    for named in teams {
        let place = named.split_once('/').and_then(|(tenant, team)| {
            let found = wanted.iter_mut().find(|wanted| wanted.id.as_str() == tenant)?;
            Some((found, TeamName::new(team)))
        });
        let Some((tenant, team)) = place else { return Err(NotOfATenant) };
        tenant.teams.get_or_insert_default().push(team);
    }
    Ok(WantedReach { everywhere: false, tenants: wanted })
}

const ROLES: &[(&str, Role)] = &[
    (Role::Viewer.name(), Role::Viewer),
    (Role::Supervisor.name(), Role::Supervisor),
    (Role::Analyst.name(), Role::Analyst),
    (Role::Auditor.name(), Role::Auditor),
    (Role::Admin.name(), Role::Admin),
];

fn network() -> Kind<Network> {
    let convert = |text: &str| {
        text.parse().map_err(|_| {
            Fault::new("must be an address or a network")
                .advise("as in \"10.0.0.7\" or \"10.0.0.0/8\", with zeros behind the prefix")
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
            Err(Fault::new("must be the name of a header").advise("as in \"X-Forwarded-User\""))
        }
    };
    Kind::from_text("header", convert, |name| format!("\"{name}\""))
}

fn separator() -> Kind<char> {
    let convert = |text: &str| {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if one.is_ascii_punctuation() || one == ' ' => Ok(one),
            _ => Err(Fault::new("must be one character").advise("as in \",\" or \";\"")),
        }
    };
    Kind::from_text("character", convert, |one| toml::Value::String(one.to_string()).to_string())
}

fn below(origin: &Origin, path: &str) -> Result<PathBuf, Fault> {
    if path.trim().is_empty() { Err(Fault::new("must not be empty")) } else { Ok(directory_of(origin).join(path)) }
}

pub(in crate::config) fn file() -> Kind<PathBuf> {
    Kind::whole(
        "file",
        |node| match &node.value {
            Value::Text(path) => below(&node.origin, path).map_err(|fault| vec![fault]),
            _ => Err(vec![kind::expects("the path of a file", node)]),
        },
        |path: &PathBuf| toml::Value::String(Path::display(path).to_string()).to_string(),
    )
}
