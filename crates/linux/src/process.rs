//! What a process is: credentials, capabilities, limits, signals, session. All calls act on the calling thread alone
//! and neither allocate nor lock, so they may be made in a vfork child; errors are bare codes for the same reason.

#![allow(
    unsafe_code,
    reason = "prlimit of a raw number, capset, signal dispositions and execve have no fitting wrapper"
)]

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

pub use nix::errno::Errno;

/// Results with a bare error code.
pub type Result<T, E = Errno> = std::result::Result<T, E>;

fn check(result: libc::c_long) -> Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::last())
    }
}

fn plain<T>(result: std::result::Result<T, rustix::io::Errno>) -> Result<T> {
    result.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// Resource number of RLIMIT_LOCKS, which the kernel has ignored since 2.4.
pub const RLIMIT_LOCKS: u32 = 10;

/// Sets a resource limit of this process. Source: prlimit(2).
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: pid 0 is this process; `new` is read by the kernel during the call; no old value is asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const new,
            std::ptr::null_mut::<u8>(),
        )
    })
}

/// Reads the soft and hard resource limit of a process; 0 is this one.
pub fn limit_of(pid: i32, resource: u32) -> Result<(u64, u64)> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: no new value is given; `old` is written by the kernel during the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            std::ptr::null::<u8>(),
            &raw mut old,
        )
    })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// What is added to the badness of this process when memory runs out, as decimal text. `proc` is a proc file system.
/// EACCES: it is less than this process was given. Source: proc_pid_oom_score_adj(5).
pub fn set_oom_score_adj(proc: BorrowedFd<'_>, value: &[u8]) -> Result<()> {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let file = plain(rustix::fs::openat(
        proc,
        c"self/oom_score_adj",
        flags,
        rustix::fs::Mode::empty(),
    ))?;
    plain(rustix::io::write(&file, value)).map(drop)
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_open_files() -> Result<()> {
    let (_, hard) = limit_of(0, libc::RLIMIT_NOFILE)?;
    set_limit(libc::RLIMIT_NOFILE, hard, hard)
}

/// Sets the supplementary groups of this thread.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `groups.len()` 32-bit ids from the slice during the call.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
}

