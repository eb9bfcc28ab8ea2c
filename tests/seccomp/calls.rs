//! Calls by number, each with the error it gets. Numbers are those of x86_64; the filters of both architectures are
//! tested call by call where they are compiled.
#![cfg(target_arch = "x86_64")]

use crate::require;
use crate::support::Case;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EAFNOSUPPORT: i32 = 97;
/// What the kernel does not look at in an `int`.
const HIGH: u64 = 1 << 32;

/// A Python program that makes each call of `list` and prints its errno, 0 when it succeeded.
fn script(list: &[(&str, i64, &[u64])]) -> String {
    use std::fmt::Write;
    let mut text = String::from(
        "import ctypes\nc=ctypes.CDLL(None,use_errno=True).syscall\nc.restype=ctypes.c_long\n\
         def call(name,number,*a):\n a=[ctypes.c_ulong(x) for x in a]+[ctypes.c_ulong(0)]*(6-len(a))\n \
         ctypes.set_errno(0)\n r=c(ctypes.c_long(number),*a)\n \
         print(name,ctypes.get_errno() if r==-1 else 0)\n",
    );
    for (name, number, arguments) in list {
        write!(text, "call({name:?},{number}").unwrap();
        for argument in *arguments {
            write!(text, ",{argument}").unwrap();
        }
        text.push_str(")\n");
    }
    text
}

fn expect(case: Case, list: &[(&str, i64, &[u64], i32)]) -> Case {
    let calls: Vec<_> = list
        .iter()
        .map(|(name, number, arguments, _)| (*name, *number, *arguments))
        .collect();
    let expected: Vec<_> = list
        .iter()
        .map(|(name, _, _, errno)| format!("{name} {errno}"))
        .collect();
    case.exec(["python3", "-c", &script(&calls)])
        .stdout(&expected.join("\n"))
}

/// In every profile of ours.
const ALWAYS: &[(&str, i64, &[u64], i32)] = &[
    ("getppid", 110, &[], 0),
    ("keyctl", 250, &[0, u64::MAX - 2, 0], EPERM),
    ("add_key", 248, &[], EPERM),
    ("request_key", 249, &[], EPERM),
    ("bpf", 321, &[], EPERM),
    ("userfaultfd", 323, &[], EPERM),
    ("kexec_load", 246, &[], EPERM),
    ("kexec_file_load", 320, &[], EPERM),
    ("init_module", 175, &[], EPERM),
    ("finit_module", 313, &[], EPERM),
    ("delete_module", 176, &[], EPERM),
    ("open_by_handle_at", 304, &[], EPERM),
    ("io_uring_setup", 425, &[1], ENOSYS),
    ("io_uring_enter", 426, &[], ENOSYS),
    ("io_uring_register", 427, &[], ENOSYS),
    ("swapon", 167, &[], EPERM),
    ("swapoff", 168, &[], EPERM),
    ("reboot", 169, &[], EPERM),
    ("iopl", 172, &[], EPERM),
    ("ioperm", 173, &[], EPERM),
    ("syslog", 103, &[3], EPERM),
    ("acct", 163, &[], EPERM),
    ("quotactl", 179, &[], EPERM),
    ("quotactl_fd", 443, &[], EPERM),
    ("settimeofday", 164, &[], EPERM),
    ("clock_settime", 227, &[], EPERM),
    ("memfd_secret", 447, &[], EPERM),
    ("fanotify_init", 300, &[], EPERM),
    ("lookup_dcookie", 212, &[], EPERM),
    ("uselib", 134, &[], EPERM),
    ("statmount", 457, &[], ENOSYS),
    ("listmount", 458, &[], ENOSYS),
    ("file_getattr", 468, &[], ENOSYS),
    ("a call of the future", 1000, &[], ENOSYS),
    ("TIOCSTI", 16, &[0, 0x5412, 0], EPERM),
    ("TIOCSTI, high bits", 16, &[0, HIGH | 0x5412, 0], EPERM),
    ("TIOCLINUX", 16, &[0, 0x541c, 0], EPERM),
    ("TIOCLINUX, high bits", 16, &[0, HIGH | 0x541c, 0], EPERM),
    ("socket ALG", 41, &[38, 5, 0], EAFNOSUPPORT),
    (
        "socket ALG, high bits",
        41,
        &[HIGH | 0x26, 5, 0],
        EAFNOSUPPORT,
    ),
    ("socket VSOCK", 41, &[40, 1, 0], EAFNOSUPPORT),
    (
        "socket VSOCK, high bits",
        41,
        &[0x1_0000_0028, 1, 0],
        EAFNOSUPPORT,
    ),
    ("socket PACKET", 41, &[17, 3, 0], EAFNOSUPPORT),
    ("socket BLUETOOTH", 41, &[31, 3, 0], EAFNOSUPPORT),
    ("socket XDP", 41, &[44, 3, 0], EAFNOSUPPORT),
    ("socket NETLINK audit", 41, &[16, 3, 9], EAFNOSUPPORT),
    ("socket NETLINK netfilter", 41, &[16, 3, 12], EAFNOSUPPORT),
    ("socketpair TIPC", 53, &[30, 1, 0, 0], EAFNOSUPPORT),
    ("socket UNIX", 41, &[1, 1, 0], 0),
    ("socket UNIX, high bits", 41, &[HIGH | 1, 1, 0], 0),
    ("socket INET", 41, &[2, 1, 0], 0),
    ("socket INET6", 41, &[10, 1, 0], 0),
];

