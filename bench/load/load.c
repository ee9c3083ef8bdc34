/* SPDX-License-Identifier: MIT */
/*
 * The ends of a benchmark: "load origin" is a server, "load streams" many clients of it, through
 * a proxy or not.
 *
 * Streams carry the time in each event (CLOCK_MONOTONIC: one machine), so that the delay from the
 * server's write to the client's read is seen event by event.  One epoll loop each; bodies are
 * written from one block, or another that is like prose.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
	FDS_MAX = 65536,
	EVENTS = 512,
	HEAD_MAX = 8192,
	BLOCK = 256 * 1024,
	EVENT_SIZE = 120,		/* about what a token of an OpenAI stream takes */
	TICKS_MAX = 1000,
	DELAYS = 2000000		/* samples kept */
};

struct peer {
	int      fd;
	bool     is_used;
	bool     is_stream;
	bool     wants_write;
	size_t   n_in;
	char    *in;			/* a head that is not whole yet */
	uint64_t left;			/* of a body */
	const char *bytes;		/* block or prose */
	unsigned slot;			/* of a stream: its moment in the period */
	uint64_t n_events;
	struct peer *next;		/* in its slot */
};

static struct peer peers[FDS_MAX];
static char block[BLOCK], prose[BLOCK];
static int ep;

static void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long
number(const char *text)
{
	return strtol(text, NULL, 10);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
watch(int fd, uint32_t events, int how)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, how, fd, &e) != 0)
		die("epoll_ctl");
}

static struct sockaddr_in
address(const char *host, const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(port)) };

	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		die("no IPv4 address");
	return sin;
}

static struct peer *
take(int fd)
{
	struct peer *p;
	int one = 1;

	if (fd >= FDS_MAX)
		die("too many connections");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p = &peers[fd];
	memset(p, 0, sizeof(*p));
	p->fd = fd;
	p->is_used = true;
	return p;
}

/* --- the server ---------------------------------------------------------------------------------- */

/* Streams are spread over so many moments of their period. */
static unsigned n_slots = TICKS_MAX;
static struct peer *slots[TICKS_MAX];
static unsigned next_slot;

static void
leave_slot(struct peer *p)
{
	struct peer **at;

	if (!p->is_stream)
		return;
	for (at = &slots[p->slot]; *at != NULL && *at != p; at = &(*at)->next)
		;
	if (*at == p)
		*at = p->next;
}

static void
drop(struct peer *p)
{
	leave_slot(p);
	free(p->in);
	p->is_used = false;
	close(p->fd);
}

/* False when the peer is gone. */
static bool
put(struct peer *p, const char *bytes, size_t n)
{
	ssize_t done = send(p->fd, bytes, n, MSG_NOSIGNAL);

	/* A head or an event always fits, or this peer is of no use to a benchmark. */
	return done == (ssize_t)n;
}

static bool
pump(struct peer *p)
{
	ssize_t n;

	while (p->left > 0) {
		n = send(p->fd, p->bytes, p->left < BLOCK ? p->left : BLOCK, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			if (!p->wants_write)
				watch(p->fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			p->wants_write = true;
			return true;
		}
		if (n < 0)
			return false;
		p->left -= (uint64_t)n;
	}
	if (p->wants_write)
		watch(p->fd, EPOLLIN, EPOLL_CTL_MOD);
	p->wants_write = false;
	return true;
}

static bool
begin_body(struct peer *p, uint64_t size)
{
	char head[1024];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	    "Cache-Control: max-age=600\r\nContent-Length: %llu\r\n\r\n", (unsigned long long)size);

	/* A small answer is one write. */
	if (size <= sizeof(head) - (size_t)n) {
		memcpy(head + n, p->bytes, size);
		return put(p, head, (size_t)n + size);
	}
	if (!put(p, head, (size_t)n))
		return false;
	p->left = size;
	return pump(p);
}

static bool
begin_stream(struct peer *p)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	    "Cache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n";

	if (!put(p, head, sizeof(head) - 1))
		return false;
	p->is_stream = true;
	p->slot = next_slot;
	p->next = slots[p->slot];
	slots[p->slot] = p;
	/* Far from the one before: 7 divides none of the numbers of slots in use. */
	next_slot = (next_slot + 7) % n_slots;
	return true;
}

