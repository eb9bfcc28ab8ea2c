/* The user namespace of the caller, entered once, and the maps of the sandboxes nested in it. Part of floor.c. */

static char id_map[2][1024]; /* what is written to uid_map and gid_map of each sandbox */

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        die("write %s", path);
    close(fd);
}

/* The first subordinate range of the user in /etc/subuid or /etc/subgid; 0 when there is none. */
static int subordinate_range(const char *path, const char *user, uid_t uid, unsigned *start, unsigned *count) {
    char line[512], name[256], number[16];
    snprintf(number, sizeof number, "%u", uid);
    FILE *file = fopen(path, "re");
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "%255[^:]:%u:%u", name, start, count) == 3 &&
                (!strcmp(name, user) || !strcmp(name, number));
    if (file)
        fclose(file);
    return found;
}

/* The login name of `uid`, read from /etc/passwd: getpwuid(3) would load NSS modules into a static program. */
static void user_name(uid_t uid, char *name) {
    char line[1024];
    unsigned found;
    FILE *file = fopen("/etc/passwd", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%255[^:]:%*[^:]:%u:", name, &found) == 2 && found == uid) {
            fclose(file);
            return;
        }
    if (file)
        fclose(file);
    strcpy(name, "?");
}

/* Maps the process `pid` with the setuid helper `tool`: own id as root, the subordinate range from 1. */
static int map_with_helper(const char *tool, pid_t pid, unsigned own, unsigned start, unsigned count) {
    char command[256];
    snprintf(command, sizeof command, "%s %d 0 %u 1 1 %u %u", tool, pid, own, start, count);
    return system(command);
}

static void enter_user_namespace(void) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (uid != 0) {
        char name[256], map[64];
        unsigned uids, uid_count, gids, gid_count;
        user_name(uid, name);
        int ranges = subordinate_range("/etc/subuid", name, uid, &uids, &uid_count) &&
                     subordinate_range("/etc/subgid", name, uid, &gids, &gid_count);
        int go[2], status;
        pid_t self = getpid();
        if (pipe2(go, O_CLOEXEC))
            die("pipe2");
        pid_t mapper = fork(); /* outside of the new namespace, to run the setuid helpers */
        if (mapper == 0) {
            char byte;
            close(go[1]);
            if (read(go[0], &byte, 1) != 1)
                _exit(1);
            _exit(ranges && (map_with_helper("newuidmap", self, uid, uids, uid_count) ||
                             map_with_helper("newgidmap", self, gid, gids, gid_count)));
        }
        if (unshare(CLONE_NEWUSER))
            die("unshare(CLONE_NEWUSER)");
        if (write(go[1], "g", 1) != 1 || waitpid(mapper, &status, 0) != mapper || status != 0) {
            errno = EPERM;
            die("newuidmap or newgidmap");
        }
        if (!ranges) {
            write_file("/proc/self/setgroups", "deny");
            snprintf(map, sizeof map, "0 %u 1", uid);
            write_file("/proc/self/uid_map", map);
            snprintf(map, sizeof map, "0 %u 1", gid);
            write_file("/proc/self/gid_map", map);
        }
        if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
            die("become root in the user namespace");
    }
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        die("private mount namespace");
    /* A nested range may not span two extents of the parent's map: one line per extent. */
    const char *paths[2] = {"/proc/self/uid_map", "/proc/self/gid_map"};
    for (int i = 0; i < 2; i++) {
        unsigned inside, outside, count;
        size_t used = 0;
        FILE *file = fopen(paths[i], "re");
        while (file && fscanf(file, "%u %u %u", &inside, &outside, &count) == 3)
            used += (size_t)snprintf(id_map[i] + used, sizeof id_map[i] - used, "%u %u %u\n", inside, inside, count);
        if (!file || used == 0)
            die("read %s", paths[i]);
        fclose(file);
    }
}
