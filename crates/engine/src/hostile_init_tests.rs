//! An init that was taken over and answers the daemon as it likes: every question ends, with an error or with an answer
//! of the right kind, in bounded time and memory.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shedbox_linux::pidfd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{DieReason, Failure, InitEvent, InitStatus, Reply, Request, Stats};
use shedbox_spec::exec::ExecResult;

use crate::init::{Init, Silent, ask_on, status};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn random() -> Random {
    let seed = std::env::var("SHEDBOX_TEST_SEED").map_or(0x5eed, |text| text.parse().unwrap());
    Random(seed)
}

/// A process that stands for init, ended with the test.
struct Stand(Child);

impl Stand {
    fn new() -> (Self, (i32, OwnedFd)) {
        // Ends at the end of its input, should this process be killed.
        let child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let pidfd = pidfd::open(pid).unwrap();
        (Self(child), (pid, pidfd))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn messages() -> Vec<Vec<u8>> {
    let result: ExecResult = serde_json::from_str(
        r#"{"end":{"cause":"exited","code":3},"wall_us":1,"user_us":2,"system_us":3,"max_rss":4}"#,
    )
    .unwrap();
    let replies = [
        Reply::Done,
        Reply::Started { pid: -5 },
        Reply::Exited(result.clone()),
        Reply::Failed(shedbox_spec::Error::conflict("no")),
        Reply::Stats(Stats::default()),
        Reply::Status(InitStatus {
            version: 99,
            sandbox: "../..".into(),
            generation: u64::MAX,
            main_pid: Some(-1),
            main_result: None,
            execs: u32::MAX,
            clients: 0,
            paused: false,
            landlock: shedbox_spec::landlock::LandlockInForce::default(),
        }),
    ];
    let failed = InitEvent::Failed(Failure {
        stage: "\u{1b}[31m".into(),
        call: "x".repeat(10_000),
        errno: -1,
    });
    let ended = InitEvent::MainExited { result };
    let mut all: Vec<Vec<u8>> = replies
        .iter()
        .map(|reply| serde_json::to_vec(reply).unwrap())
        .collect();
    all.extend([&failed, &ended].map(|event| serde_json::to_vec(event).unwrap()));
    all
}

fn mutated(random: &mut Random, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut text = messages[random.below(messages.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(4) {
            0 if at < text.len() => text[at] = random.next() as u8,
            1 => text.truncate(at),
            2 => {
                let other = &messages[random.below(messages.len())];
                text.splice(at..at, other[..random.below(other.len())].iter().copied());
            }
            _ => {
                text.splice(at..at, b"18446744073709551616".iter().copied());
            }
        }
    }
    text
}

#[test]
fn a_question_gets_an_answer_of_its_kind_or_an_error() {
    let mut random = random();
    let messages = messages();
    let (mut understood, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let (ours, theirs) = SeqPacket::pair().unwrap();
        let (read, write) = std::io::pipe().unwrap();
        let fds = [read.as_fd(), write.as_fd()];
        theirs
            .send(&mutated(&mut random, &messages), &fds[..random.below(3)])
            .unwrap();
        if random.below(2) == 0 {
            drop(theirs); // before it has heard the question
        }
        match random.below(2) {
            0 => match status(&ours) {
                Ok(_) => understood += 1,
                Err(_) => refused += 1,
            },
            _ => match ask_on(&ours, &Request::Stats) {
                Ok((Reply::Failed(_), _)) => panic!("a failure is an error"),
                Ok(_) => understood += 1,
                Err(_) => refused += 1,
            },
        }
    }
    assert!(understood > 500 && refused > 500, "{understood} {refused}");
}

#[test]
fn a_generation_ends_whatever_its_init_says() {
    let mut random = random();
    let messages = messages();
    for _ in 0..60 {
        let (ours, theirs) = SeqPacket::pair().unwrap();
        let (mut stand, named) = Stand::new();
        for _ in 0..random.below(6) {
            theirs.send(&mutated(&mut random, &messages), &[]).unwrap();
        }
        let silent = random.below(8) == 0;
        if !silent {
            drop(theirs);
        }
        let init = Init::adopt(1, 1, named, ours);
        let began = Instant::now();
        init.die(DieReason::Remove).unwrap();
        // One that says nothing costs the patience of `die`, half a second.
        assert!(began.elapsed() < Duration::from_secs(5));
        let _ = stand.0.kill();
    }
}

#[test]
fn one_that_talks_without_end_is_ended() {
    let (ours, theirs) = SeqPacket::pair().unwrap();
    let (_stand, named) = Stand::new();
    let init = Init::adopt(1, 1, named, ours);
    let talker = std::thread::spawn(move || {
        let text = serde_json::to_vec(&Reply::Started { pid: 1 }).unwrap();
        while theirs.send(&text, &[]).is_ok() {}
    });
    init.die(DieReason::Remove).unwrap();
    assert!(init.has_ended());
    drop(init);
    talker.join().unwrap();
}

#[test]
fn the_watcher_is_not_held_up() {
    let mut random = random();
    let messages = messages();
    let (ours, theirs) = SeqPacket::pair().unwrap();
    let (_stand, named) = Stand::new();
    let init = Init::adopt(1, 1, named, ours);
    assert!(matches!(init.poll_message(), Ok(None)));
    let (mut read, mut silent) = (0, 0);
    for _ in 0..50_000 {
        theirs.send(&mutated(&mut random, &messages), &[]).unwrap();
        match init.poll_message() {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("a message was sent"),
            Err(Silent::Gone) => silent += 1,
            Err(Silent::Busy) => panic!("nobody else reads"),
        }
    }
    assert!(read > 1000 && silent > 1000, "{read} {silent}");
    drop(theirs);
    assert!(matches!(init.poll_message(), Err(Silent::Gone)));
}
