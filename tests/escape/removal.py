# A tree that is hard to remove, and one that leads elsewhere: for reset and rm.
import fcntl
outside = sys.argv[1]
os.makedirs("/var/trap", exist_ok=True)
os.chdir("/var/trap")
for number, target in enumerate([outside, outside + "/", "../" * 30 + outside.lstrip("/"), "/", ".", "..", "/proc/1/root" + outside]):
    os.symlink(target, f"link{number}")
for odd in ("new\nline", "-rf", "*", " ", "\x01\x7f", "é" * 100, "..."):
    os.makedirs(odd)
    os.symlink(outside, os.path.join(odd, odd))
for mode in (0o000, 0o111, 0o444, 0o7777):
    os.makedirs(f"closed{mode:o}/below")
    os.chmod(f"closed{mode:o}/below", mode)
    os.chmod(f"closed{mode:o}", mode)
os.mkfifo("fifo")
s = socket.socket(socket.AF_UNIX)
s.bind("socket")
deep = 0
here = os.open(".", os.O_RDONLY)
try:
    for deep in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.symlink(outside, "end", dir_fd=here)
except OSError as error:
    print("stopped at", deep, name(error.errno))
for number in range(300):
    open(f"f{number}", "w").close()
held = [os.open(f"f{number}", os.O_RDONLY) for number in range(300)]
for what, flag in (("immutable", 0x10), ("append only", 0x20)):
    tried(what, lambda: fcntl.ioctl(held[0], 0x40086602, struct.pack("<q", flag)))
tried("mark of a whiteout", lambda: os.mknod("white", stat.S_IFCHR, 0))
for key in ("user.overlay.opaque", "user.overlay.redirect", "user.overlay.whiteout", "user.overlay.origin"):
    tried(key, lambda: os.setxattr(".", key, b"y"))
print("planted:", deep, len(os.listdir(".")))
