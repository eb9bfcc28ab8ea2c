//! Descriptors and what the kernel keeps behind them.

use super::bomb::Bomb;
use crate::require;

#[test]
fn open_files() {
    require!(userns);
    Bomb::python(
        "
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
most = min(hard, 100000)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
taken = []
try:
    while True: taken.append(os.open('/etc/passwd', os.O_RDONLY))
except OSError as error:
    print('refused' if error.errno == 24 and len(taken) > most - 100 else error)
",
    )
    .says("refused")
    .go_off();
}

#[test]
fn open_files_in_many_processes() {
    require!(userns);
    Bomb::python(
        "
import os, time
made = 0
for n in range(40):
    if os.fork() == 0:
        try:
            while True: os.open('/dev/null', os.O_RDONLY)
        except OSError: time.sleep(1000)
    made += 1
time.sleep(1)
print('taken')
",
    )
    // 40,000 descriptors are open when the reset ends their processes, and it answers when the kernel has closed them.
    .option("--ulimit=nofile=1024:1024")
    .taken_apart_within(100)
    .says("taken")
    .go_off();
}

#[test]
fn pipes_that_are_full() {
    require!(userns);
    // The kernel gives a user 64 MiB of pipe buffers; then pipes are a page, and their writers go on.
    Bomb::python(
        "
import fcntl, os
made = 0
try:
    while made < 400:
        r, w = os.pipe()
        os.set_blocking(w, False)
        try: fcntl.fcntl(w, 1031, 1 << 20)
        except OSError: pass
        try:
            while True: os.write(w, b'x' * 65536)
        except BlockingIOError: pass
        made += 1
except OSError: pass
print('full' if made > 100 else made)
",
    )
    .says("full")
    .go_off();
}

#[test]
fn sockets_that_are_full() {
    require!(userns);
    Bomb::python(
        "
import socket
pairs = []
try:
    while len(pairs) < 300:
        a, b = socket.socketpair()
        a.setblocking(False)
        try:
            while True: a.send(b'x' * 65536)
        except BlockingIOError: pass
        pairs.append((a, b))
except OSError: pass
print('full' if len(pairs) > 100 else len(pairs))
",
    )
    .says("full")
    .go_off();
}

#[test]
fn descriptors_on_their_way_through_sockets() {
    require!(userns);
    // Descriptors in flight are in no table; the kernel counts them for the user, up to RLIMIT_NOFILE.
    Bomb::python(
        "
import array, os, socket
fd = os.open('/dev/null', os.O_RDONLY)
sent, pairs = 0, []
try:
    while sent < 500000:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        a.setblocking(False)
        pairs.append((a, b))
        try:
            while True:
                a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd] * 250))])
                sent += 250
        except BlockingIOError: pass
except OSError: pass
print('refused' if 250 <= sent < 500000 else sent)
",
    )
    .says("refused")
    .go_off();
}

#[test]
fn listening_sockets_and_half_open_connections() {
    require!(userns);
    Bomb::python(
        "
import socket
taken = []
try:
    while len(taken) < 5000:
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(1)
        c = socket.socket(); c.setblocking(False)
        try: c.connect(s.getsockname())
        except BlockingIOError: pass
        taken += [s, c]
except OSError: pass
print('taken' if len(taken) > 100 else len(taken))
",
    )
    .says("taken")
    .go_off();
}
