/* The floor: the bare kernel calls of one sandbox, and nothing else.
 *
 * What shedbox does cannot be faster than this on the same machine, so `make bench` prints every figure as a ratio to
 * it. C, static, one thread: nobody's runtime is in the way.
 *
 *   create      mkdir of the upper and work directories, clone3 with fresh user, mount, pid, ipc, uts, cgroup and
 *               network namespaces, id maps, overlay, /proc, /dev (tmpfs, 6 nodes, devpts, shm, mqueue), lo up,
 *               pivot_root, old root detached, one byte to say it is ready
 *   exec        vfork + exec of /bin/true inside + wait, timed inside (`exec`) and as seen by the one who asked, with
 *               one message there and one back (`exec_call`)
 *   end         SIGKILL of init + wait + rename of the sandbox's directory into the trash
 *   killcreate  both, one after the other: a reset without a spare
 *   many N      N sandboxes alive at once: the rate of creation, exec in each, kernel memory of each
 *   serve       one command a line on stdin (create, exec, end, killcreate), nanoseconds on stdout: lets a harness
 *               interleave the rounds with those of others
 *
 * An ordinary user's user namespace is entered once, before anything is timed, as the keeper does.
 * Build: cc -O2 -static -o floor floor.c        Use: floor --lower DIR[:DIR…] [--dir DIR] [--rounds N] MODE…
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INIT_SOCKET 3 /* the number of init's end of the socket, in init */

struct sandbox {
    pid_t pid;
    int pidfd;
    int sock;
    unsigned number; /* the name of its directory */
};

static const char *lower;    /* lower directories, uppermost first, separated by colons */
static const char *program = "/bin/true";
static int with_network = 1; /* a private network namespace */
static int with_sysfs;       /* /sys, read-only */
static unsigned next_number;
static char base[4096]; /* the directory of this program, once made */
static pid_t self;      /* this program; sandboxes are not it */

static void remove_tree(const char *path);

static void die(const char *format, ...) {
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "floor: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    va_end(arguments);
    if (base[0] && getpid() == self && chdir("/") == 0) {
        char doomed[sizeof base];
        strcpy(doomed, base);
        base[0] = 0; /* a failure to remove it is the last one */
        remove_tree(doomed);
    }
    _exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#include "floor_userns.h"

/* --- one sandbox --------------------------------------------------------------------------------------------------- */

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    if (mount(source, target, type, flags, data))
        die("mount %s on %s (%s)", source, target, data ? data : "");
}

static void mount_device(const char *name) {
    char source[32], target[32];
    snprintf(source, sizeof source, "/dev/%s", name);
    snprintf(target, sizeof target, "dev/%s", name);
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0)
        die("create %s", target);
    close(fd);
    must_mount(source, target, NULL, MS_BIND, NULL);
}

/* Runs in the new namespaces. The current directory is the base directory of this program. */
static void build_rootfs(unsigned number) {
    char options[4096];
    int length = snprintf(options, sizeof options, "lowerdir=%s,upperdir=%u/upper,workdir=%u/work,userxattr,volatile",
                          lower, number, number);
    if (length >= (int)sizeof options) {
        errno = E2BIG;
        die("overlay options");
    }
    must_mount("overlay", "mnt", "overlay", 0, options);
    if (chdir("mnt"))
        die("chdir mnt");
    must_mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (with_sysfs)
        must_mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    must_mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k");
    static const char *devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        mount_device(devices[i]);
    if (mkdir("dev/pts", 0755) || mkdir("dev/shm", 01777) || mkdir("dev/mqueue", 01777) ||
        symlink("pts/ptmx", "dev/ptmx") || symlink("/proc/self/fd", "dev/fd"))
        die("contents of /dev");
    must_mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
    must_mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
    must_mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (with_network) {
        struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
            die("lo up");
        close(fd);
    }
    if (sethostname("floor", 5))
        die("sethostname");
    if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
        die("pivot_root");
}

