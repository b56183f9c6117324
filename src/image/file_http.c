/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_http.c: a page of a web server as a container that can be read, by range requests through
 * libcurl. What was fetched is kept in an unlinked file beside, so that nothing is fetched twice.
 * Spec: RFC 9110, 14.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "image/file.h"

enum {
	BLOCK = 64 << 10,      /* bytes kept or not */
	FETCH_MIN = 256 << 10, /* bytes asked for at a time, if that many are missing */
	FETCH_MAX = 4 << 20,
	TIMEOUT_S = 60,
};

struct http {
	uint64_t size;
	int cache;       /* unlinked file with what was fetched */
	GMutex lock;     /* have, idle */
	uint8_t *have;   /* owned: a bit for each block */
	GPtrArray *idle; /* CURL *, owned: connections nobody uses */
	GCond arrived;
	uint8_t *coming; /* owned: a bit for each block somebody fetches now */
};

struct answer {
	uint8_t *to;
	size_t n, got;
};

static bool bit(const uint8_t *map, uint64_t i)
{
	return map[i / 8] >> i % 8 & 1;
}

static void set_bits(uint8_t *map, uint64_t from, uint64_t n, bool on)
{
	for (uint64_t i = from; i < from + n; i++)
		map[i / 8] = on ? map[i / 8] | 1 << i % 8 : map[i / 8] & ~(1 << i % 8);
}

static size_t on_body(char *data, size_t one, size_t n, void *opaque)
{
	struct answer *a = opaque;

	if (n > a->n - a->got)
		return 0; /* more than was asked for: the server ignores ranges */
	memcpy(a->to + a->got, data, n);
	a->got += n;
	return n;
}

static CURL *handle_new(const char *url)
{
	CURL *c = curl_easy_init();

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "lodge/" LODGE_VERSION);
	return c;
}

static CURL *handle_take(struct file *f)
{
	struct http *s = f->opaque;
	CURL *c = NULL;

	g_mutex_lock(&s->lock);
	if (s->idle->len)
		c = g_ptr_array_steal_index_fast(s->idle, s->idle->len - 1);
	g_mutex_unlock(&s->lock);
	return c ? c : handle_new(f->path);
}

static int fetch(struct file *f, uint64_t at, size_t n)
{
	struct http *s = f->opaque;
	g_autofree char *range =
		g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, at, at + n - 1);
	g_autofree uint8_t *buf = g_try_malloc(n);
	struct answer a = { .to = buf, .n = n };
	CURL *c = handle_take(f);
	CURLcode r;

	curl_easy_setopt(c, CURLOPT_RANGE, range);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &a);
	r = buf ? curl_easy_perform(c) : CURLE_OUT_OF_MEMORY;
	g_mutex_lock(&s->lock);
	g_ptr_array_add(s->idle, c);
	g_mutex_unlock(&s->lock);
	if (r != CURLE_OK || a.got != n)
		return -EIO;
	return pwrite(s->cache, buf, n, (off_t)at) == (ssize_t)n ? 0 : -errno;
}

/* The run of blocks from `block` on that nobody has or fetches; under the lock. */
static uint64_t missing_run(const struct http *s, uint64_t block, uint64_t most)
{
	uint64_t blocks = (s->size + BLOCK - 1) / BLOCK, n = 0;

	while (n < most && block + n < blocks && !bit(s->have, block + n) &&
		!bit(s->coming, block + n))
		n++;
	return n;
}

