//! Against a stand-in for init: it starts the command on this host with the descriptors that it was sent.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_spec::control::{FollowUp, Reply};
use shedbox_spec::exec::{End, ExecResult, NotStarted};
use shedbox_spec::paths::Paths;
use shedbox_spec::{Kind as ErrorKind, SandboxId};

use super::*;
use crate::Client;

struct Ground {
    _dir: tempfile::TempDir,
    sandbox: Sandbox,
}

/// A sandbox whose connections are served by `serve`.
fn ground(serve: impl Fn(SeqPacket) + Send + Sync + 'static) -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths {
        root: dir.path().join("root"),
        runtime: dir.path().to_owned(),
        config: dir.path().join("config.toml"),
    };
    std::fs::create_dir_all(paths.names()).unwrap();
    let id = SandboxId::from_bytes(&[7; 32]);
    let listener = seqpacket::listen(&paths.sandbox_sockets().join(format!("{id}.sock"))).unwrap();
    std::os::unix::fs::symlink(format!("../{id}.sock"), paths.names().join("box")).unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        while let Ok(Some(connection)) = seqpacket::accept(listener.as_fd()) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(connection));
        }
    });
    let sandbox = Client::with_paths(paths).sandbox("box").unwrap();
    Ground { _dir: dir, sandbox }
}

fn request(connection: &SeqPacket) -> (ExecRequest, Vec<OwnedFd>) {
    let frame = connection.recv().unwrap().unwrap();
    match serde_json::from_slice(&frame.bytes).unwrap() {
        Request::Exec(request) => (request, frame.fds),
        other => panic!("{other:?}"),
    }
}

fn reply(connection: &SeqPacket, reply: &Reply) {
    connection
        .send(&serde_json::to_vec(reply).unwrap(), &[])
        .unwrap();
}

fn ended(end: End) -> Reply {
    Reply::Exited(ExecResult {
        end,
        wall_us: 1,
        user_us: 2,
        system_us: 3,
        max_rss: 4,
        used: None,
    })
}

/// Runs the command as init would, without a sandbox around it. A signal that follows goes to it.
fn run(connection: SeqPacket) {
    let (request, fds) = request(&connection);
    let mut fds = fds.into_iter();
    let mut next = |there: bool| {
        if there {
            fds.next().unwrap().into()
        } else {
            std::process::Stdio::null()
        }
    };
    let argv: Vec<OsString> = request
        .argv
        .iter()
        .map(|argument| OsString::from_vec(argument.clone()))
        .collect();
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]);
    for entry in &request.env {
        let entry = String::from_utf8(entry.clone()).unwrap();
        let (name, value) = entry.split_once('=').unwrap();
        command.env(name, value);
    }
    command.stdin(next(request.stdin == StdinMode::Pipe));
    command
        .stdout(next(request.stdout))
        .stderr(next(request.stderr));
    let child = command.spawn();
    drop(command); // with its copies of the descriptors
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            return reply(
                &connection,
                &ended(End::from(NotStarted {
                    code: 127,
                    ..NotStarted::refused(error.to_string())
                })),
            );
        }
    };
    let pid = child.id() as i32;
    if request.report_start {
        reply(&connection, &Reply::Started { pid });
    }
    let connection = Arc::new(connection);
    let heard = Arc::clone(&connection);
    thread::spawn(move || {
        while let Ok(Some(frame)) = heard.recv() {
            if let Ok(FollowUp::Signal { signal }) = serde_json::from_slice(&frame.bytes) {
                shedbox_linux::process::signal(pid, signal).unwrap();
            }
        }
    });
    let status = child.wait().unwrap();
    let end = match std::os::unix::process::ExitStatusExt::signal(&status) {
        Some(signal) => End::Signaled {
            signal,
            by: shedbox_spec::exec::Killer::Unknown,
        },
        None => End::Exited {
            code: status.code().unwrap() as u8,
        },
    };
    reply(&connection, &ended(end));
}

fn sh<'s>(ground: &'s Ground, script: &str) -> Exec<'s> {
    ground.sandbox.command("sh").args(["-c", script])
}

#[test]
fn output_keeps_the_streams_apart() {
    let ground = ground(run);
    let output = sh(&ground, "printf out; printf err >&2; exit 3")
        .output()
        .unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out"[..], &b"err"[..])
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(!output.stdout_truncated && !output.status.success());
    assert_eq!(output.result.max_rss, 4);
}

#[test]
fn arguments_environment_and_input_are_bytes() {
    let ground = ground(run);
    let odd = OsStr::from_bytes(b"\xff\n\xfe");
    let output = ground
        .sandbox
        .command("sh")
        .args(["-c", "printf '%s|%s|' \"$1\" \"$V\"; cat", "sh"])
        .arg(odd)
        .env("V", "a=b")
        .stdin(Stdio::bytes(vec![0, 255, 10]))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\xff\n\xfe|a=b|\x00\xff\x0a");
}

