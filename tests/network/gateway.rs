//! The gateway process, seen from outside: its namespaces are entered as the lane's user.

use std::process::Command;

use crate::support::{Home, Kin, Kinship};

/// The gateway of a home, by its command line.
pub(crate) fn of(kin: &Kinship) -> Kin {
    let mut all = kin.all();
    all.retain(|kin| kin.command.split_whitespace().any(|word| word == "gateway"));
    assert_eq!(all.len(), 1, "gateways: {all:?}");
    all.remove(0)
}

/// What the starter of this test's gateway has started. It is called after its variant (`passt.avx2`).
pub(crate) fn pastas(kin: &Kinship) -> Vec<Kin> {
    let starter = starter(kin);
    let mut all = kin.all();
    all.retain(|kin| kin.parent == starter.pid && kin.name.starts_with("pas"));
    all
}

/// The process that starts pasta, a child of the gateway.
pub(crate) fn starter(kin: &Kinship) -> Kin {
    let gateway = of(kin);
    let mut all = kin.all();
    all.retain(|kin| kin.parent == gateway.pid && kin.command == "shedbox uplink");
    assert_eq!(all.len(), 1, "starters: {all:?}");
    all.remove(0)
}

/// Runs a program in the gateway's user and network namespace.
pub(crate) fn inside(gateway: &Kin, argv: &[&str]) -> String {
    let output = Command::new("nsenter")
        .arg(format!("--target={}", gateway.pid))
        .args(["--user", "--net", "--preserve-credentials", "--"])
        .args(argv)
        .output()
        .expect("run nsenter");
    assert!(
        output.status.success(),
        "{argv:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// What a gateway has: interfaces, rules, set elements, leases of addresses, descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) interfaces: Vec<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) rules: String,
    pub(crate) descriptors: usize,
}

/// Counts them.
pub(crate) fn holdings(gateway: &Kin) -> Holdings {
    let lines = |argv: &[&str]| -> Vec<String> {
        inside(gateway, argv).lines().map(str::to_owned).collect()
    };
    Holdings {
        interfaces: lines(&["ip", "-oneline", "link"]),
        routes: lines(&["ip", "route", "show", "table", "all"]),
        rules: inside(gateway, &["nft", "--stateless", "list", "ruleset"]),
        descriptors: gateway
            .open_files()
            .expect("its descriptors may be counted"),
    }
}

/// All processes of a home that serve: daemon, keeper, gateway, pasta.
pub(crate) fn servants(home: &Home) -> usize {
    home.servants().len()
}
