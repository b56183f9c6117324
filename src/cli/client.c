/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.c: calls to lodged, see client.h. Where it is: connect.c. */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/connect.h"
#include "cli/progress.h"

enum {
	ANSWER_MAX = 64 << 20, /* bytes of one answer that is kept in memory */
	STATUS_REFUSED = 1,    /* exit status when the daemon says no */
};

struct client {
	struct cli *cli; /* borrowed */
	struct connection *connection;
	CURL *curl;
};

const struct cli_option client_options[] = { CLIENT_OPTIONS, { NULL } };

struct client *client_open(struct cli *c, GError **error)
{
	struct client *cl = g_new0(struct client, 1);

	curl_global_init(CURL_GLOBAL_DEFAULT);
	cl->cli = c;
	cl->connection = connection_open(cli_text(c, "connect"), error);
	if (cl->connection)
		cl->curl = curl_easy_init();
	if (cl->curl)
		return cl;
	client_close(cl);
	return NULL;
}

void client_close(struct client *cl)
{
	if (!cl)
		return;
	if (cl->curl)
		curl_easy_cleanup(cl->curl);
	connection_close(cl->connection);
	g_free(cl);
}

char *client_path(const char *fmt, ...)
{
	GString *s = g_string_new(NULL);
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (fmt[0] == '%' && fmt[1] == 's') {
			g_autofree char *part =
				g_uri_escape_string(va_arg(ap, const char *), NULL, FALSE);

			g_string_append(s, part);
			fmt++;
		} else {
			g_string_append_c(s, *fmt);
		}
	}
	va_end(ap);
	return g_string_free(s, FALSE);
}

/* ---- one request ---- */

struct request {
	struct client *client;
	const char *method, *path, *type; /* type: of the body; NULL: no body */
	const char *body;
	size_t body_size, body_sent;
	int in_fd;                  /* the body is this file; -1: `body` */
	off_t in_start;             /* from here on */
	struct curl_slist *headers; /* owned */
	GString *answer;            /* owned: what was not given to `chunk` */
	client_chunk *chunk;        /* for answers that are no error; NULL: into `answer` */
	void *opaque;
	struct progress *progress; /* NULL: none */
	bool stopped;              /* chunk() wants no more */
	long status;
};

static size_t take(char *bytes, size_t size, size_t n, void *opaque)
{
	struct request *r = opaque;

	n *= size;
	curl_easy_getinfo(r->client->curl, CURLINFO_RESPONSE_CODE, &r->status);
	if (r->chunk && r->status < 300) {
		if (r->chunk(r->opaque, bytes, n))
			return n;
		r->stopped = true;
		return 0;
	}
	if (r->answer->len + n > ANSWER_MAX)
		return 0;
	g_string_append_len(r->answer, bytes, n);
	return n;
}

static size_t give(char *to, size_t size, size_t n, void *opaque)
{
	struct request *r = opaque;
	ssize_t part;

	n *= size;
	if (r->in_fd >= 0) {
		part = read(r->in_fd, to, n);
		return part < 0 ? CURL_READFUNC_ABORT : (size_t)part;
	}
	n = MIN(n, r->body_size - r->body_sent);
	memcpy(to, r->body + r->body_sent, n);
	r->body_sent += n;
	return n;
}

/* A kept connection may turn out to be gone: the body is sent again on a new one. */
static int rewind_body(void *opaque, curl_off_t at, int origin)
{
	struct request *r = opaque;

	if (origin != SEEK_SET || at < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	if (r->in_fd >= 0)
		return lseek(r->in_fd, r->in_start + at, SEEK_SET) < 0 ? CURL_SEEKFUNC_FAIL
								       : CURL_SEEKFUNC_OK;
	r->body_sent = MIN((size_t)at, r->body_size);
	return CURL_SEEKFUNC_OK;
}

static int watch(
	void *opaque, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct request *r = opaque;

	if (cli_interrupted(r->client->cli))
		return 1;
	if (r->progress && up_total)
		progress_set(r->progress, up, up_total);
	else if (r->progress)
		progress_set(r->progress, down, down_total);
	return 0;
}

static void set_up(struct request *r)
{
	CURL *curl = r->client->curl;
	const struct connection *at = r->client->connection;
	g_autofree char *url = g_strconcat(at->base, r->path, NULL);

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, r);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	/* A unix socket costs nothing to open, and a kept connection may be closed while we send.
	 */
	if (at->socket) {
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, at->socket);
		curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	}
	if (at->token) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, at->token);
	}
	if (at->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, at->ca_file);
	r->headers = curl_slist_append(NULL, "Expect:");
	if (r->type) {
		g_autofree char *line = g_strconcat("Content-Type: ", r->type, NULL);

		r->headers = curl_slist_append(r->headers, line);
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(curl, CURLOPT_READDATA, r);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, r);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_size);
	}
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, r->headers);
}

/* The daemon said no. */
static int refused(struct request *r, GError **error)
{
	json_t *answer = json_loadb(r->answer->str, r->answer->len, 0, NULL);
	const char *message = NULL;

	json_unpack(answer, "{s:{s:s}}", "error", "message", &message);
	r->client->cli->error_status = STATUS_REFUSED;
	if (message)
		fail(error, LODGE_ERROR_HOST, "%s", message);
	else
		fail(error, LODGE_ERROR_HOST, "the daemon answered %ld to %s %s", r->status,
			r->method, r->path);
	json_decref(answer);
	return -1;
}

