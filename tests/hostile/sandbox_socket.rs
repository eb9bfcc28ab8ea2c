//! A client of the sandbox socket that does not keep to the protocol.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use shedbox_client::spec::control::Request;
use shedbox_linux::seqpacket::SeqPacket;

use crate::cases;
use crate::mutation::mutate;
use crate::parsers::requests;
use crate::require;
use crate::support::{Home, Random, seed, unique};

/// Resident memory of a process in KiB. Its status is readable although it cannot be traced.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

struct Sandbox {
    home: Home,
    name: String,
    init: i32,
}

impl Sandbox {
    fn new() -> Self {
        let home = Home::new();
        let name = unique("hostile");
        home.run(["run", "-d", "--idle", "--name", &name, "host"]);
        let info = home
            .client()
            .sandbox(&name)
            .expect("find it")
            .info()
            .expect("inspect");
        let init = info.init_pid.expect("it runs");
        Self { home, name, init }
    }

    fn connect(&self) -> SeqPacket {
        let socket = self
            .home
            .paths()
            .sandbox_sockets()
            .join("names")
            .join(&self.name);
        SeqPacket::connect(&socket).expect("connect")
    }

    /// It still is the same init, and it works.
    fn serves(&self) {
        assert_eq!(self.home.run(["exec", &self.name, "echo", "here"]), "here");
        let info = self
            .home
            .client()
            .sandbox(&self.name)
            .expect("find it")
            .info()
            .expect("inspect");
        assert_eq!(info.init_pid, Some(self.init));
    }
}

/// Up to three descriptors of the kinds that clients send and do not send.
fn descriptors(random: &mut Random) -> Vec<OwnedFd> {
    (0..random.below(4))
        .map(|_| match random.below(4) {
            0 => std::io::pipe().expect("pipe").0.into(),
            1 => std::io::pipe().expect("pipe").1.into(),
            2 => File::open("/dev/null").expect("open").into(),
            _ => SeqPacket::pair().expect("socketpair").0.into(),
        })
        .collect()
}

#[test]
fn requests_at_random() {
    require!(userns);
    let mut random = Random(seed());
    let seeds = requests();
    let sandbox = Sandbox::new();
    sandbox.serves();
    let before = resident(sandbox.init);
    let mut connection = sandbox.connect();
    let (mut answers, mut refused) = (0, 0);
    let cases = cases(30_000);
    for round in 0..cases {
        let text = mutate(&mut random, &seeds);
        let fds = descriptors(&mut random);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let sent = connection.send(&text, &fds);
        // Some clients listen, others do not.
        let gone = sent.is_err()
            || random.below(8) == 0
            || (random.below(2) == 0
                && match connection.try_recv() {
                    Ok(Some(frame)) => {
                        answers += 1;
                        let reply: serde_json::Value =
                            serde_json::from_slice(&frame.bytes).expect("JSON");
                        refused += usize::from(reply["reply"] == "failed");
                        false
                    }
                    Ok(None) => true,
                    Err(error) => error.errno != shedbox_linux::errno::Errno::EAGAIN,
                });
        if gone {
            connection = sandbox.connect();
        }
        if round % 2000 == 0 {
            sandbox.serves();
        }
    }
    drop(connection);
    sandbox.serves();
    assert!(
        answers > cases / 100 && refused > 10,
        "{answers} answers, {refused} refused"
    );
    let after = resident(sandbox.init);
    assert!(
        after < before + 4096,
        "init has grown from {before} to {after} KiB"
    );
}

#[test]
fn one_that_asks_and_never_listens() {
    require!(userns);
    let sandbox = Sandbox::new();
    let before = resident(sandbox.init);
    let question = serde_json::to_vec(&Request::Stats).expect("encode");
    for _ in 0..20 {
        let connection = sandbox.connect();
        // Init drops whoever does not take its answers: then sending fails.
        let sent = (0..100_000)
            .take_while(|_| connection.send(&question, &[]).is_ok())
            .count();
        assert!(
            sent < 100_000,
            "init keeps answers for a client that does not take them"
        );
    }
    sandbox.serves();
    let after = resident(sandbox.init);
    assert!(
        after < before + 4096,
        "init has grown from {before} to {after} KiB"
    );
}

#[test]
fn many_that_say_nothing() {
    require!(userns);
    let sandbox = Sandbox::new();
    let idle: Vec<SeqPacket> = (0..200).map(|_| sandbox.connect()).collect();
    sandbox.serves();
    drop(idle);
    sandbox.serves();
}