#[test]
fn megabytes_both_ways_at_once() {
    let ground = ground(run);
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| (i / 7) as u8).collect();
    let output = ground
        .sandbox
        .command("cat")
        .stdin(Stdio::bytes(bytes.clone()))
        .output()
        .unwrap();
    assert!(output.stdout == bytes);
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let ground = ground(run);
    let output = sh(&ground, "exit 5")
        .stdin(Stdio::bytes(vec![0; 1_000_000]))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn a_background_process_that_holds_the_output_is_not_waited_for() {
    let ground = ground(run);
    let began = Instant::now();
    let output = sh(&ground, "sleep 30 & echo $!; printf tail")
        .output()
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("\ntail"), "{text}");
    shedbox_linux::process::signal(text.lines().next().unwrap().parse().unwrap(), 9).unwrap();
}

#[test]
fn a_background_process_that_floods_the_output_is_not_waited_for() {
    let ground = ground(run);
    let output = sh(&ground, "yes & echo $! >&2")
        .output_limit(1 << 20, Overflow::Truncate)
        .output()
        .unwrap();
    let pid = String::from_utf8(output.stderr).unwrap();
    // The flood breaks off when its reader has gone; end it at once all the same.
    let _ = shedbox_linux::process::signal(pid.trim().parse().unwrap(), 9);
    assert!(output.status.success());
}

#[test]
fn a_limit_cuts_or_spills() {
    let ground = ground(run);
    let script = "head -c 100000 /dev/zero; printf err >&2";
    let cut = sh(&ground, script)
        .output_limit(1000, Overflow::Truncate)
        .output()
        .unwrap();
    assert_eq!(
        (cut.stdout.len(), cut.stdout_truncated, cut.stderr_truncated),
        (1000, true, false)
    );
    let dir = tempfile::tempdir().unwrap();
    let spilled = sh(&ground, script)
        .output_limit(1000, Overflow::Spill(dir.path().join("o")))
        .output()
        .unwrap();
    assert_eq!(spilled.stderr_file, None);
    let file = spilled.stdout_file.unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().len(), 100_000);
}

#[test]
fn streams_to_and_from_files() {
    let ground = ground(run);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("in"), vec![b'x'; 3_000_000]).unwrap();
    let open = |path: &Path| {
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap()
    };
    let status = sh(&ground, "cat; echo done >&2")
        .stdin(std::fs::File::open(path("in")).unwrap().into())
        .stdout(std::fs::File::create(path("out")).unwrap().into())
        .stderr(open(&path("err")).into()) // appending: splice refuses it
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::metadata(path("out")).unwrap().len(), 3_000_000);
    assert_eq!(std::fs::read(path("err")).unwrap(), b"done\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let ground = ground(run);
    let (read, write) = fd::pipe().unwrap();
    drop(read);
    let status = ground
        .sandbox
        .command("yes")
        .stdout(write.into())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(13));
}

#[test]
fn spawn_talk_and_kill() {
    let ground = ground(run);
    let mut child = ground
        .sandbox
        .command("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(child.id() > 0);
    child.stdin.as_mut().unwrap().write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut answer)
        .unwrap();
    assert_eq!(&answer, b"ping");
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(
        child.wait().unwrap().success(),
        "the end of its input ends it"
    );

    let mut sleeper = ground
        .sandbox
        .command("sleep")
        .arg("60")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sleeper.kill(15).unwrap();
    let status = sleeper.wait().unwrap();
    assert_eq!((status.signal(), status.shell_status()), (Some(15), 143));
    assert_eq!(
        sleeper.wait().unwrap(),
        status,
        "waiting again gives the same"
    );
    sleeper.kill(15).unwrap();
}

#[test]
fn wait_with_output_reads_while_it_waits() {
    let ground = ground(run);
    let child = sh(
        &ground,
        "head -c 1000000 /dev/zero; echo e >&2; sleep 30 >&2 & exit 4",
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.stdout.len(),
            output.stderr.as_slice(),
            output.status.code()
        ),
        (1_000_000, &b"e\n"[..], Some(4))
    );
}

#[test]
fn many_at_once() {
    let ground = ground(run);
    thread::scope(|scope| {
        for number in 0..16 {
            let ground = &ground;
            scope.spawn(move || {
                let output = sh(ground, &format!("echo {number}")).output().unwrap();
                assert_eq!(output.stdout, format!("{number}\n").as_bytes());
            });
        }
    });
}

#[test]
fn ends_that_are_errors() {
    let missing = ground(run)
        .sandbox
        .command("/no/such/program")
        .output()
        .unwrap_err();
    assert!(
        matches!(missing, Error::NotStarted(NotStarted { code: 127, .. })),
        "{missing}"
    );
    assert_eq!(missing.kind(), ErrorKind::NotFound);

    let lost = ground(|connection| drop(request(&connection)));
    assert!(matches!(
        lost.sandbox.command("x").output().unwrap_err(),
        Error::Killed { .. }
    ));

    let refused = ground(|connection| {
        request(&connection);
        reply(
            &connection,
            &Reply::Failed(shedbox_spec::Error::conflict("the sandbox is stopping")),
        );
    });
    assert_eq!(
        refused
            .sandbox
            .command("x")
            .output()
            .unwrap_err()
            .to_string(),
        "the sandbox is stopping"
    );

    let reset = ground(|connection| {
        request(&connection);
        reply(&connection, &ended(End::Reset));
    });
    let status = reset.sandbox.command("x").output().unwrap().status;
    assert!(status.interrupted());
    assert_eq!(
        (status.shell_status(), status.to_string().as_str()),
        (137, "ended by a reset of the sandbox")
    );
}

