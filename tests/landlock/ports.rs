//! `--allow-tcp-connect` and `--allow-tcp-bind`, on the sandbox's own loopback.

use crate::attempt::{abi, python};
use crate::require;
use crate::support::{Case, Home};

const ATTEMPTS: &str = "
def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen()
    return s
def connect(port, family=socket.AF_INET, host='127.0.0.1'):
    socket.socket(family).connect((host, port))
kept = []
for port in (7001, 7002):
    attempt('bind %d' % port, lambda: kept.append(listen(port)))
for port in (7001, 7003):
    attempt('connect %d' % port, lambda: connect(port))
attempt('connect v6', lambda: connect(7003, socket.AF_INET6, '::1'))
attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 7009)))
";

#[test]
fn only_the_ports_that_are_named() {
    require!(userns, program "python3");
    let options = ["--allow-tcp-bind=7001", "--allow-tcp-connect=7001,7002"];
    if abi() < 4 {
        let found = match abi() {
            0 => "this kernel has no Landlock, or it is switched off".to_owned(),
            abi => format!("this kernel has ABI {abi}"),
        };
        Home::shared().refused(
            ["run", "--rm"]
                .iter()
                .chain(&options)
                .chain(&["host", "true"]),
            125,
            &format!("limiting TCP ports needs Landlock ABI 4 (Linux 6.7): {found}"),
        );
        return;
    }
    let [python, flag, program] = python(ATTEMPTS);
    let mut case = Case::host();
    for option in options {
        case = case.option(option);
    }
    case.exec([python.as_str(), &flag, &program])
        .stdout("bind 7001 ok\nbind 7002 EACCES\nconnect 7001 ok\nconnect 7003 EACCES\nconnect v6 EACCES\nudp ok");
}

/// What is not asked for is not limited: a list of one kind leaves the other kind alone.
#[test]
fn one_list_leaves_the_other_kind_alone() {
    require!(userns, program "python3", landlock 4);
    let [python, flag, program] = python(ATTEMPTS);
    Case::host()
        .option("--allow-tcp-connect=none")
        .exec([python.as_str(), &flag, &program])
        .stdout(
            "bind 7001 ok\nbind 7002 ok\nconnect 7001 EACCES\nconnect 7003 EACCES\nconnect v6 EACCES\nudp ok",
        );
}

#[test]
fn without_lists_every_port() {
    require!(userns, program "python3");
    let [python, flag, program] = python(ATTEMPTS);
    Case::host()
        .exec([python.as_str(), &flag, &program])
        .stdout(
            "bind 7001 ok\nbind 7002 ok\nconnect 7001 ok\nconnect 7003 ECONNREFUSED\nconnect v6 ECONNREFUSED\nudp ok",
        );
}

#[test]
fn what_is_no_port_is_refused() {
    for (option, word) in [
        ("--allow-tcp-connect=0", "`0`"),
        ("--allow-tcp-connect=65536", "`65536`"),
        ("--allow-tcp-bind=http", "`http`"),
    ] {
        Home::shared().refused(
            ["run", "--rm", option, "host", "true"],
            125,
            &format!("invalid TCP port {word}"),
        );
    }
}
