# CVE-2017-5226, CVE-2019-10063, CVE-2023-28100: typing into, or pasting into, the terminal of whoever is attached.
import fcntl, pty, termios

print("terminal:", os.ttyname(0), "of session", os.getsid(0) == os.getpid())
KEY = ctypes.create_string_buffer(b"x")
PASTE = ctypes.create_string_buffer(b"\x03")


def ioctl(request, argument, fd=0):
    return sys_call("ioctl", fd, request, ctypes.addressof(argument))


for what, request, argument in [("TIOCSTI", 0x5412, KEY), ("TIOCLINUX", 0x541C, PASTE)]:
    tried(what, ioctl, request, argument)
    tried(f"{what}, high bits", ioctl, request | 1 << 32, argument)
    tried(f"{what}, all high bits", ioctl, request | 0xFFFFFFFF << 32, argument)
tried("TIOCSETD", ioctl, 0x5423, ctypes.create_string_buffer(struct.pack("<i", 21)))
tried("TIOCCONS", ioctl, 0x541D, KEY)
tried("console", os.open, "/dev/console", os.O_RDWR)
tried("own terminals", lambda: os.ttyname(pty.openpty()[1]).startswith("/dev/pts/"))
for other in ("/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/vcs"):
    tried(other, os.open, other, os.O_RDWR)
print("terminals in sight:", sum(n.isdigit() for n in os.listdir("/dev/pts")))