#[test]
fn a_terminal_comes_back_and_is_pumped() {
    let ground = ground(|connection| {
        let (request, fds) = request(&connection);
        assert_eq!(
            (fds.len(), request.stdout, request.tty),
            (0, false, Some(TtySize { rows: 5, cols: 9 }))
        );
        let pts = shedbox_linux::path::open_dir(Path::new("/dev/pts")).unwrap();
        let (master, slave) = shedbox_linux::pty::open(&pts).unwrap();
        let started = serde_json::to_vec(&Reply::Started { pid: 1 }).unwrap();
        connection.send(&started, &[master.as_fd()]).unwrap();
        let mut line = [0; 64];
        let count = fd::read(&slave, &mut line).unwrap();
        let mut text = b"got ".to_vec();
        text.extend_from_slice(&line[..count]);
        fd::write_all(&slave, &text).unwrap();
        reply(&connection, &ended(End::Exited { code: 0 }));
        // A background process would hold the terminal open.
        let _ = connection.recv();
        drop(slave);
    });
    let exec = ground
        .sandbox
        .command("x")
        .tty(TtySize { rows: 5, cols: 9 })
        .stdin(Stdio::bytes(b"hi\n".to_vec()));
    let output = exec.output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "hi\r\ngot hi\r\n"
    );
}

#[test]
fn detach_keys_on_a_file() {
    let ground = ground(|connection| {
        let (_, fds) = request(&connection);
        let mut text = [0; 8];
        let count = fd::read(&fds[0], &mut text).unwrap();
        assert_eq!(&text[..count], b"ab");
        let frame = connection.recv().unwrap().unwrap();
        assert_eq!(
            serde_json::from_slice::<FollowUp>(&frame.bytes).unwrap(),
            FollowUp::Detach
        );
    });
    let (read, write) = fd::pipe().unwrap();
    let mut running = ground
        .sandbox
        .command("x")
        .stdin(read.into())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .detach_keys(vec![16, 17])
        .start()
        .unwrap();
    fd::write_all(&write, b"ab\x10\x11").unwrap();
    assert!(matches!(running.next(None).unwrap(), Event::DetachKeys));
    running.detach().unwrap();
}

#[test]
fn a_gigabyte_passes_in_constant_memory() {
    let ground = ground(run);
    let sink = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .unwrap();
    let before = peak();
    let status = sh(&ground, "head -c 1073741824 /dev/zero")
        .stdout(sink.into())
        .status()
        .unwrap();
    assert!(status.success());
    let grown = peak() - before;
    assert!(grown < 16 << 10, "{grown} KiB more than before");
}

/// Peak resident memory of this process in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_was_written_before_the_sandbox_died_is_not_lost() {
    let ground = ground(|connection| {
        let (_, fds) = request(&connection);
        fd::write_all(&fds[0], b"last words").unwrap();
    });
    let mut file = tempfile::tempfile().unwrap();
    let exec = ground
        .sandbox
        .command("x")
        .stdout(file.try_clone().unwrap().into());
    assert!(matches!(exec.status().unwrap_err(), Error::Killed { .. }));
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words");
}

#[test]
fn a_piped_stream_beside_a_pumped_one_ends_with_the_command() {
    let ground = ground(run);
    let null = || {
        Stdio::from(
            std::fs::File::options()
                .write(true)
                .open("/dev/null")
                .unwrap(),
        )
    };
    for piped_is_stdout in [true, false] {
        let exec = sh(&ground, "echo x; echo x >&2");
        let exec = if piped_is_stdout {
            exec.stdout(Stdio::piped()).stderr(null())
        } else {
            exec.stdout(null()).stderr(Stdio::piped())
        };
        let mut child = exec.spawn().unwrap();
        let mut text = String::new();
        match (&mut child.stdout, &mut child.stderr) {
            (Some(stream), None) => stream.read_to_string(&mut text),
            (None, Some(stream)) => stream.read_to_string(&mut text),
            other => panic!("{other:?}"),
        }
        .unwrap();
        assert_eq!(text, "x\n");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_request_that_nobody_took_is_told_from_a_command_that_died() {
    // Closed with the request unread.
    let unread = ground(|connection| {
        shedbox_linux::pidfd::readable(&connection, None).unwrap();
    });
    let error = unread.sandbox.command("x").output().unwrap_err();
    assert!(matches!(error, Error::NotTaken { .. }), "{error}");

    // The command had started; a signal was on its way.
    let died = ground(|connection| {
        request(&connection);
        reply(&connection, &Reply::Started { pid: 1 });
        shedbox_linux::pidfd::readable(&connection, None).unwrap();
    });
    let mut child = died
        .sandbox
        .command("x")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.kill(15).unwrap();
    assert!(matches!(child.wait().unwrap_err(), Error::Killed { .. }));
}