/* PID 1 of a sandbox: says that it is ready, then runs one program for each byte it gets. */
static void init(unsigned number) {
    char byte;
    if (read(INIT_SOCKET, &byte, 1) != 1) /* the id maps are written */
        _exit(0);
    build_rootfs(number);
    if (write(INIT_SOCKET, "r", 1) != 1)
        _exit(0);
    while (read(INIT_SOCKET, &byte, 1) == 1) {
        char *arguments[] = {(char *)program, NULL}, *environment[] = {NULL};
        int status = -1;
        uint64_t before = now_ns();
        pid_t pid = vfork();
        if (pid == 0) {
            execve(program, arguments, environment);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            die("%s in the sandbox ended with %d", program, status);
        uint64_t took = now_ns() - before;
        if (write(INIT_SOCKET, &took, sizeof took) != sizeof took)
            break;
    }
    _exit(0);
}

static uint64_t create(struct sandbox *sandbox) {
    char path[64];
    int ends[2];
    uint64_t before = now_ns();
    unsigned number = sandbox->number = next_number++;
    const char *names[] = {"%u", "%u/upper", "%u/work"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, names[i], number);
        if (mkdir(path, 0755))
            die("mkdir %s", path);
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        die("socketpair");
    if (dup3(ends[1], INIT_SOCKET, O_CLOEXEC) < 0)
        die("dup3");
    /* With CLONE_FILES the descriptors of all other sandboxes are not copied only to be closed again. */
    struct clone_args arguments = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
                 (with_network ? CLONE_NEWNET : 0) | CLONE_PIDFD | CLONE_FILES,
        .pidfd = (uint64_t)(uintptr_t)&sandbox->pidfd,
        .exit_signal = SIGCHLD,
    };
    sandbox->pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (sandbox->pid < 0)
        die("clone3");
    if (sandbox->pid == 0) {
        if (syscall(SYS_close_range, INIT_SOCKET + 1, ~0u, CLOSE_RANGE_UNSHARE))
            _exit(1);
        init(number);
    }
    snprintf(path, sizeof path, "/proc/%d/uid_map", sandbox->pid);
    write_file(path, id_map[0]);
    snprintf(path, sizeof path, "/proc/%d/gid_map", sandbox->pid);
    write_file(path, id_map[1]);
    sandbox->sock = ends[0];
    char byte;
    if (write(sandbox->sock, "g", 1) != 1)
        die("tell init");
    /* INIT_SOCKET stays open here until the next create, so an init that failed shows by its pidfd alone. */
    close(ends[1]);
    struct pollfd sources[] = {{sandbox->sock, POLLIN, 0}, {sandbox->pidfd, POLLIN, 0}};
    if (poll(sources, 2, 10000) < 1 || !(sources[0].revents & POLLIN) || read(sandbox->sock, &byte, 1) != 1)
        die("init did not get ready");
    return now_ns() - before;
}

static uint64_t run(struct sandbox *sandbox, uint64_t *call) {
    uint64_t inside, before = now_ns();
    if (write(sandbox->sock, "x", 1) != 1 || read(sandbox->sock, &inside, sizeof inside) != sizeof inside)
        die("exec");
    *call = now_ns() - before;
    return inside;
}

static uint64_t end(struct sandbox *sandbox) {
    char from[32], to[32];
    siginfo_t info;
    uint64_t before = now_ns();
    if (syscall(SYS_pidfd_send_signal, sandbox->pidfd, SIGKILL, NULL, 0) ||
        waitid(P_PIDFD, (id_t)sandbox->pidfd, &info, WEXITED))
        die("kill init");
    snprintf(from, sizeof from, "%u", sandbox->number);
    snprintf(to, sizeof to, "trash/%u", sandbox->number);
    if (rename(from, to))
        die("rename");
    uint64_t took = now_ns() - before;
    close(sandbox->pidfd);
    close(sandbox->sock);
    return took;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void remove_tree(const char *path) {
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        die("remove %s", path);
}

static void empty_trash(void) {
    remove_tree("trash");
    if (mkdir("trash", 0700))
        die("mkdir trash");
}

/* --- rounds -------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, uint64_t *samples, size_t count) {
    qsort(samples, count, sizeof *samples, by_value);
    printf("{\"name\":\"%s\",\"rounds\":%zu,\"min_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"max_us\":%.1f}\n", name,
           count, samples[0] / 1e3, samples[count / 2] / 1e3, samples[count * 9 / 10] / 1e3,
           samples[count - 1] / 1e3);
    fflush(stdout);
}

static uint64_t *samples_of(size_t count) {
    uint64_t *samples = calloc(count, sizeof *samples);
    if (!samples)
        die("calloc");
    return samples;
}

static void rounds_of(const char *mode, size_t rounds) {
    uint64_t *samples = samples_of(rounds), *calls = samples_of(rounds), unused;
    struct sandbox sandbox;
    int is_exec = !strcmp(mode, "exec"), is_end = !strcmp(mode, "end"), is_both = !strcmp(mode, "killcreate");
    if (is_exec || is_both)
        create(&sandbox);
    if (is_exec)
        run(&sandbox, &unused);
    for (size_t i = 0; i < rounds; i++) {
        if (is_exec) {
            samples[i] = run(&sandbox, &calls[i]);
        } else if (is_both) {
            samples[i] = end(&sandbox);
            samples[i] += create(&sandbox);
        } else {
            uint64_t created = create(&sandbox), ended = end(&sandbox);
            samples[i] = is_end ? ended : created;
        }
        empty_trash();
    }
    report(mode, samples, rounds);
    if (is_exec)
        report("exec_call", calls, rounds);
    if (is_exec || is_both)
        end(&sandbox);
    empty_trash();
    free(samples);
    free(calls);
}

/* Memory in use, in KiB: everything the kernel does not count as available. */
static long memory_in_use(void) {
    char line[128];
    long total = 0, available = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "MemTotal: %ld", &total);
        sscanf(line, "MemAvailable: %ld", &available);
    }
    if (file)
        fclose(file);
    return total - available;
}