static int need(struct file *f, uint64_t block, uint64_t last)
{
	struct http *s = f->opaque;
	int r = 0;

	g_mutex_lock(&s->lock);
	while (block <= last && !r) {
		uint64_t n;

		if (bit(s->have, block)) {
			block++;
			continue;
		}
		if (bit(s->coming, block)) {
			g_cond_wait(&s->arrived, &s->lock);
			continue;
		}
		n = missing_run(
			s, block, CLAMP(last - block + 1, FETCH_MIN / BLOCK, FETCH_MAX / BLOCK));
		set_bits(s->coming, block, n, true);
		g_mutex_unlock(&s->lock);
		r = fetch(f, block * BLOCK, MIN(n * BLOCK, s->size - block * BLOCK));
		g_mutex_lock(&s->lock);
		set_bits(s->coming, block, n, false);
		if (!r)
			set_bits(s->have, block, n, true);
		g_cond_broadcast(&s->arrived);
	}
	g_mutex_unlock(&s->lock);
	return r;
}

static ssize_t http_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	struct http *s = f->opaque;
	int r;

	if (at >= s->size || !n)
		return 0;
	n = MIN(n, s->size - at);
	r = need(f, at / BLOCK, (at + n - 1) / BLOCK);
	if (r < 0)
		return r;
	return pread(s->cache, buf, n, (off_t)at) == (ssize_t)n ? (ssize_t)n : -EIO;
}

static int64_t http_length(struct file *f)
{
	return (int64_t)((struct http *)f->opaque)->size;
}

static void http_close(struct file *f)
{
	struct http *s = f->opaque;

	if (s->idle)
		g_ptr_array_unref(s->idle);
	if (s->cache >= 0)
		close(s->cache);
	g_mutex_clear(&s->lock);
	g_cond_clear(&s->arrived);
	g_free(s->have);
	g_free(s->coming);
	g_free(s);
}

static const struct file_ops ops = {
	.read = http_read,
	.length = http_length,
	.close = http_close,
};

static void *curl_start(void *opaque)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return NULL;
}

/* Size, and whether ranges are served: one byte is asked for. */
static int ask(struct file *f, struct http *s, GError **error)
{
	CURL *c = handle_new(f->path);
	uint8_t byte[1];
	struct answer a = { .to = byte, .n = sizeof(byte) };
	curl_off_t size = -1;
	long code = 0;
	CURLcode r;

	curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	r = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
	curl_easy_setopt(c, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	if (r == CURLE_OK && size > 0) {
		curl_easy_setopt(c, CURLOPT_RANGE, "0-0");
		curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
		curl_easy_setopt(c, CURLOPT_WRITEDATA, &a);
		r = curl_easy_perform(c);
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	}
	g_ptr_array_add(s->idle, c);
	if (size > 0 && (code == 206 || (r == CURLE_OK && size == 1))) {
		s->size = (uint64_t)size;
		return 0;
	}
	if (r != CURLE_OK && code != 200)
		return fail(error, LODGE_ERROR_FILE, "%s: cannot read it: %s", f->path,
			curl_easy_strerror(r));
	return fail(error, LODGE_ERROR_FILE,
		"%s: the server tells no size or serves no parts of files; download "
		"it first",
		f->path);
}

struct file *file_http_open(const struct file_options *o, GError **error)
{
	static GOnce once = G_ONCE_INIT;
	struct file *f;
	struct http *s;

	if (!o->readonly || o->create) {
		fail(error, LODGE_ERROR_FILE, "%s: a web page can be read only", o->path);
		return NULL;
	}
	g_once(&once, curl_start, NULL);
	f = file_new(&ops, o->path, true);
	f->opaque = s = g_new0(struct http, 1);
	g_mutex_init(&s->lock);
	g_cond_init(&s->arrived);
	s->idle = g_ptr_array_new_with_free_func(curl_easy_cleanup);
	s->cache = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->cache < 0)
		fail_errno(error, LODGE_ERROR_HOST, errno, "%s: no file to keep parts of it in",
			g_get_tmp_dir());
	if (s->cache < 0 || ask(f, s, error) < 0) {
		file_close(f);
		return NULL;
	}
	s->have = g_malloc0(s->size / BLOCK / 8 + 1);
	s->coming = g_malloc0(s->size / BLOCK / 8 + 1);
	return f;
}
