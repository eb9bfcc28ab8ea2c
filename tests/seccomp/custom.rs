//! Profiles of the caller's.

use std::path::PathBuf;

use crate::require;
use crate::support::{Case, Home};

/// A profile in Docker's shape with everything that Docker's own uses: comments, includes and excludes, arguments.
const DOCKERS: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "defaultErrnoRet": 1,
  "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
  "futureField": { "ignored": true },
  "syscalls": [
    { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": null, "comment": "full",
      "includes": {}, "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
    { "names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "includes": { "minKernel": "99.0" } },
    { "name": "symlinkat", "action": "SCMP_ACT_ERRNO", "errnoRet": 30 },
    { "names": ["a_call_of_the_future"], "action": "SCMP_ACT_ERRNO" },
    { "names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
      "args": [{ "index": 0, "value": 262144, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] }
  ]
}"#;

struct Profile {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn profile(text: &str) -> Profile {
    let dir = crate::support::scratch();
    let path = dir.path().join("profile.json");
    std::fs::write(&path, text).unwrap();
    Profile { _dir: dir, path }
}

impl Profile {
    fn option(&self) -> String {
        format!("--security-opt=seccomp={}", self.path.display())
    }
}

#[test]
fn in_dockers_shape() {
    require!(userns, image "debian");
    let profile = profile(DOCKERS);
    Case::image("debian")
        .option(profile.option())
        .sh("mkdir /d 2>&1 | grep -o 'No space left on device'; mkdir /d; test $? = 1 && echo refused")
        .stdout("No space left on device\nrefused")
        .sh("setarch -R true 2>&1 | grep -o 'Input/output error'")
        .stdout("Input/output error")
        // What it does not name is allowed by its own default, and a reset changes nothing.
        .sh("unshare --user echo in")
        .stdout("in")
        .reset()
        .sh("mkdir /d 2>&1 | grep -o 'No space left on device'; rmdir /mnt && echo removed")
        .stdout("No space left on device\nremoved");
}

#[test]
fn one_that_asks_for_a_capability() {
    require!(userns, ordinary, image "debian");
    let profile = profile(DOCKERS);
    Case::image("debian")
        .option(profile.option())
        .option("--cap-add=SYS_ADMIN")
        .sh("mkdir /d && echo made")
        .stdout("made");
}

/// Init goes on under a profile that would end it: only commands are held to it.
#[test]
fn that_init_could_not_live_with() {
    require!(userns, image "tiny");
    let profile = profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["ppoll","poll","recvmsg","sendmsg","waitid","wait4","accept4"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    Case::image("tiny")
        .option(profile.option())
        .exec(["true"])
        .ok()
        // The shell waits for its child.
        .sh("true; ls /; true")
        .status(128 + 31)
        .exec(["true"])
        .ok();
}

#[test]
fn what_is_wrong_is_said() {
    require!(userns);
    let home = Home::new();
    for (text, part) in [
        ("{", "EOF while parsing"),
        ("{}", "it has no `defaultAction`"),
        (r#"{"defaultAction":"ALLOW"}"#, "unknown action `ALLOW`"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["mount","umount"],"action":"DENY"}]}"#,
            "rule 2 (mount, …): unknown action `DENY`",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":7,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "rule 1 (read): a call has no argument 7",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_PDP11"]}"#,
            "unknown architecture `SCMP_ARCH_PDP11`",
        ),
    ] {
        let profile = profile(text);
        let output = home
            .shedbox(["run", "--rm", &profile.option(), "host", "true"])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{text}: {stderr}");
        assert!(stderr.contains(part), "{text}: {stderr}");
    }
}

/// Podman's own profile, where it is installed.
#[test]
fn podmans_own() {
    require!(userns, image "debian");
    let path = "/usr/share/containers/seccomp.json";
    if !std::path::Path::new(path).is_file() {
        eprintln!("SKIPPED podmans_own: {path} is not installed");
        return;
    }
    Case::image("debian")
        .option(format!("--security-opt=seccomp={path}"))
        .sh("python3 -c 'import threading; threading.Thread(target=print,args=(1,)).start()' && ls / >/dev/null && unshare --user echo in")
        .stdout("1\nin");
}
