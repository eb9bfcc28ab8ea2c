//! `--isolation landlock`: what is out of reach.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use crate::attempt::{abi, from_abi, python};
use crate::confined::{impossible, said};
use crate::require;
use crate::support::{scratch_base, unique};

/// The attempts without a sandbox.
#[track_caller]
fn attempts(options: &[&str], attempts: &str) -> String {
    let program = python(attempts);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    said(options, &program)
}

#[test]
fn files_of_the_host() {
    if impossible() {
        return;
    }
    let home = std::env::var("HOME").expect("HOME");
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    std::fs::write(dir.path().join("file"), "text").expect("write");
    let place = dir.path().display();
    let text = attempts(
        &[],
        &format!(
            "
for path in ('/', '/home', '/root', '/var', '/tmp', '/proc', '/run', '/sys', '/dev', '/etc', '{home}'):
    attempt(path, lambda: os.listdir(path))
attempt('file', lambda: read('{place}/file'))
attempt('write', lambda: write('{place}/file'))
attempt('make', lambda: make('{place}/new'))
attempt('remove', lambda: os.unlink('{place}/file'))
attempt('in home', lambda: make('{home}/new'))
attempt('shadow', lambda: read('/etc/shadow'))
attempt('keys', lambda: os.listdir('/etc/ssh'))
attempt('link', lambda: os.symlink('{place}/file', 'link'))
attempt('through a link', lambda: read('link'))
attempt('hard link', lambda: os.link('{place}/file', 'hard'))
attempt('environment', lambda: read('/proc/%d/environ' % os.getppid()))
attempt('memory', lambda: read('/proc/%d/mem' % os.getppid()))
attempt('arguments', lambda: read('/proc/%d/cmdline' % os.getppid()))
attempt('root link', lambda: os.listdir('/proc/%d/root' % os.getppid()))
attempt('own', lambda: read('/proc/self/status'))
attempt('program', lambda: read('/usr/bin/env'))
attempt('program write', lambda: os.open('/usr/bin/env', os.O_WRONLY))
attempt('own file', lambda: make('mine'))
"
        ),
    );
    // A name that does not lead anywhere is not there, and permissions come before Landlock: both are no way in.
    for line in text.lines() {
        let (name, answer) = line.rsplit_once(' ').expect("an answer");
        let open = matches!(name, "link" | "own" | "program" | "own file");
        assert_eq!(answer == "ok", open, "{line}");
        if name.starts_with('/') || matches!(name, "file" | "write" | "make" | "remove" | "in home")
        {
            assert_eq!(answer, "EACCES", "{line}");
        }
    }
    assert_eq!(text.lines().count(), 29);
    assert!(dir.path().join("file").exists());
    assert!(!dir.path().join("new").exists());
}

/// Every way to another process is closed: sockets by path, abstract ones, TCP, UDP, shared memory, tracing.
#[test]
fn other_processes() {
    if impossible() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (stream, datagram) = (dir.path().join("s"), dir.path().join("d"));
    let _stream = UnixListener::bind(&stream).expect("bind");
    let _datagram = UnixDatagram::bind(&datagram).expect("bind");
    let name = unique("abstract");
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("bind");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = tcp.local_addr().expect("an address").port();
    let pid = std::process::id();
    let text = attempts(
        &[],
        &format!(
            "
unix = lambda kind=socket.SOCK_STREAM: socket.socket(socket.AF_UNIX, kind)
attempt('path', lambda: unix().connect('{}'))
attempt('datagram', lambda: unix(socket.SOCK_DGRAM).sendto(b'x', '{}'))
attempt('pair', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '{}'))
attempt('abstract', lambda: unix().connect('\\0{name}'))
attempt('tcp', lambda: socket.socket().connect(('127.0.0.1', {port})))
attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt('v6', lambda: socket.socket(socket.AF_INET6))
attempt('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt('shared memory', lambda: call(29, 0, 4096, 0o1600))
attempt('trace', lambda: call(101, 16, {pid}, 0, 0))
attempt('read memory', lambda: call(310, {pid}, 0, 0, 0, 0, 0))
attempt('limits', lambda: call(302, {pid}, 7, struct.pack('QQ', 10, 10), 0))
attempt('own pair', lambda: socket.socketpair())
",
            stream.display(),
            datagram.display(),
            datagram.display()
        ),
    );
    // Sockets by path are closed one by one from ABI 9 on; before, there are none.
    let unix = if abi() >= 9 { "EPERM" } else { "EACCES" };
    let by_path = "EACCES";
    let mut lines: Vec<&str> = text.lines().collect();
    // process_vm_readv of nothing may succeed without a look at the other process; with a look it is EPERM.
    lines.retain(|line| !line.starts_with("read memory"));
    assert_eq!(
        lines,
        [
            format!("path {by_path}"),
            format!("datagram {by_path}"),
            format!("pair {by_path}"),
            format!("abstract {unix}"),
            "tcp EACCES".into(),
            "udp EACCES".into(),
            "v6 EACCES".into(),
            "netlink EACCES".into(),
            "shared memory EACCES".into(),
            "trace EPERM".into(),
            "limits EPERM".into(),
            "own pair ok".into(),
        ]
    );
}