static void many(size_t count) {
    struct sandbox *sandboxes = calloc(count, sizeof *sandboxes);
    uint64_t *created = samples_of(count), *execs = samples_of(count), *calls = samples_of(count);
    if (!sandboxes)
        die("calloc");
    long memory = memory_in_use();
    uint64_t before = now_ns();
    for (size_t i = 0; i < count; i++)
        created[i] = create(&sandboxes[i]);
    double seconds = (double)(now_ns() - before) / 1e9;
    memory = memory_in_use() - memory;
    for (size_t i = 0; i < count; i++)
        execs[i] = run(&sandboxes[i], &calls[i]);
    printf("{\"name\":\"many\",\"count\":%zu,\"seconds\":%.3f,\"per_second\":%.1f,\"kib_each\":%.1f}\n", count, seconds,
           (double)count / seconds, (double)memory / (double)count);
    report("many_create", created, count);
    report("many_exec", execs, count);
    report("many_exec_call", calls, count);
    for (size_t i = 0; i < count; i++)
        end(&sandboxes[i]);
    empty_trash();
    free(sandboxes);
    free(created);
    free(execs);
    free(calls);
}

static void serve(void) {
    char line[64];
    struct sandbox sandbox;
    int alive = 0;
    while (fgets(line, sizeof line, stdin)) {
        uint64_t inside = 0, outside = 0;
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "create") && !alive) {
            inside = create(&sandbox);
            alive = 1;
        } else if (!strcmp(line, "exec") && alive) {
            inside = run(&sandbox, &outside);
        } else if (!strcmp(line, "end") && alive) {
            inside = end(&sandbox);
            alive = 0;
        } else if (!strcmp(line, "killcreate") && alive) {
            inside = end(&sandbox);
            inside += create(&sandbox);
        } else {
            errno = EINVAL;
            die("`%s` now", line);
        }
        printf("%llu %llu\n", (unsigned long long)inside, (unsigned long long)outside);
        fflush(stdout);
        empty_trash();
    }
    if (alive)
        end(&sandbox);
    empty_trash();
}

int main(int count, char **words) {
    const char *parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
    size_t rounds = 200;
    int next = 1;
    for (; next < count && !strncmp(words[next], "--", 2); next++) {
        const char *option = words[next], *value = next + 1 < count ? words[next + 1] : "";
        if (!strcmp(option, "--no-network")) {
            with_network = 0;
            continue;
        } else if (!strcmp(option, "--sysfs")) {
            with_sysfs = 1;
            continue;
        } else if (!strcmp(option, "--lower"))
            lower = value;
        else if (!strcmp(option, "--dir"))
            parent = value;
        else if (!strcmp(option, "--rounds"))
            rounds = strtoul(value, NULL, 10);
        else if (!strcmp(option, "--program"))
            program = value;
        else
            next = count;
        next++;
    }
    if (!lower || !rounds || next >= count) {
        fprintf(stderr, "usage: floor --lower DIR[:DIR...] [--dir DIR] [--rounds N] [--program PATH] [--no-network] "
                        "[--sysfs] {create|exec|end|killcreate|many N|serve}...\n");
        return 2;
    }
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) { /* two descriptors for each sandbox of `many` */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* INIT_SOCKET is reserved before anything else can get its number. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || (null != INIT_SOCKET && dup3(null, INIT_SOCKET, O_CLOEXEC) < 0))
        die("/dev/null");
    enter_user_namespace();
    char directory[sizeof base];
    snprintf(directory, sizeof directory, "%s/shedbox-floor-XXXXXX", parent);
    if (!mkdtemp(directory) || chdir(directory) || mkdir("mnt", 0755))
        die("directory %s", directory);
    strcpy(base, directory);
    self = getpid();
    empty_trash();
    struct sandbox warm; /* the first clone pays for cold caches */
    create(&warm);
    end(&warm);
    empty_trash();
    for (; next < count; next++) {
        const char *mode = words[next];
        if (!strcmp(mode, "serve"))
            serve();
        else if (!strcmp(mode, "many") && next + 1 < count)
            many(strtoul(words[++next], NULL, 10));
        else if (!strcmp(mode, "create") || !strcmp(mode, "exec") || !strcmp(mode, "end") || !strcmp(mode, "killcreate"))
            rounds_of(mode, rounds);
        else
            fprintf(stderr, "floor: unknown mode %s\n", mode);
    }
    if (chdir("/"))
        die("chdir /");
    remove_tree(base);
    return 0;
}
