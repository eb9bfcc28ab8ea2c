//! User namespaces: entering one for the whole of shedbox, and writing the maps of nested ones.
//! Source: user_namespaces(7), newuidmap(1), subuid(5).

#![allow(
    unsafe_code,
    reason = "fork before the unshare: the helper has to stay outside"
)]

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};

use crate::clone::exit_now;
use crate::errno::{Context, Errno, Error, Result};

/// A contiguous range of ids: `inside..inside + count` here is `outside..` in the parent namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The map to enter a user namespace with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Map {
    /// Real root: every id there is here, one to one.
    Identity,
    /// The caller's own ids as 0, subordinate ranges from 1 on; written by newuidmap and newgidmap.
    Subordinate {
        /// Subordinate user ids: (first, count).
        uids: Vec<(u32, u32)>,
        /// Subordinate group ids: (first, count).
        gids: Vec<(u32, u32)>,
    },
    /// The caller's own ids as 0, nothing else.
    Single,
}

/// Parses `/etc/subuid` or `/etc/subgid`: the ranges of a user by name or number. Bad lines are skipped.
pub fn subordinate_ranges(content: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    content
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            ((owner == name || owner == number) && range.1 > 0).then_some(range)
        })
        .collect()
}

/// Parses `/proc/<pid>/uid_map` or `gid_map`.
pub fn parse_map(content: &str) -> Vec<Extent> {
    content
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            Some(Extent {
                inside: fields.next()?.ok()?,
                outside: fields.next()?.ok()?,
                count: fields.next()?.ok()?,
            })
        })
        .collect()
}

/// The map in which every id of `own`, the content of a map file, is itself: one line for each extent, because a line
/// may not span two of the parent's.
fn identity_lines(own: &str) -> String {
    parse_map(own)
        .iter()
        .fold(String::new(), |mut text, extent| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{0} {0} {1}", extent.inside, extent.count);
            text
        })
}

/// Moves this single-threaded process into a new user namespace with `map`.
///
/// A child is forked first and stays outside, because only a process there may write the maps (or run the setuid
/// programs that do). EPERM from `unshare` means that user namespaces are closed to this user.
pub fn enter(map: &Map) -> Result<()> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    if *map == Map::Single {
        unshare_user()?;
        write_file("/proc/self/setgroups", "deny")?;
        write_file("/proc/self/uid_map", &format!("0 {uid} 1\n"))?;
        return write_file("/proc/self/gid_map", &format!("0 {gid} 1\n"));
    }
    let target = std::process::id().to_string();
    let (ready_read, ready_write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call("pipe2", String::new)?;
    let (report_read, report_write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call("pipe2", String::new)?;
    // SAFETY: the caller is single-threaded, so the copy's memory and locks are consistent.
    let helper = unsafe { nix::unistd::fork() }.call("fork", String::new)?;
    match helper {
        nix::unistd::ForkResult::Child => {
            drop(ready_write);
            let mut byte = [0];
            let failure = match rustix::io::read(&ready_read, &mut byte) {
                Ok(1) => write_maps_from_outside(map, &target, uid, gid).err(),
                _ => Some("the daemon did not enter its user namespace".to_owned()),
            };
            if let Some(text) = &failure {
                let _ = rustix::io::write(&report_write, text.as_bytes()); // the status below tells as well
            }
            exit_now(i32::from(failure.is_some()));
        }
        nix::unistd::ForkResult::Parent { child } => {
            drop((ready_read, report_write));
            let entered = unshare_user();
            if entered.is_ok() {
                rustix::io::write(&ready_write, b"x").call("write", || "id map helper".into())?;
            }
            drop(ready_write);
            let mut text = vec![0; 1024];
            let count = rustix::io::read(&report_read, &mut text).unwrap_or(0);
            let status =
                nix::sys::wait::waitpid(child, None).call("waitpid", || "id map helper".into())?;
            entered?;
            if matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)) {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&text[..count]).trim().to_owned();
            Err(Error::new("newuidmap", text, Errno::EPERM))
        }
    }
}

fn unshare_user() -> Result<()> {
    // SAFETY: NEWUSER moves credentials only; descriptors and memory stay as they are.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }
        .call("unshare", || "NEWUSER".into())
}

fn write_maps_from_outside(map: &Map, pid: &str, uid: u32, gid: u32) -> Result<(), String> {
    match map {
        Map::Identity => {
            // This process is still outside: its own map says which ids there are. All of them on a host, fewer where
            // root is root of a user namespace only (a rootless container).
            for file in ["uid_map", "gid_map"] {
                std::fs::read_to_string(format!("/proc/self/{file}"))
                    .call("read", || format!("/proc/self/{file}"))
                    .and_then(|own| {
                        write_file(&format!("/proc/{pid}/{file}"), &identity_lines(&own))
                    })
                    .map_err(|error| error.to_string())?;
            }
            Ok(())
        }
        Map::Single => Ok(()),
        Map::Subordinate { uids, gids } => {
            run_map_program("newuidmap", pid, uid, uids)?;
            run_map_program("newgidmap", pid, gid, gids)
        }
    }
}

