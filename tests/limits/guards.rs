//! Guards that every sandbox has, also where there is no cgroup.

use crate::require;
use crate::support::lane::Lane;
use crate::support::{Case, eventually};

/// Forks until it is refused, says how many there were, and lets them all go.
const FORKS: &str = "exec python3 -c '
import os, signal, sys
children = []
while len(children) < 8000:
    try:
        child = os.fork()
    except OSError as error:
        break
    if child == 0:
        signal.pause()
        os._exit(0)
    children.append(child)
print(len(children), flush=True)
for child in children: os.kill(child, 9)
for child in children: os.waitpid(child, 0)'";

/// The host counts processes of pid namespaces by themselves (Linux 6.14), or of users (not those of root).
fn bounds_processes() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    let version = (next(), next());
    version >= (6, 14) || (version >= (5, 14) && Lane::current() != Lane::Root)
}

#[test]
fn a_fork_bomb_is_bounded_and_its_neighbours_do_not_notice() {
    require!(userns, program "python3");
    if !bounds_processes() {
        return;
    }
    let neighbour = Case::host().sh("true").ok();
    let case = Case::host()
        .with("--detach")
        .sh("exec python3 -c '
import os, signal, time
while True:
    try:
        if os.fork() == 0: signal.pause()
    except OSError: time.sleep(0.001)'")
        .ok();
    // It has reached its limit: init itself still starts a command, which may not fork.
    eventually("the bomb is at its limit", || {
        let text = case.get_home().run(["top", case.name()]);
        text.lines().count() > 1900
    });
    let neighbour = neighbour
        .sh("for i in $(seq 50); do /bin/true || exit 1; done; echo unharmed")
        .stdout("unharmed");
    let text = case.get_home().run(["top", case.name()]);
    let most = if Lane::current() == Lane::Root {
        2400
    } else {
        2100
    };
    assert!(
        text.lines().count() < most,
        "{} processes",
        text.lines().count()
    );
    case.reset().sh("echo usable").stdout("usable");
    neighbour.sh("true").ok();
}

#[test]
fn a_limit_on_processes_that_was_asked_for_holds_for_all_users_together() {
    require!(userns, many_ids, program "python3");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let version: Vec<u32> = release
        .split(|c: char| !c.is_ascii_digit())
        .take(2)
        .map(|number| number.parse().unwrap())
        .collect();
    // Where pid_max is the host's, each user of the sandbox counts alone.
    if version < vec![6, 14] {
        return;
    }
    let script = "for uid in 1 2 3 4 5 6 7 8; do setpriv --reuid=$uid --clear-groups python3 -c '
import os, signal
n = 0
while n < 1000:
    try: child = os.fork()
    except OSError: break
    if child == 0: signal.pause()
    n += 1
' & done; wait; ls -d /proc/[0-9]* | wc -l"
        .to_string();
    let (_case, output) = Case::host().sh(&script).output();
    let text = String::from_utf8_lossy(&output.stdout);
    // 2048, and the pids that the kernel gives out only once.
    let count: u32 = text.trim().parse().unwrap_or(0);
    assert!(count < 2048 + 400, "{text}");
}

#[test]
fn one_user_of_a_sandbox_may_have_so_many_processes() {
    require!(userns, program "python3");
    if !bounds_processes() {
        return;
    }
    let (case, output) = Case::host().sh(FORKS).output();
    let count: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!((1500..2500).contains(&count), "{count} processes");
    case.sh("echo there is room again")
        .stdout("there is room again");
}

#[test]
fn limits_of_a_command() {
    require!(userns);
    let read = |name: &str| {
        format!("awk '/^{name}/ {{print $(NF-2), $(NF-1)}}' /proc/self/limits | head -1")
    };
    let number = |text: &str| -> u64 {
        let word = text.split_ascii_whitespace().nth(1).unwrap_or_default();
        if word == "unlimited" {
            u64::MAX
        } else {
            word.parse().unwrap_or_else(|_| panic!("{text}"))
        }
    };
    for (name, most) in [
        ("Max core file size", 1),
        ("Max open files", 1 << 20),
        ("Max locked memory", 8 << 20),
        ("Max msgqueue size", 819_200),
        ("Max pending signals", 32_768),
    ] {
        let (_case, output) = Case::host().sh(&read(name)).output();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(number(&text) <= most, "{name}: {text}");
    }
    Case::host()
        .option("--ulimit=core=0")
        .sh(&read("Max core file size"))
        .stdout("0 0");
}

#[test]
fn orphans_are_reaped_while_they_flood() {
    require!(userns, program "python3");
    let case = Case::host()
        .with("--detach")
        .sh("exec python3 -c '
import os
while True:
    if os.fork() == 0:
        for i in range(20):
            if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()'")
        .ok();
    let began = std::time::Instant::now();
    let mut case = case;
    for _ in 0..20 {
        case = case.sh("true").ok();
    }
    let limit = crate::support::patience(std::time::Duration::from_secs(10));
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    let (case, output) = case
        .sh("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")
        .output();
    let zombies: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!(zombies < 1000, "{zombies} zombies");
    case.reset().sh("true").ok();
}
