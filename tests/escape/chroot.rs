//! The ways out of a root directory: a second chroot, `..`, directories that others hold.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, scratch};

#[test]
fn a_chroot_cannot_be_left() {
    require!(userns, program "unshare");
    let host = scratch();
    let secret = host.path().join("secret");
    std::fs::write(&secret, "the host's").unwrap();
    let jail = host.path().join("jail");
    std::fs::create_dir_all(jail.join("tmp")).unwrap();
    let attack = Attack::new(include_str!("chroot.py")).with(secret.to_str().unwrap());

    let control = attack
        .clone()
        .with(jail.to_str().unwrap())
        .without_walls(&["unshare", "--map-root-user"]);
    assert_eq!(control.outcome("double chroot"), "the host's");

    let (_case, seen) = attack.inside(Case::host());
    seen.is("chroot: starts with proc tmp
        double chroot: EPERM
        pivot_root: EPERM
        dots: ENOENT
        /proc/1/root: EACCES
        /proc/1/cwd: EACCES
        /proc/self/root: ENOENT
        /proc/self/cwd: ENOENT");
}