fn run_map_program(
    program: &str,
    pid: &str,
    own: u32,
    ranges: &[(u32, u32)],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg(pid).args(["0", &own.to_string(), "1"]);
    let mut next = 1u32;
    for (first, count) in ranges {
        command.args([next.to_string(), first.to_string(), count.to_string()]);
        next = next.saturating_add(*count);
    }
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

fn write_file(path: &str, content: &str) -> Result<()> {
    std::fs::write(path, content).call("write", || format!("{path}: {}", content.trim()))
}

/// Writes the maps of a nested user namespace whose ids are equal inside and outside: one line for each extent, because
/// a line may not span two extents of the parent's map (the kernel answers EPERM). Source: user_namespaces(7).
pub fn write_nested_maps(
    pid: i32,
    uids: &[(u32, u32)],
    gids: &[(u32, u32)],
    deny_setgroups: bool,
) -> Result<()> {
    let lines = |ranges: &[(u32, u32)]| {
        ranges
            .iter()
            .fold(String::new(), |mut text, (first, count)| {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{first} {first} {count}");
                text
            })
    };
    if deny_setgroups {
        write_file(&format!("/proc/{pid}/setgroups"), "deny")?;
    }
    write_file(&format!("/proc/{pid}/uid_map"), &lines(uids))?;
    write_file(&format!("/proc/{pid}/gid_map"), &lines(gids))
}

/// Moves this single-threaded process into the user namespace behind `fd`.
pub fn join(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_link_name_space(fd, Some(LinkNameSpaceType::User))
        .call("setns", || "user".into())
}

/// Moves this process into the user and network namespaces of the process behind `pidfd`. Linux 5.8. May be called in
/// a vfork child that does not share its file system state.
pub fn join_user_and_network(pidfd: BorrowedFd<'_>, network: bool) -> Result<()> {
    let mut flags = ThreadNameSpaceType::USER;
    if network {
        flags |= ThreadNameSpaceType::NETWORK;
    }
    rustix::thread::move_into_thread_name_spaces(pidfd, flags)
        .call("setns", || "user, network of init".into())
}

/// Moves this process into the network namespace of the process behind `pidfd`. Linux 5.8. May be called in a vfork
/// child.
pub fn join_network(pidfd: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_thread_name_spaces(pidfd, ThreadNameSpaceType::NETWORK)
        .call("setns", || "network of another sandbox".into())
}

/// This process's own user namespace.
pub fn own() -> Result<OwnedFd> {
    open_ns("/proc/self/ns/user")
}

/// The number of this process's own user namespace: no two that live at the same time have the same. Source: namespaces(7),
/// "The /proc/pid/ns/ directory".
pub fn own_id() -> Result<u64> {
    rustix::fs::stat("/proc/self/ns/user")
        .map(|stat| stat.st_ino)
        .call("stat", || "/proc/self/ns/user".into())
}

fn open_ns(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .call("open", || path.to_owned())
}

/// The user namespace above the one behind `fd`. EPERM when it lies outside the caller's own. Source: ioctl_ns(2).
pub fn parent(fd: impl AsFd) -> Result<OwnedFd> {
    use std::os::fd::{AsRawFd, FromRawFd};
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    // SAFETY: the request takes no argument and returns a new descriptor or -1.
    let raw = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_PARENT) };
    if raw < 0 {
        return Err(Error::new("ioctl", "NS_GET_PARENT", Errno::last()));
    }
    // SAFETY: just made by the kernel for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_user() {
        let content = "root:1:2\nann:100000:65536\n1000:300000:10\nann:x:5\nann:7:0\n# ann:1:1\n";
        assert_eq!(
            subordinate_ranges(content, "ann", 1000),
            [(100_000, 65_536), (300_000, 10)]
        );
        assert_eq!(subordinate_ranges(content, "bob", 7), []);
    }

    #[test]
    fn root_of_a_namespace_passes_on_what_it_has() {
        assert_eq!(
            identity_lines("         0          0 4294967295\n"),
            "0 0 4294967295\n"
        );
        assert_eq!(
            identity_lines("0 1000 1\n1 100000 65536\n"),
            "0 0 1\n1 1 65536\n"
        );
    }

    #[test]
    fn map_lines() {
        let map = parse_map("         0       1000          1\n         1     100000      65536\n");
        assert_eq!(map.len(), 2);
        assert_eq!(
            map[1],
            Extent {
                inside: 1,
                outside: 100_000,
                count: 65_536
            }
        );
    }
}
