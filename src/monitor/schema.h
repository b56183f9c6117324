/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * schema.h: the table of commands and events: what query-commands answers, what arguments are
 * checked against, what docs/qmp.md is made of.
 */
#ifndef MONITOR_SCHEMA_H
#define MONITOR_SCHEMA_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

struct monitor;
struct vm;

enum qmp_type { QMP_INT, QMP_STRING, QMP_BOOL, QMP_STRINGS, QMP_OBJECT, QMP_OBJECTS, QMP_ANY };

struct qmp_arg {
	const char *name; /* NULL ends a list */
	enum qmp_type type;
	bool optional;
	const char *help;
};

/* `args` were checked against the table; borrowed. NULL with error, or the reply (json_object() for
 * none), the caller's. */
typedef json_t *qmp_run(struct vm *vm, const json_t *args, GError **error);

struct qmp_command {
	const char *name;           /* NULL ends the table */
	qmp_run *run;               /* NULL: client.c does it */
	const struct qmp_arg *args; /* NULL: none */
	const char *returns, *help; /* for people */
	bool open_ended;            /* takes members that `args` does not list */
};
extern const struct qmp_command qmp_commands[];

struct qmp_event_doc {
	const char *name, *data, *help;
};
extern const struct qmp_event_doc qmp_events[];

const struct qmp_command *qmp_find(const char *name);
/* Every member known, of its type, none missing. `args` may be NULL. */
int qmp_check_args(const struct qmp_command *c, const json_t *args, GError **error);

/* Errors that are no GenericError. */
#define QMP_ERROR (qmp_error_quark())
GQuark qmp_error_quark(void);
enum qmp_error_code {
	QMP_ERROR_COMMAND_NOT_FOUND,
	QMP_ERROR_DEVICE_NOT_ACTIVE,
	QMP_ERROR_DEVICE_NOT_FOUND
};
const char *qmp_error_class(const GError *error);

/* commands_run.c */
qmp_run qmp_stop, qmp_cont, qmp_system_reset, qmp_system_powerdown, qmp_quit, qmp_save, qmp_restore,
	qmp_balloon, qmp_query_balloon;
/* commands_device.c */
qmp_run qmp_block_resize, qmp_block_set_io_throttle, qmp_blockdev_add, qmp_blockdev_del,
	qmp_netdev_add, qmp_netdev_del, qmp_closefd, qmp_device_add, qmp_device_del, qmp_set_link,
	qmp_set_vcpus, qmp_inject_nmi, qmp_query_blockstats, qmp_query_netdev;
/* commands_query.c */
qmp_run qmp_query_status, qmp_query_version, qmp_query_name, qmp_query_kvm, qmp_query_jit,
	qmp_query_cpus_fast, qmp_query_block, qmp_query_pci, qmp_query_commands, qmp_query_machines,
	qmp_query_chardev, qmp_query_memory_size_summary;

#endif