static bool
send_event(struct peer *p)
{
	char text[EVENT_SIZE + 64], event[EVENT_SIZE + 1];
	int n;

	memset(event, '.', EVENT_SIZE);
	n = snprintf(event, sizeof(event), "data: %020llu ", (unsigned long long)now_ns());
	event[n] = '.';
	memcpy(event + EVENT_SIZE - 2, "\n\n", 2);
	n = snprintf(text, sizeof(text), "%x\r\n%.*s\r\n", EVENT_SIZE, EVENT_SIZE, event);
	p->n_events++;
	return put(p, text, (size_t)n);
}

/* Words of a few hundred, the short ones more often: gzip makes a third of it. */
static void
make_prose(void)
{
	uint32_t state = 1, word = 0;
	size_t i, left = 0;

	for (i = 0; i < BLOCK; i++) {
		if (left == 0) {
			state = state * 1664525 + 1013904223;
			word = (state >> 16) % 50 * ((state >> 24) % 50);
			left = 2 + word % 8;
			prose[i] = ' ';
			continue;
		}
		left--;
		word = word * 1103515245 + 12345;
		prose[i] = "etaoinshrdlucmfw"[word >> 28];
	}
}

/* "GET /bytes/N", the same of "GET /text/N" that is like prose, or "GET /stream". */
static bool
answer(struct peer *p)
{
	if (strncmp(p->in, "GET /stream", 11) == 0)
		return begin_stream(p);
	p->bytes = strncmp(p->in, "GET /text/", 10) == 0 ? prose : block;
	if (p->bytes == prose)
		return begin_body(p, strtoull(p->in + 10, NULL, 10));
	if (strncmp(p->in, "GET /bytes/", 11) == 0)
		return begin_body(p, strtoull(p->in + 11, NULL, 10));
	return begin_body(p, 200);
}

static bool
on_request(struct peer *p)
{
	ssize_t n;
	char *end;

	if (p->in == NULL)
		p->in = malloc(HEAD_MAX);
	n = recv(p->fd, p->in + p->n_in, HEAD_MAX - 1 - p->n_in, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	p->n_in += (size_t)n;
	p->in[p->n_in] = '\0';
	while ((end = strstr(p->in, "\r\n\r\n")) != NULL) {
		if (!answer(p))
			return false;
		p->n_in -= (size_t)(end + 4 - p->in);
		memmove(p->in, end + 4, p->n_in + 1);
	}
	return p->n_in < HEAD_MAX - 1;
}

static void
accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		take(fd);
		watch(fd, EPOLLIN, EPOLL_CTL_ADD);
	}
}

/* One moment of the period: the streams whose moment it is get an event. */
static void
tick(unsigned slot)
{
	struct peer *p, *next;

	for (p = slots[slot]; p != NULL; p = next) {
		next = p->next;
		if (!send_event(p))
			drop(p);
	}
}

static int
start_timer(uint64_t period_us)
{
	uint64_t ns = period_us * 1000 / n_slots;
	struct itimerspec it = { { 0, 0 }, { 0, 0 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

	if (ns < 50000)
		ns = 50000;
	it.it_interval.tv_sec = it.it_value.tv_sec = (time_t)(ns / 1000000000);
	it.it_interval.tv_nsec = it.it_value.tv_nsec = (long)(ns % 1000000000);
	if (fd < 0 || timerfd_settime(fd, 0, &it, NULL) != 0)
		die("timerfd");
	return fd;
}

static void
serve(const char *port, uint64_t period_us)
{
	struct sockaddr_in sin = address("127.0.0.1", port);
	struct epoll_event events[EVENTS];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, timer, n, i;
	unsigned slot = 0;
	uint64_t ticks;

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(listener, 4096) != 0)
		die("listen");
	timer = start_timer(period_us);
	watch(listener, EPOLLIN, EPOLL_CTL_ADD);
	watch(timer, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		n = epoll_wait(ep, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			struct peer *p = &peers[fd];

			if (fd == listener)
				accept_all(listener);
			else if (fd == timer) {
				/* What was missed is made up for: the rate is the rate. */
				if (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks))
					for (; ticks > 0; ticks--, slot = (slot + 1) % n_slots)
						tick(slot);
			} else if (p->is_used && (((events[i].events & EPOLLOUT) && !pump(p)) ||
			    ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !on_request(p))))
				drop(p);
		}
	}
}