static int perform(struct request *r, GError **error)
{
	CURLcode code;

	r->answer = g_string_new(NULL);
	set_up(r);
	code = curl_easy_perform(r->client->curl);
	curl_slist_free_all(r->headers);
	curl_easy_getinfo(r->client->curl, CURLINFO_RESPONSE_CODE, &r->status);
	if (r->stopped)
		return 0;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return cli_fail_interrupted(error);
	/* A refusal may come, and the connection go, before all of the body is read. */
	if (code != CURLE_OK && r->status < 400)
		return fail(error, LODGE_ERROR_HOST, "lost the daemon at %s: %s",
			r->client->connection->name, curl_easy_strerror(code));
	return r->status >= 400 ? refused(r, error) : 0;
}

static json_t *parse(struct request *r, GError **error)
{
	json_error_t why;
	json_t *v;

	if (!r->answer->len)
		return json_null();
	v = json_loadb(r->answer->str, r->answer->len, JSON_DECODE_ANY, &why);
	if (!v)
		fail(error, LODGE_ERROR_HOST, "the daemon's answer to %s %s is no JSON: %s",
			r->method, r->path, why.text);
	return v;
}

static json_t *call(struct client *cl, const char *method, const char *path, const char *type,
	const char *body, GError **error)
{
	struct request r = { .client = cl,
		.method = method,
		.path = path,
		.type = type,
		.in_fd = -1,
		.body = body,
		.body_size = body ? strlen(body) : 0 };
	json_t *v = perform(&r, error) < 0 ? NULL : parse(&r, error);

	g_string_free(r.answer, TRUE);
	return v;
}

json_t *client_call(
	struct client *cl, const char *method, const char *path, json_t *body, GError **error)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_t *v = call(cl, method, path, text ? "application/json" : NULL, text, error);

	json_decref(body);
	free(text);
	return v;
}

json_t *client_send_xml(
	struct client *cl, const char *method, const char *path, const char *xml, GError **error)
{
	return call(cl, method, path, "text/xml", xml, error);
}

char *client_text(struct client *cl, const char *path, GError **error)
{
	struct request r = { .client = cl, .method = "GET", .path = path, .in_fd = -1 };
	bool ok = perform(&r, error) == 0;

	return g_string_free(r.answer, !ok);
}

/* ---- streams ---- */

int client_stream(
	struct client *cl, const char *path, client_chunk *chunk, void *opaque, GError **error)
{
	struct request r = { .client = cl,
		.method = "GET",
		.path = path,
		.in_fd = -1,
		.chunk = chunk,
		.opaque = opaque };
	int status = perform(&r, error);

	g_string_free(r.answer, TRUE);
	return status;
}

static int transfer(struct request *r, const char *what, GError **error)
{
	struct progress progress;
	int status;

	progress_start(&progress, what, r->client->cli->quiet || r->client->cli->json);
	r->progress = &progress;
	status = perform(r, error);
	progress_end(&progress);
	g_string_free(r->answer, TRUE);
	return status;
}

int client_upload(struct client *cl, const char *path, int fd, const char *what, GError **error)
{
	struct stat st;
	off_t at = lseek(fd, 0, SEEK_CUR);
	struct request r = { .client = cl,
		.method = "PUT",
		.path = path,
		.in_fd = fd,
		.type = "application/octet-stream",
		.in_start = at };

	if (at < 0 || fstat(fd, &st) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "the file to send");
	r.body_size = (size_t)(st.st_size - at);
	return transfer(&r, what, error);
}

static bool to_fd(void *opaque, const char *bytes, size_t n)
{
	int fd = *(int *)opaque;

	while (n) {
		ssize_t part = write(fd, bytes, n);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return false;
		bytes += part;
		n -= (size_t)part;
	}
	return true;
}

int client_download(struct client *cl, const char *path, int fd, const char *what, GError **error)
{
	struct request r = { .client = cl,
		.method = "GET",
		.path = path,
		.in_fd = -1,
		.chunk = to_fd,
		.opaque = &fd };
	int status = transfer(&r, what, error);

	if (!status && r.stopped)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "cannot write what arrives");
	return status;
}

int client_upgrade(struct client *cl, const char *path, GError **error)
{
	return connection_upgrade(cl->connection, path, error);
}

/* ---- operations ---- */

static json_t *ended(json_t *op, const char *state, GError **error)
{
	const char *message = "it failed";
	json_t *result = json_incref(json_object_get(op, "result"));

	if (!strcmp(state, "done"))
		return result ? result : json_null();
	json_decref(result);
	json_unpack(op, "{s:{s:s}}", "error", "message", &message);
	fail(error, LODGE_ERROR_HOST, "%s",
		strcmp(state, "cancelled") ? message : "it was cancelled");
	return NULL;
}

json_t *client_finish(struct client *cl, json_t *answer, GError **error)
{
	const char *id, *state, *what;
	struct progress progress;
	json_t *result = NULL;
	bool cancelled = false;

	if (json_unpack(answer, "{s:s, s:s, s:s}", "id", &id, "state", &state, "what", &what) < 0 ||
		!json_object_get(answer, "progress"))
		return answer;
	progress_start(&progress, what, cl->cli->quiet || cl->cli->json);
	cli_catch_signals(cl->cli);
	while (!strcmp(state, "running")) {
		g_autofree char *path = client_path("/operations/%s?wait=0.2", id);
		bool cancel = !cancelled && cli_interrupted(cl->cli);
		json_t *next;

		cancelled |= cancel;
		cl->cli->error_status = 0; /* to be asked again */
		next = client_call(cl, cancel ? "DELETE" : "GET", path, NULL, error);
		if (!next)
			goto out;
		json_decref(answer);
		answer = next;
		if (json_unpack(answer, "{s:s, s:s}", "id", &id, "state", &state) < 0)
			break;
		progress_set(&progress, json_integer_value(json_object_get(answer, "done")),
			json_integer_value(json_object_get(answer, "total")));
	}
	result = ended(answer, state, error);
out:
	progress_end(&progress);
	json_decref(answer);
	return result;
}
