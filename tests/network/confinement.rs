//! The gateway reads what hostile sandboxes send: what it may do itself, as the kernel tells, and that its work goes on.
//! What its filter and its domain refuse is tried in `crates/network` (`confine_tests`).

use std::collections::BTreeMap;

use crate::gateway;
use crate::require;
use crate::scene::{Net, Peer, from_host};
use crate::support::{Home, Kin, Kinship, eventually};

/// CAP_NET_ADMIN and CAP_SYS_ADMIN, of the user namespace that all sandboxes are below.
const CAPABILITIES: &str = "0000000000201000";

/// Fields of `status` of every thread.
fn threads(process: &Kin) -> Vec<BTreeMap<String, String>> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid)).expect("its threads");
    tasks
        .map(|task| {
            let status = task.expect("a thread").path().join("status");
            let text = std::fs::read_to_string(status).expect("its status");
            text.lines()
                .filter_map(|line| line.split_once(":\t"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
        .collect()
}

#[test]
fn every_thread_has_given_away_what_it_does_not_need() {
    require!(userns);
    let kin = Kinship::begin();
    let home = Home::new();
    let sandbox = Peer::idle(&home, &["--network=bridge", "--egress=deny"]);
    let all = threads(&gateway::of(&kin));
    // The first, the one in the host's network, workers, packet log, audit log, uplink.
    assert!(all.len() >= 6, "{all:?}");
    for thread in &all {
        let name = &thread["Name"];
        for (field, value) in [
            ("Seccomp", "2"),
            ("NoNewPrivs", "1"),
            ("CapEff", CAPABILITIES),
            ("CapPrm", CAPABILITIES),
            ("CapBnd", CAPABILITIES),
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
        ] {
            assert_eq!(thread[field], value, "{field} of {name}");
        }
    }
    drop(sandbox);
}

#[test]
fn everything_about_networks_works_behind_the_walls() {
    require!(userns, program "python3");
    let kin = Kinship::begin();
    let home = Home::new();
    let net = Net::create(&home, &[]);
    let on = format!("--network={}", net.name);
    let server = Peer::server(&home, &[&on, "-p", "127.0.0.1::8000"]);
    let client = Peer::idle(&home, &[&on, "--egress=deny"]);
    assert_eq!(threads(&gateway::of(&kin))[0]["Seccomp"], "2");
    // Names, addresses and ports; a namespace that is entered; the log; another policy; another network.
    assert!(client.tcp(&server.name).starts_with(&server.name));
    let answer = from_host(server.host_port("8000/tcp")).expect("the port is published");
    assert!(answer.starts_with(&server.name), "{answer}");
    client.knows_not("denied.example");
    eventually("the verdict is written", || {
        crate::words::audit(&home, &client.name)
            .iter()
            .any(|entry| entry["host"] == "denied.example")
    });
    let other = Net::create(&home, &[]);
    home.run(["network", "connect", &other.name, &client.name]);
    home.run(["network", "connect", &other.name, &server.name]);
    let answer = client.tcp(server.address(&other.name));
    assert!(answer.starts_with(&server.name), "{answer}");
    home.run(["network", "disconnect", &other.name, &client.name]);
    home.run(["network", "disconnect", &other.name, &server.name]);
}

#[test]
fn pasta_is_started_again() {
    require!(userns, tun);
    let kin = Kinship::begin();
    let home = Home::new();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let gateway = gateway::of(&kin);
    let before = gateway::pastas(&kin);
    assert_eq!(before.len(), 1);
    before[0].kill();
    eventually("another pasta is there", || {
        let now = gateway::pastas(&kin);
        now.len() == 1 && now[0].pid != before[0].pid
    });
    assert_eq!(gateway::of(&kin).pid, gateway.pid);
    // The one that is there no more is no zombie either.
    assert!(!std::path::Path::new(&format!("/proc/{}", before[0].pid)).exists());
    drop(sandbox);
}

#[test]
fn where_there_can_be_no_pasta_nothing_waits_to_start_one() {
    require!(userns, no_tun);
    let kin = Kinship::begin();
    let home = Home::new();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let gateway = gateway::of(&kin);
    // No process, and no zombie. Source: proc_pid_stat(5).
    let parent = format!(" {} ", gateway.pid);
    eventually("the gateway has no child", || {
        !std::fs::read_dir("/proc")
            .expect("read /proc")
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
            .any(|stat| {
                let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
                rest.get(2..).is_some_and(|rest| rest.starts_with(&parent))
            })
    });
    drop(sandbox);
}

#[test]
fn a_gateway_that_can_start_no_pasta_is_replaced() {
    require!(userns, tun, program "python3");
    let kin = Kinship::begin();
    let home = Home::new();
    let net = Net::create(&home, &[]);
    let on = format!("--network={}", net.name);
    let server = Peer::server(&home, &[&on]);
    let client = Peer::idle(&home, &[&on]);
    let (gateway, starter) = (gateway::of(&kin), gateway::starter(&kin));
    starter.kill();
    eventually("another gateway is there", || {
        let all = kin.all();
        all.iter().any(|kin| {
            kin.pid != gateway.pid && kin.command.split_whitespace().any(|word| word == "gateway")
        }) && !all.iter().any(|kin| kin.pid == gateway.pid)
    });
    eventually("it has connected what runs", || {
        client.tcp(&server.name).starts_with(&server.name)
    });
    eventually("it has a pasta", || gateway::pastas(&kin).len() == 1);
}
