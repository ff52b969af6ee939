//! Where deliveries may lead: the law of addresses and names, in one place, for the configuration's check and for every connect.
//!
//! Nothing here looks a name up or opens a socket. An address that only this host or its network can reach is refused, in
//! whatever way it is wrapped; `allow` names what is meant all the same.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use url::{Host, Url};

/// What is wrong with an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Forbidden {
    /// This host.
    #[error("this host itself")]
    Loopback,
    /// A private network (RFC 1918, RFC 4193).
    #[error("a private network")]
    Private,
    /// Between the carrier and its customers (RFC 6598).
    #[error("a carrier's shared network")]
    Shared,
    /// One link.
    #[error("the local link")]
    LinkLocal,
    /// Where clouds keep the credentials of their machines.
    #[error("a cloud's metadata service")]
    Metadata,
    /// Many hosts at once.
    #[error("a multicast group")]
    Multicast,
    /// Examples in texts (RFC 5737, RFC 3849, RFC 9637).
    #[error("an address for documentation")]
    Documentation,
    /// Benchmarks of devices (RFC 2544, RFC 5180).
    #[error("an address for benchmarks")]
    Benchmark,
    /// Nothing that a service can have, by IANA's registries.
    #[error("a reserved address")]
    Reserved,
    /// A way to write or tunnel an IPv4 address in IPv6 that no service needs.
    #[error("an IPv4 address in disguise")]
    Disguised,
    /// A name that only this host or its network knows.
    #[error("a name of this host or its network")]
    LocalName,
    /// A text that no name can be, though resolvers may make something of it.
    #[error("nothing that a name can be")]
    NoName,
}

impl Forbidden {
    /// Whether an allowed name may lead there. Link-local and metadata addresses, where credentials are handed out, must be
    /// allowed as what they are.
    pub const fn may_hide_behind_an_allowed_name(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Shared | Self::LocalName | Self::Benchmark | Self::Documentation => {
                true
            }
            Self::LinkLocal | Self::Metadata | Self::Multicast | Self::Reserved | Self::Disguised | Self::NoName => {
                false
            }
        }
    }
}

/// Metadata services at addresses that no range betrays (Azure's is public; Oracle's, Alibaba's and Amazon's are not).
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
];

/// Ranges of IPv4 that are refused: network, bits, why (source: IANA's registry of special-purpose addresses).
const FORBIDDEN_V4: [(Ipv4Addr, u32, Forbidden); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8, Forbidden::Loopback),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Forbidden::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Forbidden::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Forbidden::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Forbidden::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Forbidden::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Forbidden::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Forbidden::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Forbidden::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Forbidden::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Forbidden::Documentation),
];

/// Ranges of IPv6 that are refused, the narrower before the wider; outside of `2000::/3` nothing is public.
const FORBIDDEN_V6: [(Ipv6Addr, u32, Forbidden); 13] = [
    (Ipv6Addr::LOCALHOST, 128, Forbidden::Loopback),
    (Ipv6Addr::UNSPECIFIED, 128, Forbidden::Loopback),
    (Ipv6Addr::UNSPECIFIED, 96, Forbidden::Disguised),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, Forbidden::Disguised),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Forbidden::Disguised),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, Forbidden::Metadata),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Forbidden::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Forbidden::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Forbidden::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Forbidden::Multicast),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Forbidden::Benchmark),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Forbidden::Documentation),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Forbidden::Documentation),
];

/// Ways to wrap an IPv4 address that nobody needs to reach a service: Teredo and its neighbours, 6to4.
const WRAPPERS_V6: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16)];

const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

const fn within_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

const fn within_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

/// Why nothing may be sent to an address, if so.
pub fn forbidden(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    if METADATA_V4.contains(&address) {
        return Some(Forbidden::Metadata);
    }
    if address.is_multicast() {
        return Some(Forbidden::Multicast);
    }
    if address.octets()[0] >= 240 {
        return Some(Forbidden::Reserved);
    }
    FORBIDDEN_V4.iter().find(|(network, bits, _)| within_v4(address, *network, *bits)).map(|(_, _, why)| *why)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    let [.., high, low] = address.segments();
    let last = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    // A network without IPv4 reaches IPv4 hosts by these two; they are as good as what they hold.
    if within_v6(address, MAPPED, 96) || within_v6(address, NAT64, 96) {
        return forbidden_v4(last);
    }
    if let Some((_, _, why)) = FORBIDDEN_V6.iter().find(|(network, bits, _)| within_v6(address, *network, *bits)) {
        return Some(*why);
    }
    let isatap = matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]);
    if isatap || WRAPPERS_V6.iter().any(|(network, bits)| within_v6(address, *network, *bits)) {
        return Some(Forbidden::Disguised);
    }
    (!within_v6(address, GLOBAL, 3)).then_some(Forbidden::Reserved)
}

