"""Everything that can be compared of a tree, as JSON: list_tree.py ROOT [SKIPPED PATH]...

Skipped are the given paths, relative to the root, with all that is below them.
"""

import hashlib
import json
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


def shown(name):
    return name.decode("utf-8", "backslashreplace")


def describe(full, path, inodes):
    info = os.lstat(full)
    entry = {
        "path": shown(path),
        "kind": KINDS[stat.S_IFMT(info.st_mode)],
        "mode": oct(stat.S_IMODE(info.st_mode)),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime": info.st_mtime_ns,
    }
    if entry["kind"] == "symlink":
        entry["link"] = shown(os.readlink(full))
    if entry["kind"] == "file":
        entry["size"] = info.st_size
        digest = hashlib.sha256()
        with open(full, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        entry["sha256"] = digest.hexdigest()
        inodes.setdefault((info.st_dev, info.st_ino), []).append(entry)
    names = os.listxattr(full, follow_symlinks=False)
    entry["xattrs"] = {name: os.getxattr(full, name, follow_symlinks=False).hex() for name in sorted(names)}
    return entry


def main():
    root = os.fsencode(sys.argv[1])
    skipped = {os.fsencode(path) for path in sys.argv[2:]}
    entries, inodes, todo = [], {}, [b""]
    while todo:
        path = todo.pop()
        full = os.path.join(root, path)
        entries.append(describe(full, path, inodes))
        if entries[-1]["kind"] == "directory":
            below = (os.path.join(path, name) for name in os.listdir(full))
            todo.extend(name for name in below if name not in skipped)
    for group in inodes.values():
        first = min(entry["path"] for entry in group)
        for entry in group:
            entry["same_file_as"] = first
    json.dump(sorted(entries, key=lambda entry: entry["path"]), sys.stdout)


main()