/// Sets the real, effective and saved group and user ids of this thread, groups first.
pub fn set_ids(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: takes plain numbers; the raw call changes this thread only, which is the point in a vfork child.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets permitted and effective capabilities to `set` and clears the inheritable (and so the ambient) ones.
/// Source: capset(2), version 3.
pub fn set_capabilities(set: u64) -> Result<()> {
    let header = CapHeader {
        version: 0x2008_0522,
        pid: 0,
    };
    let half = |bits: u64| CapData {
        effective: bits as u32,
        permitted: bits as u32,
        inheritable: 0,
    };
    let data = [half(set), half(set >> 32)];
    // SAFETY: version 3 takes two data elements; both structures are read during the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// Drops every capability outside `keep` from the bounding set. Source: capabilities(7), PR_CAPBSET_DROP.
pub fn limit_bounding_set(keep: u64) -> Result<()> {
    for capability in 0..64u32 {
        if keep & (1 << capability) == 0 {
            // SAFETY: takes plain numbers.
            let result = unsafe {
                libc::prctl(
                    libc::PR_CAPBSET_DROP,
                    libc::c_ulong::from(capability),
                    0,
                    0,
                    0,
                )
            };
            match check(libc::c_long::from(result)) {
                // One above the last that this kernel knows.
                Err(Errno::EINVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

/// No execve(2) from here on can gain privileges. Source: prctl(2), PR_SET_NO_NEW_PRIVS.
pub fn no_new_privileges() -> Result<()> {
    // SAFETY: takes plain numbers.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    }))
}

/// Whether the kernel knows `no_new_privs` (Linux 3.5), and a surrounding filter does not refuse to tell.
pub fn can_refuse_privileges() -> bool {
    // SAFETY: takes plain numbers.
    (unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) }) >= 0
}

/// This process cannot be traced, and its /proc entry belongs to root. Source: prctl(2), PR_SET_DUMPABLE.
pub fn not_dumpable() -> Result<()> {
    // SAFETY: takes plain numbers.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    }))
}

/// The name that `ps` shows; at most 15 bytes. Source: prctl(2), PR_SET_NAME.
pub fn set_name(name: &CStr) -> Result<()> {
    plain(rustix::thread::set_name(name))
}

/// A new anonymous session keyring, so that the caller's login keys are out of reach. Source: keyctl(2).
pub fn new_session_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is passed.
    let serial = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    };
    if serial < 0 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

/// Takes off what a parent may have left on this process and what passes to children: a place before others when memory
/// runs out or processors are short, and the execution domain of a foreign system.
///
/// Source: `proc_pid_oom_score_adj(5)`, sched(7), setpriority(2), prctl(2) `PR_SET_TIMERSLACK`, personality(2).
pub fn without_privileges_of_parent() -> Result<()> {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let score = std::fs::read_to_string(SCORE).unwrap_or_default();
    if score.trim().parse().is_ok_and(|score: i32| score < 0) {
        // Raising it is everybody's right.
        std::fs::write(SCORE, "0").map_err(|error| io_errno(&error))?;
    }
    // SAFETY: takes plain numbers; acts on this thread.
    let policy = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if policy == libc::SCHED_FIFO || policy == libc::SCHED_RR || policy == libc::SCHED_DEADLINE {
        let ordinary = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameter is read during the call.
        check(libc::c_long::from(unsafe {
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary)
        }))?;
    }
    if plain(rustix::process::getpriority_process(None))? < 0 {
        plain(rustix::process::setpriority_process(None, 0))?;
    }
    // SAFETY: takes plain numbers. 50 µs is what a kernel starts its first process with.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 50_000, 0, 0, 0)
    }))?;
    // SAFETY: takes a plain number; 0 is PER_LINUX without flags.
    if unsafe { libc::personality(0) } < 0 {
        return Err(Errno::last());
    }
    Ok(())
}

fn io_errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A new session and process group with this process as leader.
pub fn new_session() -> Result<()> {
    plain(rustix::process::setsid()).map(drop)
}

/// Makes the terminal `slave` the controlling terminal of this session leader.
pub fn control_terminal(slave: BorrowedFd<'_>) -> Result<()> {
    plain(rustix::process::ioctl_tiocsctty(slave))
}

/// Changes the working directory.
pub fn change_directory(path: &CStr) -> Result<()> {
    plain(rustix::process::chdir(path))
}

/// Changes the working directory to an open one.
pub fn change_directory_to(fd: BorrowedFd<'_>) -> Result<()> {
    plain(rustix::process::fchdir(fd))
}

/// Blocks every signal for this thread: what a process that reads a signalfd, or is about to vfork, wants.
pub fn block_signals() -> Result<()> {
    nix::sys::signal::SigSet::all().thread_block()
}

/// Blocks no signal any more: how a program expects to start.
pub fn unblock_signals() -> Result<()> {
    nix::sys::signal::SigSet::empty().thread_set_mask()
}

/// Default disposition for every signal; what is blocked stays blocked.
pub fn reset_signals() -> Result<()> {
    // The kernel's own call: glibc keeps signals 32 and 33 to itself, but a parent may have left them ignored.
    // A sigaction of zeros is SIG_DFL without flags: handler, flags, restorer, mask.
    let default = [0u64; 4];
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue; // cannot be changed
        }
        let mask_size = 8;
        // SAFETY: SIG_DFL installs no code of ours; the kernel reads 32 bytes from `default` and writes nothing; the
        // table is this process's own copy (no CLONE_SIGHAND).
        check(unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u8>(),
                mask_size,
            )
        })?;
    }
    Ok(())
}

/// Replaces this process by a program. Returns only on failure.
///
/// `argv` and `envp` are null-terminated arrays of C strings.
pub fn execute(path: &CStr, argv: &CStringArray, envp: &CStringArray) -> Errno {
    // SAFETY: both arrays end with a null pointer and point to C strings that `CStringArray` keeps alive.
    unsafe {
        libc::execve(
            path.as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
        )
    };
    Errno::last()
}

