//! How a request came: from which address, through whom, and whether anybody could read it on the way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::known::Proxy;
use crate::domain::access::account::typed_id;

/// The connection that a request came over; `serve` puts it beside each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http) struct Peer {
    /// Who is at the other end.
    pub(in crate::http) address: SocketAddr,
    /// Where it arrived.
    pub(in crate::http) local: SocketAddr,
    /// It is encrypted.
    pub(in crate::http) tls: bool,
}

/// Whether what is said here can be overheard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) enum Line {
    /// It is encrypted, up to here or up to a proxy that is believed.
    Tls,
    /// It does not leave this machine.
    Loopback {
        /// The port that it came to.
        port: u16,
    },
    /// It leads here through something on this machine that is not known.
    Unknown,
    /// It is in clear.
    Clear,
}

/// What the cookie of a session is called where nobody can overhear it and no other host can set it.
pub(in crate::http) const COOKIE: &str = "__Host-shiftkeeper";

impl Line {
    /// What the cookie of a session is called here; `None` where there is no signing in. Browsers take the prefix `__Host-` with
    /// TLS alone. Cookies know no ports, so that without it the port is in the name: two daemons on one machine are two.
    pub(in crate::http) fn cookie(&self) -> Option<String> {
        match self {
            Self::Tls => Some(COOKIE.to_owned()),
            Self::Loopback { port } => Some(format!("shiftkeeper-{port}")),
            Self::Unknown | Self::Clear => None,
        }
    }

    /// Why nobody can sign in over this.
    pub(in crate::http) const fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Tls | Self::Loopback { .. } => None,
            Self::Unknown => Some(
                "this address leads to the daemon through something that it does not know, so it cannot tell whether anybody \
                 listens: name that proxy in [server.proxy] peers and let it send X-Forwarded-Proto, or open the daemon's own address",
            ),
            Self::Clear => Some(
                "passwords and cookies would travel in clear: give the daemon a certificate in [server.tls], or put a proxy with \
                 TLS in front, name it in [server.proxy] peers, and let it send X-Forwarded-Proto",
            ),
        }
    }
}

/// How a request came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) struct Arrival {
    /// Whose request it is, by address, as far as anybody knows.
    pub(in crate::http) source: Option<IpAddr>,
    /// Whether it can be overheard.
    pub(in crate::http) line: Line,
    /// The host and port that the browser thinks it talks to.
    pub(in crate::http) host: Option<String>,
    /// Who signed in at the proxy.
    pub(in crate::http) identity: Identity,
}

/// What a proxy says of who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) enum Identity {
    /// Nothing.
    None,
    /// Somebody.
    Somebody {
        /// Who.
        user: String,
        /// In which groups.
        groups: Vec<String>,
    },
    /// Somebody who is no proxy that is believed says so.
    Stranger,
    /// It cannot be understood.
    Garbled,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The most groups that are looked at.
const MOST_GROUPS: usize = 1000;

/// The longest name of a user, in characters.
const LONGEST_USER: usize = 200;

impl Arrival {
    /// Of a request.
    pub(in crate::http) fn of(parts: &Parts, proxy: &Proxy) -> Self {
        let peer = parts.extensions.get::<Peer>();
        Self::at(&parts.headers, peer, proxy)
    }

    fn at(headers: &HeaderMap, peer: Option<&Peer>, proxy: &Proxy) -> Self {
        let is_believed = peer.is_some_and(|peer| proxy.believes(peer.address.ip()));
        let last = |name: &HeaderName| is_believed.then(|| last_of(headers, name)).flatten();
        let host = last(&FORWARDED_HOST).or_else(|| text_of(headers, &header::HOST)).map(str::to_owned);
        let forwarded = is_believed && (headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED_PROTO));
        let line = match peer {
            Some(peer) if peer.tls => Line::Tls,
            Some(_) if last(&FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) => Line::Tls,
            Some(_) if forwarded => Line::Clear,
            Some(peer) if is_here(peer.address.ip()) && is_here(peer.local.ip()) => {
                if host.as_deref().is_some_and(names_this_machine) {
                    Line::Loopback { port: peer.local.port() }
                } else {
                    Line::Unknown
                }
            }
            Some(_) | None => Line::Clear,
        };
        Self {
            source: peer.map(|peer| source_of(headers, peer, proxy, is_believed)),
            line,
            host,
            identity: identity_of(headers, proxy, is_believed),
        }
    }
}

