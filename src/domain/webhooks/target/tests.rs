//! The law of addresses, range by range; `engine::webhooks::deliver::guard` tries the spellings.

use proptest::prelude::*;

use super::*;

fn reason_for(address: &str) -> Option<ForbiddenReason> {
    forbidden_reason(address.parse().expect("an address"))
}

#[test]
fn each_range_is_refused_from_its_first_address_to_its_last_and_its_neighbours_are_not() {
    use ForbiddenReason::{
        Benchmark, Documentation, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Shared,
    };
    for (address, expected) in [
        ("0.0.0.0", Some(Loopback)),
        ("0.255.255.255", Some(Loopback)),
        ("1.0.0.0", None),
        ("9.255.255.255", None),
        ("10.0.0.0", Some(Private)),
        ("10.255.255.255", Some(Private)),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", Some(Shared)),
        ("100.127.255.255", Some(Shared)),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("127.0.0.0", Some(Loopback)),
        ("127.255.255.255", Some(Loopback)),
        ("128.0.0.0", None),
        ("169.253.255.255", None),
        ("169.254.0.0", Some(LinkLocal)),
        ("169.254.169.254", Some(Metadata)),
        ("169.254.255.255", Some(LinkLocal)),
        ("169.255.0.0", None),
        ("168.63.129.16", Some(Metadata)),
        ("168.63.129.17", None),
        ("100.100.100.200", Some(Metadata)),
        ("172.15.255.255", None),
        ("172.16.0.0", Some(Private)),
        ("172.31.255.255", Some(Private)),
        ("172.32.0.0", None),
        ("192.0.0.1", Some(Reserved)),
        ("192.0.0.192", Some(Metadata)),
        ("192.0.1.0", None),
        ("192.0.2.1", Some(Documentation)),
        ("192.88.99.1", Some(Reserved)),
        ("192.167.255.255", None),
        ("192.168.0.0", Some(Private)),
        ("192.168.255.255", Some(Private)),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.18.0.0", Some(Benchmark)),
        ("198.19.255.255", Some(Benchmark)),
        ("198.20.0.0", None),
        ("198.51.100.9", Some(Documentation)),
        ("203.0.113.9", Some(Documentation)),
        ("223.255.255.255", None),
        ("224.0.0.0", Some(Multicast)),
        ("239.255.255.255", Some(Multicast)),
        ("240.0.0.0", Some(Reserved)),
        ("255.255.255.255", Some(Reserved)),
        ("93.184.215.14", None),
    ] {
        assert_eq!(reason_for(address), expected, "{address}");
    }
}

#[test]
fn ipv6_is_refused_outside_of_what_is_public_and_however_it_wraps_an_ipv4_address() {
    use ForbiddenReason::{
        Benchmark, Documentation, EmbeddedIpv4, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved,
    };
    for (address, expected) in [
        ("::", Some(Loopback)),
        ("::1", Some(Loopback)),
        ("::2", Some(EmbeddedIpv4)),
        ("::127.0.0.1", Some(EmbeddedIpv4)),
        ("::ffff:127.0.0.1", Some(Loopback)),
        ("::ffff:169.254.169.254", Some(Metadata)),
        ("::ffff:93.184.215.14", None),
        ("::ffff:0:10.0.0.1", Some(EmbeddedIpv4)),
        ("64:ff9b::10.0.0.1", Some(Private)),
        ("64:ff9b::93.184.215.14", None),
        ("64:ff9b:1::1", Some(EmbeddedIpv4)),
        ("100::1", Some(Reserved)),
        ("2001::1", Some(EmbeddedIpv4)),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(EmbeddedIpv4)),
        ("2001:2::1", Some(Benchmark)),
        ("2001:10::1", Some(EmbeddedIpv4)),
        ("2001:1ff:ffff::1", Some(EmbeddedIpv4)),
        ("2001:200::1", None),
        ("2001:db8::1", Some(Documentation)),
        ("2001:db9::1", None),
        ("2002:7f00:1::1", Some(EmbeddedIpv4)),
        ("2003::1", None),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", None),
        ("2606:2800::5efe:10.0.0.1", Some(EmbeddedIpv4)),
        ("2606:2800::200:5efe:10.0.0.1", Some(EmbeddedIpv4)),
        ("3ffe::1", None),
        ("3fff::1", Some(Documentation)),
        ("3fff:1000::1", None),
        ("4000::1", Some(Reserved)),
        ("5f00::1", Some(Reserved)),
        ("fc00::1", Some(Private)),
        ("fd00:ec2::254", Some(Metadata)),
        ("fdff::1", Some(Private)),
        ("fe80::1", Some(LinkLocal)),
        ("febf::1", Some(LinkLocal)),
        ("fec0::1", Some(Private)),
        ("ff02::1", Some(Multicast)),
    ] {
        assert_eq!(reason_for(address), expected, "{address}");
    }
}

fn target(url: &str) -> Target {
    Target::from_url(&url.parse().expect("a URL")).expect("a target")
}

#[test]
fn names_of_this_host_and_its_network_are_refused_by_their_words() {
    for (url, refused) in [
        ("https://localhost", true),
        ("https://LOCALHOST./", true),
        ("https://hooks.localhost", true),
        ("https://intranet", true),
        ("https://metadata.google.internal", true),
        ("https://printer.local", true),
        ("https://localhost.localdomain", true),
        ("https://nas.home.arpa", true),
        ("https://wfm.example", false),
        ("https://9to5.example", false),
        ("https://localhost.example", false),
        ("https://xn--bcher-kva.example", false),
    ] {
        assert_eq!(target(url).forbidden_without_lookup(&[]).is_some(), refused, "{url}");
    }
}

