//! A time-out ends exactly the command's process tree.

use crate::require;
use crate::support::Case;

#[test]
fn partial_output_and_status_124() {
    require!(userns, image "tiny");
    let (_, output) = Case::image("tiny")
        .with("--timeout=500ms")
        .sh("echo partial; sleep 1000; echo never")
        .output();
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(output.stdout, b"partial\n");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("time"),
        "{output:?}"
    );
}

#[test]
fn the_rest_of_the_sandbox_goes_on() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .with("--detach")
        .sh("sleep 3000")
        .ok()
        .sh("(sleep 3001 &) ; true")
        .ok()
        .with("--timeout=300ms")
        .sh("sleep 3002 & sleep 3003")
        .status(124)
        .until_running("sleep 3002", 0)
        .until_running("sleep 3003", 0)
        .until_running("sleep 3000", 1)
        .until_running("sleep 3001", 1);
}

#[test]
fn what_forked_twice_and_changed_session_is_still_the_commands() {
    require!(userns, image "debian");
    let hide = "import os,sys,time,signal
if os.fork(): time.sleep(1000)
os.setsid()
if os.fork(): sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.execvp('sleep',['sleep','4000'])";
    Case::image("debian")
        .with("--timeout=1s")
        .with("--grace=200ms")
        .exec(["python3", "-c", hide])
        .status(124)
        .until_running("sleep 4000", 0);
}

#[test]
fn term_comes_first_and_may_be_used() {
    require!(userns, image "tiny");
    let (case, output) = Case::image("tiny")
        .with("--timeout=300ms")
        .with("--grace=10s")
        .sh("trap 'echo cleaned > /cleaned; echo bye; exit 3' TERM; while :; do sleep 0.05; done")
        .output();
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(output.stdout, b"bye\n");
    case.sh("cat /cleaned").stdout("cleaned");
}

#[test]
fn kill_comes_after_the_grace() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .with("--timeout=200ms")
        .with("--grace=200ms")
        .sh("trap '' TERM; while :; do sleep 0.05; done")
        .status(124)
        .sh("ps | grep -c '[t]rap'")
        .status(1);
}

#[test]
fn a_fork_bomb_in_small() {
    require!(userns, image "tiny");
    // Bounded: each of 64 shells starts the next and sleeps.
    Case::image("tiny")
        .with("--timeout=2s")
        .with("--grace=100ms")
        .sh("f() { [ $1 -gt 64 ] && sleep 5000; f $(($1+1)) & sleep 5000; }; f 0")
        .status(124)
        .until_running("sleep 5000", 0);
}