/// The last hop that is not one of the proxies: what stands before it in the header, anybody may have written.
fn source_of(headers: &HeaderMap, peer: &Peer, proxy: &Proxy, is_believed: bool) -> IpAddr {
    let direct = peer.address.ip().to_canonical();
    if !is_believed {
        return direct;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut source = direct;
    for hop in hops.into_iter().rev() {
        let Some(address) = address_of(hop) else { break };
        source = address.to_canonical();
        if !proxy.believes(source) {
            break;
        }
    }
    source
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

fn identity_of(headers: &HeaderMap, proxy: &Proxy, is_believed: bool) -> Identity {
    let Some(name) = &proxy.user else { return Identity::None };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Identity::None };
    if !is_believed {
        return Identity::Stranger;
    }
    // A second one may be the client's own, which the proxy let through.
    let user = value.to_str().ok().filter(|_| values.next().is_none()).map(typed_id);
    let Some(user) = user.filter(|user| user.chars().count() <= LONGEST_USER) else { return Identity::Garbled };
    if user.is_empty() {
        return Identity::None;
    }
    let values = proxy.groups.iter().flat_map(|name| headers.get_all(name)).filter_map(|value| value.to_str().ok());
    let groups = values.flat_map(|value| value.split(proxy.separator)).map(str::trim).filter(|group| !group.is_empty());
    Identity::Somebody { user, groups: groups.take(MOST_GROUPS).map(str::to_owned).collect() }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What the proxy that is nearest says.
fn last_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a `Host` can mean nothing but this machine. Any other name that leads here is one that somebody else may point elsewhere.
fn names_this_machine(host: &str) -> bool {
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

    fn proxy() -> Proxy {
        Proxy {
            peers: vec!["10.0.0.0/8".parse().expect("a network"), "127.0.0.9".parse().expect("an address")],
            user: Some(HeaderName::from_static("x-user")),
            groups: Some(HeaderName::from_static("x-groups")),
            separator: ',',
            roles: Vec::new(),
        }
    }

    fn arrival(peer: Peer, headers: &[(&'static str, &'static str)]) -> Arrival {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, axum::http::HeaderValue::from_static(value));
        }
        Arrival::at(&map, Some(&peer), &proxy())
    }

    #[test]
    fn a_line_is_safe_with_tls_or_on_this_machine_under_its_own_name() {
        let here = peer("127.0.0.1:5000", "127.0.0.1:8080", false);
        let near = peer("10.0.0.7:5000", "10.0.0.2:8080", false);
        let far = peer("203.0.113.9:5000", "10.0.0.2:8080", false);
        let loopback = Line::Loopback { port: 8080 };
        let own = peer("127.0.0.9:5000", "127.0.0.1:8080", false);
        for (peer, headers, line) in [
            (here, &[("host", "127.0.0.1:8080")][..], loopback.clone()),
            (here, &[("host", "localhost:9000")], loopback.clone()),
            (peer("[::1]:5000", "[::1]:8080", false), &[("host", "[::1]:8080")], loopback.clone()),
            (here, &[("host", "keeper.example")], Line::Unknown),
            (here, &[], Line::Unknown),
            (here, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], Line::Unknown),
            (own, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], Line::Tls),
            (own, &[("host", "localhost"), ("x-forwarded-for", "203.0.113.9")], Line::Clear),
            (own, &[("host", "localhost:8080")], loopback),
            (near, &[("host", "keeper.example"), ("x-forwarded-proto", "https")], Line::Tls),
            (near, &[("host", "keeper.example"), ("x-forwarded-proto", "https, http")], Line::Clear),
            (near, &[("host", "keeper.example")], Line::Clear),
            (far, &[("host", "localhost"), ("x-forwarded-proto", "https")], Line::Clear),
            (Peer { tls: true, ..far }, &[("host", "keeper.example")], Line::Tls),
        ] {
            let found = arrival(peer, headers).line;
            assert_eq!(found, line, "{peer:?} {headers:?}");
            assert_eq!(found.cookie().is_none(), found.refusal().is_some());
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
            let found = arrival(peer, &[("x-forwarded-for", forwarded)]).source;
            assert_eq!(found, Some(source.parse().expect("an address")), "{forwarded}");
        }
    }

    #[test]
    fn only_proxies_are_believed_who_somebody_is() {
        let near = peer("10.0.0.7:5000", "10.0.0.2:8080", false);
        let far = peer("203.0.113.9:5000", "10.0.0.2:8080", false);
        let somebody = |user: &str, groups: &[&str]| Identity::Somebody {
            user: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        for (peer, headers, identity) in [
            (near, &[][..], Identity::None),
            (near, &[("x-groups", "floor")], Identity::None),
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
            (near, &[("x-user", "ann"), ("x-user", "bob")], Identity::Garbled),
            (near, &[("x-user", " ")], Identity::None),
            (far, &[("x-user", "ann"), ("x-groups", "admins")], Identity::Stranger),
        ] {
            assert_eq!(arrival(peer, headers).identity, identity, "{peer:?} {headers:?}");
        }
    }
}
