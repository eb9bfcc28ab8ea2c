//! The process between the caller and the command: it outlives both, and leaves nothing behind.

use std::os::fd::{AsFd, OwnedFd};

use shedbox_linux::clone::{self, Side};
use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::process::{self, ChildSignals};
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{fd, path};
use shedbox_spec::exec::{End, NotStarted};

use super::{Order, command, descendants};
use crate::exec::plain_end;

/// Runs the command to its end and tells the caller. The status is the runner's own.
pub(super) fn run(order: &Order, caller: SeqPacket) -> i32 {
    // Whatever the caller had open ends here, its standard streams excepted.
    let Ok(mut fds) = fd::start_over_with(vec![caller.into()], 3) else {
        return 1;
    };
    let Some(caller) = fds.pop().map(SeqPacket::from) else {
        return 1;
    };
    let end = set_up().map_or_else(
        |message| Some(not_started(&message)),
        |children| follow(order, &caller, &children),
    );
    descendants::end_all();
    order.private.remove();
    let told = end
        .and_then(|end| serde_json::to_vec(&end).ok())
        .is_some_and(|text| caller.send(&text, &[]).is_ok());
    i32::from(!told)
}

fn not_started(message: &str) -> End {
    End::from(NotStarted::refused(message))
}

fn set_up() -> Result<ChildSignals, String> {
    let plain =
        |call: &'static str| move |errno: process::Errno| format!("{call}: {}", errno.desc());
    // Its own session: what is typed at the caller's terminal is for the caller.
    process::new_session().map_err(plain("setsid"))?;
    process::not_dumpable().map_err(plain("prctl"))?;
    process::set_name(c"shedbox-runner").map_err(plain("prctl"))?;
    process::become_subreaper().map_err(plain("prctl"))?;
    process::reset_signals().map_err(plain("signal"))?;
    process::block_signals().map_err(plain("sigprocmask"))?;
    ChildSignals::new().map_err(plain("signalfd"))
}

/// Starts the command and waits until it has ended or the caller has gone (`None`).
fn follow(order: &Order, caller: &SeqPacket, children: &ChildSignals) -> Option<End> {
    let pid = match launch(order) {
        Ok(pid) => pid,
        Err(end) => return Some(end),
    };
    // The command may read its own /proc as long as the kernel keeps what the rule is tied to: held open for that.
    let _own = path::open_dir(std::path::Path::new(&format!("/proc/{pid}")));
    let read = |fd| Interest {
        fd,
        read: true,
        write: false,
    };
    loop {
        let seen = poll(&[read(children.as_fd()), read(caller.as_fd())], None).ok()?;
        if seen[0].any() {
            children.clear();
            while let Ok(Some(ended)) = process::reap(false) {
                if ended.pid == pid {
                    return Some(plain_end(&ended, None));
                }
            }
        }
        if seen[1].any() {
            match caller.recv() {
                Ok(Some(frame)) => {
                    for number in frame.bytes {
                        // Not reaped yet, so the pid is still the command's.
                        let _ = process::signal(pid, i32::from(number));
                    }
                }
                _ => return None,
            }
        }
    }
}

/// Forks the command. The error is what it reported before it could become the program.
fn launch(order: &Order) -> Result<i32, End> {
    let refused = |message: String| End::from(NotStarted::refused(message));
    let (told, tell) = fd::pipe().map_err(|error| refused(error.to_string()))?;
    match clone::fork_into(0).map_err(|error| refused(error.to_string()))? {
        Side::Child => {
            drop(told);
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                command::become_it(order)
            }));
            let failed = failed.unwrap_or_else(|_| refused("the set-up broke off".into()));
            if let Ok(text) = serde_json::to_vec(&failed) {
                let _ = fd::write_all(&tell, &text); // the runner sees the end at any rate
            }
            clone::exit_now(126)
        }
        Side::Parent(child) => {
            drop(tell);
            match read_all(&told) {
                text if text.is_empty() => Ok(child.pid),
                text => Err(serde_json::from_slice(&text)
                    .unwrap_or_else(|_| refused("the set-up broke off".into()))),
            }
        }
    }
}

/// Until the other end is closed: by execve, or by the end of the child.
fn read_all(pipe: &OwnedFd) -> Vec<u8> {
    let mut text = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = fd::read(pipe, &mut chunk) {
        text.extend_from_slice(&chunk[..count]);
    }
    text
}
