//! CVE-2022-0492: a `release_agent` is a program that the kernel runs on the host.

use crate::attack::Attack;
use crate::require;
use crate::support::Case;

#[test]
fn no_control_group_can_be_mounted_or_written() {
    require!(userns);
    let attack = Attack::new(include_str!("cgroups.py"));
    // Without the wall a control group file system is mounted: the kernel is one that can be attacked so.
    let control = attack.without_walls(&["unshare", "--map-root-user", "--mount", "--cgroup"]);
    assert_eq!(control.outcome("mount cgroup2 None"), "0");
    let (_case, seen) = attack.inside(Case::host());
    seen.is("cgroups: as 0
        mount cgroup rdma: EPERM
        mount cgroup memory: EPERM
        mount cgroup none,name=escape: EPERM
        mount cgroup2 None: EPERM
        mount cgroup in new namespaces: EPERM
        writable below /sys/fs/cgroup: nothing
        cgroup v1 in sight: nothing
        own cgroups: /");
}
