//! Numbers of this machine's own ABI. Source: syscalls(2).

pub use libc::{
    SYS_acct as ACCT, SYS_add_key as ADD_KEY, SYS_adjtimex as ADJTIMEX, SYS_bpf as BPF,
    SYS_chroot as CHROOT, SYS_clock_adjtime as CLOCK_ADJTIME, SYS_clock_settime as CLOCK_SETTIME,
    SYS_clone as CLONE, SYS_clone3 as CLONE3, SYS_delete_module as DELETE_MODULE,
    SYS_execve as EXECVE, SYS_execveat as EXECVEAT, SYS_fchmod as FCHMOD, SYS_fchmodat as FCHMODAT,
    SYS_fchown as FCHOWN, SYS_fchownat as FCHOWNAT, SYS_finit_module as FINIT_MODULE,
    SYS_fremovexattr as FREMOVEXATTR, SYS_fsconfig as FSCONFIG, SYS_fsetxattr as FSETXATTR,
    SYS_fsmount as FSMOUNT, SYS_fsopen as FSOPEN, SYS_fspick as FSPICK,
    SYS_getpriority as GETPRIORITY, SYS_init_module as INIT_MODULE,
    SYS_io_uring_enter as IO_URING_ENTER, SYS_io_uring_register as IO_URING_REGISTER,
    SYS_io_uring_setup as IO_URING_SETUP, SYS_kcmp as KCMP, SYS_kexec_load as KEXEC_LOAD,
    SYS_keyctl as KEYCTL, SYS_kill as KILL, SYS_lremovexattr as LREMOVEXATTR,
    SYS_lsetxattr as LSETXATTR, SYS_memfd_create as MEMFD_CREATE, SYS_mknodat as MKNODAT,
    SYS_mount as MOUNT, SYS_move_mount as MOVE_MOUNT, SYS_name_to_handle_at as NAME_TO_HANDLE_AT,
    SYS_open_by_handle_at as OPEN_BY_HANDLE_AT, SYS_open_tree as OPEN_TREE,
    SYS_perf_event_open as PERF_EVENT_OPEN, SYS_personality as PERSONALITY,
    SYS_pidfd_getfd as PIDFD_GETFD, SYS_pidfd_send_signal as PIDFD_SEND_SIGNAL,
    SYS_pivot_root as PIVOT_ROOT, SYS_prlimit64 as PRLIMIT64,
    SYS_process_vm_readv as PROCESS_VM_READV, SYS_process_vm_writev as PROCESS_VM_WRITEV,
    SYS_ptrace as PTRACE, SYS_quotactl as QUOTACTL, SYS_reboot as REBOOT,
    SYS_removexattr as REMOVEXATTR, SYS_request_key as REQUEST_KEY,
    SYS_rt_sigqueueinfo as RT_SIGQUEUEINFO, SYS_rt_tgsigqueueinfo as RT_TGSIGQUEUEINFO,
    SYS_setdomainname as SETDOMAINNAME, SYS_sethostname as SETHOSTNAME, SYS_setns as SETNS,
    SYS_settimeofday as SETTIMEOFDAY, SYS_setxattr as SETXATTR, SYS_socket as SOCKET,
    SYS_socketpair as SOCKETPAIR, SYS_swapoff as SWAPOFF, SYS_swapon as SWAPON,
    SYS_symlinkat as SYMLINKAT, SYS_syslog as SYSLOG, SYS_tgkill as TGKILL, SYS_tkill as TKILL,
    SYS_umount2 as UMOUNT2, SYS_unshare as UNSHARE, SYS_userfaultfd as USERFAULTFD,
    SYS_utimensat as UTIMENSAT,
};

/// Not named for every C library.
#[cfg(target_arch = "x86_64")]
pub const KEXEC_FILE_LOAD: i64 = 320;
/// The same.
#[cfg(target_arch = "aarch64")]
pub const KEXEC_FILE_LOAD: i64 = 294;
/// Linux 5.10. Numbers as new as this one are the same on all machines.
pub const PROCESS_MADVISE: i64 = 440;
/// Linux 5.12.
pub const MOUNT_SETATTR: i64 = 442;
/// Linux 5.14.
pub const QUOTACTL_FD: i64 = 443;
/// Linux 6.6.
pub const FCHMODAT2: i64 = 452;
/// Linux 6.13.
pub const SETXATTRAT: i64 = 463;
/// Linux 6.13.
pub const REMOVEXATTRAT: i64 = 466;
/// Linux 6.15.
pub const OPEN_TREE_ATTR: i64 = 467;

/// Older ways to what has a call above, which only x86 has.
#[cfg(target_arch = "x86_64")]
pub const ONLY_HERE: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_symlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
/// None.
#[cfg(not(target_arch = "x86_64"))]
pub const ONLY_HERE: &[i64] = &[];
