//! How a request arrived: from which address, through which proxy, and whether anybody could read it on the way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::configured_access::TrustedProxy;
use crate::domain::access::account::normalized_id;

/// The connection that a request arrived on; `serve` adds it to each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http) struct Peer {
    /// The address of the other end.
    pub(in crate::http) address: SocketAddr,
    /// The local address.
    pub(in crate::http) local: SocketAddr,
    /// Whether the connection is encrypted.
    pub(in crate::http) tls: bool,
}

/// Whether others can read what is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) enum TransportSecurity {
    /// Encrypted, up to here or up to a trusted proxy.
    Tls,
    /// Within this machine.
    Loopback {
        /// The local port.
        port: u16,
    },
    /// Through an unknown proxy on this machine.
    UnknownProxy,
    /// Not encrypted.
    Plaintext,
}

/// The name of the session cookie if nobody can read it on the way and no other host can set it.
pub(in crate::http) const SECURE_SESSION_COOKIE: &str = "__Host-shiftkeeper";

impl TransportSecurity {
    /// Returns the name of the session cookie, or `None` if signing in is not possible.
    ///
    /// Browsers accept the prefix `__Host-` only with TLS. Cookies are not bound to a port, so without TLS the name
    /// includes the port, to keep two daemons on one machine apart.
    pub(in crate::http) fn session_cookie_name(&self) -> Option<String> {
        match self {
            Self::Tls => Some(SECURE_SESSION_COOKIE.to_owned()),
            Self::Loopback { port } => Some(format!("shiftkeeper-{port}")),
            Self::UnknownProxy | Self::Plaintext => None,
        }
    }

    /// Returns why nobody can sign in over this connection, or `None` if it is possible.
    pub(in crate::http) const fn sign_in_refusal(&self) -> Option<&'static str> {
        match self {
            Self::Tls | Self::Loopback { .. } => None,
            Self::UnknownProxy => Some(
                "this address leads to the daemon through something that it does not know, so it cannot tell whether anybody \
                 listens: name that proxy in [server.proxy] peers and let it send X-Forwarded-Proto, or open the daemon's own address",
            ),
            Self::Plaintext => Some(
                "passwords and cookies would travel in clear: give the daemon a certificate in [server.tls], or put a proxy with \
                 TLS in front, name it in [server.proxy] peers, and let it send X-Forwarded-Proto",
            ),
        }
    }
}

/// How a request arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) struct ConnectionInfo {
    /// The address of the client, as far as it is known.
    pub(in crate::http) source: Option<IpAddr>,
    /// Whether others can read what is sent.
    pub(in crate::http) transport: TransportSecurity,
    /// The host and port that the browser connected to.
    pub(in crate::http) host: Option<String>,
    /// The user who signed in at the proxy.
    pub(in crate::http) proxy_identity: ProxyIdentity,
}

/// What a proxy states about the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) enum ProxyIdentity {
    /// Nothing.
    None,
    /// A signed-in user.
    User {
        /// The user's name.
        user: String,
        /// The user's groups.
        groups: Vec<String>,
    },
    /// The statement comes from a peer that is not a trusted proxy.
    Untrusted,
    /// The statement cannot be understood.
    Malformed,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The maximum number of groups that are read.
const MAX_GROUPS: usize = 1000;

/// The longest name of a user, in characters.
const MAX_USER_CHARS: usize = 200;

impl ConnectionInfo {
    /// Reads how a request arrived.
    pub(in crate::http) fn from_parts(parts: &Parts, proxy: &TrustedProxy) -> Self {
        let peer = parts.extensions.get::<Peer>();
        Self::from_headers(&parts.headers, peer, proxy)
    }

