//! Two sandboxes of one user know nothing of each other.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, eventually};

const MARK: &str = "abcdef12";

#[test]
fn one_sandbox_sees_nothing_of_another() {
    require!(userns);
    let attack = Attack::new(include_str!("neighbours.py"));
    let look = attack.clone().with("look").with(MARK).with("4000");
    let one = attack.with("plant").with(MARK).left_in(Case::host());
    eventually("it has planted", || {
        let name = one.name();
        let output = one
            .get_home()
            .shedbox(["exec", name, "grep", "-qs", MARK, "/proc/net/unix"]);
        let mut output = output;
        output.output().unwrap().status.success()
    });
    // Who looks in the same sandbox finds everything.
    let (one, own) = look.inside(one);
    own.is("neighbours: as 0
        file in /tmp: there
        file in /dev/shm: there
        file in /var/tmp: there
        file in /run: there
        file in /root: there
        file in /: there
        System V memory: there
        System V semaphore: there
        System V queue: there
        message queue: there
        abstract socket: there
        path socket: there
        loopback: there
        loopback, IPv6: there
        process by name: there
        more processes than /proc shows: 0
        ids tried: True");
    let (_two, other) = look.inside(Case::host());
    other.is("neighbours: as 0
        file in /tmp: ENOENT
        file in /dev/shm: ENOENT
        file in /var/tmp: ENOENT
        file in /run: ENOENT
        file in /root: ENOENT
        file in /: ENOENT
        System V memory: ENOENT
        System V semaphore: ENOENT
        System V queue: ENOENT
        message queue: ENOENT
        abstract socket: ECONNREFUSED
        path socket: ENOENT
        loopback: ECONNREFUSED
        loopback, IPv6: ECONNREFUSED
        process by name: not there
        more processes than /proc shows: 0
        ids tried: True");
    // After a reset of the first, nothing is there for it either.
    let (_one, next) = look.inside(one.reset());
    next.is(other.text());
}
