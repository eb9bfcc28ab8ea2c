//! posix_spawn(3): start a program from a process of any size and any number of threads, without fork.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::errno::{Context, Errno, Error, Result};

/// glibc's POSIX_SPAWN_SETSID (2.26): not among nix's names.
const SETSID: i32 = 0x80;
/// Where sources are moved to before the child is made, so that no target number is a source of another one.
const OUT_OF_THE_WAY: i32 = 64;

/// A program to start.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// By path.
    Path(&'a Path),
    /// An open file, a sealed memfd for example.
    Open(BorrowedFd<'a>),
}

/// Looks for a program in the directories of `PATH`: a file that somebody may execute.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(name, &std::env::var_os("PATH").unwrap_or_default())
}

/// The same in the directories of another such list.
pub fn find_program_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|candidate| {
            candidate
                .metadata()
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}

/// Starts a program in a session of its own and returns its pid.
///
/// `fds` pairs an open descriptor with the number the program finds it at; every other descriptor of this process must
/// be close-on-exec. Of this process's environment it gets the variables named `keep`; signals are at their defaults and
/// unblocked. The caller reaps it with [`reap`].
pub fn session(
    program: Program<'_>,
    argv: &[&OsStr],
    keep: &[&str],
    fds: &[(BorrowedFd<'_>, i32)],
) -> Result<i32> {
    let (path, _open) = match program {
        Program::Path(path) => (path.to_owned(), None),
        Program::Open(fd) => {
            let copy = out_of_the_way(fd)?;
            (
                PathBuf::from(format!("/proc/self/fd/{}", copy.as_raw_fd())),
                Some(copy),
            )
        }
    };
    let detail = || path.display().to_string();
    let nul = |_| Error::new("posix_spawn", detail(), Errno::EINVAL);
    let mut actions =
        PosixSpawnFileActions::init().call("posix_spawn_file_actions_init", detail)?;
    let sources = fds
        .iter()
        .map(|(fd, _)| out_of_the_way(*fd))
        .collect::<Result<Vec<_>>>()?;
    for (source, (_, number)) in sources.iter().zip(fds) {
        actions
            .add_dup2(source.as_raw_fd(), *number)
            .call("posix_spawn_file_actions_adddup2", || number.to_string())?;
    }
    let mut attributes = PosixSpawnAttr::init().call("posix_spawnattr_init", detail)?;
    let flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
        | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
        | PosixSpawnFlags::from_bits_retain(SETSID as _);
    attributes
        .set_flags(flags)
        .call("posix_spawnattr_setflags", detail)?;
    attributes
        .set_sigmask(&SigSet::empty())
        .call("posix_spawnattr_setsigmask", detail)?;
    let defaults: SigSet = [
        Signal::SIGPIPE,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ]
    .into_iter()
    .collect();
    attributes
        .set_sigdefault(&defaults)
        .call("posix_spawnattr_setsigdefault", detail)?;
    let argv = argv
        .iter()
        .map(|arg| CString::new(arg.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(nul)?;
    let env = keep
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .map(|(name, value)| {
            let mut entry = OsString::from(name);
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(nul)?;
    posix_spawn(path.as_path(), &actions, &attributes, &argv, &env)
        .map(Pid::as_raw)
        .call("posix_spawn", detail)
}

fn out_of_the_way(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, OUT_OF_THE_WAY).call("fcntl", || "F_DUPFD_CLOEXEC".into())
}

/// Takes the exit status of a child that has ended; false when it has not.
pub fn reap(pid: i32) -> bool {
    // ECHILD: not ours or reaped already, in both cases nothing is left to reap.
    !matches!(
        waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_arrive_at_their_numbers_in_a_new_session() {
        let (mut read, write) = std::io::pipe().unwrap();
        let script = OsStr::new(
            "read -r _ _ _ _ _ sid _ < /proc/self/stat; [ $sid = $$ ] && echo leader >&3; echo on >&7",
        );
        let argv = [OsStr::new("sh"), OsStr::new("-c"), script];
        let shell = std::fs::File::open("/bin/sh").unwrap();
        let fds = [(write.as_fd(), 3), (write.as_fd(), 7)];
        let pid = session(Program::Open(shell.as_fd()), &argv, &["PATH"], &fds).unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "leader\non\n");
        let pidfd = crate::pidfd::open(pid).unwrap();
        assert!(crate::pidfd::wait(pidfd.as_fd(), None).unwrap());
        assert!(reap(pid));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = session(
            Program::Path(Path::new("/no/such/program")),
            &[OsStr::new("x")],
            &[],
            &[],
        )
        .unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        assert!(error.to_string().contains("/no/such/program"));
    }
}
