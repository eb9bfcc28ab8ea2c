//! Bombs that run into what was asked for: the limit holds, and the cause is told.

use std::time::Duration;

use super::bomb::Bomb;
use super::processes::FORKS;
use crate::require;
use crate::support::Need;

/// Takes memory and writes to it, 1 MiB at a time.
const MEMORY: &str = "
taken = []
try:
    while len(taken) < 512: taken.append(bytearray(b'x' * (1 << 20)))
except MemoryError:
    taken.clear()
    print('refused')
";

#[test]
fn memory() {
    require!(userns, cgroup);
    Bomb::python(MEMORY)
        .option("--memory=64m")
        .status(&[137])
        .explained("out of memory")
        .go_off();
}

#[test]
fn memory_of_many_processes() {
    require!(userns, cgroup);
    Bomb::python(
        "
import os, time
for n in range(8):
    if os.fork() == 0:
        taken = [bytearray(b'x' * (1 << 20)) for n in range(32)]
        time.sleep(1000)
try:
    while True: os.wait()
except ChildProcessError: pass
",
    )
    .option("--memory=64m")
    .option("--oom-group")
    .status(&[137])
    .go_off();
}

#[test]
fn memory_as_far_as_it_can_be_had() {
    require!(userns);
    let bomb = Bomb::python(MEMORY)
        .option("--memory=256m")
        .option("--limits=best-effort");
    // Without a cgroup the address space is what is left to bound: the program is refused, not ended.
    match Need::Cgroup.missing() {
        Some(_) => bomb.says("refused").go_off(),
        None => bomb.status(&[137]).explained("out of memory").go_off(),
    }
}

#[test]
fn shared_memory_counts_as_memory() {
    require!(userns, cgroup);
    Bomb::python(
        "
import os
fd = os.open('/dev/shm/bomb-shm', os.O_CREAT | os.O_WRONLY)
while True: os.write(fd, b'x' * (1 << 20))
",
    )
    .option("--memory=64m")
    .option("--shm-size=1g")
    .status(&[137])
    .explained("out of memory")
    .go_off();
}

#[test]
fn a_tmpfs_counts_as_memory() {
    require!(userns, cgroup);
    Bomb::python(
        "
import os
fd = os.open('/bomb/bomb-tmpfs', os.O_CREAT | os.O_WRONLY)
while True: os.write(fd, b'x' * (1 << 20))
",
    )
    .option("--memory=64m")
    .option("--tmpfs=/bomb:size=1g")
    .status(&[137])
    .explained("out of memory")
    .go_off();
}

#[test]
fn kernel_memory_behind_sockets_counts_as_memory() {
    require!(userns, cgroup);
    Bomb::python(
        "
import resource, socket
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
pairs = []
while True:
    a, b = socket.socketpair()
    a.setblocking(False)
    try:
        while True: a.send(b'x' * 65536)
    except (BlockingIOError, OSError): pass
    pairs.append((a, b))
",
    )
    .option("--memory=64m")
    .status(&[1, 137])
    .go_off();
}

#[test]
fn processes_and_why_they_were_refused() {
    require!(userns, cgroup);
    let script = format!("{FORKS}\nsys.exit(7)");
    Bomb::python(&script)
        .option("--pids-limit=50")
        .status(&[7])
        .says("refused after")
        .explained("no more processes")
        .go_off();
}

#[test]
fn processes_without_a_cgroup() {
    // For the host's root only the pids of the namespace are bounded, at more than is taken apart in twice the time.
    require!(userns, ordinary);
    Bomb::python(FORKS)
        .option("--pids-limit=50")
        .option("--limits=best-effort")
        .says("refused after")
        .go_off();
}

#[test]
fn half_a_cpu_for_64_threads() {
    require!(userns, cgroup);
    Bomb::python(
        "
import os
for n in range(63):
    if os.fork() == 0: break
while True: pass
",
    )
    .option("--cpus=0.5")
    .ended_after(Duration::from_secs(2))
    .go_off();
}

/// Writes until it is refused or ended. Slowly enough for a watchdog to be meant: no disk writes 50 MB in no time.
const DISK: &str = "
import os, sys, time
fd = os.open('/bomb-disk', os.O_CREAT | os.O_WRONLY)
try:
    for n in range(256):
        os.write(fd, b'x' * (1 << 20)); time.sleep(0.02)
except OSError as error:
    print('refused', error.errno); sys.exit(7)
print('written')
";

#[test]
fn disk() {
    require!(userns);
    Bomb::python(DISK)
        .option("--disk=20m")
        .status(&[7, 137])
        .explained("disk limit")
        .go_off();
}

/// No `user.*` attributes on tmpfs, which overlay needs there.
fn older_than_6_6() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the release");
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(6), Some(6))
}

#[test]
fn a_disk_in_memory() {
    require!(userns);
    if older_than_6_6() {
        let ground = super::ground::Ground::new();
        ground.home().refused(
            [
                "run",
                "--detach",
                "--idle",
                "--disk=20m,backing=tmpfs",
                "host",
            ],
            125,
            "needs Linux 6.6",
        );
        return;
    }
    Bomb::python(DISK)
        .option("--disk=20m,backing=tmpfs")
        .status(&[7])
        .says("refused 28")
        .explained("disk limit")
        .go_off();
}

#[test]
fn inodes() {
    require!(userns);
    Bomb::python(
        "
import os, sys, time
os.mkdir('/bomb-inodes'); os.chdir('/bomb-inodes')
try:
    for n in range(200000):
        os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY))
        if n % 500 == 0: time.sleep(0.05)
except OSError as error:
    print('refused', error.errno); sys.exit(7)
print('made')
",
    )
    .option("--disk=1g,inodes=2000")
    .within(Duration::from_mins(1))
    .status(&[7, 137])
    .explained("disk limit")
    .go_off();
}
