//! Starting one command: the only way into a sandbox, for execs, main processes and health checks alike.
//!
//! A vfork child shares init's memory until it executes the program, so everything it needs is made before, and it
//! reports a failure by writing it down. The order of the restrictions is fixed here and nowhere else:
//!
//! 1. session, terminal, standard streams    2. every other descriptor closed    3. working directory
//! 4. resource limits and the mark of the exec    5. groups, user, capabilities    6. the program
//!
//! no_new_privs, the bounding set and the system call filter are init's own (see `Init::prepare`) and pass to every
//! child: a filter is compiled by the kernel each time it is installed, which would be a large part of a short command.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use shedbox_linux::clone::{self, Stack};
use shedbox_linux::process::{self, CStringArray, Errno};
use shedbox_linux::{fd, seccomp};
use shedbox_spec::exec::{End, NotStarted, Obstacle};
use shedbox_spec::features::Probe;

use crate::features;
use crate::surroundings::{Surroundings, set, value};
use crate::tree::Tag;

/// What to start.
pub(crate) struct Launch<'a> {
    pub(crate) argv: &'a [Vec<u8>],
    /// On top of the sandbox's environment.
    pub(crate) env: &'a [Vec<u8>],
    pub(crate) cwd: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) streams: Streams<'a>,
    /// What it has under the number 3.
    pub(crate) further: Option<BorrowedFd<'a>>,
    /// Marks every process that comes of it.
    pub(crate) tag: Tag,
    /// Where it is born, when commands have cgroups.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Standard streams of a command.
