//! Networks and single addresses: `10.0.0.7`, `10.0.0.0/8`, `2001:db8::/32`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network or a single address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// The address, with all bits after the prefix zero.
    address: IpAddr,
    prefix: u8,
}

/// The error for a text that is not a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be an address or a network, as in \"10.0.0.7\" or \"10.0.0.0/8\"")]
pub struct InvalidNetwork;

const fn address_bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Returns the address with all bits after the prefix set to zero.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl Network {
    /// Returns whether the network contains an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address_bits(address) == address_bits(self.address) && masked(address, self.prefix) == self.address
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| InvalidNetwork)?;
        let address = address.to_canonical();
        let prefix = match prefix {
            None => address_bits(address),
            Some(prefix) => {
                prefix.trim().parse().ok().filter(|bits| *bits <= address_bits(address)).ok_or(InvalidNetwork)?
            }
        };
        // Bits after the prefix mean that the address or the prefix is wrong.
        if masked(address, prefix) == address { Ok(Self { address, prefix }) } else { Err(InvalidNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == address_bits(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_networks() {
        for (network, address, within) in [
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.7", "::ffff:10.0.0.7", true),
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::1", "::1", true),
        ] {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), within, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_a_network_prints_as_it_is_written() {
        for text in ["", "10.0.0", "10.0.0.7/8", "10.0.0.0/33", "::/129", "host", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
        for text in ["10.0.0.7", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().expect("a network").to_string(), text);
        }
    }
}
