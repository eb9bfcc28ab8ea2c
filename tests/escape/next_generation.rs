//! What an episode does to reach the next one: processes that fork across the reset, hold descriptors of the old tree
//! and write to it, rename without end, stop themselves; poison in every place where the next episode might look.

use std::time::Instant;

use crate::attack::Attack;
use crate::require;
use crate::support::Case;

const MARK: &str = "deadbeef";

fn nothing(seen: &crate::attack::Seen) {
    seen.is("traces: as 0
        files: none
        processes: none
        memory: 0
        queues: 0
        loopback: ECONNREFUSED
        abstract: ECONNREFUSED
        lock: done
        passwd: root True
        poison: False
        shell: /tmp");
}

#[test]
fn nothing_of_an_episode_is_in_the_next() {
    require!(userns, image "debian");
    let stay = Attack::new(include_str!("stay.py")).with(MARK);
    // The sandbox's own main process is the one other process.
    let look = Attack::new(include_str!("traces.py")).with(MARK).with("1");
    let (mut case, seen) = look.inside(Case::image("debian"));
    nothing(&seen);
    for _ in 0..3 {
        let (planted, seen) = stay.inside(case);
        assert_eq!(seen.text(), "planted");
        let (planted, seen) = look.inside(planted);
        assert!(
            seen.outcome("files").contains("/deadbeef.late"),
            "{}",
            seen.text()
        );
        assert!(seen.outcome("processes").len() > 10, "{}", seen.text());
        assert_eq!(seen.outcome("loopback"), "there");
        assert_eq!(seen.outcome("abstract"), "there");
        assert_eq!(seen.outcome("lock"), "EAGAIN");
        assert_eq!(seen.outcome("poison"), "True");
        assert_eq!(seen.outcome("passwd"), "root False");
        case = planted.reset();
        let (next, seen) = look.inside(case);
        nothing(&seen);
        case = next;
    }
}

#[test]
fn two_hundred_resets_under_attack() {
    require!(userns);
    let stay = Attack::new(include_str!("stay.py")).with(MARK);
    let mut case = Case::host();
    case.start();
    let started = Instant::now();
    for round in 0..200 {
        // A full attack now and then; in between, a command that has just begun to fork and write.
        if round % 20 == 0 {
            let (planted, seen) = stay.inside(case);
            assert_eq!(seen.text(), "planted");
            case = planted;
        } else {
            case = case
                .with("--detach")
                .sh("touch /leak /tmp/leak /dev/shm/leak; for i in 1 2 3 4 5; do (while :; do touch /leak /var/leak; done) & done; wait")
                .ok();
        }
        let (next, output) = case
            .reset()
            .sh("ls -A / /tmp /var /dev/shm | grep -e leak -e deadbeef; ls /proc | grep -c '^[0-9]'")
            .output();
        // Init, this command's own three, and the main process once it has been started again.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(["4\n", "5\n"].contains(&&*said), "round {round}: {said}");
        case = next;
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
