//! The domain that every sandbox has without being asked: its own tree and nothing else, its own processes and nobody
//! else's sockets.

use std::os::fd::AsFd;

use shedbox_linux::seqpacket::SeqPacket;

use crate::attempt::{from_abi, python};
use crate::require;
use crate::support::{Case, Home, Lane, eventually, scratch_base, unique};

/// Starts `host` with `options` and runs the attempts. What they say.
fn attempts(options: &[&str], attempts: &str) -> String {
    let mut case = Case::host();
    for option in options {
        case = case.option(*option);
    }
    let [python, flag, program] = python(attempts);
    let (_case, output) = case.exec([python.as_str(), &flag, &program]).output();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A process outside hands a directory to one inside, through a socket in a shared volume.
fn directory_from_outside(option: &str) -> String {
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let shared = tempfile::tempdir_in(scratch_base()).expect("a directory");
    std::fs::write(dir.path().join("secret"), "secret").expect("write");
    let socket = shared.path().join("s");
    let volume = format!("--volume={}:/shared", shared.path().display());
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let outside = std::fs::File::open(dir.path()).expect("open");
            eventually("the program listens", || {
                SeqPacket::connect(&socket)
                    .is_ok_and(|peer| peer.send(b"x", &[outside.as_fd()]).is_ok())
            });
        });
        attempts(
            &[option, &volume],
            "
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind('/shared/s')
listener.listen()
_, fds, _, _ = socket.recv_fds(listener.accept()[0], 1, 1)
attempt('open', lambda: os.open('secret', os.O_RDONLY, dir_fd=fds[0]))
attempt('parent', lambda: os.open('..', os.O_RDONLY, dir_fd=fds[0]))
attempt('make', lambda: os.open('new', os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fds[0]))
attempt('again', lambda: os.open('/proc/self/fd/%d' % fds[0], os.O_RDONLY))
",
        )
    });
    assert_eq!(dir.path().join("new").exists(), said.contains("make ok"));
    said
}

#[test]
fn a_directory_from_outside_leads_nowhere() {
    require!(userns, program "python3");
    let denied = from_abi(2, "EACCES");
    assert_eq!(
        directory_from_outside("--landlock=best-effort"),
        format!("open {denied}\nparent {denied}\nmake {denied}\nagain {denied}\n")
    );
}

/// Without the domain the same attempts succeed: what the test above sees is the domain.
#[test]
fn without_a_domain_it_does() {
    require!(userns, program "python3");
    assert_eq!(
        directory_from_outside("--landlock=off"),
        "open ok\nparent ok\nmake ok\nagain ok\n"
    );
}

fn abstract_socket(options: &[&str]) -> String {
    use std::os::linux::net::SocketAddrExt;
    let name = unique("abstract");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("bind");
    let program = format!(
        "
s = socket.socket(socket.AF_UNIX)
attempt('outside', lambda: s.connect('\\0{name}'))
mine = socket.socket(socket.AF_UNIX)
mine.bind('\\0{name}-inside')
mine.listen()
attempt('inside', lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}-inside'))
"
    );
    attempts(options, &program)
}

/// In the host's network namespace abstract sockets of the host are in sight.
#[test]
fn abstract_sockets_of_the_host_are_closed() {
    require!(userns, program "python3");
    let denied = from_abi(6, "EPERM");
    assert_eq!(
        abstract_socket(&["--network=host"]),
        format!("outside {denied}\ninside ok\n")
    );
    assert_eq!(
        abstract_socket(&["--network=host", "--landlock=off"]),
        "outside ok\ninside ok\n"
    );
}

/// What one command made another one speaks to: they are in one domain.
#[test]
fn commands_of_a_sandbox_share_the_domain() {
    require!(userns, program "python3");
    Case::host()
        .option("--network=host")
        .sh("sleep 100000 & echo $! > /tmp/pid")
        .ok()
        .sh("kill -0 $(cat /tmp/pid) && kill $(cat /tmp/pid)")
        .ok();
}

/// Each kind of process: an exec, one with a terminal, one in the background, one as another user, the main process.
#[test]
fn every_command_is_in_it() {
    require!(userns, program "python3", landlock 1);
    let home = Home::new();
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let volume = format!("{}:/work", dir.path().display());
    home.run([
        "run",
        "--detach",
        "--name=box",
        "--volume",
        &volume,
        "--landlock-ro=/usr,/bin,/lib,/lib64,/etc",
        "--landlock-rw=/work",
        "host",
        "sh",
        "-c",
        "ls /home > /work/main 2>&1; sleep 100000",
    ]);
    let refused = "ls: cannot open directory '/home': Permission denied";
    let noted = |name: &str| {
        let file = dir.path().join(name);
        eventually("the command has looked", || {
            std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))
        });
        std::fs::read_to_string(file).expect("read")
    };
    assert_eq!(noted("main").trim_end(), refused);
    let look = "ls /home 2>&1; id -u";
    for (options, id) in [
        (&[][..], "0"),
        (&["--tty"], "0"),
        (&["--workdir=/work"], "0"),
    ] {
        let said = home.run(
            ["exec"]
                .iter()
                .chain(options)
                .chain(&["box", "sh", "-c", look]),
        );
        assert_eq!(
            said.lines().map(str::trim_end).collect::<Vec<_>>(),
            [refused, id],
            "{options:?}"
        );
    }
    if Lane::current().many_ids() {
        let said = home.run(["exec", "--user=1", "box", "sh", "-c", look]);
        assert_eq!(said, format!("{refused}\n1"));
    }
    home.run([
        "exec",
        "--detach",
        "box",
        "sh",
        "-c",
        "ls /home > /work/detached 2>&1",
    ]);
    assert_eq!(noted("detached").trim_end(), refused);
    home.run(["reset", "box"]);
    let said = home.run(["exec", "box", "sh", "-c", look]);
    assert_eq!(said, format!("{refused}\n0"), "after a reset");
}

/// A program may deny itself more.
#[test]
fn a_program_adds_a_domain_of_its_own() {
    require!(userns, program "python3", landlock 1);
    let [python, flag, program] = python(
        "
attributes = ctypes.create_string_buffer(struct.pack('Q', 4))  # read_file
ruleset = call(444, attributes, 8, 0)
attempt('before', lambda: read('/etc/passwd'))
attempt('restrict', lambda: call(446, ruleset, 0))
attempt('after', lambda: read('/etc/passwd'))
attempt('write', lambda: make('/tmp/a'))
",
    );
    Case::host()
        .exec([python.as_str(), &flag, &program])
        .stdout("before ok\nrestrict ok\nafter EACCES\nwrite ok");
}
