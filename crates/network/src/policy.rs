//! What an egress policy says, as plain functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shedbox_spec::network::egress::{Egress, EgressRule, Target, Verdict};
use shedbox_spec::network::port::Protocol;
use shedbox_spec::network::subnet::Subnet;

/// What nobody reaches unless a rule names it by address: first address and length of the prefix.
const NEVER: [(IpAddr, u8); 9] = [
    // "This" network, loopback and link-local addresses: RFC 6890. Clouds answer with credentials at 169.254.169.254.
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    // Metadata of Alibaba Cloud, Oracle Cloud and Azure.
    (IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), 32),
    (IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)), 32),
    (IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)), 32),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    // Metadata of Amazon's cloud.
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        128,
    ),
];

/// Ranges that nobody reaches unless a rule names them by address.
pub fn never() -> &'static [(IpAddr, u8)] {
    &NEVER
}

/// The address is in one of these ranges.
pub fn is_never(address: IpAddr) -> bool {
    NEVER.iter().any(|(first, prefix)| {
        Subnet::new(*first, *prefix).is_some_and(|range| range.contains(address))
    })
}

/// A name is to be answered: some port of it may be reached.
pub fn name_allowed(egress: &Egress, name: &str) -> bool {
    let denied = egress
        .deny
        .iter()
        .any(|rule| rule.ports.is_none() && rule.protocol.is_none() && rule.matches_name(name));
    if denied {
        return false;
    }
    egress.default == Verdict::Allow || egress.allow.iter().any(|rule| rule.matches_name(name))
}

/// A connection to a port of a name may be made.
pub fn name_port_allowed(egress: &Egress, name: &str, port: u16, protocol: Protocol) -> bool {
    let says = |rule: &&EgressRule| {
        rule.matches_name(name) && rule.matches_port(port) && rule.matches_protocol(protocol)
    };
    if egress.deny.iter().any(|rule| says(&rule)) {
        return false;
    }
    egress.default == Verdict::Allow || egress.allow.iter().any(|rule| says(&rule))
}

/// What rules that name addresses say of one, whatever the port: for answers of the DNS.
pub fn address_verdict(egress: &Egress, address: IpAddr) -> Option<Verdict> {
    let about = |target: &Target| matches!(target, Target::Net(subnet) if subnet.contains(address));
    let whole = egress
        .deny
        .iter()
        .any(|rule| rule.ports.is_none() && rule.protocol.is_none() && about(&rule.target));
    if whole {
        return Some(Verdict::Deny);
    }
    egress
        .allow
        .iter()
        .any(|rule| about(&rule.target))
        .then_some(Verdict::Allow)
}

/// A TCP port of an address may be reached, by the rules that speak of addresses and by the default.
pub fn may_reach(egress: &Egress, address: IpAddr, port: u16) -> bool {
    let says = |rule: &&EgressRule| {
        let about = match &rule.target {
            Target::Any => true,
            Target::Net(subnet) => subnet.contains(address),
            Target::Name(_) => false,
        };
        about && rule.matches_port(port) && rule.matches_protocol(Protocol::Tcp)
    };
    if egress.deny.iter().any(|rule| says(&rule)) {
        return false;
    }
    egress.default == Verdict::Allow || egress.allow.iter().any(|rule| says(&rule))
}