/// Why nothing may be sent to a name by its words alone, if so. What it resolves to is for the connect to see.
fn forbidden_name(name: &str) -> Option<Forbidden> {
    const LOCAL: [&str; 7] = ["localhost", "local", "internal", "localdomain", "lan", "home", "arpa"];
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.split('.').any(str::is_empty) || last.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(Forbidden::NoName);
    }
    (!name.contains('.') || LOCAL.contains(&last)).then_some(Forbidden::LocalName)
}

/// A host and a port, as a URL or `allow` names them: the host in the one spelling that all of its spellings come down to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Name or address; a name in lower case without a trailing dot.
    pub host: Host<String>,
    /// The port, also where the URL leaves it out.
    pub port: u16,
}

/// A text that is no `host:port`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("must be host:port, as in \"127.0.0.1:9000\", \"[::1]:9000\" or \"hooks.example.internal:8443\"")]
pub struct NotATarget;

impl Target {
    /// Where an `http` or `https` URL leads; `None` for any other URL, and for a host that no name can be.
    pub fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            // An address keeps no second spelling; one that maps an IPv4 address is that address.
            Host::Ipv4(v4) => Host::Ipv4(v4),
            Host::Ipv6(v6) => v6.to_ipv4_mapped().map_or(Host::Ipv6(v6), Host::Ipv4),
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                // Such a name has no address, and no second spelling: `.`, `hooks..example`.
                if name.split('.').any(str::is_empty) {
                    return None;
                }
                Host::Domain(name.to_ascii_lowercase())
            }
        };
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// Reads `host:port`, the host in any spelling that a URL may have.
    pub fn parse(text: &str) -> Result<Self, NotATarget> {
        let (host, port) = text.rsplit_once(':').ok_or(NotATarget)?;
        let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '\\' | '?' | '#' | '@');
        let port = port.parse::<u16>().ok().filter(|port| *port != 0 && !text.contains(odd)).ok_or(NotATarget)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return Err(NotATarget);
        }
        let url = Url::parse(&format!("http://{host}/")).map_err(|_| NotATarget)?;
        Self::of(&url).map(|target| Self { port, ..target }).ok_or(NotATarget)
    }

    /// The address that the host is, where it is one.
    pub const fn literal(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ipv4(v4) => Some(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(*v6)),
            Host::Domain(_) => None,
        }
    }

    /// Whether it is this host by its words alone.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(v4) => v4.is_loopback(),
            Host::Ipv6(v6) => v6.is_loopback(),
        }
    }

    /// Why nothing may be sent there by its words alone, if so and `allow` does not name it.
    pub fn refused_by_its_words(&self, allow: &[Self]) -> Option<Forbidden> {
        let why = match &self.host {
            Host::Domain(name) => forbidden_name(name),
            Host::Ipv4(v4) => forbidden_v4(*v4),
            Host::Ipv6(v6) => forbidden_v6(*v6),
        }?;
        (!allow.contains(self)).then_some(why)
    }

    /// Whether a connection for this target may be made to `address`: the law at every connect. `allow` lets through the
    /// address itself, or what the name it holds leads to, save where credentials are handed out.
    pub fn may_connect_to(&self, address: IpAddr, allow: &[Self]) -> Result<SocketAddr, Forbidden> {
        let socket = SocketAddr::new(address, self.port);
        if let Some(why) = self.refused_by_its_words(allow) {
            return Err(why);
        }
        let Some(why) = forbidden(address) else { return Ok(socket) };
        let canonical = address.to_canonical();
        let as_itself = allow.iter().any(|one| one.port == self.port && one.literal() == Some(canonical));
        let by_name = self.literal().is_none() && allow.contains(self) && why.may_hide_behind_an_allowed_name();
        if as_itself || by_name { Ok(socket) } else { Err(why) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