#[derive(Clone, Copy)]
pub(crate) enum Streams<'a> {
    /// Input, output, errors; /dev/null where none is given.
    Separate([Option<BorrowedFd<'a>>; 3]),
    /// The slave side of a terminal, which becomes the controlling one.
    Terminal(BorrowedFd<'a>),
}

/// Starts it. The error is the end of the exec: 127 when the program was not found, 126 for everything else.
pub(crate) fn launch(
    what: &Launch<'_>,
    around: &Surroundings,
    stack: &mut Stack,
) -> Result<clone::Child, End> {
    start(what, around, stack, None)
}

/// Goes the same way up to the last step, and looks at itself there instead of executing the program.
pub(crate) fn probe(
    what: &Launch<'_>,
    around: &Surroundings,
    stack: &mut Stack,
) -> Result<Probe, End> {
    let mut probe = Probe::default();
    // The child shares this memory, so what it found is here when it has ended.
    start(what, around, stack, Some(&mut probe))?;
    Ok(probe)
}

fn start(
    what: &Launch<'_>,
    around: &Surroundings,
    stack: &mut Stack,
    mut probe: Option<&mut Probe>,
) -> Result<clone::Child, End> {
    let refused = |message: String| End::from(NotStarted::refused(message));
    let user = around.user(what.user).map_err(End::from)?;
    let mut env = around.env.clone();
    if matches!(what.streams, Streams::Terminal(_)) && value(&env, "TERM").is_none() {
        set(&mut env, b"TERM=xterm".to_vec());
    }
    if value(&env, "HOME").is_none() {
        set(&mut env, format!("HOME={}", user.home).into_bytes());
    }
    for variable in what.env {
        set(&mut env, variable.clone());
    }
    let program = what
        .argv
        .first()
        .filter(|program| !program.is_empty())
        .ok_or_else(|| refused("no command".into()))?;
    let shown = String::from_utf8_lossy(program).into_owned();
    let candidates =
        candidates(program, value(&env, "PATH").unwrap_or_default()).map_err(refused)?;
    let argv = CStringArray::new(c_strings(what.argv).map_err(refused)?);
    let envp = CStringArray::new(c_strings(&env).map_err(refused)?);
    let cwd_text = what.cwd.unwrap_or(&around.spec.workdir);
    if !cwd_text.starts_with('/') {
        return Err(refused(format!(
            "working directory `{cwd_text}` is not an absolute path"
        )));
    }
    let cwd = CString::new(cwd_text).map_err(|_| refused("NUL in the working directory".into()))?;
    let (tag, limits) = (what.tag, &around.limits);
    let capabilities = if user.uid == 0 {
        around.spec.capabilities
    } else {
        0
    };

    let mut failed: Option<(&'static str, Errno)> = None;
    let mut run = || -> Result<(), (&'static str, Errno)> {
        let at = |stage: &'static str| move |errno: Errno| (stage, errno);
        process::new_session().map_err(at("setsid"))?;
        become_streams(what.streams, &around.null).map_err(at("standard streams"))?;
        if let Some(value) = &around.oom_score_adj {
            process::set_oom_score_adj(around.proc.as_fd(), value).map_err(at("oom_score_adj"))?;
        }
        match what.further {
            Some(further) => fd::close_all_but_stdio_and(further),
            None => fd::close_all_but_stdio(),
        }
        .map_err(at("close_range"))?;
        process::change_directory(&cwd).map_err(at("chdir"))?;
        for limit in limits {
            process::set_limit(limit.resource as u32, limit.soft, limit.hard)
                .map_err(at("ulimit"))?;
        }
        process::set_limit(process::RLIMIT_LOCKS, tag.value(), tag.value()).map_err(at("mark"))?;
        // Without no_new_privs the kernel takes a filter only from who has CAP_SYS_ADMIN, which goes with the next steps:
        // such a filter has to allow setgroups, setresgid, setresuid, capset and rt_sigprocmask besides execve.
        if !around.spec.no_new_privileges {
            filter_command(&around.spec.seccomp_command).map_err(at("seccomp"))?;
        }
        if !around.spec.deny_setgroups {
            process::set_groups(&user.groups).map_err(at("setgroups"))?;
        }
        process::set_ids(user.uid, user.gid).map_err(at("setresuid"))?;
        process::set_capabilities(capabilities).map_err(at("capset"))?;
        process::unblock_signals().map_err(at("signal mask"))?;
        if around.spec.no_new_privileges {
            filter_command(&around.spec.seccomp_command).map_err(at("seccomp"))?;
        }
        if let Some(probe) = &mut probe {
            **probe = features::look(&around.spec.masked);
            return Ok(());
        }
        let mut worst = Errno::ENOENT;
        for candidate in &candidates {
            match process::execute(candidate, &argv, &envp) {
                // Not here; a later directory of the PATH may have it.
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => worst = Errno::EACCES,
                errno => return Err(("exec", errno)),
            }
        }
        Err(("exec", worst))
    };
    let mut child = || {
        failed = run().err();
        127
    };
    let child = clone::borrow_process(stack, false, what.cgroup, &mut child).map_err(|error| {
        refused(match error.errno {
            Errno::EAGAIN => "the sandbox has as many processes as it may have".to_owned(),
            _ => error.to_string(),
        })
    })?;
    match failed {
        None => Ok(child),
        Some((stage, errno)) => Err(not_started(stage, errno, &shown, cwd_text)),
    }
}

/// The part of the filter that init could not live with, if there is one.
fn filter_command(filter: &[u64]) -> Result<(), Errno> {
    if filter.is_empty() {
        return Ok(());
    }
    seccomp::install(filter)
}

fn become_streams(streams: Streams<'_>, null: &OwnedFd) -> Result<(), Errno> {
    let place = |fd: BorrowedFd<'_>, number| {
        fd::become_stdio(fd, number).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    };
    match streams {
        Streams::Separate(given) => (0..)
            .zip(given)
            .try_for_each(|(number, fd)| place(fd.unwrap_or(null.as_fd()), number)),
        Streams::Terminal(slave) => {
            process::control_terminal(slave)?;
            (0..3).try_for_each(|number| place(slave, number))
        }
    }
}

/// The words are runc's, because clients of Docker look for them.
pub(crate) fn not_started(stage: &str, errno: Errno, program: &str, cwd: &str) -> End {
    let reason = errno.desc().to_lowercase();
    let obstacle = match stage {
        "exec" => Obstacle::Program {
            reason: reason.clone(),
        },
        "chdir" => Obstacle::WorkingDirectory {
            path: cwd.to_owned(),
            reason: reason.clone(),
        },
        _ => Obstacle::Other,
    };
    let (code, message) = match (stage, errno) {
        ("exec", Errno::ENOENT) if !program.contains('/') => (
            127,
            format!("exec: \"{program}\": executable file not found in $PATH"),
        ),
        ("exec", Errno::ENOENT) => (
            127,
            format!("exec: \"{program}\": no such file or directory"),
        ),
        ("exec", _) => (126, format!("exec: \"{program}\": {reason}")),
        ("chdir", _) => (126, format!("chdir to cwd (\"{cwd}\") failed: {reason}")),
        ("ulimit", Errno::EPERM) => (
            126,
            "a ulimit is above the hard limit of the host".to_owned(),
        ),
        (stage, _) => (126, format!("{stage}: {reason}")),
    };
    End::from(NotStarted {
        code,
        message,
        obstacle,
    })
}

/// The paths to try for `program`: itself when it has a slash, else one for each directory of `path`.
pub(crate) fn candidates(program: &[u8], path: &[u8]) -> Result<Vec<CString>, String> {
    let c_string =
        |bytes: Vec<u8>| CString::new(bytes).map_err(|_| "NUL in the program's name".to_owned());
    if program.contains(&b'/') {
        return Ok(vec![c_string(program.to_vec())?]);
    }
    path.split(|byte| *byte == b':')
        .map(|dir| {
            // An empty entry is the working directory, as execvp(3) has it.
            let mut full = if dir.is_empty() {
                b".".to_vec()
            } else {
                dir.to_vec()
            };
            full.push(b'/');
            full.extend_from_slice(program);
            c_string(full)
        })
        .collect()
}

pub(crate) fn c_strings(list: &[Vec<u8>]) -> Result<Vec<CString>, String> {
    list.iter()
        .map(|bytes| {
            CString::new(bytes.clone())
                .map_err(|_| format!("NUL in `{}`", String::from_utf8_lossy(bytes).escape_debug()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_path() {
        let found = candidates(b"ls", b"/a::/b").unwrap();
        assert_eq!(
            found,
            [c"/a/ls", c"./ls", c"/b/ls"].map(std::borrow::ToOwned::to_owned)
        );
        assert_eq!(candidates(b"./x", b"/a").unwrap(), [c"./x".to_owned()]);
        assert!(candidates(b"a\0b", b"/a").is_err());
    }

    #[test]
    fn words_that_clients_match() {
        let not_started = |stage, errno, program| match not_started(stage, errno, program, "/d") {
            End::NotStarted(why) => (why.code, why.message, why.obstacle),
            other => panic!("{other:?}"),
        };
        let program = |reason: &str| Obstacle::Program {
            reason: reason.to_owned(),
        };
        let missing = "no such file or directory";
        assert_eq!(
            not_started("exec", Errno::ENOENT, "nope"),
            (
                127,
                "exec: \"nope\": executable file not found in $PATH".to_owned(),
                program(missing)
            )
        );
        assert_eq!(
            not_started("exec", Errno::EACCES, "/x"),
            (
                126,
                "exec: \"/x\": permission denied".to_owned(),
                program("permission denied")
            )
        );
        assert_eq!(
            not_started("chdir", Errno::ENOENT, "/x").2,
            Obstacle::WorkingDirectory {
                path: "/d".to_owned(),
                reason: missing.to_owned()
            }
        );
    }
}
