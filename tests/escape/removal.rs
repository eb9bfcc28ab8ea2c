//! `reset` and `rm` remove what the sandbox has made, however it looks, and nothing else: they follow no link.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Home, eventually, scratch};

#[test]
fn links_and_closed_directories_are_removed_and_not_followed() {
    require!(userns);
    let outside = scratch();
    std::fs::create_dir_all(outside.path().join("sub")).unwrap();
    for name in ["file", "sub/file"] {
        std::fs::write(outside.path().join(name), "the user's").unwrap();
    }
    let attack = Attack::new(include_str!("removal.py")).with(outside.path().to_str().unwrap());
    let intact = || {
        for name in ["file", "sub/file"] {
            assert_eq!(
                std::fs::read_to_string(outside.path().join(name)).unwrap(),
                "the user's"
            );
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2);
    };
    let home = Home::new();
    let trash = home.root().join("trash");
    let empty = || std::fs::read_dir(&trash).is_ok_and(|mut entries| entries.next().is_none());
    let mut case = Case::host().home(home);
    for _ in 0..2 {
        let (planted, seen) = attack.inside(case);
        assert_eq!(seen.outcome("planted"), "2999 321");
        assert_eq!(seen.outcome("immutable"), "EPERM");
        assert_eq!(seen.outcome("append only"), "EPERM");
        case = planted
            .reset()
            .sh("ls -A /var/trap 2>&1 | head -1")
            .stdout("ls: cannot access '/var/trap': No such file or directory");
        eventually("the trash is empty", empty);
        intact();
    }
    let (planted, _) = attack.inside(case);
    let (case, output) = planted.command(["rm", "-f"]).output();
    assert!(output.status.success(), "{output:?}");
    eventually("the trash is empty", empty);
    intact();
    case.has_gone();
}
