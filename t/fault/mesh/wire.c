/* A wire between network namespaces: a TAP device "mesh0" in each, and a switch that can cut every
 * direction between two of them, lose frames there, or be slow.
 *   wire SEED NETNS...
 * The port in the n-th namespace is n, and its address 02:00:00:00:00:n (hexadecimal). Frames for
 * all, as ARP's are, pass nowhere: neighbours are to be set by hand.
 *   set A B CUT LOSS DELAY JITTER
 * on standard input concerns what port A sends to B: whether it is cut (0 or 1), the percentage
 * that gets lost, the delay and at most how much more (ms). It is answered with "ok". The order of
 * frames is kept. The program ends with its standard input. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"

enum {
    PORTS_MAX = 16,
    FRAME_MAX = 2048,
    FRAMES_PER_ROUND = 64,
    QUEUE_MAX = 2000, /* frames under way in one direction; further ones get lost */
    LINE_ROOM = 4096
};

static const char DEVICE[] = "mesh0";
static const uint8_t ADDRESS[6] = {2, 0, 0, 0, 0, 0};

struct frame {
    struct frame *next;
    ev_tstamp due;
    size_t len;
    char bytes[];
};

struct direction {
    bool cut;
    unsigned loss;          /* percent */
    unsigned delay, jitter; /* ms */
    struct frame *first, **last;
    size_t count;
    ev_tstamp last_due;
    ev_timer timer;
    int out;
};

struct port {
    int fd;
    ev_io io;
};

static struct port ports[PORTS_MAX];
static struct direction directions[PORTS_MAX][PORTS_MAX];
static size_t port_count;
static uint32_t random_state;

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* xorshift32 */
static unsigned random_below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

/* --- frames ---------------------------------------------------------------------------------- */

/* A device that is down, or full, loses it, as a wire does. */
static void put(const struct direction *direction, const char *bytes, size_t len)
{
    if (write(direction->out, bytes, len) < 0 && errno != EIO && errno != EAGAIN)
        fail("writing a frame");
}

static void schedule(struct ev_loop *loop, struct direction *direction, ev_tstamp due)
{
    ev_tstamp after = due - ev_now(loop);
    ev_timer_set(&direction->timer, after > 0. ? after : 0., 0.);
    ev_timer_start(loop, &direction->timer);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct direction *direction = timer->data;
    struct frame *frame;
    while ((frame = direction->first) != NULL && frame->due <= ev_now(loop)) {
        direction->first = frame->next;
        direction->count--;
        if (!direction->cut)
            put(direction, frame->bytes, frame->len);
        free(frame);
    }
    if (frame)
        schedule(loop, direction, frame->due);
    else
        direction->last = &direction->first;
}

static void put_later(struct ev_loop *loop, struct direction *direction, const char *bytes,
                      size_t len)
{
    if (direction->count >= QUEUE_MAX)
        return;
    struct frame *frame = malloc(sizeof *frame + len);
    if (!frame)
        fail("a frame");
    unsigned ms = direction->delay + random_below(direction->jitter + 1);
    frame->next = NULL;
    frame->due = ev_now(loop) + ms / 1e3;
    if (frame->due < direction->last_due)
        frame->due = direction->last_due;
    direction->last_due = frame->due;
    frame->len = len;
    memcpy(frame->bytes, bytes, len);
    *direction->last = frame;
    direction->last = &frame->next;
    direction->count++;
    if (direction->count == 1)
        schedule(loop, direction, frame->due);
}

static void pass(struct ev_loop *loop, size_t from, const char *bytes, size_t len)
{
    size_t to = (uint8_t)bytes[sizeof ADDRESS - 1];
    if (len < 2 * sizeof ADDRESS || memcmp(bytes, ADDRESS, sizeof ADDRESS - 1) != 0 || to < 1 ||
        to > port_count)
        return;
    struct direction *direction = &directions[from][to - 1];
    if (direction->cut || (direction->loss > 0 && random_below(100) < direction->loss))
        return;
    if (direction->first || direction->delay + direction->jitter > 0)
        put_later(loop, direction, bytes, len);
    else
        put(direction, bytes, len);
}

