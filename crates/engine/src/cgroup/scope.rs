//! A scope of the user's systemd manager, with everything in it delegated: for a daemon that was started in a login
//! session, whose control group belongs to root.
//!
//! The installed `busctl` speaks D-Bus, so that nothing of ours has to. It is asked before the daemon enters its user
//! namespace, because in there it would say that it is root. The keeper inherits the scope from the daemon.
//!
//! Source: org.freedesktop.systemd1(5), StartTransientUnit; systemd's CGROUP_DELEGATION document.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::delegation::{Delegation, SERVANTS};

/// How long the manager may take to move us, after it has said yes.
const MOVES_WITHIN: Duration = Duration::from_secs(2);

/// Moves this process into a delegated scope when it is in a group that it may not divide and the user's manager is
/// there to ask. Nothing is lost when that fails: then limits cannot be had, and whoever asks for one is told why.
///
/// The process has one thread and is not in a user namespace of its own.
pub fn ask_for_scope(uid: u32) {
    let pid = std::process::id() as i32;
    if uid == 0 || Delegation::look(pid, uid).is_ok() {
        return;
    }
    let Some(runtime) = manager(&candidates(std::env::var_os("XDG_RUNTIME_DIR"), uid)) else {
        return;
    };
    match call(pid, &runtime) {
        Ok(()) => {
            let end = Instant::now() + MOVES_WITHIN;
            while Delegation::look(pid, uid).is_err() {
                if Instant::now() > end {
                    tracing::warn!("systemd has made a scope and not moved the daemon into it");
                    return;
                }
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the answer comes before the job is done, and a signal of its end needs a D-Bus library"
                )]
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Err(reason) => tracing::warn!(reason, "systemd gives us no scope: limits cannot be set"),
    }
}

/// Where the sockets of a user's manager may be.
fn candidates(runtime_dir: Option<OsString>, uid: u32) -> Vec<PathBuf> {
    runtime_dir
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from(format!("/run/user/{uid}"))])
        .collect()
}

/// The first runtime directory in which a manager can be reached.
fn manager(candidates: &[PathBuf]) -> Option<PathBuf> {
    candidates
        .iter()
        .find(|directory| {
            ["bus", "systemd/private"]
                .iter()
                .any(|socket| directory.join(socket).exists())
        })
        .cloned()
}

fn call(pid: i32, runtime: &Path) -> Result<(), String> {
    let output = Command::new("busctl")
        .args(arguments(pid))
        .env("XDG_RUNTIME_DIR", runtime)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "`busctl` is not installed".to_owned(),
            _ => format!("busctl: {error}"),
        })?;
    answer(
        output.status.success(),
        &String::from_utf8_lossy(&output.stdout),
        &String::from_utf8_lossy(&output.stderr),
    )
}

/// Name of the scope of a daemon.
fn unit(pid: i32) -> String {
    format!("shedbox-{pid}.scope")
}

/// Whether a group is such a scope.
pub(super) fn is_ours(group: &str) -> bool {
    let name = group
        .rsplit('/')
        .find(|part| *part != SERVANTS)
        .unwrap_or_default();
    name.strip_suffix(".scope")
        .is_some_and(|name| name.starts_with("shedbox-"))
}

fn arguments(pid: i32) -> Vec<String> {
    let manager = "org.freedesktop.systemd1";
    let fixed = [
        "--user",
        "--timeout=5",
        "call",
        manager,
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
    ];
    let properties = [
        "4",
        "Description",
        "s",
        "shedbox sandboxes",
        "Delegate",
        "b",
        "true",
        "CollectMode",
        "s",
        "inactive-or-failed",
        "PIDs",
        "au",
        "1",
    ];
    fixed
        .into_iter()
        .map(str::to_owned)
        .chain([unit(pid), "fail".to_owned()])
        .chain(properties.map(str::to_owned))
        .chain([pid.to_string(), "0".to_owned()])
        .collect()
}

/// The manager answers with the object of a job.
fn answer(success: bool, stdout: &str, stderr: &str) -> Result<(), String> {
    let job = stdout.trim().strip_prefix("o \"").is_some();
    if success && job {
        return Ok(());
    }
    let said = if stderr.trim().is_empty() {
        stdout
    } else {
        stderr
    };
    Err(format!("busctl: {}", said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_with_counted_arguments() {
        let all = arguments(42).join(" ");
        assert!(all.ends_with(
            "StartTransientUnit ssa(sv)a(sa(sv)) shedbox-42.scope fail 4 Description s shedbox sandboxes \
             Delegate b true CollectMode s inactive-or-failed PIDs au 1 42 0"
        ));
    }

    #[test]
    fn our_scopes_are_known_also_from_inside() {
        for (group, ours) in [
            ("/user.slice/shedbox-7.scope", true),
            ("/user.slice/shedbox-7.scope/shedbox-servants", true),
            ("/user.slice/app.scope", false),
            ("/", false),
        ] {
            assert_eq!(is_ours(group), ours, "{group}");
        }
    }

    #[test]
    fn answers() {
        assert_eq!(
            answer(true, "o \"/org/freedesktop/systemd1/job/7\"\n", ""),
            Ok(())
        );
        assert_eq!(
            answer(false, "", "Failed to connect to bus: No medium found\n"),
            Err("busctl: Failed to connect to bus: No medium found".to_owned())
        );
        assert!(answer(true, "", "").is_err());
    }

    #[test]
    fn a_manager_is_found_by_its_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let first = directory.path().join("a");
        let second = directory.path().join("b");
        std::fs::create_dir_all(second.join("systemd")).unwrap();
        assert_eq!(manager(&[first.clone(), second.clone()]), None);
        std::fs::write(second.join("systemd/private"), "").unwrap();
        assert_eq!(manager(&[first, second.clone()]), Some(second));
        assert_eq!(
            candidates(Some("/x".into()), 5),
            [PathBuf::from("/x"), PathBuf::from("/run/user/5")]
        );
    }
}
