//! In a user and network namespace of their own, which the test program is started in once more.

use std::process::Command;
use std::sync::Arc;

use shedbox_spec::gateway::Attach;
use shedbox_spec::network::egress::EgressRule;

use super::*;
use crate::testing::inside;

fn ruleset() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn rules(texts: &[&str]) -> Vec<EgressRule> {
    texts
        .iter()
        .map(|text| EgressRule::parse(text).unwrap())
        .collect()
}

#[test]
fn the_table_reads_as_it_was_meant() {
    inside("firewall::tests::the_table_reads_as_it_was_meant", || {
        let firewall = Firewall::new().unwrap();
        firewall.add_network(16, false, false).unwrap();
        firewall.add_network(17, true, true).unwrap();
        let text = ruleset();
        for line in [
            "iifname \"lo\" accept",
            "fib saddr . iif oif 0 drop",
            "iifname vmap @redirects",
            "iifname @host_access ip daddr 203.0.113.1 meta l4proto tcp meta nfproto ipv4 dnat ip to 203.0.113.3:3129",
            "ct state established,related accept",
            "ct status dnat accept",
            "iifgroup . oifgroup @peers accept",
            "oifname \"sb*\" goto refuse",
            "iifgroup @outward iifname vmap @policies",
            "oifname \"nowhere\" reject with icmp net-prohibited",
            "ip daddr 169.254.0.0/16 goto refuse",
            "reject with icmpx admin-prohibited",
            "oifname \"up0\" masquerade",
            "policy drop",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains("elements = { 17 . 17 }"), "{text}");
        firewall.remove_network(17, true, true).unwrap();
        firewall.remove_network(16, false, false).unwrap();
        assert!(!ruleset().contains("elements"));
    });
}

#[test]
fn a_policy_comes_changes_and_goes_without_a_trace() {
    inside(
        "firewall::tests::a_policy_comes_changes_and_goes_without_a_trace",
        || {
            let firewall = Firewall::new().unwrap();
            let empty = ruleset();
            let attach: Attach =
                serde_json::from_str(r#"{"sandbox":"s","name":"n","endpoints":[],"ports":[]}"#)
                    .unwrap();
            let member = Arc::new(Member::new(&attach, 1));
            let egress = Egress {
                default: Policy::Deny,
                allow: rules(&[
                    "pypi.org:443",
                    "tcp://a.org",
                    "b.org",
                    "10.0.0.0/8:53",
                    "fd00::/8",
                ]),
                deny: rules(&["10.1.0.0/16"]),
            };
            let interfaces = ["sb1".to_owned(), "sb2".to_owned()];
            firewall
                .set_policy("s", &interfaces, Some(&egress))
                .unwrap();
            let address = |text: &str| text.parse::<IpAddr>().unwrap();
            let four = address("1.2.3.4");
            for name in ["pypi.org", "a.org", "b.org", "c.org"] {
                firewall
                    .learn(&member, name, &[(four, 60), (address("fc00::5"), 60)])
                    .unwrap();
            }
            let text = ruleset();
            for line in [
                "\"sb1\" : goto policy1",
                "ip daddr 10.1.0.0/16 goto deny1",
                "ip daddr 10.0.0.0/8 tcp dport 53 goto pass1",
                "ip6 daddr fd00::/8 goto pass1",
                "ip daddr @any4_1 goto pass1",
                "ct mark 0x00000001 accept",
                "1.2.3.4 . tcp . 443",
                "1.2.3.4 . tcp",
                "log prefix \"d1\" group 1",
            ] {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
            assert_eq!(firewall.names_of(&member, four).len(), 4);
            let closed = Egress {
                default: Policy::Deny,
                ..Egress::default()
            };
            firewall
                .set_policy("s", &interfaces, Some(&closed))
                .unwrap();
            let text = ruleset();
            assert!(
                text.contains("policy2") && !text.contains("policy1") && !text.contains("any4_1"),
                "{text}"
            );
            firewall
                .set_policy("s", &interfaces, Some(&egress))
                .unwrap();
            assert!(
                ruleset().contains("1.2.3.4"),
                "what was handed out stays good"
            );
            firewall.expire().unwrap();
            firewall.set_policy("s", &interfaces, None).unwrap();
            assert_eq!(ruleset(), empty);
        },
    );
}
