/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_bench.c: `lodge image bench`: requests at a depth, through the engine's queues as a guest's
 * go. */
#include "cli/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

const struct cli_option image_bench_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "count", 'c', CLI_NUMBER, .value = "N", .help = "requests (default: 75000)" },
	{ "depth", 'd', CLI_NUMBER, .value = "N", .help = "in flight at a time (default: 64)" },
	{ "buffer-size", 's', CLI_SIZE, .value = "SIZE", .help = "bytes of each (default: 4k)" },
	{ "offset", 'o', CLI_SIZE, .help = "of the first" },
	{ "step-size", 'S', CLI_SIZE, .value = "SIZE",
		.help = "from one to the next (default: its size)" },
	{ "random", 0, CLI_FLAG, .help = "at random places, the same ones each time" },
	{ "write", 'w', CLI_FLAG, .help = "write (destroys what is in the image)" },
	{ "pattern", 0, CLI_NUMBER, .value = "BYTE", .help = "what to write (default: 0)" },
	{ "flush-interval", 0, CLI_NUMBER, .value = "N", .help = "flush after each N writes" },
	{ "aio", 'i', CLI_TEXT, .value = "HOW", .help = "io_uring (default) or threads" },
	{ "cache", 't', CLI_CHOICE, .choices = image_cache_modes, .help = "none: direct I/O" },
	{ "native", 'n', CLI_FLAG, CLI_HIDDEN, .help = "always so" },
	{ "no-drain", 0, CLI_FLAG, CLI_HIDDEN, .help = "always so" },
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_bench_help[] = "Requests go through the same queues as a guest's.\n\n"
				"  lodge image bench --random -d 32 disk.qcow2";

enum { DEPTH_MAX = 4096 };

struct bench {
	struct image *im;
	uint64_t count, started, ended, offset, step, size, random;
	uint64_t flush_every, flush_due; /* 0: never */
	bool write, spread;
	int err;
	GMainLoop *loop;
};

struct slot {
	struct bench *b;
	struct image_request r;
	struct iovec iov;
};

static uint64_t place(struct bench *b)
{
	uint64_t room = image_size(b->im) - b->size, at;

	if (b->spread) {
		b->random = b->random * 6364136223846793005ull + 1442695040888963407ull;
		return (b->random >> 16) % (room / b->size + 1) * b->size;
	}
	at = b->offset > room ? b->offset % b->size : b->offset;
	b->offset = (b->offset + b->step) % image_size(b->im);
	return at;
}

static void launch(struct slot *s);

static void done(struct image_request *r, int err)
{
	struct slot *s = r->opaque;
	struct bench *b = s->b;

	if (err)
		b->err = err;
	if (r->op != IMAGE_FLUSH)
		b->ended++;
	if (b->ended == b->count)
		g_main_loop_quit(b->loop);
	else
		launch(s);
}

static void launch(struct slot *s)
{
	struct bench *b = s->b;

	if (b->err || b->started == b->count) {
		if (b->err)
			g_main_loop_quit(b->loop);
		return;
	}
	s->r.op = b->write ? IMAGE_WRITE : IMAGE_READ;
	if (b->flush_every && ++b->flush_due > b->flush_every) {
		b->flush_due = 0;
		s->r.op = IMAGE_FLUSH;
	} else {
		b->started++;
		s->r.offset = place(b);
	}
	image_submit(b->im, 0, &s->r);
}

static double run(struct bench *b, unsigned depth, int pattern, GError **error)
{
	g_autofree struct slot *slots = g_new0(struct slot, depth);
	uint8_t *memory;
	int64_t began;

	if (posix_memalign((void **)&memory, 4096, depth * b->size))
		return fail(error, LODGE_ERROR_HOST, "no memory for %u buffers", depth);
	memset(memory, pattern, depth * b->size);
	b->loop = g_main_loop_new(NULL, FALSE);
	began = g_get_monotonic_time();
	for (unsigned i = 0; i < depth; i++) {
		struct slot *s = &slots[i];

		s->b = b;
		s->iov = (struct iovec){ memory + i * b->size, b->size };
		s->r = (struct image_request){
			.length = b->size, .iov = &s->iov, .iovcnt = 1, .done = done, .opaque = s
		};
		launch(s);
	}
	image_kick(b->im, 0);
	if (b->ended < b->count)
		g_main_loop_run(b->loop);
	image_drain(b->im, 0);
	g_main_loop_unref(b->loop);
	free(memory);
	if (b->err)
		return fail_errno(error, LODGE_ERROR_FILE, b->err, "%s", image_path(b->im));
	return (double)(g_get_monotonic_time() - began) / 1e6;
}

static int prepare(struct cli *c, struct bench *b, GError **error)
{
	const char *aio = cli_text(c, "aio");
	struct image_access a;

	b->write = cli_flag(c, "write");
	b->spread = cli_flag(c, "random");
	b->count = (uint64_t)MAX(cli_number(c, "count", 75000), 1);
	b->size = cli_size(c, "buffer-size", 4096);
	b->step = cli_size(c, "step-size", b->size);
	b->offset = cli_size(c, "offset", 0);
	b->flush_every = (uint64_t)MAX(cli_number(c, "flush-interval", 0), 0);
	b->random = 1;
	if (!image_access_init(
		    &a, c, cli_text(c, "file"), cli_text(c, "format"), !b->write, error)) {
		image_access_cache(&a, cli_text(c, "cache"));
		a.o.no_sync = false;
		a.o.threads = aio && !strcmp(aio, "threads");
		b->im = image_open(&a.o, error);
	}
	image_access_fini(&a);
	if (!b->im)
		return -1;
	if (!b->size || b->size > 64 << 20 || (b->size | b->step | b->offset) & 511 ||
		b->size > image_size(b->im))
		return fail(error, LODGE_ERROR_USAGE,
			"sizes and offset are multiples of 512, at most 64M, and "
			"within the image");
	return image_queue_attach(b->im, 0, NULL, error);
}

int image_bench_run(struct cli *c, GError **error)
{
	struct bench b = { 0 };
	unsigned depth = (unsigned)CLAMP(cli_number(c, "depth", 64), 1, DEPTH_MAX);
	double s = prepare(c, &b, error) < 0
			   ? -1
			   : run(&b, depth, (int)cli_number(c, "pattern", 0), error);
	double per = s > 0 ? (double)b.count / s : 0;
	g_autofree char *rate = size_format((uint64_t)(per * (double)b.size));

	if (s >= 0 && c->json)
		cli_print_json(json_pack("{s:f,s:f,s:f}", "seconds", s, "requests-per-second", per,
			"bytes-per-second", per * (double)b.size));
	else if (s >= 0)
		printf("Run completed in %.3f seconds: %.0f requests/s, %s/s\n", s, per, rate);
	image_close(b.im);
	return s < 0 ? -1 : 0;
}
