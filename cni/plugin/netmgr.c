/* The CNI plugin: forwards its environment and stdin to the node agent, prints the answer, exits with the agent's code.
 * Build: musl-gcc -static -Os -s -Wall -Wextra -Werror -o build/netmgr-ipam cni/plugin/netmgr.c; build/netmgr is a copy.
 * Request : u32 LE length of the rest | KEY=VALUE\0 ... | \0 | stdin.   Response: one byte exit code | stdout | EOF.
 * VERSION needs no agent. While the agent is away ADD retries for 10 s; DEL goes to the spool, which the agent replays.
 * An answer may name another IPAM plugin instead (cni/protocol.py): it is called with the same environment and stdin, in which
 * ipam.type is its own. It runs here because the agent lives in a container, and this is the host. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET "/run/netmgr/cni.sock"
#define MAX (1 << 20)
#define RETRY_SECONDS 10
#define ANSWER_SECONDS 100                 /* above the agent's own deadline for ADD (60 s) */
#define DELEGATE 0xfe                      /* answers: become that plugin; */
#define REPORT 0xfd                        /* run it, and tell the agent what it printed; */
#define EACH 0xfc                          /* run DEL for each attachment that is named */
extern char **environ;
static char conf[MAX], buf[MAX], answer[MAX], told[MAX];   /* bss: untouched pages cost nothing */
static const char *self = "", *ipam_type;  /* ipam_type: where its value stands in conf, with its quote */
static size_t conf_size;
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

/* Reads top-level name, cniVersion and socket, ipam.type and ipam.socket. Values of other members are stepped over. */
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
        if (depth == 2 && ipam && !strcmp(key, "type")) ipam_type = p;
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
        int ours = !fstat(fd, &here) && !stat(file, &there) && here.st_ino == there.st_ino && here.st_dev == there.st_dev;
        int code = ours && put(fd, line, n) ? fail(11, "DEL: cannot write the spool", strerror(errno)) : 0;
        close(fd);                                         /* lets go of the lock: GC comes here once for each attachment */
        if (ours) return code;                             /* else the agent has taken this file away: open the next one */
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
        ssize_t r = read(s, answer + got, MAX - 1 - got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) got = 0;                                /* half an answer is none */
        if (r <= 0) { close(s); answer[got] = 0; return got; }
        got += r;
    }
}

/* The request: what CNI says in the environment, who we are called, what a delegate said (`word`, if any), the configuration. */
static size_t compose(const char *word) {
    size_t n = 4;
    for (char **e = environ; *e; e++) {
        size_t l = strlen(*e) + 1;
        if (strncmp(*e, "CNI_", 4)) continue;
        if (n + l + 512 > MAX) return 0;
        memcpy(buf + n, *e, l); n += l;
    }
    n += snprintf(buf + n, 256, "NETMGR_PLUGIN=%.200s", self) + 1;
    if (n + (word ? strlen(word) : 0) + 64 + conf_size > MAX) return 0;
    if (word) n += sprintf(buf + n, "NETMGR_DELEGATED=%s", word) + 1;
    buf[n++] = 0;
    memcpy(buf + n, conf, conf_size); n += conf_size;
    for (int i = 0; i < 4; i++) buf[i] = (char)((n - 4) >> (8 * i));
    return n;
}

/* Exchanges until the agent answers; ADD has patience. 0 where it is away, -1 where the request is too large. */
static ssize_t exchange(const char *word) {
    const char *cmd = getenv("CNI_COMMAND");
    struct timespec start, now, pause = { .tv_nsec = 50 * 1000 * 1000 };
    size_t n = compose(word);
    if (!n) return -1;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        ssize_t got = ask(n);
        if (got > 0) return got;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (strcmp(cmd, "ADD") || now.tv_sec - start.tv_sec >= RETRY_SECONDS) return 0;
        nanosleep(&pause, NULL);
    }
}

/* The configuration for a delegate, as a file to be its stdin: the same text, with its own name as ipam.type. */
static int input_for(const char *type) {
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    const char *rest = skip_string(ipam_type);
    if (fd < 0 || put(fd, conf, ipam_type + 1 - conf) || put(fd, type, strlen(type)) || put(fd, "\"", 1) ||
        put(fd, rest, conf + conf_size - rest) || lseek(fd, 0, SEEK_SET) < 0) return -1;
    return fd;
}

/* Runs the delegate: in our place, or (`got`) as a child whose output is then in `told`. Result: exit code; an error is printed. */
static int run(const char *type, size_t *got) {
    char file[4096];
    const char *dirs = getenv("CNI_PATH");
    int in, out = -1, status;
    if (!plain(type)) return fail(7, "the fallback's plugin has a malformed name", "");
    if (!ipam_type) return fail(7, "this network has no ipam.type, so no other IPAM plugin can answer; add an ipam section for it", type);
    for (;; dirs += strcspn(dirs, ":") + 1) {
        size_t l = dirs ? strcspn(dirs, ":") : 0;
        if (l) snprintf(file, sizeof file, "%.*s/%s", (int)l, dirs, type);
        if (l && !access(file, X_OK)) break;
        if (!dirs || !dirs[l]) return fail(100, "the fallback's plugin is not in CNI_PATH; install it, or change the setting", type);
    }
    if ((in = input_for(type)) < 0) return fail(100, "cannot hand the configuration on", strerror(errno));
    if (got && (out = memfd_create("stdout", MFD_CLOEXEC)) < 0) return fail(100, "cannot take the delegate's answer", strerror(errno));
    pid_t child = got ? fork() : 0;
    if (child < 0) return fail(100, "cannot start the delegate", strerror(errno));
    if (!child) {
        if (got) { prctl(PR_SET_PDEATHSIG, SIGKILL); dup2(out, 1); }
        dup2(in, 0);
        execve(file, (char *[]){ file, NULL }, environ);
        _exit(fail(100, "cannot execute the fallback's plugin", file));
    }
    close(in);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    lseek(out, 0, SEEK_SET);
    ssize_t r = read(out, told, MAX - 1);
    close(out);
    told[*got = r < 0 ? 0 : (size_t)r] = 0;
    if (!WIFEXITED(status)) return fail(100, "the fallback's plugin was killed", type);
    if (WEXITSTATUS(status)) put(1, told, *got);
    return WEXITSTATUS(status);
}