#[test]
fn signals_to_other_processes() {
    if impossible() {
        return;
    }
    let pid = std::process::id();
    let text = attempts(
        &[],
        &format!(
            "
attempt('other', lambda: os.kill({pid}, 0))
attempt('runner', lambda: os.kill(os.getppid(), 0))
child = os.fork()
if child == 0:
    import time
    time.sleep(1000)
attempt('own', lambda: os.kill(child, 9))
"
        ),
    );
    let denied = from_abi(6, "EPERM");
    assert_eq!(text, format!("other {denied}\nrunner {denied}\nown ok\n"));
}

/// TCP to the ports that are named and nothing else: no other protocol, no other kind.
#[test]
fn ports() {
    require!(landlock 4);
    let (open, closed) = (
        std::net::TcpListener::bind("127.0.0.1:0").expect("bind"),
        std::net::TcpListener::bind("127.0.0.1:0").expect("bind"),
    );
    let port = |listener: &std::net::TcpListener| listener.local_addr().expect("an address").port();
    let option = format!("--allow-tcp-connect={}", port(&open));
    let text = attempts(
        &[&option],
        &format!(
            "
attempt('open', lambda: socket.socket().connect(('127.0.0.1', {})))
attempt('closed', lambda: socket.socket().connect(('127.0.0.1', {})))
attempt('bind', lambda: socket.socket().bind(('127.0.0.1', 0)))
attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt('multipath', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
",
            port(&open),
            port(&closed)
        ),
    );
    assert_eq!(
        text,
        "open ok\nclosed EACCES\nbind EACCES\nudp EACCES\nmultipath EACCES\n"
    );
}

/// By name the host's network is open.
#[test]
fn the_hosts_network_by_name() {
    if impossible() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let text = attempts(
        &["--network=host"],
        &format!("attempt('tcp', lambda: socket.socket().connect(('127.0.0.1', {port})))"),
    );
    assert_eq!(text, "tcp ok\n");
}

/// No namespace can be made, and nothing mounted.
#[test]
fn no_namespaces_no_mounts() {
    if impossible() {
        return;
    }
    let text = attempts(
        &[],
        "
CLONE_NEWUSER = 0x10000000
attempt('unshare', lambda: call(272, CLONE_NEWUSER))
attempt('mount', lambda: call(165, ctypes.c_char_p(b'x'), ctypes.c_char_p(b'.'), ctypes.c_char_p(b'tmpfs'), 0, 0))
attempt('ring', lambda: call(425, 1, 0))
",
    );
    assert_eq!(text, "unshare EPERM\nmount EPERM\nring ENOSYS\n");
}

/// A device that may only be read takes no ioctl. ABI 5.
#[test]
fn ioctl_on_devices() {
    if impossible() {
        return;
    }
    let program = "
import fcntl
attempt('read', lambda: os.open('/dev/ptmx', os.O_RDONLY | os.O_NOCTTY))
attempt('ioctl', lambda: fcntl.ioctl(os.open('/dev/ptmx', os.O_RDONLY | os.O_NOCTTY), 0x80045430, b'1234'))
";
    for (option, ioctl) in [
        ("--landlock-ro=/dev/ptmx", from_abi(5, "EACCES")),
        ("--landlock-rw=/dev/ptmx", "ok"),
    ] {
        assert_eq!(
            attempts(&[option], program),
            format!("read ok\nioctl {ioctl}\n")
        );
    }
}
