//! "Shocker": `open_by_handle_at` reaches every file of a file system of which one file is in sight.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Lane};

#[test]
fn files_are_not_opened_by_handle() {
    require!(userns);
    let attack = Attack::new(include_str!("handles.py"))
        .with("/usr/bin/env")
        .with("/usr");
    if Lane::current() == Lane::Root {
        let control = attack.without_walls(&["env"]);
        assert_eq!(
            control.outcome("open_by_handle_at, own file"),
            std::fs::canonicalize("/usr/bin/env")
                .unwrap()
                .to_str()
                .unwrap()
        );
    }
    // The places: the image's own tree, a directory and a file that are bound from the host.
    let (_case, seen) = attack.with("/").with("/etc/hostname").inside(Case::host());
    seen.is("handles: as 0
        open_by_handle_at, own file: EPERM
        open_by_handle_at, root of the disk by /usr: EPERM
        open_by_handle_at, root of the disk by /: EPERM
        open_by_handle_at, root of the disk by /etc/hostname: EPERM");
}