/// A TCP connection may be made to a port of an address by the name that it gives, if it gives one. `led_there`: the names
/// that the sandbox was given this address for. Whoever knows an allowed name may not use it for an address of their own
/// choice.
pub fn stream_allowed(
    egress: &Egress,
    name: Option<&str>,
    address: IpAddr,
    port: u16,
    led_there: &[String],
) -> bool {
    let about_port =
        |rule: &EgressRule| rule.matches_port(port) && rule.matches_protocol(Protocol::Tcp);
    let about_address =
        |rule: &EgressRule| matches!(rule.target, Target::Net(subnet) if subnet.contains(address));
    let denied = egress.deny.iter().any(|rule| {
        let about = about_address(rule)
            || rule.target == Target::Any
            || name.is_some_and(|name| rule.matches_name(name));
        about && about_port(rule)
    });
    let allowed = |about: &dyn Fn(&EgressRule) -> bool| {
        egress
            .allow
            .iter()
            .any(|rule| about_port(rule) && about(rule))
    };
    if denied {
        return false;
    }
    if allowed(&about_address) {
        return true;
    }
    if is_never(address) {
        return false;
    }
    let by_name = |name: &str| name_port_allowed(egress, name, port, Protocol::Tcp);
    egress.default == Verdict::Allow
        || allowed(&|rule| rule.target == Target::Any)
        || (name.is_some_and(by_name) && led_there.iter().any(|name| by_name(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::policy;

    #[test]
    fn names() {
        let egress = policy(
            Verdict::Deny,
            &["*.pypi.org:443", "a.org", "*:53"],
            &["evil.pypi.org", "a.org:22"],
        );
        for (name, expected) in [
            ("files.pypi.org", true),
            ("evil.pypi.org", false),
            ("a.org", true),
            // `*:53` is about every name.
            ("b.org", true),
        ] {
            assert_eq!(name_allowed(&egress, name), expected, "{name}");
        }
        for (name, port, expected) in [
            ("files.pypi.org", 443, true),
            ("files.pypi.org", 80, false),
            ("evil.pypi.org", 443, false),
            ("a.org", 80, true),
            ("a.org", 22, false),
            ("b.org", 53, true),
            ("b.org", 443, false),
        ] {
            let allowed = name_port_allowed(&egress, name, port, Protocol::Tcp);
            assert_eq!(allowed, expected, "{name}:{port}");
        }
        let open = policy(Verdict::Allow, &[], &["*.bad.org"]);
        assert!(name_allowed(&open, "good.org") && !name_allowed(&open, "x.bad.org"));
    }

    #[test]
    fn addresses() {
        let egress = policy(
            Verdict::Deny,
            &["10.0.0.0/8:443", "169.254.169.254"],
            &["10.1.0.0/16"],
        );
        let verdict = |text: &str| address_verdict(&egress, text.parse().unwrap());
        assert_eq!(verdict("10.2.0.1"), Some(Verdict::Allow));
        assert_eq!(verdict("10.1.0.1"), Some(Verdict::Deny));
        assert_eq!(verdict("169.254.169.254"), Some(Verdict::Allow));
        assert_eq!(verdict("1.1.1.1"), None);
        let reach = |text: &str, port| may_reach(&egress, text.parse().unwrap(), port);
        assert!(reach("10.2.0.1", 443) && !reach("10.2.0.1", 80) && !reach("10.1.0.1", 443));
        for (text, expected) in [
            ("169.254.1.1", true),
            ("127.0.0.1", true),
            ("100.100.100.200", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("::1", true),
            ("1.1.1.1", false),
            ("10.0.0.1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(is_never(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn streams() {
        let led = ["good.org".to_owned()];
        let good = Some("good.org");
        for (default, allow, deny, name, address, expected) in [
            (Verdict::Deny, "good.org", None, good, "1.2.3.4", true),
            (Verdict::Deny, "good.org:80", None, good, "1.2.3.4", false),
            (
                Verdict::Deny,
                "udp://good.org",
                None,
                good,
                "1.2.3.4",
                false,
            ),
            (Verdict::Deny, "good.org", None, None, "1.2.3.4", false),
            (
                Verdict::Deny,
                "good.org",
                Some("1.2.3.0/24"),
                good,
                "1.2.3.4",
                false,
            ),
            (
                Verdict::Deny,
                "good.org",
                Some("*:443"),
                good,
                "1.2.3.4",
                false,
            ),
            (
                Verdict::Deny,
                "good.org",
                Some("1.2.3.4:80"),
                good,
                "1.2.3.4",
                true,
            ),
            (
                Verdict::Deny,
                "good.org",
                None,
                Some("evil.org"),
                "1.2.3.4",
                false,
            ),
            // Names did not lead there, or lead where nobody goes.
            (
                Verdict::Deny,
                "other.org",
                None,
                Some("other.org"),
                "1.2.3.4",
                false,
            ),
            (
                Verdict::Deny,
                "good.org",
                None,
                good,
                "169.254.169.254",
                false,
            ),
            (
                Verdict::Deny,
                "169.254.169.254",
                None,
                None,
                "169.254.169.254",
                true,
            ),
            (
                Verdict::Deny,
                "1.2.3.4:443",
                None,
                Some("evil.org"),
                "1.2.3.4",
                true,
            ),
            (
                Verdict::Deny,
                "*:443",
                None,
                Some("any.org"),
                "1.2.3.4",
                true,
            ),
            (Verdict::Deny, "*:443", None, None, "169.254.169.254", false),
            (
                Verdict::Allow,
                "a.org",
                Some("good.org"),
                good,
                "1.2.3.4",
                false,
            ),
            (
                Verdict::Allow,
                "a.org",
                Some("evil.org"),
                good,
                "1.2.3.4",
                true,
            ),
            (
                Verdict::Allow,
                "a.org",
                Some("evil.org"),
                None,
                "1.2.3.4",
                true,
            ),
            (
                Verdict::Allow,
                "a.org",
                Some("1.2.3.4"),
                good,
                "1.2.3.4",
                false,
            ),
            (Verdict::Allow, "a.org", None, good, "127.0.0.1", false),
        ] {
            let egress = policy(default, &[allow], deny.as_slice());
            let address = address.parse().unwrap();
            assert_eq!(
                stream_allowed(&egress, name, address, 443, &led),
                expected,
                "{egress:?} {name:?} {address}"
            );
        }
    }
}