/* First line of a file, and what follows it; 0 where there is no such file. */
static int lines(const char *file, char *first, size_t size, char *second, size_t room) {
    char both[2048];
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t r = fd < 0 ? -1 : read(fd, both, sizeof both - 1);
    if (fd >= 0) close(fd);
    if (r <= 0) return 0;
    both[r] = 0;
    size_t l = strcspn(both, "\n");
    snprintf(first, size, "%.*s", (int)l, both);
    if (second) snprintf(second, room, "%.*s", (int)strcspn(both + l + !!both[l], "\n"), both + l + !!both[l]);
    return 1;
}

/* DEL without the agent. The agent's files beside the socket say whom the attachment's address came from: another plugin's is given
 * back to it at once, so that the spool never holds a DEL that the delegate has not heard of. */
static int del_alone(void) {
    char file[1200], type[256], attached[512], key[512];
    size_t got;
    snprintf(key, sizeof key, "%.127s.%.127s.%.63s", name, getenv("CNI_CONTAINERID") ? : "", getenv("CNI_IFNAME") ? : "");
    if (!plain(key)) return spool();
    snprintf(file, sizeof file, "%s.delegated/%s", path, key);
    int theirs = lines(file, type, sizeof type, NULL, 0);
    if (!theirs) {                                         /* ours, or from before netmgr was here */
        snprintf(file, sizeof file, "%s.fallback", path);
        theirs = ipam_type && lines(file, type, sizeof type, attached, sizeof attached);
        if (theirs) snprintf(file, sizeof file, "%s/%s.json", attached, key);
        if (theirs && !access(file, F_OK)) theirs = 0;
    }
    int code = theirs ? run(type, &got) : 0;
    return code ? code : spool();
}

/* GC: each attachment that the agent names (type, container, interface) is deleted by its plugin, then reported. */
static int del_each(ssize_t size) {
    static char list[MAX];
    int worst = 0;
    size_t got;
    memcpy(list, answer + 1, size - 1);
    setenv("CNI_COMMAND", "DEL", 1);
    for (char *p = list, *end = list + size - 1; p < end;) {
        char *field[4] = { p };                            /* an answer that was cut off has no NUL behind its last field */
        for (int i = 0; i < 3; i++) {
            char *nul = memchr(field[i], 0, end - field[i]);
            if (!nul) return fail(11, "GC: the node agent went away in the middle of its answer", "");
            field[i + 1] = nul + 1;
        }
        char *type = field[0], *id = field[1], *ifname = field[2];
        p = field[3];
        setenv("CNI_CONTAINERID", id, 1);
        setenv("CNI_IFNAME", ifname, 1);
        int code = run(type, &got);
        if (!code && exchange("") <= 0) code = spool();
        if (code) worst = code;
    }
    return worst;
}

int main(int argc, char **argv) {
    const char *cmd = getenv("CNI_COMMAND");
    if (argc) self = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (!cmd) return fail(4, "CNI_COMMAND is not set", "");
    if (!strcmp(cmd, "VERSION")) {
        const char v[] = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";
        return put(1, v, sizeof v - 1) ? 1 : 0;
    }
    for (;;) {
        if (conf_size >= MAX - 1) return fail(6, "network configuration too large", "");
        ssize_t r = read(0, conf + conf_size, MAX - 1 - conf_size);
        if (r < 0) { if (errno == EINTR) continue; return fail(5, "cannot read stdin", strerror(errno)); }
        if (!r) break;
        conf_size += r;
    }
    if (!configure(conf)) return fail(7, "name, cniVersion or socket in the network configuration is malformed", "");
    int add = !strcmp(cmd, "ADD"), del = !strcmp(cmd, "DEL");
    ssize_t got = exchange(NULL);
    if (got > 0 && (unsigned char)answer[0] == DELEGATE) return run(answer + 1, NULL);
    if (got > 0 && (unsigned char)answer[0] == EACH) return del_each(got);
    if (got > 0 && (unsigned char)answer[0] == REPORT) {
        char type[256];
        size_t size;
        snprintf(type, sizeof type, "%.255s", answer + 1);
        int code = run(type, &size);
        if (code) return code;
        got = exchange(add ? told : "");
        if (got <= 0 && del) return spool();
    }
    if (got > 0) return put(1, answer + 1, got - 1) ? 1 : (unsigned char)answer[0];
    if (got < 0) return fail(6, "environment and network configuration are too large", "");
    if (del) return del_alone();
    return fail(strcmp(cmd, "STATUS") ? 11 : 50, "the node agent does not answer; look at the Pod netmgr-agent of this node", path);
}
