//! The addresses and names that deliveries may be sent to, for the check of the configuration and for every connection.
//!
//! Nothing here resolves names or opens sockets. An address that is reachable only from this host or its network is
//! refused, however it is written, unless `allow` names it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use url::{Host, Url};

/// The reason why an address is forbidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ForbiddenReason {
    /// This host.
    #[error("this host itself")]
    Loopback,
    /// A private network (RFC 1918, RFC 4193).
    #[error("a private network")]
    Private,
    /// A shared network between a carrier and its customers (RFC 6598).
    #[error("a carrier's shared network")]
    Shared,
    /// A link-local address.
    #[error("the local link")]
    LinkLocal,
    /// A metadata service of a cloud, which hands out the credentials of its machines.
    #[error("a cloud's metadata service")]
    Metadata,
    /// A multicast group.
    #[error("a multicast group")]
    Multicast,
    /// An address for documentation (RFC 5737, RFC 3849, RFC 9637).
    #[error("an address for documentation")]
    Documentation,
    /// An address for benchmarks (RFC 2544, RFC 5180).
    #[error("an address for benchmarks")]
    Benchmark,
    /// An address that no service can have, according to IANA's registries.
    #[error("a reserved address")]
    Reserved,
    /// An IPv4 address written or tunnelled in IPv6 in a way that no service needs.
    #[error("an IPv6 address with an IPv4 address in it")]
    EmbeddedIpv4,
    /// A name known only on this host or its network.
    #[error("a name of this host or its network")]
    LocalName,
    /// A text that is not a valid name, though some resolvers may accept it.
    #[error("not a valid host name")]
    InvalidName,
}

impl ForbiddenReason {
    /// Whether an allowed name may lead to such an address.
    ///
    /// Link-local and metadata addresses, where credentials are handed out, must be allowed by address.
    pub const fn can_be_allowed_by_name(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Shared | Self::LocalName | Self::Benchmark | Self::Documentation => {
                true
            }
            Self::LinkLocal
            | Self::Metadata
            | Self::Multicast
            | Self::Reserved
            | Self::EmbeddedIpv4
            | Self::InvalidName => false,
        }
    }
}

/// Metadata services at addresses that the ranges do not reveal (Azure's is public; those of Oracle, Alibaba and Amazon
/// are not).
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
];

/// The forbidden ranges of IPv4: network, prefix length and reason (source: IANA's registry of special-purpose
/// addresses).
const FORBIDDEN_V4: [(Ipv4Addr, u32, ForbiddenReason); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8, ForbiddenReason::Loopback),
    (Ipv4Addr::new(10, 0, 0, 0), 8, ForbiddenReason::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, ForbiddenReason::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, ForbiddenReason::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, ForbiddenReason::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, ForbiddenReason::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, ForbiddenReason::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, ForbiddenReason::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, ForbiddenReason::Reserved),
    (Ipv4Addr::new(192, 52, 193, 0), 24, ForbiddenReason::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, ForbiddenReason::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, ForbiddenReason::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, ForbiddenReason::Reserved),
    (Ipv4Addr::new(198, 18, 0, 0), 15, ForbiddenReason::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, ForbiddenReason::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, ForbiddenReason::Documentation),
];

/// The forbidden ranges of IPv6, narrower ones before wider ones. Nothing outside `2000::/3` is public.
const FORBIDDEN_V6: [(Ipv6Addr, u32, ForbiddenReason); 13] = [
    (Ipv6Addr::LOCALHOST, 128, ForbiddenReason::Loopback),
    (Ipv6Addr::UNSPECIFIED, 128, ForbiddenReason::Loopback),
    (Ipv6Addr::UNSPECIFIED, 96, ForbiddenReason::EmbeddedIpv4),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, ForbiddenReason::EmbeddedIpv4),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, ForbiddenReason::EmbeddedIpv4),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, ForbiddenReason::Metadata),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, ForbiddenReason::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, ForbiddenReason::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, ForbiddenReason::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, ForbiddenReason::Multicast),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, ForbiddenReason::Benchmark),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, ForbiddenReason::Documentation),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, ForbiddenReason::Documentation),
];

/// Ranges that embed IPv4 addresses and that no service needs: Teredo with its neighbours, and 6to4.
const WRAPPERS_V6: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16)];

const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

const fn is_in_network_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

const fn is_in_network_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

/// Returns why nothing may be sent to an address; `None` if it is permitted.
pub fn forbidden_reason(address: IpAddr) -> Option<ForbiddenReason> {
    match address {
        IpAddr::V4(v4) => forbidden_reason_v4(v4),
        IpAddr::V6(v6) => forbidden_reason_v6(v6),
    }
}

fn forbidden_reason_v4(address: Ipv4Addr) -> Option<ForbiddenReason> {
    if METADATA_V4.contains(&address) {
        return Some(ForbiddenReason::Metadata);
    }
    if address.is_multicast() {
        return Some(ForbiddenReason::Multicast);
    }
    if address.octets()[0] >= 240 {
        return Some(ForbiddenReason::Reserved);
    }
    FORBIDDEN_V4.iter().find(|(network, bits, _)| is_in_network_v4(address, *network, *bits)).map(|(_, _, why)| *why)
}