#[test]
fn allow_names_a_host_with_its_port_in_any_spelling() {
    let allow = |texts: &[&str]| texts.iter().map(|text| Target::parse(text).expect(text)).collect::<Vec<_>>();
    for (url, allowed, passes) in [
        ("http://127.0.0.1:9000/hooks", "127.0.0.1:9000", true),
        ("http://0x7f.1:9000/hooks", "127.0.0.1:9000", true),
        ("http://127.0.0.1:9000/hooks", "0177.0.0.1:9000", true),
        ("http://[::ffff:127.0.0.1]:9000/", "127.0.0.1:9000", true),
        ("http://127.0.0.1:9001/hooks", "127.0.0.1:9000", false),
        ("http://localhost:9000/hooks", "127.0.0.1:9000", false),
        ("http://localhost:9000/hooks", "LocalHost.:9000", true),
        ("http://127.0.0.1/", "127.0.0.1:80", true),
        ("https://127.0.0.1/", "127.0.0.1:443", true),
        ("https://127.0.0.1/", "127.0.0.1:80", false),
        ("https://[fd00:0::1]:8443/", "[fd00::1]:8443", true),
    ] {
        assert_eq!(target(url).forbidden_without_lookup(&allow(&[allowed])).is_none(), passes, "{url} by {allowed}");
    }
    for malformed in [
        "",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:80:90",
        "::1:80",
        "u@h:80",
        "h/x:80",
        "h :80",
        "[::1:80",
        "http://h:80",
    ] {
        assert_eq!(Target::parse(malformed), Err(TargetParseError), "{malformed}");
    }
    assert_eq!(Target::parse("[::1]:9000").expect("a target").to_string(), "[::1]:9000");
}

#[test]
fn a_name_with_an_empty_part_is_no_host() {
    for host in [".", "..", "hooks..example", "hooks.example..", ".example", "127.0.0.1.."] {
        assert_eq!(Target::parse(&format!("{host}:9000")), Err(TargetParseError), "{host}");
        let url = Url::parse(&format!("http://{host}/"));
        assert_eq!(url.ok().and_then(|url| Target::from_url(&url)), None, "{host}");
    }
    assert_eq!(target("http://hooks.example./").to_string(), "hooks.example:80", "the root is no part");
}

#[test]
fn an_allowed_name_may_lead_into_a_private_network_but_not_to_where_credentials_are() {
    let hooks = target("https://hooks.example:8443");
    let named = [Target::parse("hooks.example:8443").expect("a target")];
    for (address, without, with) in [
        ("93.184.215.14", true, true),
        ("10.0.0.7", false, true),
        ("127.0.0.1", false, true),
        ("fd00::7", false, true),
        ("169.254.169.254", false, false),
        ("::ffff:169.254.169.254", false, false),
        ("168.63.129.16", false, false),
        ("224.0.0.1", false, false),
        ("2002:a00:1::", false, false),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(hooks.check_connection(address, &[]).is_ok(), without, "{address}");
        assert_eq!(hooks.check_connection(address, &named).is_ok(), with, "{address}");
    }
    let metadata: IpAddr = "169.254.169.254".parse().expect("an address");
    let itself = [Target::parse("169.254.169.254:8443").expect("a target")];
    assert!(hooks.check_connection(metadata, &itself).is_ok(), "what is named as itself is meant");
    let other_port = [Target::parse("169.254.169.254:80").expect("a target")];
    assert!(hooks.check_connection(metadata, &other_port).is_err());
}

proptest! {
    /// Whatever wraps an address that is refused is refused too.
    #[test]
    fn wrapping_opens_nothing(bits in any::<u32>(), id in any::<u16>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
        let judged = forbidden_reason(v4.into());
        prop_assert_eq!(forbidden_reason(v4.to_ipv6_mapped().into()), judged);
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        prop_assert_eq!(forbidden_reason(nat64.into()), judged);
        for wrapped in [
            v4.to_ipv6_compatible(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, id, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, id, id, !high, !low),
            Ipv6Addr::new(0x2606, 0x2800, id, 0, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, id, 0, 0, high, low),
        ] {
            prop_assert!(forbidden_reason(wrapped.into()).is_some(), "{wrapped}");
        }
    }

    /// The standard library's own opinion, where it has one.
    #[test]
    fn what_the_standard_library_calls_local_is_refused(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let local = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!local || forbidden_reason(v4.into()).is_some(), "{v4}");
    }

    /// A URL's host in any spelling of numbers comes down to the same verdict as the address.
    #[test]
    fn spellings_of_an_address_are_judged_as_the_address(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = v4.octets();
        let judged = forbidden_reason(v4.into());
        for host in [
            format!("{bits}"), format!("0x{bits:x}"), format!("0{bits:o}"), format!("{v4}."),
            format!("0x{a:X}.0x{b:x}.0{c:o}.{d}"), format!("{a}.{}", bits & 0x00ff_ffff), format!("{a}.{b}.{}", bits & 0xffff),
            format!("%{:02x}{}.{b}.{c}.{d}", a.to_string().as_bytes()[0], &a.to_string()[1..]),
            v4.to_string().chars().map(|c| if c == '.' { '。' } else { char::from_u32(c as u32 - 0x30 + 0xff10).unwrap_or(c) }).collect(),
        ] {
            prop_assert_eq!(target(&format!("https://{host}/")).forbidden_without_lookup(&[]), judged, "{}", host);
        }
    }
}
