//! The harness's own results, sockets and processes, from inside.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Home, scratch};

fn attack(mode: &str) -> Attack {
    Attack::new(include_str!("harness.py")).with(mode)
}

#[test]
fn a_result_is_the_exit_status_and_nothing_else() {
    require!(userns);
    let began = Instant::now();
    let (case, output) = Case::host().exec(attack("forger").argv()).output();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(output.stdout.starts_with(b"{\"reply\""), "{output:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let (_case, output) = case
        .with("--timeout=300ms")
        .exec(attack("stopped").argv())
        .output();
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    assert_eq!(output.stdout, b"stops\n");
}

#[test]
fn statuses_of_commands_that_are_killed_are_not_mixed_up() {
    require!(userns);
    let mut case = Case::host();
    case.start();
    let killer = attack("killer").with("2").started_in(&case);
    let began = Instant::now();
    let (mut own, mut killed) = (0, 0);
    while began.elapsed() < Duration::from_millis(1800) {
        let wanted = 1 + own % 50;
        let script = format!("exit {wanted}");
        let output = case
            .get_home()
            .shedbox(["exec", case.name(), "sh", "-c", &script])
            .output()
            .unwrap();
        match output.status.code() {
            Some(137) => killed += 1,
            Some(code) => {
                assert_eq!(code, wanted, "{output:?}");
                own += 1;
            }
            None => panic!("{output:?}"),
        }
    }
    assert_eq!(killer.seen().outcome("killed"), "True");
    assert!(
        killed > 0 && own + killed > 10,
        "{own} own, {killed} killed"
    );
    // A copy whose process is killed is a failure that is told.
    let name = case.name().to_owned();
    let killer = attack("killer").with("1").started_in(&case);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        let output = case
            .get_home()
            .shedbox(["cp", &format!("{name}:/etc/hosts"), "-"])
            .output()
            .unwrap();
        assert!(
            output.status.success() || !output.stderr.is_empty(),
            "{output:?}"
        );
    }
    drop(killer.seen());
    case.reset().exec(["echo", "serves"]).stdout("serves");
}

#[test]
fn a_full_pipe_and_a_stopped_tree_hold_nobody_up() {
    require!(userns);
    let case = Case::host()
        .with("--detach")
        .sh("yes | cat & kill -STOP $$")
        .ok();
    // Nobody reads what this one writes.
    let mut child = case
        .get_home()
        .command(["exec", case.name(), "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let case = case.until_running("yes", 2);
    let began = Instant::now();
    let case = case
        .sh("kill -STOP $(pgrep -x yes) $(pgrep -x sleep); echo stopped")
        .stdout("stopped");
    let case = case.reset().exec(["echo", "next"]).stdout("next");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
    drop(case);
}

#[test]
fn processes_of_the_host_are_not_killed_by_name() {
    require!(userns);
    // What `pkill -f` would find, were it in sight. It waits without a child, which would stay behind.
    let mut victim = Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "sh",
            "-c",
            "read line # sleep-of-the-host",
            "shedbox",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (case, seen) = attack("sockets").inside(Case::host());
    assert_eq!(seen.outcome("sockets in sight"), "none");
    assert_eq!(seen.outcome("listening"), "0");
    assert_eq!(seen.outcome("pkill -f"), "done");
    assert!(victim.try_wait().unwrap().is_none());
    victim.kill().unwrap();
    victim.wait().unwrap();
    // Daemon, keeper and init live.
    case.exec(["echo", "served"])
        .stdout("served")
        .reset()
        .exec(["echo", "served"])
        .stdout("served");
}

/// Whoever gives a sandbox the directory of the sockets gives it what the user has: as with Docker's socket, and as the
/// documentation says. What must hold even then: nothing is there that was not given, and a read-only volume does not
/// lend them either.
#[test]
fn the_sockets_are_there_only_for_whom_the_user_gives_them_to() {
    require!(userns);
    let home = Home::new();
    let runtime = home.runtime().to_owned();
    let outside = scratch();
    let sockets = |prefix: &str| {
        attack("sockets")
            .with(format!("{prefix}/docker.sock"))
            .with(format!("{prefix}/keeper.sock"))
    };
    home.run([
        "run",
        "--detach",
        "--name",
        "plain",
        &format!("--volume={}:/x", outside.path().display()),
        "host",
        "sleep",
        "1000",
    ]);
    let look = sockets(runtime.to_str().unwrap());
    let argv = ["exec", "plain"]
        .into_iter()
        .chain(look.argv())
        .collect::<Vec<_>>();
    let said = home.run(argv);
    for line in [
        "sockets in sight: none",
        "docker.sock SOCK_STREAM: ENOENT",
        "keeper.sock SOCK_SEQPACKET: ENOENT",
    ] {
        assert!(said.contains(line), "{said}");
    }
    home.run([
        "run",
        "--detach",
        "--name",
        "given",
        &format!("--volume={}:/given", runtime.display()),
        "host",
        "sleep",
        "1000",
    ]);
    let look = sockets("/given");
    let argv = ["exec", "given"]
        .into_iter()
        .chain(look.argv())
        .collect::<Vec<_>>();
    let said = home.run(argv);
    assert!(
        said.contains("docker.sock SOCK_STREAM: connected"),
        "{said}"
    );
}
