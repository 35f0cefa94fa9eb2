/* The CNI plugin: forwards its environment and stdin to the node agent, prints the answer, exits with the agent's code.
 * Build: musl-gcc -static -Os -s -Wall -Wextra -Werror -o build/netmgr-ipam cni/plugin/netmgr.c; build/netmgr is a copy.
 * Request : u32 LE length of the rest | KEY=VALUE\0 ... | \0 | stdin.   Response: one byte exit code | stdout | EOF.
 * VERSION needs no agent. While the agent is away ADD retries for 10 s; DEL goes to the spool, which the agent replays. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET "/run/netmgr/cni.sock"
#define MAX (1 << 20)
#define RETRY_SECONDS 10
#define ANSWER_SECONDS 100                 /* above the agent's own deadline for ADD (60 s) */
extern char **environ;
static char buf[MAX], answer[MAX];         /* bss: untouched pages cost nothing */
static char name[256], version[16] = "1.0.0", path[sizeof((struct sockaddr_un *)0)->sun_path] = SOCKET;

static int put(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t r = write(fd, p, n);
        if (r < 0) { if (errno == EINTR) continue; return -1; }
        p += r; n -= r;
    }
    return 0;
}

static int fail(int code, const char *what, const char *detail) {
    char m[1024];
    int n = snprintf(m, sizeof m, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"netmgr: %s\",\"details\":\"%s\"}\n",
                     version, code, what, detail);
    put(1, m, n < (int)sizeof m ? (size_t)n : sizeof m - 1);
    return 1;
}

/* Copies the string value that starts at p (a quote) to out; 0 where it has an escape or does not fit. */
static int text(const char *p, char *out, size_t size) {
    const char *q = ++p;
    while (*q && *q != '"' && *q != '\\') q++;
    if (*q != '"' || (size_t)(q - p) >= size) return 0;
    memcpy(out, p, q - p); out[q - p] = 0;
    return 1;
}

static const char *skip_string(const char *p) {            /* p at the opening quote; result behind the closing one */
    for (p++; *p && *p != '"'; p++) if (*p == '\\' && p[1]) p++;
    return *p ? p + 1 : p;
}

/* Reads top-level name, cniVersion and socket, and ipam.socket. Values of other members are stepped over. */
static int configure(const char *p) {
    int depth = 0, ipam = 0, ok = 1;
    while (*p) {
        if (*p == '{' || *p == '[') { depth++; p++; continue; }
        if (*p == '}' || *p == ']') { if (--depth < 2) ipam = 0; p++; continue; }
        if (*p != '"') { p++; continue; }
        char key[32] = "";
        text(p, key, sizeof key);
        p = skip_string(p);
        p += strspn(p, " \t\r\n");
        if (*p != ':') continue;                           /* a string in an array */
        p++; p += strspn(p, " \t\r\n");
        if (depth == 1 && *p == '{') ipam = !strcmp(key, "ipam");
        if (*p != '"') continue;
        if (depth == 1 && !strcmp(key, "name")) ok &= text(p, name, sizeof name);
        if (depth == 1 && !strcmp(key, "cniVersion")) ok &= text(p, version, sizeof version);
        if ((depth == 1 || (depth == 2 && ipam)) && !strcmp(key, "socket")) ok &= text(p, path, sizeof path);
        p = skip_string(p);
    }
    return ok;
}

static int plain(const char *s) {                          /* letters, digits and _ . - only: goes into JSON unquoted */
    return s && *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")];
}

static int spool(void) {
    const char *id = getenv("CNI_CONTAINERID"), *ifname = getenv("CNI_IFNAME");
    char file[sizeof path + 8], line[1024];
    struct stat here, there;
    if (!plain(id) || !plain(ifname) || !plain(name)) return fail(4, "DEL: network, container id or interface is malformed", "");
    int n = snprintf(line, sizeof line, "{\"network\":\"%s\",\"containerID\":\"%s\",\"ifname\":\"%s\"}\n", name, id, ifname);
    if (n >= (int)sizeof line) return fail(4, "DEL: container id is too long", "");
    snprintf(file, sizeof file, "%s.spool", path);
    for (;;) {
        int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) return fail(11, "DEL: the node agent is away and its spool cannot be opened", strerror(errno));
        if (flock(fd, LOCK_EX) < 0) return fail(11, "DEL: cannot lock the spool", strerror(errno));
        if (!fstat(fd, &here) && !stat(file, &there) && here.st_ino == there.st_ino && here.st_dev == there.st_dev)
            return put(fd, line, n) ? fail(11, "DEL: cannot write the spool", strerror(errno)) : 0;
        close(fd);                                         /* the agent has taken this file away: open the next one */
    }
}

/* One exchange. Result: bytes of the answer, 0 where the agent gave none, -1 where it could not be reached. */
static ssize_t ask(size_t n) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct timeval t = { .tv_sec = ANSWER_SECONDS };
    size_t got = 0;
    memcpy(a.sun_path, path, sizeof path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return -1;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) { close(s); return -1; }
    for (size_t o = 0; o < n;) {
        ssize_t r = send(s, buf + o, n - o, MSG_NOSIGNAL);
        if (r < 0) { if (errno == EINTR) continue; close(s); return 0; }
        o += r;
    }
    for (;;) {
        ssize_t r = read(s, answer + got, MAX - got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) got = 0;                                /* half an answer is none */
        if (r <= 0) { close(s); return got; }
        got += r;
    }
}

int main(int argc, char **argv) {
    const char *cmd = getenv("CNI_COMMAND"), *self = argc ? strrchr(argv[0], '/') : NULL;
    if (!cmd) return fail(4, "CNI_COMMAND is not set", "");
    if (!strcmp(cmd, "VERSION")) {
        const char v[] = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";
        return put(1, v, sizeof v - 1) ? 1 : 0;
    }
    size_t n = 4;
    for (char **e = environ; *e; e++) {
        size_t l = strlen(*e) + 1;
        if (strncmp(*e, "CNI_", 4)) continue;
        if (n + l + 512 > MAX) return fail(4, "environment too large", "");
        memcpy(buf + n, *e, l); n += l;
    }
    n += snprintf(buf + n, 256, "NETMGR_PLUGIN=%.200s", self ? self + 1 : argc ? argv[0] : "") + 1;
    buf[n++] = 0;
    size_t conf = n;
    for (;;) {
        if (n >= MAX - 1) return fail(6, "network configuration too large", "");
        ssize_t r = read(0, buf + n, MAX - 1 - n);
        if (r < 0) { if (errno == EINTR) continue; return fail(5, "cannot read stdin", strerror(errno)); }
        if (!r) break;
        n += r;
    }
    buf[n] = 0;
    if (!configure(buf + conf)) return fail(7, "name, cniVersion or socket in the network configuration is malformed", "");
    uint32_t len = n - 4;
    for (int i = 0; i < 4; i++) buf[i] = (char)(len >> (8 * i));

    struct timespec start, now, pause = { .tv_nsec = 50 * 1000 * 1000 };
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        ssize_t got = ask(n);
        if (got > 0) return put(1, answer + 1, got - 1) ? 1 : (unsigned char)answer[0];
        if (!strcmp(cmd, "DEL")) return spool();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (strcmp(cmd, "ADD") || now.tv_sec - start.tv_sec >= RETRY_SECONDS)
            return fail(strcmp(cmd, "STATUS") ? 11 : 50, "the node agent does not answer; look at the Pod netmgr-agent of this node", path);
        nanosleep(&pause, NULL);
    }
}