/// In all of them that do not let namespaces be made.
const NO_NAMESPACES: &[(&str, i64, &[u64], i32)] = &[
    ("clone3", 435, &[], ENOSYS),
    ("unshare NEWUSER", 272, &[0x1000_0000], EPERM),
    (
        "unshare NEWUSER, high bits",
        272,
        &[HIGH | 0x1000_0000],
        EPERM,
    ),
    ("unshare NEWNS", 272, &[0x2_0000], EPERM),
    ("unshare NEWNET", 272, &[0x4000_0000], EPERM),
    ("unshare NEWTIME", 272, &[0x80], EPERM),
    ("clone NEWUSER", 56, &[0x1000_0011], EPERM),
    ("clone NEWUSER, high bits", 56, &[HIGH | 0x1000_0011], EPERM),
    ("clone NEWPID", 56, &[0x2000_0011], EPERM),
    ("setns", 308, &[], EPERM),
    ("mount", 165, &[], EPERM),
    ("umount2", 166, &[], EPERM),
    ("pivot_root", 155, &[], EPERM),
    ("chroot", 161, &[], EPERM),
    ("open_tree", 428, &[], EPERM),
    ("move_mount", 429, &[], EPERM),
    ("fsopen", 430, &[], EPERM),
    ("fsconfig", 431, &[], EPERM),
    ("fsmount", 432, &[], EPERM),
    ("fspick", 433, &[], EPERM),
    ("mount_setattr", 442, &[], EPERM),
    ("open_tree_attr", 467, &[], EPERM),
    ("sethostname", 170, &[], EPERM),
    ("setdomainname", 171, &[], EPERM),
];

fn with_profile(name: &str) -> Case {
    Case::image("debian").option(format!("--security-opt=seccomp={name}"))
}

#[test]
fn the_default() {
    require!(userns, image "debian");
    let case = expect(Case::image("debian"), ALWAYS);
    let case = expect(case, NO_NAMESPACES);
    expect(
        case,
        &[
            ("ptrace TRACEME", 101, &[0], 0),
            ("perf_event_open", 298, &[], EPERM),
            ("process_vm_readv", 310, &[], ENOSYS),
            ("process_vm_writev", 311, &[], ENOSYS),
            ("kcmp", 312, &[], EPERM),
            ("pidfd_getfd", 438, &[], EPERM),
            ("vmsplice", 278, &[], EPERM),
            ("personality query", 135, &[0xffff_ffff], 0),
            ("personality NO_RANDOMIZE", 135, &[0x4_0000], EPERM),
            ("unshare FILES", 272, &[0x400], 0),
            ("socket NETLINK route", 41, &[16, 3, 0], 0),
        ],
    );
}

#[test]
fn strict() {
    require!(userns, image "debian");
    let case = expect(with_profile("strict"), ALWAYS);
    let case = expect(case, NO_NAMESPACES);
    expect(
        case,
        &[
            ("ptrace TRACEME", 101, &[0], EPERM),
            ("socket NETLINK route", 41, &[16, 3, 0], EAFNOSUPPORT),
            ("unshare FILES", 272, &[0x400], EPERM),
            ("modify_ldt", 154, &[], EPERM),
            ("mbind", 237, &[], EPERM),
            ("splice", 275, &[], ENOSYS),
            ("io_setup", 206, &[], ENOSYS),
        ],
    );
}

#[test]
fn dev() {
    require!(userns, image "debian");
    const EFAULT: i32 = 14;
    const EINVAL: i32 = 22;
    let case = expect(with_profile("dev"), ALWAYS);
    let case = expect(case, NO_NAMESPACES);
    expect(
        case,
        &[
            ("ptrace TRACEME", 101, &[0], 0),
            ("perf_event_open", 298, &[], EFAULT),
            ("process_vm_readv", 310, &[1, 0, 1, 0, 0, 1], EINVAL),
            ("personality NO_RANDOMIZE", 135, &[0x4_0000], 0),
            ("kcmp", 312, &[1, 1, 99], EPERM), // the kernel's: init cannot be looked at
        ],
    );
}

#[test]
fn nested() {
    require!(userns, image "debian");
    expect(with_profile("nested"), ALWAYS);
    // A user namespace, and a mount in it; outside of one the kernel itself refuses.
    with_profile("nested")
        .sh("unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /mnt && touch /mnt/x && ls /mnt'")
        .stdout("x")
        .sh("mount -t tmpfs none /mnt 2>&1 | grep -o 'permission denied'; ls /mnt")
        .stdout("permission denied");
}

#[test]
fn unconfined() {
    require!(userns, image "debian");
    const EBADF: i32 = 9;
    expect(
        with_profile("unconfined"),
        &[
            ("unshare NEWUSER", 272, &[0x1000_0000], 0),
            ("vmsplice", 278, &[u64::MAX, 0, 0, 0], EBADF),
        ],
    )
    .sh("grep ^Seccomp: /proc/self/status | tr -d '\\t'")
    // The answers for a single id are a filter too.
    .stdout(
        if crate::support::Lane::current() == crate::support::Lane::Single {
            "Seccomp:2"
        } else {
            "Seccomp:0"
        },
    );
}
