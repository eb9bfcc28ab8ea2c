//! Attempts as small Python programs: each says `name ok`, or the name and the error.

pub(crate) use shedbox_linux::probe::landlock_abi as abi;

const PRELUDE: &str = "
import ctypes, errno, mmap, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        action()
        print(name, 'ok', flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
def call(*arguments):
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), 'syscall')
    return result
def read(path):
    with open(path, 'rb') as file:
        file.read(1)
def write(path):
    with open(path, 'r+b', 0) as file:
        file.write(b'x')
def make(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
";

/// The program with what all of them share.
pub(crate) fn python(attempts: &str) -> [String; 3] {
    [
        "python3".into(),
        "-c".into(),
        format!("{PRELUDE}{attempts}"),
    ]
}

/// `ok` where the kernel has no such wall yet.
pub(crate) fn from_abi(first: u32, denial: &'static str) -> &'static str {
    if abi() >= first { denial } else { "ok" }
}
