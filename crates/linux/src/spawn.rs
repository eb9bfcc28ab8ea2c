//! posix_spawn(3): start a program from a process of any size and any number of threads, without fork.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::errno::{Context, Errno, Error, Result};

/// glibc's POSIX_SPAWN_SETSID (2.26): not among nix's names.
const SETSID: i32 = 0x80;

/// Starts `program` in a session of its own and returns its pid.
///
/// `fds` pairs an open descriptor with the number the program finds it at; every other descriptor of this process must
/// be close-on-exec. The environment is this process's; signals are at their defaults and unblocked. The caller reaps
/// it with [`reap`].
pub fn session(program: &Path, argv: &[&OsStr], fds: &[(BorrowedFd<'_>, i32)]) -> Result<i32> {
    let detail = || program.display().to_string();
    let nul = |_| Error::new("posix_spawn", detail(), Errno::EINVAL);
    let mut actions =
        PosixSpawnFileActions::init().call("posix_spawn_file_actions_init", detail)?;
    for (fd, number) in fds {
        // dup2 onto the same number clears close-on-exec here, unlike dup2(2).
        actions
            .add_dup2(fd.as_raw_fd(), *number)
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
    let env = std::env::vars_os()
        .map(|(name, value)| {
            let mut entry: OsString = name;
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(nul)?;
    posix_spawn(program, &actions, &attributes, &argv, &env)
        .map(Pid::as_raw)
        .call("posix_spawn", detail)
}

/// Takes the exit status of a child that has ended; false when it has not.
pub fn reap(pid: i32) -> bool {
    // ECHILD: not ours or reaped already, in both cases nothing is left to reap.
    !matches!(
        waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)),
        Ok(nix::sys::wait::WaitStatus::StillAlive)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_arrives_at_its_number_in_a_new_session() {
        let (mut read, write) = std::io::pipe().unwrap();
        let script = OsStr::new(
            "read -r _ _ _ _ _ sid _ < /proc/self/stat; [ $sid = $$ ] && echo leader >&7",
        );
        let argv = [OsStr::new("sh"), OsStr::new("-c"), script];
        let pid = session(Path::new("/bin/sh"), &argv, &[(write.as_fd(), 7)]).unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "leader\n");
        let pidfd = crate::pidfd::open(pid).unwrap();
        assert!(crate::pidfd::wait(pidfd.as_fd(), None).unwrap());
        assert!(reap(pid));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = session(Path::new("/no/such/program"), &[OsStr::new("x")], &[]).unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        assert!(error.to_string().contains("/no/such/program"));
    }
}
