/* SPDX-License-Identifier: GPL-2.0-or-later */
/* request.h: one HTTP request, as the files of rest/ share it. */
#ifndef MANAGER_REST_REQUEST_H
#define MANAGER_REST_REQUEST_H

#include <jansson.h>
#include <libsoup/soup.h>
#include <stdbool.h>

#include "manager/caller.h"
#include "manager/rest/rest.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/protocol.h"

struct manager;
struct operation;

enum { REST_BODY_MAX = 16 << 20, REST_PARAMS = 3 };

/* Handled on a worker, except for routes of kind ROUTE_MAIN. */
struct request {
	struct rest *rest;
	struct manager *manager;
	struct caller caller;      /* owned */
	char *params[REST_PARAMS]; /* of the path, decoded; owned */
	GHashTable *query;         /* owned; NULL: none */
	char *raw;                 /* the body, ended by a NUL; owned; NULL: none */
	size_t raw_len;
	json_t *body;                /* the body as JSON; owned; NULL: it is none */
	struct operation *operation; /* that this is the work of; NULL: none */
	SoupServerMessage *msg;      /* owned; main loop only */
	bool gone;                   /* the client is; main loop only */
	/* The reply; owned. */
	unsigned status; /* 0: 200, or 204 without anything below */
	json_t *json;
	char *text;
	const char *text_type;
};

/* 0, with the reply filled in, or -1 with error. */
typedef int rest_handler(struct request *r, GError **error);

enum route_kind {
	ROUTE_CALL, /* a short call */
	ROUTE_WORK, /* an operation; its client waits 30 seconds for it if it does not say */
	ROUTE_LONG, /* an operation; its client does not wait if it does not say */
	ROUTE_MAIN, /* keeps the connection, runs on the main loop */
};

struct route {
	const char *method, *path; /* "/v1/machines/{}/start" */
	rest_handler *run;
	enum route_kind kind;
	const char *what; /* of operations, for people: "Saving" */
};

/* route.c */
extern const struct route rest_routes[]; /* ends with a NULL method */
/* NULL: no such path, or (*ret_known) no such method of it. Fills params, owned by the caller. */
const struct route *rest_match(
	const char *method, const char *path, char *params[REST_PARAMS], bool *ret_known);

/* request.c */
void request_free(struct request *r);
/* Calls a procedure as the caller; args and ret are its zeroed structs. The caller of this clears
 * ret. */
int request_call(
	struct request *r, uint32_t procedure, const void *args, void *ret, GError **error);
/* ?name, ?name=true (1, yes), or true in the body. */
bool request_flag(const struct request *r, const char *name);
/* Of the body, else of the query; NULL: absent. Borrowed. */
const char *request_string(const struct request *r, const char *name);
/* An unsigned number of the body or the query. 1: there, 0: absent, -1 with error. */
int request_number(
	const struct request *r, const char *name, uint64_t max, uint64_t *ret, GError **error);
/* The body as a definition; -1 with error if there is none. Borrowed. */
int request_xml(const struct request *r, char **ret, GError **error);
unsigned request_error_status(const GError *error);
json_t *request_error_json(const GError *error);
/* Is the text a UUID? Then binary. */
bool request_uuid(const char *text, uint8_t uuid[16]);
json_t *request_uuid_json(const uint8_t uuid[16]);
/* Sorts structs by the name at this offset. items may be NULL if count is 0. */
void request_sort(void *items, uint32_t count, size_t size, size_t name_offset);

/* operation.c */
struct operations *operations_new(struct rest *rest);
void operations_free(struct operations *o); /* waits for those that run */
unsigned operations_running(struct operations *o);
/* Takes the request: runs it on a worker, replies with its result, or with 202 when it takes longer
 * than the client wants to wait. Main loop. */
void operation_start(struct operations *o, struct request *r, const struct route *route);

/* rest.c; main loop */
void rest_reply(struct request *r, int rc, const GError *error); /* takes the request */
struct operations *rest_operations(struct rest *rest);
/* A call's progress, with its operation as opaque: kept for who asks; false: it is to be given up.
 */
bool operation_progress(void *operation, uint64_t done, uint64_t total);
struct rpc_server *rest_server(struct rest *rest);
struct rest_events *rest_events(struct rest *rest);
/* On a worker. */
void rest_push(struct rest *rest, void (*work)(void *opaque), void *opaque);
/* Then, on the main loop. */
void rest_later(void (*fn)(void *opaque), void *opaque);

/* events.c */
struct rest_events *rest_events_new(struct rest *rest, struct manager *m);
void rest_events_free(struct rest_events *e);

/* connection.c: who is at the other end, from the door that let it in. */
struct rest_doors *rest_doors_open(
	SoupServer *soup, const struct door_config *c, struct audit *audit, GError **error);
void rest_doors_close(struct rest_doors *d);
unsigned rest_doors_count(const struct rest_doors *d);
/* The caller of a message; role ROLE_NONE and no roles: nobody known. */
void rest_doors_caller(struct rest_doors *d, SoupServerMessage *msg, struct caller *ret);

/* data.c: the head of an upload is there: takes the request, writes its body as it comes. Main
 * loop. */
void rest_upload_begin(struct request *r);

/* The handlers of the routes. */
rest_handler rest_version, rest_host, rest_host_capabilities, rest_metrics, rest_event_stream;
rest_handler rest_machine_list, rest_machine_define, rest_machine_get, rest_machine_xml,
	rest_machine_patch, rest_machine_delete, rest_machine_action, rest_machine_stats,
	rest_machine_attach, rest_machine_update, rest_machine_detach, rest_machine_addresses,
	rest_machine_log, rest_machine_console, rest_stats;
rest_handler rest_snapshot_list, rest_snapshot_create, rest_snapshot_xml, rest_snapshot_delete,
	rest_snapshot_revert;
rest_handler rest_network_list, rest_network_define, rest_network_get, rest_network_xml,
	rest_network_delete, rest_network_action, rest_network_patch, rest_network_leases;
rest_handler rest_pool_list, rest_pool_define, rest_pool_get, rest_pool_xml, rest_pool_delete,
	rest_pool_action, rest_pool_patch, rest_volume_list, rest_volume_create, rest_volume_get,
	rest_volume_xml, rest_volume_delete, rest_volume_patch, rest_volume_download,
	rest_volume_upload;
rest_handler rest_operation_list, rest_operation_get, rest_operation_cancel;

#endif