/// C strings with a null-terminated array of pointers to them, made before a vfork.
#[derive(Debug)]
pub struct CStringArray {
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<std::ffi::CString>,
}

impl CStringArray {
    /// Takes the strings over.
    pub fn new(strings: Vec<std::ffi::CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self {
            pointers,
            _strings: strings,
        }
    }
}

/// Sends a signal by number to a process, or with -1 to every process it may signal but itself and its namespace's
/// init. Signal 0 only checks. Source: kill(2).
pub fn signal(pid: i32, number: i32) -> Result<()> {
    // SAFETY: takes plain numbers.
    check(libc::c_long::from(unsafe { libc::kill(pid, number) }))
}

/// One ended child: how, and what it used.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its pid.
    pub pid: i32,
    /// The wait status, see [`Ended::code`] and [`Ended::signal`].
    status: libc::c_int,
    /// User CPU time in microseconds, waited-for descendants included.
    pub user_us: u64,
    /// System CPU time in microseconds, the same.
    pub system_us: u64,
    /// Peak resident memory in bytes of the largest of them.
    pub max_rss: u64,
}

impl Ended {
    /// The exit status, when it returned.
    pub fn code(&self) -> Option<u8> {
        libc::WIFEXITED(self.status).then(|| libc::WEXITSTATUS(self.status) as u8)
    }

    /// The signal, when one ended it.
    pub fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.status).then(|| libc::WTERMSIG(self.status))
    }
}

/// Reaps one child of any kind. `None`: none has ended yet (without `block`). ECHILD: there is no child at all.
/// Source: wait4(2).
pub fn reap(block: bool) -> Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: rusage is plain data for which zero bytes are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are to live local variables of the types that wait4 writes.
        let pid = unsafe { libc::wait4(-1, &raw mut status, flags, &raw mut usage) };
        let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
        return match pid {
            0 => Ok(None),
            -1 if Errno::last() == Errno::EINTR => continue,
            -1 => Err(Errno::last()),
            pid => Ok(Some(Ended {
                pid,
                status,
                user_us: micros(usage.ru_utime),
                system_us: micros(usage.ru_stime),
                max_rss: usage.ru_maxrss as u64 * 1024,
            })),
        };
    }
}

/// Children are reaped by the kernel as they end. Source: sigaction(2), SA_NOCLDWAIT.
pub fn reap_automatically() -> Result<()> {
    // SAFETY: SIG_IGN for SIGCHLD installs no code of ours.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

/// This process is killed when its parent thread ends. Source: prctl(2), PR_SET_PDEATHSIG.
pub fn die_with_parent() -> Result<()> {
    // SAFETY: takes plain numbers.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)
    }))
}

/// Orphans among the descendants of this process become its children. Source: PR_SET_CHILD_SUBREAPER(2const).
pub fn become_subreaper() -> Result<()> {
    // SAFETY: takes plain numbers.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    }))
}

/// User id of this process in its own user namespace.
pub fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// SIGCHLD as a readable descriptor. The signal must be blocked. Source: signalfd(2).
#[derive(Debug)]
pub struct ChildSignals(nix::sys::signalfd::SignalFd);

impl ChildSignals {
    /// Opens it, non-blocking.
    pub fn new() -> Result<Self> {
        let mut mask = nix::sys::signal::SigSet::empty();
        mask.add(nix::sys::signal::SIGCHLD);
        let flags =
            nix::sys::signalfd::SfdFlags::SFD_CLOEXEC | nix::sys::signalfd::SfdFlags::SFD_NONBLOCK;
        nix::sys::signalfd::SignalFd::with_flags(&mask, flags).map(Self)
    }

    /// Takes what is there; one signal stands for any number of ended children.
    pub fn clear(&self) {
        while matches!(self.0.read_signal(), Ok(Some(_))) {}
    }
}

impl std::os::fd::AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets the host name of this UTS namespace.
pub fn set_host_name(name: &str) -> Result<()> {
    plain(rustix::system::sethostname(name.as_bytes()))
}

/// Sets the file mode creation mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}