    fn from_headers(headers: &HeaderMap, peer: Option<&Peer>, proxy: &TrustedProxy) -> Self {
        let is_trusted = peer.is_some_and(|peer| proxy.trusts(peer.address.ip()));
        let last_forwarded = |name: &HeaderName| is_trusted.then(|| last_value(headers, name)).flatten();
        let host = last_forwarded(&FORWARDED_HOST).or_else(|| header_text(headers, &header::HOST)).map(str::to_owned);
        let forwarded = is_trusted && (headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED_PROTO));
        let transport = match peer {
            Some(peer) if peer.tls => TransportSecurity::Tls,
            Some(_) if last_forwarded(&FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) => {
                TransportSecurity::Tls
            }
            Some(_) if forwarded => TransportSecurity::Plaintext,
            Some(peer) if is_loopback(peer.address.ip()) && is_loopback(peer.local.ip()) => {
                if host.as_deref().is_some_and(is_loopback_host) {
                    TransportSecurity::Loopback { port: peer.local.port() }
                } else {
                    TransportSecurity::UnknownProxy
                }
            }
            Some(_) | None => TransportSecurity::Plaintext,
        };
        Self {
            source: peer.map(|peer| source_address(headers, peer, proxy, is_trusted)),
            transport,
            host,
            proxy_identity: parse_identity(headers, proxy, is_trusted),
        }
    }
}