fn forbidden_reason_v6(address: Ipv6Addr) -> Option<ForbiddenReason> {
    let [.., high, low] = address.segments();
    let last = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    // A network without IPv4 reaches IPv4 hosts by these two, so they are judged by the address they contain.
    if is_in_network_v6(address, MAPPED, 96) || is_in_network_v6(address, NAT64, 96) {
        return forbidden_reason_v4(last);
    }
    if let Some((_, _, why)) = FORBIDDEN_V6.iter().find(|(network, bits, _)| is_in_network_v6(address, *network, *bits))
    {
        return Some(*why);
    }
    let isatap = matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]);
    if isatap || WRAPPERS_V6.iter().any(|(network, bits)| is_in_network_v6(address, *network, *bits)) {
        return Some(ForbiddenReason::EmbeddedIpv4);
    }
    (!is_in_network_v6(address, GLOBAL, 3)).then_some(ForbiddenReason::Reserved)
}

/// Returns why nothing may be sent to a name, without resolving it. The address is checked on connecting.
fn forbidden_name_reason(name: &str) -> Option<ForbiddenReason> {
    const LOCAL: [&str; 7] = ["localhost", "local", "internal", "localdomain", "lan", "home", "arpa"];
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.split('.').any(str::is_empty) || last.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(ForbiddenReason::InvalidName);
    }
    (!name.contains('.') || LOCAL.contains(&last)).then_some(ForbiddenReason::LocalName)
}

/// A host and a port from a URL or `allow`, with the host in its canonical spelling.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// The name or address; a name is in lower case without a trailing dot.
    pub host: Host<String>,
    /// The port, or the default one if the URL has none.
    pub port: u16,
}

/// The error for a text that is not `host:port`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("must be host:port, as in \"127.0.0.1:9000\", \"[::1]:9000\" or \"hooks.example.internal:8443\"")]
pub struct TargetParseError;

impl Target {
    /// Returns the target of an `http` or `https` URL; `None` for any other URL or an invalid host name.
    pub fn from_url(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            // An IPv6 address that maps an IPv4 address becomes that address.
            Host::Ipv4(v4) => Host::Ipv4(v4),
            Host::Ipv6(v6) => v6.to_ipv4_mapped().map_or(Host::Ipv6(v6), Host::Ipv4),
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                // Such a name has no address and no other spelling: `.`, `hooks..example`.
                if name.split('.').any(str::is_empty) {
                    return None;
                }
                Host::Domain(name.to_ascii_lowercase())
            }
        };
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// Parses `host:port`; the host may have any spelling allowed in a URL.
    pub fn parse(text: &str) -> Result<Self, TargetParseError> {
        let (host, port) = text.rsplit_once(':').ok_or(TargetParseError)?;
        let is_disallowed = |c: char| c.is_whitespace() || matches!(c, '/' | '\\' | '?' | '#' | '@');
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0 && !text.contains(is_disallowed))
            .ok_or(TargetParseError)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return Err(TargetParseError);
        }
        let url = Url::parse(&format!("http://{host}/")).map_err(|_| TargetParseError)?;
        Self::from_url(&url).map(|target| Self { port, ..target }).ok_or(TargetParseError)
    }

    /// Returns the address if the host is one.
    pub const fn ip_address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ipv4(v4) => Some(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(*v6)),
            Host::Domain(_) => None,
        }
    }

    /// Whether the target is this host, without resolving names.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(v4) => v4.is_loopback(),
            Host::Ipv6(v6) => v6.is_loopback(),
        }
    }

    /// Returns why nothing may be sent to the target, without resolving names; `None` if it is permitted or `allow`
    /// names it.
    pub fn forbidden_without_lookup(&self, allow: &[Self]) -> Option<ForbiddenReason> {
        let why = match &self.host {
            Host::Domain(name) => forbidden_name_reason(name),
            Host::Ipv4(v4) => forbidden_reason_v4(*v4),
            Host::Ipv6(v6) => forbidden_reason_v6(*v6),
        }?;
        (!allow.contains(self)).then_some(why)
    }

    /// Checks whether a connection to `address` may be made for this target.
    ///
    /// `allow` permits a listed address, and the addresses that a listed name resolves to, except where credentials are
    /// handed out.
    pub fn check_connection(&self, address: IpAddr, allow: &[Self]) -> Result<SocketAddr, ForbiddenReason> {
        let socket = SocketAddr::new(address, self.port);
        if let Some(why) = self.forbidden_without_lookup(allow) {
            return Err(why);
        }
        let Some(why) = forbidden_reason(address) else { return Ok(socket) };
        let canonical = address.to_canonical();
        let allowed_by_address = allow.iter().any(|one| one.port == self.port && one.ip_address() == Some(canonical));
        let allowed_by_name = self.ip_address().is_none() && allow.contains(self) && why.can_be_allowed_by_name();
        if allowed_by_address || allowed_by_name { Ok(socket) } else { Err(why) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
