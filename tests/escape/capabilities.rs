//! CVE-2022-24769 and its kin: what a program keeps, and what setuid bits and file capabilities give.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Lane};

#[test]
fn nothing_is_gained_by_executing() {
    require!(userns);
    let attack = Attack::new(include_str!("capabilities.py")).with("1000");
    let (_case, seen) = attack.inside(Case::host());
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SETFCAP
    let held =
        "CapInh=0 CapPrm=800005fb CapEff=800005fb CapBnd=800005fb CapAmb=0 NoNewPrivs=1 Seccomp=2";
    assert_eq!(seen.outcome("status"), held);
    assert_eq!(seen.outcome("all, permitted"), "EPERM");
    assert_eq!(seen.outcome("SYS_ADMIN, inheritable"), "EPERM");
    assert_eq!(seen.outcome("ambient SYS_ADMIN"), "-1");
    assert_eq!(seen.outcome("after that"), held);
    // On a single-id map there is nobody else to become: root emulation says yes and root it is.
    let user = if Lane::current() == Lane::Single {
        "0 800005fb"
    } else {
        "1000 0"
    };
    assert_eq!(seen.outcome("setuid copy"), user);
    assert_eq!(seen.outcome("plain copy"), user);
    if Lane::current() == Lane::Single {
        return;
    }
    // A capability in the file that no_new_privs forbids is EPERM or ignored, by kernel and set.
    seen.is_one_of("copy with file capabilities", &["EPERM", "1000 0"]);
    let mut programs = 0;
    for (what, outcome) in seen.all().filter(|(what, _)| what.starts_with("setuid ")) {
        assert!(
            ["refused", "1000 0"].contains(&outcome),
            "{what}: {outcome}"
        );
        programs += 1;
    }
    assert!(programs > 2, "{programs}");
}
