//! A client of the keeper's socket that does not keep to the protocol.

use std::os::fd::AsFd;

use shedbox_client::spec::control::{KeeperReply, KeeperRequest};
use shedbox_linux::seqpacket::SeqPacket;

use crate::cases;
use crate::mutation::mutate;
use crate::require;
use crate::support::{Home, Random, seed, unique};

#[test]
fn requests_at_random() {
    require!(userns);
    let mut random = Random(seed());
    let home = Home::new();
    let name = unique("kept");
    home.run(["run", "-d", "--idle", "--name", &name, "host"]);
    let keepers = |home: &Home| -> Vec<i32> {
        let mut pids: Vec<i32> = home
            .servants()
            .iter()
            .filter(|process| process.command.contains("keeper"))
            .map(|process| process.pid)
            .collect();
        pids.sort_unstable();
        pids
    };
    let before = keepers(&home);
    assert!(!before.is_empty());
    let hello = serde_json::to_vec(&KeeperRequest::Hello).expect("encode");
    // A generation that can never stand: its directories do not exist.
    let spawn = br#"{"request":"spawn","join":false,"spec":{"sandbox":"x","generation":1,"rootfs":{"kind":"overlay","lower":["/nonexistent"],"upper":"/nonexistent","work":"/nonexistent","host_binds":[],"masked":[]},"mountpoint":"/nonexistent","mounts":[],"cow_dir":"/nonexistent","read_only":false,"hostname":"x","etc_hosts":"","etc_resolv_conf":"","shm_size":1,"network":"none","ulimits":[],"capabilities":0,"env":[],"workdir":"/","user":"0","user_may_fall_back":false,"main":null,"ttl_ms":null,"log_max_bytes":1,"uid_map":[[0,1]],"gid_map":[[0,1]],"deny_setgroups":false,"seccomp":[],"no_new_privileges":true,"landlock":{}}}"#;
    let seeds = [hello.clone(), spawn.to_vec()];
    let mut connection = SeqPacket::connect(&home.paths().keeper_socket()).expect("connect");
    let mut answers = 0;
    for _ in 0..cases(3_000) {
        let text = mutate(&mut random, &seeds);
        let (read, write) = std::io::pipe().expect("pipe");
        let (end, _other) = SeqPacket::pair().expect("socketpair");
        let all = [end.as_fd(), read.as_fd(), write.as_fd(), read.as_fd()];
        let count = random.below(5) as usize;
        let answered = connection.send(&text, &all[..count]).is_ok()
            && matches!(connection.recv(), Ok(Some(_)));
        if answered {
            answers += 1;
        } else {
            connection = SeqPacket::connect(&home.paths().keeper_socket()).expect("connect");
        }
    }
    assert!(answers > 1000, "{answers} answers");
    connection.send(&hello, &[]).expect("send");
    let frame = connection.recv().expect("receive").expect("an answer");
    let reply = serde_json::from_slice(&frame.bytes).expect("read");
    assert!(matches!(reply, KeeperReply::Hello { .. }));
    assert_eq!(keepers(&home), before);
    home.run(["reset", &name]);
    assert_eq!(home.run(["exec", &name, "echo", "here"]), "here");
}