/// Returns the last hop that is not one of the proxies; anybody could have written what precedes it in the header.
fn source_address(headers: &HeaderMap, peer: &Peer, proxy: &TrustedProxy, is_trusted: bool) -> IpAddr {
    let direct = peer.address.ip().to_canonical();
    if !is_trusted {
        return direct;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut source = direct;
    for hop in hops.into_iter().rev() {
        let Some(address) = parse_address(hop) else { break };
        source = address.to_canonical();
        if !proxy.trusts(source) {
            break;
        }
    }
    source
}

/// Parses an address such as `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

fn parse_identity(headers: &HeaderMap, proxy: &TrustedProxy, is_trusted: bool) -> ProxyIdentity {
    let Some(name) = &proxy.user else { return ProxyIdentity::None };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return ProxyIdentity::None };
    if !is_trusted {
        return ProxyIdentity::Untrusted;
    }
    // A second header may come from the client and have been passed on by the proxy.
    let user = value.to_str().ok().filter(|_| values.next().is_none()).map(normalized_id);
    let Some(user) = user.filter(|user| user.chars().count() <= MAX_USER_CHARS) else {
        return ProxyIdentity::Malformed;
    };
    if user.is_empty() {
        return ProxyIdentity::None;
    }
    let values = proxy.groups.iter().flat_map(|name| headers.get_all(name)).filter_map(|value| value.to_str().ok());
    let groups = values.flat_map(|value| value.split(proxy.separator)).map(str::trim).filter(|group| !group.is_empty());
    ProxyIdentity::User { user, groups: groups.take(MAX_GROUPS).map(str::to_owned).collect() }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the value that the nearest proxy added.
fn last_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a `Host` can only mean this machine. Somebody else can point any other name to this machine, or elsewhere.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, local: &str, tls: bool) -> Peer {
        let socket = |text: &str| text.parse().expect("a socket's address");
        Peer { address: socket(address), local: socket(local), tls }
    }

    fn proxy() -> TrustedProxy {
        TrustedProxy {
            peers: vec!["10.0.0.0/8".parse().expect("a network"), "127.0.0.9".parse().expect("an address")],
            user: Some(HeaderName::from_static("x-user")),
            groups: Some(HeaderName::from_static("x-groups")),
            separator: ',',
            roles: Vec::new(),
        }
    }

    fn connection_info(peer: Peer, headers: &[(&'static str, &'static str)]) -> ConnectionInfo {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, axum::http::HeaderValue::from_static(value));
        }
        ConnectionInfo::from_headers(&map, Some(&peer), &proxy())
    }

    #[test]
    fn a_line_is_safe_with_tls_or_on_this_machine_under_its_own_name() {
        let here = peer("127.0.0.1:5000", "127.0.0.1:8080", false);
        let near = peer("10.0.0.7:5000", "10.0.0.2:8080", false);
        let far = peer("203.0.113.9:5000", "10.0.0.2:8080", false);
        let loopback = TransportSecurity::Loopback { port: 8080 };
        let own = peer("127.0.0.9:5000", "127.0.0.1:8080", false);
        for (peer, headers, line) in [
            (here, &[("host", "127.0.0.1:8080")][..], loopback.clone()),
            (here, &[("host", "localhost:9000")], loopback.clone()),
            (peer("[::1]:5000", "[::1]:8080", false), &[("host", "[::1]:8080")], loopback.clone()),
            (here, &[("host", "keeper.example")], TransportSecurity::UnknownProxy),
            (here, &[], TransportSecurity::UnknownProxy),
            (here, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], TransportSecurity::UnknownProxy),
            (own, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], TransportSecurity::Tls),
            (own, &[("host", "localhost"), ("x-forwarded-for", "203.0.113.9")], TransportSecurity::Plaintext),
            (own, &[("host", "localhost:8080")], loopback),
            (near, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], TransportSecurity::Tls),
            (near, &[("host", "keeper.example"), ("x-forwarded-proto", "https, http")], TransportSecurity::Plaintext),
            (near, &[("host", "keeper.example")], TransportSecurity::Plaintext),
            (far, &[("host", "localhost"), ("x-forwarded-proto", "https")], TransportSecurity::Plaintext),
            (Peer { tls: true, ..far }, &[("host", "keeper.example")], TransportSecurity::Tls),
        ] {
            let found = connection_info(peer, headers).transport;
            assert_eq!(found, line, "{peer:?} {headers:?}");
            assert_eq!(found.session_cookie_name().is_none(), found.sign_in_refusal().is_some());
        }
    }

    #[test]
    fn only_proxies_are_believed_where_a_request_comes_from() {
        let near = peer("10.0.0.7:5000", "10.0.0.2:8080", false);
        let far = peer("203.0.113.9:5000", "10.0.0.2:8080", false);
        for (peer, forwarded, source) in [
            (far, "198.51.100.1", "203.0.113.9"),
            (near, "198.51.100.1", "198.51.100.1"),
            (near, "192.0.2.66, 198.51.100.1", "198.51.100.1"),
            (near, "192.0.2.66, 198.51.100.1, 10.1.1.1", "198.51.100.1"),
            (near, "[2001:db8::1]:4711", "2001:db8::1"),
            (near, "198.51.100.1:80", "198.51.100.1"),
            (near, "nonsense", "10.0.0.7"),
            (near, "198.51.100.1, nonsense, 10.1.1.1", "10.1.1.1"),
        ] {
            let found = connection_info(peer, &[("x-forwarded-for", forwarded)]).source;
            assert_eq!(found, Some(source.parse().expect("an address")), "{forwarded}");
        }
    }

    #[test]
    fn only_trusted_proxies_may_name_the_user() {
        let near = peer("10.0.0.7:5000", "10.0.0.2:8080", false);
        let far = peer("203.0.113.9:5000", "10.0.0.2:8080", false);
        let somebody = |user: &str, groups: &[&str]| ProxyIdentity::User {
            user: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        for (peer, headers, identity) in [
            (near, &[][..], ProxyIdentity::None),
            (near, &[("x-groups", "floor")], ProxyIdentity::None),
            (
                near,
                &[("x-user", "Ann@Example.com"), ("x-groups", "floor, all,")],
                somebody("ann@example.com", &["floor", "all"]),
            ),
            (
                near,
                &[("x-user", "ann"), ("x-groups", "floor"), ("x-groups", "all")],
                somebody("ann", &["floor", "all"]),
            ),
            (near, &[("x-user", "ann"), ("x-user", "bob")], ProxyIdentity::Malformed),
            (near, &[("x-user", " ")], ProxyIdentity::None),
            (far, &[("x-user", "ann"), ("x-groups", "admins")], ProxyIdentity::Untrusted),
        ] {
            assert_eq!(connection_info(peer, headers).proxy_identity, identity, "{peer:?} {headers:?}");
        }
    }
}