/* --- the clients ---------------------------------------------------------------------------------- */

static uint32_t *delays;
static uint64_t n_delays, n_seen, n_ended;

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Every event in the bytes has its time; one that two reads share is counted, not measured. */
static void
look(const char *bytes, size_t n, uint64_t now, bool counts)
{
	const char *at = bytes, *end = bytes + n;
	uint64_t sent;

	while ((at = memmem(at, (size_t)(end - at), "data: ", 6)) != NULL) {
		at += 6;
		if (!counts)
			continue;
		n_seen++;
		if (end - at < 20 || n_delays == DELAYS)
			continue;
		sent = strtoull(at, NULL, 10);
		if (sent <= now)
			delays[n_delays++] = (uint32_t)((now - sent) / 1000);
	}
}

static void
ask(int i, const struct sockaddr_in *to, const char *path, unsigned same)
{
	char head[512];
	int fd = socket(AF_INET, SOCK_STREAM, 0), n;

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
		die("connect");
	take(fd);
	n = snprintf(head, sizeof(head), "GET %s/%u HTTP/1.1\r\nHost: bench\r\n\r\n", path,
	    (unsigned)i / same);
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		die("send");
	watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

static void
read_until(uint64_t end, bool counts)
{
	static char buf[65536];
	struct epoll_event events[EVENTS];
	uint64_t now;
	int n, i;

	while ((now = now_ns()) < end) {
		n = epoll_wait(ep, events, EVENTS, (int)((end - now) / 1000000) + 1);
		for (i = 0; i < n; i++) {
			ssize_t got = recv(events[i].data.fd, buf, sizeof(buf), 0);

			if (got <= 0) {
				n_ended++;
				close(events[i].data.fd);
			} else
				look(buf, (size_t)got, now_ns(), counts);
		}
	}
}

/* Connects, says "ready" on stdout, waits for a line on stdin, measures, says what it saw. */
static int
stream(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	int n = (int)number(argv[2]), seconds = (int)number(argv[3]), i;
	unsigned same = (unsigned)number(argv[5]);
	char line[64];

	delays = malloc(DELAYS * sizeof(*delays));
	for (i = 0; i < n; i++) {
		ask(i, &to, argv[4], same);
		if (i % 64 == 63)
			read_until(now_ns() + 2000000, false);
	}
	read_until(now_ns() + 1500000000, false);
	printf("ready\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 1;
	read_until(now_ns() + (uint64_t)seconds * 1000000000u, true);
	qsort(delays, n_delays, sizeof(*delays), by_size);
	printf("events %llu ended %llu p50_us %u p99_us %u max_us %u\n", (unsigned long long)n_seen,
	    (unsigned long long)n_ended, n_delays > 0 ? delays[n_delays / 2] : 0,
	    n_delays > 0 ? delays[n_delays * 99 / 100] : 0, n_delays > 0 ? delays[n_delays - 1] : 0);
	fflush(stdout);
	/* The connections stay until somebody has looked at the proxy. */
	(void)!fgets(line, sizeof(line), stdin);
	return 0;
}

int
main(int argc, char **argv)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	memset(block, 'x', sizeof(block));
	make_prose();
	ep = epoll_create1(0);
	if (argc == 5 && strcmp(argv[1], "origin") == 0) {
		n_slots = (unsigned)number(argv[4]);
		if (n_slots < 1 || n_slots > TICKS_MAX || n_slots % 7 == 0)
			n_slots = TICKS_MAX;
		serve(argv[2], strtoull(argv[3], NULL, 10));
	}
	if (argc == 8 && strcmp(argv[1], "streams") == 0)
		return stream(argv + 2);
	fprintf(stderr, "usage: load origin PORT PERIOD_US STEPS\n"
	    "       load streams HOST PORT N SECONDS PATH SAME\n"
	    "an origin answers GET /bytes/N, and /stream with an event each PERIOD_US, the streams of a\n"
	    "step (STEPS in a period) at once; streams opens N of PATH/0, PATH/1 ..., SAME of each\n");
	return 2;
}
