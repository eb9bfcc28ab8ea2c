//! CVE-2019-5736: the runtime's own program, seen through /proc/PID/exe, is overwritten while it starts a command.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, keeper_program};

/// The interpreter of a script that the sandbox wrote is our own program: the kernel opens it while that is what runs.
const SCRIPT: &str = "printf '#!/proc/self/exe\\n' >/tmp/script; chmod 755 /tmp/script";

#[test]
fn our_program_cannot_be_overwritten_while_commands_start() {
    require!(userns);
    let before = std::fs::read(keeper_program()).unwrap();
    let case = Case::host().sh(SCRIPT).ok();
    let attack = Attack::new(include_str!("self_exe.py")).with("2");
    let running = attack.started_in(&case);
    let started = std::time::Instant::now();
    let mut commands = 0;
    while started.elapsed() < std::time::Duration::from_millis(2200) {
        let output = case
            .get_home()
            .shedbox(["exec", case.name(), "/tmp/script"])
            .output()
            .unwrap();
        // Our program finds no keeper's place to work in, and says so; it never runs a payload.
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        case.get_home()
            .run(["exec", case.name(), "/proc/self/root/bin/true"]);
        commands += 1;
    }
    assert!(commands >= 5, "{commands} commands");
    let seen = running.seen();
    assert_eq!(seen.outcome("looked"), "True");
    assert_eq!(seen.outcome("caught"), "True, it was our program: True");
    assert_eq!(seen.outcome("written"), "0");
    let refused = seen.outcome("refused");
    assert!(refused.contains("init EACCES"), "{refused}");
    assert!(
        refused.contains("ETXTBSY") || refused.contains("EPERM"),
        "{refused}"
    );
    assert!(std::fs::read(keeper_program()).unwrap() == before);
    // The next generation runs the same program.
    case.reset().exec(["echo", "works"]).stdout("works");
}
