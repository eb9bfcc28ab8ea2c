# Secrets of those who started us: in any environment, argument list, or file that is in sight.
needle = sys.argv[1].encode()[::-1]
print("environment: as", os.getuid())
own = content("/proc/self/environ", 1 << 20)
print("own environment:", b" ".join(sorted(v.split(b"=")[0] for v in own.split(b"\0") if v)).decode())
hits, looked = [], 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    for entry in ("environ", "cmdline", "comm", "status", "mountinfo", "cgroup", "mounts", "stat", "wchan", "limits"):
        try:
            text = content(f"/proc/{pid}/{entry}", 1 << 20)
        except OSError:
            continue
        looked += 1
        if needle in text:
            hits.append(f"/proc/{pid}/{entry}")
print("secrets found:", " ".join(hits) or "none", "in many" if looked > 10 else looked)
words = [w.encode() for w in sys.argv[2:]]
info = content("/proc/self/mountinfo", 1 << 20)
print("host paths in mountinfo:", b" ".join(w for w in words if w in info).decode() or "none")
