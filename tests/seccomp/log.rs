//! The log mode: nothing is denied, what would have been is listed, and the profile that is written allows it.

use crate::require;
use crate::support::Case;

/// Makes a namespace, a socket of a closed family, and asks for a key.
const WORK: &str = "unshare --user true && python3 -c '
import ctypes,socket
try: socket.socket(40,1)
except OSError as error: print(error.errno != 97)
else: print(True)
c=ctypes.CDLL(None).syscall
for i in range(3): c({\"x86_64\":250,\"aarch64\":219}[__import__(\"platform\").machine()],0,-3,0)
'";

#[test]
fn what_would_have_been_denied() {
    require!(userns, image "debian");
    let mut case = Case::image("debian").option("--security-opt=seccomp=log");
    case.start();
    let home_name = case.name().to_owned();
    let case = case.sh("true").ok();
    assert_eq!(
        case.get_home()
            .run(["seccomp", "--format=json", &home_name])
            .trim(),
        "[]"
    );
    let (case, output) = case.sh(WORK).output();
    assert!(output.status.success(), "{output:?}");
    let text = case
        .get_home()
        .run(["seccomp", "--format=json", &home_name]);
    let calls: serde_json::Value = serde_json::from_str(&text).unwrap();
    let counts: Vec<_> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            let text = |name: &str| call[name].as_str().unwrap().to_owned();
            (
                text("call"),
                text("answer"),
                call["count"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("keyctl", "EPERM", 3),
        ("socket", "EAFNOSUPPORT", 1),
        ("unshare", "EPERM", 1),
    ]
    .map(|(call, answer, count)| (call.to_owned(), answer.to_owned(), count));
    assert_eq!(counts, expected, "{text}");
    assert!(
        case.get_home()
            .run(["seccomp", &home_name])
            .contains("EAFNOSUPPORT   0x28,")
    );

    // A sandbox with the profile that comes of it does the same work; with the default it does not.
    let dir = crate::support::scratch();
    let file = dir.path().join("learned.json");
    std::fs::write(
        &file,
        case.get_home().run(["seccomp", "--profile", &home_name]),
    )
    .unwrap();
    Case::image("debian")
        .option(format!("--security-opt=seccomp={}", file.display()))
        .sh(WORK)
        .stdout("True")
        // What was not seen stays closed.
        .sh("unshare --net true 2>&1 | grep -o 'not implemented'; python3 -c 'import socket; socket.socket(38,5)' 2>&1 | grep -o 'not implemented'")
        .stdout("not implemented\nnot implemented");
    Case::image("debian").sh(WORK).status(1);
}

#[test]
fn a_reset_begins_a_new_list() {
    require!(userns, image "debian");
    let case = Case::image("debian")
        .option("--security-opt=seccomp=log")
        .sh("unshare --user true")
        .ok();
    let name = case.name().to_owned();
    assert!(case.get_home().run(["seccomp", &name]).contains("unshare"));
    let case = case.reset();
    assert!(!case.get_home().run(["seccomp", &name]).contains("unshare"));
}

#[test]
fn only_where_it_was_asked_for() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .command(["seccomp"])
        .stderr("does not log its calls")
        .status(1);
}

/// A command that floods init with denied calls does not keep others from being served.
#[test]
fn a_flood_of_calls() {
    require!(userns, image "debian");
    let flood = "import ctypes,os
c=ctypes.CDLL(None).syscall
for i in range(4):
    if os.fork()==0:
        os.setsid(); os.dup2(os.open('/dev/null',2),1); os.dup2(1,2)
        while True: c(1000)
print('flooding')";
    Case::image("debian")
        .option("--security-opt=seccomp=log")
        .exec(["python3", "-c", flood])
        .stdout("flooding")
        .sh("echo served")
        .stdout("served")
        .reset()
        .sh("echo again")
        .stdout("again");
}
