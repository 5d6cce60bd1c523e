// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/datagram.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gen/run.h"

struct payload_maker *datagram_maker_new(const struct gen_options *o)
{
    return payload_maker_new((size_t) o->size, (uint32_t) o->stream, framing_length(&o->framing));
}

unsigned datagram_parts(const struct gen_options *o, const struct payload_maker *maker, uint64_t seq, uint64_t time_ns,
                        uint8_t header[DATAGRAM_HEADER_MAX], struct iovec parts[DATAGRAM_PARTS])
{
    unsigned n = 0;
    size_t length;

    if (o->size >= PAYLOAD_HEADER) {
        framing_write(&o->framing, seq - o->first, header);
        payload_maker_header(maker, seq, time_ns, header);
        parts[n++] = (struct iovec){header, framing_length(&o->framing) + PAYLOAD_HEADER};
    }
    const uint8_t *body = payload_maker_body(maker, seq, &length);
    if (length > 0)
        parts[n++] = (struct iovec){(void *) (uintptr_t) body, length};
    return n;
}

unsigned datagram_send(int fd, struct mmsghdr *messages, unsigned total, uint64_t n, uint64_t each, struct gen_sent *r)
{
    unsigned done = 0, retried = total;

    while (done < total) {
        int got = sendmmsg(fd, messages + done, total - done, 0), error = errno;
        if (got < 0 && error == EINTR) {
            if (run_stopped())
                break;
            continue;
        }
        // The last message of all may hold fewer datagrams than the others.
        uint64_t rest = n - done * each, tried = (got > 0 ? (unsigned) got : 1) * each;
        if (tried > rest)
            tried = rest;
        if (got > 0) {
            r->sent += tried;
            done += (unsigned) got;
            continue;
        }
        if (r->errors[error]++ == 0)
            fprintf(stderr, "mcrgen: sending: %s (said once; the report counts)\n", strerror(error));
        // ECONNREFUSED tells of an ICMP answer to an earlier datagram; this one was not tried yet.
        if (error == ECONNREFUSED && retried != done) {
            retried = done;
            continue;
        }
        r->failed += tried;
        done++;
    }
    return done;
}
