// SPDX-License-Identifier: Apache-2.0
// minimal: the relay that everybody writes first, to compare with. One recvfrom() and one sendto() for each datagram;
// one flow blocks in recvfrom(), several take turns by epoll. Its receive buffers are large, so that only its own
// speed is measured.
//
//   minimal IN-ADDRESS OUT-ADDRESS FLOW...
//   FLOW = GROUP:PORT=GROUP:PORT[,GROUP:PORT...]
//
// The addresses are those of the interfaces. IPv4 only.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define OUTPUTS_MAX 256
#define FLOWS_MAX   1024
#define TURN        64 // datagrams of one flow before another has its turn
#define BUFFER      (8 << 20)

struct rule_state {
    int fd;
    unsigned n_outputs;
    struct sockaddr_in outputs[OUTPUTS_MAX];
};

static struct rule_state flows[FLOWS_MAX];
static char buffer[65536];

static void die(const char *what)
{
    fprintf(stderr, "minimal: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void set(int fd, int level, int name, const void *value, socklen_t size, const char *what)
{
    if (setsockopt(fd, level, name, value, size) != 0)
        die(what);
}

static struct in_addr address_of(const char *text)
{
    struct in_addr a;

    if (inet_pton(AF_INET, text, &a) != 1) {
        errno = EINVAL;
        die(text);
    }
    return a;
}

// "GROUP:PORT"; the text is cut at the colon.
static struct sockaddr_in parse(char *text)
{
    char *colon = strchr(text, ':');

    if (!colon) {
        errno = EINVAL;
        die(text);
    }
    *colon = '\0';
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = address_of(text), .sin_port = htons((uint16_t) atoi(colon + 1))};
}

static void open_flow(struct rule_state *f, struct in_addr in, char *text)
{
    char *outputs = strchr(text, '='), *rest = NULL;
    int room = BUFFER, one = 1;

    if (!outputs) {
        errno = EINVAL;
        die(text);
    }
    *outputs++ = '\0';
    struct sockaddr_in group = parse(text);
    f->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (f->fd < 0)
        die("socket");
    if (setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
        set(f->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room), "SO_RCVBUF");
    set(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one), "SO_REUSEADDR");
    if (bind(f->fd, (struct sockaddr *) &group, sizeof(group)) != 0)
        die("bind");
    struct ip_mreqn join = {.imr_multiaddr = group.sin_addr, .imr_address = in};
    set(f->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join), "IP_ADD_MEMBERSHIP");
    for (char *o = strtok_r(outputs, ",", &rest); o && f->n_outputs < OUTPUTS_MAX; o = strtok_r(NULL, ",", &rest))
        f->outputs[f->n_outputs++] = parse(o);
}

static int open_output(struct in_addr out)
{
    struct ip_mreqn interface = {.imr_address = out};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0)
        die("socket");
    set(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof(interface), "IP_MULTICAST_IF");
    return fd;
}

static void relay(const struct rule_state *f, int out, ssize_t n)
{
    // What cannot be sent is lost, as with any such relay; the receiver counts.
    for (unsigned i = 0; i < f->n_outputs; i++)
        (void) !sendto(out, buffer, (size_t) n, 0, (const struct sockaddr *) &f->outputs[i], sizeof(f->outputs[i]));
}

static void relay_one(const struct rule_state *f, int out)
{
    for (;;) {
        ssize_t n = recvfrom(f->fd, buffer, sizeof(buffer), 0, NULL, NULL);
        if (n >= 0)
            relay(f, out, n);
    }
}

static void relay_many(unsigned n_flows, int out)
{
    struct epoll_event events[64];
    int epoll = epoll_create1(0);

    for (unsigned i = 0; i < n_flows; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, flows[i].fd, &e) != 0)
            die("epoll_ctl");
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            const struct rule_state *f = &flows[events[i].data.u32];
            ssize_t n;
            for (int turn = 0;
                 turn < TURN && (n = recvfrom(f->fd, buffer, sizeof(buffer), MSG_DONTWAIT, NULL, NULL)) >= 0; turn++)
                relay(f, out, n);
        }
    }
}

int main(int argc, char *argv[])
{
    unsigned n = 0;

    if (argc < 4 || argc - 3 > FLOWS_MAX) {
        fprintf(stderr, "usage: minimal IN-ADDRESS OUT-ADDRESS GROUP:PORT=GROUP:PORT[,GROUP:PORT...]...\n");
        return 2;
    }
    int out = open_output(address_of(argv[2]));
    for (int i = 3; i < argc; i++)
        open_flow(&flows[n++], address_of(argv[1]), argv[i]);
    puts("ready");
    fflush(stdout);
    if (n == 1)
        relay_one(&flows[0], out);
    relay_many(n, out);
}
