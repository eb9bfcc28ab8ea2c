//! Processes and threads, which a guard bounds without a cgroup: RLIMIT_NPROC of the sandbox's own user namespace.

use std::time::Duration;

use super::bomb::Bomb;
use crate::require;

/// Forks until it is refused, and once more from every child.
pub(super) const FORKS: &str = "
import os, sys, time
def bomb():
    made = 0
    while True:
        try: pid = os.fork()
        except OSError: return made
        if pid == 0:
            bomb()
            time.sleep(1000)
        made += 1
made = bomb()
time.sleep(0.2)
print('refused after', made)
";

#[test]
fn forks() {
    // The kernel exempts the host's root from this rlimit; what bounds it is tested with the guards.
    require!(userns, ordinary);
    Bomb::python(FORKS)
        .option("--ulimit=nproc=100:100")
        .says("refused after")
        .go_off();
}

#[test]
fn forks_that_never_end() {
    require!(userns);
    Bomb::python(
        "
import os
while True:
    try: os.fork()
    except OSError: pass
",
    )
    .option("--ulimit=nproc=100:100")
    .ended_after(Duration::from_secs(2))
    .go_off();
}

#[test]
fn threads() {
    require!(userns);
    Bomb::python(
        "
import threading, time
made = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        made += 1
except RuntimeError:
    print('refused after', made)
",
    )
    .option("--ulimit=nproc=100:100")
    .says("refused after")
    .go_off();
}

#[test]
fn zombies() {
    require!(userns);
    // Its own children, which it does not wait for; then their grandchildren, which init inherits all at once.
    Bomb::python(
        "
import os, time
made = 0
while made < 5000:
    try: pid = os.fork()
    except OSError: break
    if pid == 0: os._exit(0)
    made += 1
time.sleep(0.2)
states = [open('/proc/%s/stat' % p).read().rpartition(')')[2].split()[0] for p in os.listdir('/proc') if p.isdigit()]
print('zombies' if states.count('Z') == made > 10 else states)
",
    )
    .option("--ulimit=nproc=100:100")
    .says("zombies")
    .go_off();
}

#[test]
fn orphans_that_init_has_to_reap() {
    require!(userns);
    Bomb::python(
        "
import os
for n in range(2000):
    pid = os.fork()
    if pid == 0:
        if os.fork(): os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)
print('reaped by others')
",
    )
    .within(Duration::from_mins(1))
    .says("reaped by others")
    .go_off();
}

#[test]
fn spinning_in_64_threads() {
    require!(userns);
    Bomb::python(
        "
import os
for n in range(63):
    if os.fork() == 0: break
while True: pass
",
    )
    .ended_after(Duration::from_secs(2))
    .go_off();
}

#[test]
fn everything_stopped() {
    require!(userns);
    // What is stopped cannot handle SIGTERM, and neither can it hold up the client, a reset or a removal.
    Bomb::python(
        "
import os, signal, time
for n in range(20):
    if os.fork() == 0: time.sleep(1000)
os.kill(-1, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGSTOP)
",
    )
    .ended_after(Duration::from_secs(2))
    .go_off();
}

#[test]
fn signals_to_everything_there_is() {
    require!(userns);
    Bomb::python(
        "
import os, signal
sent = 0
for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP):
    for pid in range(1, 3000):
        try:
            if pid != os.getpid(): os.kill(pid, n); sent += 1
        except OSError: pass
print('sent')
",
    )
    .says("sent")
    .go_off();
}