static void on_frames(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    const struct port *port = io->data;
    char bytes[FRAME_MAX];
    for (int i = 0; i < FRAMES_PER_ROUND; i++) {
        ssize_t len = read(port->fd, bytes, sizeof bytes);
        if (len < 0 && errno != EAGAIN && errno != EINTR)
            fail("reading a frame");
        if (len < 0)
            return;
        pass(loop, (size_t)(port - ports), bytes, (size_t)len);
    }
}

/* --- orders ---------------------------------------------------------------------------------- */

static void obey(const char *line)
{
    unsigned from, to, cut, loss, delay, jitter;
    int end = 0;
    if (sscanf(line, "set %u %u %u %u %u %u%n", &from, &to, &cut, &loss, &delay, &jitter, &end) !=
            6 ||
        line[end] || from < 1 || to < 1 || from > port_count || to > port_count || loss > 100) {
        errno = EINVAL;
        fail(line);
    }
    struct direction *direction = &directions[from - 1][to - 1];
    direction->cut = cut != 0;
    direction->loss = loss;
    direction->delay = delay;
    direction->jitter = jitter;
    if (puts("ok") < 0 || fflush(stdout) != 0)
        fail("answering");
}

static void on_orders(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    static char line[LINE_ROOM];
    static size_t filled;
    ssize_t len = read(io->fd, line + filled, sizeof line - 1 - filled);
    if (len < 0 && errno != EINTR)
        fail("reading an order");
    if (len == 0)
        ev_break(loop, EVBREAK_ALL);
    if (len <= 0)
        return;
    filled += (size_t)len;
    line[filled] = '\0';
    char *start = line, *end;
    for (; (end = strchr(start, '\n')) != NULL; start = end + 1) {
        *end = '\0';
        obey(start);
    }
    filled -= (size_t)(start - line);
    memmove(line, start, filled);
}

/* --- devices --------------------------------------------------------------------------------- */

static void name_device(struct ifreq *request)
{
    memset(request, 0, sizeof *request);
    memcpy(request->ifr_name, DEVICE, sizeof DEVICE);
}

static void set_address(size_t number)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    name_device(&request);
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, ADDRESS, sizeof ADDRESS);
    request.ifr_hwaddr.sa_data[sizeof ADDRESS - 1] = (char)number;
    if (fd < 0 || ioctl(fd, SIOCSIFHWADDR, &request) != 0)
        fail("the device's address");
    close(fd);
}

/* The process stays in the namespace, the device is usable from any. */
static void open_port(struct ev_loop *loop, const char *netns)
{
    char path[256];
    struct port *port = &ports[port_count++];
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0)
        fail(path);
    close(namespace);
    struct ifreq request;
    name_device(&request);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    port->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (port->fd < 0 || ioctl(port->fd, TUNSETIFF, &request) != 0)
        fail("/dev/net/tun");
    set_address(port_count);
    ev_io_init(&port->io, on_frames, port->fd, EV_READ);
    port->io.data = port;
    ev_io_start(loop, &port->io);
}

static void connect_ports(void)
{
    for (size_t from = 0; from < port_count; from++)
        for (size_t to = 0; to < port_count; to++) {
            struct direction *direction = &directions[from][to];
            direction->last = &direction->first;
            direction->out = ports[to].fd;
            ev_timer_init(&direction->timer, on_due, 0., 0.);
            direction->timer.data = direction;
        }
}

int main(int argc, char **argv)
{
    uint64_t seed;
    if (argc < 3 || argc - 2 > PORTS_MAX || parse_u64(slice_from_string(argv[1]), &seed) != 0) {
        fprintf(stderr, "usage: wire SEED NETNS...\n");
        return 64;
    }
    random_state = (uint32_t)seed | 1;
    struct ev_loop *loop = ev_default_loop(0);
    for (int i = 2; i < argc; i++)
        open_port(loop, argv[i]);
    connect_ports();
    ev_io orders;
    ev_io_init(&orders, on_orders, STDIN_FILENO, EV_READ);
    ev_io_start(loop, &orders);
    if (puts("ok") < 0 || fflush(stdout) != 0)
        fail("answering");
    ev_run(loop, 0);
    return 0;
}
