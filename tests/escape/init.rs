//! PID 1 of a sandbox is ours: nothing inside reads it, traces it, signals it or takes its resources away.

use crate::attack::Attack;
use crate::require;
use crate::support::Case;

#[test]
fn init_is_not_to_be_had() {
    require!(userns);
    let (case, seen) = Attack::new(include_str!("init.py")).inside(Case::host());
    seen.is("init: as 0
        ptrace attach: EPERM
        ptrace seize: EPERM
        process_vm_readv: ENOSYS
        process_vm_writev: ENOSYS
        pidfd_getfd: EPERM
        kcmp: EPERM
        read /proc/1/mem: EACCES
        read /proc/1/maps: EACCES
        read /proc/1/environ: EACCES
        read /proc/1/exe: EACCES
        read /proc/1/auxv: EACCES
        read /proc/1/syscall: EPERM
        read /proc/1/stack: EACCES
        read /proc/1/pagemap: EACCES
        read /proc/1/io: EACCES
        read /proc/1/smaps: EACCES
        link /proc/1/fd/3: EACCES
        link /proc/1/root: EACCES
        link /proc/1/cwd: EACCES
        link /proc/1/exe: EACCES
        list /proc/1/fdinfo: EACCES
        list /proc/1/map_files: EACCES
        open /proc/1/fd/3: EACCES
        open /proc/1/ns/user: EACCES
        open /proc/1/ns/mnt: EACCES
        open /proc/1/ns/net: EACCES
        open /proc/1/ns/pid: EACCES
        write /proc/1/mem: EACCES
        signals sent: 64
        read its limits: known
        own limits: done
        prlimit CPU: EPERM
        prlimit NOFILE: EPERM
        prlimit AS: EPERM
        prlimit FSIZE: EPERM
        prlimit NPROC: EPERM
        prlimit by high bits: EPERM
        sched_setscheduler: EPERM
        sched_setaffinity: EPERM
        setpriority: EPERM
        programs of ours in sight: 1
        still pid 1: shedbox-init");
    // It still serves.
    case.exec(["echo", "served"]).stdout("served");
}
