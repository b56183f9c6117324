/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain.h: one machine as its owner knows it: what it is (a definition), what it does (a state
 * with a reason), the process that runs it. Named as libvirt names it; people's texts say
 * "machine".
 *
 * Threads. Fields are behind the machine's lock, taken for moments only. A change that takes longer
 * holds the machine's job: one at a time, others wait for it. Configurations are immutable, so a
 * reader takes a reference and lets go of the lock. The end of a process is handled by a reaper
 * thread without the job: who holds the job sees it as commands that fail.
 */
#ifndef MANAGER_DOMAIN_H
#define MANAGER_DOMAIN_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct domain;
struct _xmlNode;
struct domain_config; /* config/config.h: the definition, from and to XML */
struct manager;

/* libvirt's virDomainState */
enum domain_state {
	DOMAIN_NOSTATE,
	DOMAIN_RUNNING,
	DOMAIN_BLOCKED,
	DOMAIN_PAUSED,
	DOMAIN_SHUTDOWN,
	DOMAIN_SHUTOFF,
	DOMAIN_CRASHED,
	DOMAIN_PMSUSPENDED
};

struct domains *domains_new(
	struct manager *m, GError **error); /* loads, finds running ones again */
void domains_free(struct domains *d);

/* A reference for the caller, or NULL with NO_DOMAIN. */
struct domain *domain_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct domain *domain_find_name(struct manager *m, const char *name, GError **error);
struct domain *domain_find_id(struct manager *m, int id, GError **error);
struct domain *domain_ref(struct domain *d);
void domain_unref(struct domain *d);
/* All, each with a reference; free with g_ptr_array_unref. */
GPtrArray *domains_list(struct manager *m);
/* How many run. */
unsigned domains_active(struct manager *m);

/* What a machine is at one moment. */
struct domain_view {
	uint8_t uuid[16];
	char *name; /* owned */
	int id;     /* -1: does not run */
	enum domain_state state;
	int reason;
	bool active, persistent, autostart, updated;
	struct domain_config *config; /* reference: the live one, else the kept one */
	pid_t pid;                    /* 0: none */
	char *managed_file;           /* owned: where its managed save is or would be */
};
void domain_view(struct domain *d, struct domain_view *ret);
void domain_view_clear(struct domain_view *v);
/* Has it a managed save? Looks at the disk. */
bool domain_view_saved(const struct domain_view *v);

/* ---- definitions (domain_define.c) ---- */

enum domain_xml_flags {
	DOMAIN_XML_SECURE = 1,
	DOMAIN_XML_INACTIVE = 2,
	DOMAIN_XML_UPDATE_CPU = 4,
	DOMAIN_XML_MIGRATABLE = 8
};
/* Owned by the caller. */
char *domain_xml(struct domain *d, unsigned flags, GError **error);
/* A reference in *ret. */
int domain_define(struct manager *m, const char *xml, struct domain **ret, GError **error);
enum domain_undefine_flags {
	UNDEFINE_MANAGED_SAVE = 1,
	UNDEFINE_SNAPSHOTS = 2,
	UNDEFINE_NVRAM = 4,
	UNDEFINE_KEEP_NVRAM = 8,
	UNDEFINE_CHECKPOINTS = 16
};
int domain_undefine(struct domain *d, unsigned flags, GError **error);
int domain_rename(struct domain *d, const char *name, GError **error);
int domain_set_autostart(struct domain *d, bool on, GError **error);

enum domain_affect { AFFECT_CURRENT = 0, AFFECT_LIVE = 1, AFFECT_CONFIG = 2 };
/* CURRENT becomes LIVE or CONFIG; what the machine's state does not allow is refused. */
int domain_affect(struct domain *d, unsigned *flags, GError **error);
/* The configuration that flags mean (LIVE: the running one, else the kept). A reference. */
struct domain_config *domain_config_for(struct domain *d, unsigned flags, GError **error);
/* Replaces the kept or (AFFECT_LIVE) the running configuration, on the disk too. Takes the
 * reference. */
int domain_keep(struct domain *d, unsigned flags, struct domain_config *c, GError **error);

/* Edits the documents that flags mean, in a job of its own. */
int domain_change(struct domain *d, unsigned flags, const char *kind,
	int (*edit)(struct _xmlNode *root, void *opaque, GError **error), void *opaque,
	GError **error);

/* ---- life (domain_start.c, domain_stop.c, domain_save.c) ---- */

enum domain_start_flags {
	START_PAUSED = 1,
	START_AUTODESTROY = 2,
	START_BYPASS_CACHE = 4,
	START_FORCE_BOOT = 8,
	START_VALIDATE = 16,
	START_SAVED_RUNNING = 1 << 16 /* ours */
};
int domain_start(struct domain *d, unsigned flags, GError **error);
/* Defines a transient machine (or uses the persistent one of that name) and starts it. */
int domain_create_xml(
	struct manager *m, const char *xml, unsigned flags, struct domain **ret, GError **error);
int domain_shutdown(struct domain *d, GError **error);
int domain_reboot(struct domain *d, GError **error);
int domain_reset(struct domain *d, GError **error);
int domain_destroy(struct domain *d, bool graceful, GError **error);
int domain_suspend(struct domain *d, GError **error);
int domain_resume(struct domain *d, GError **error);
/* to NULL: the managed save. flags: virDomainSaveRestoreFlags: 2 running, 4 paused afterwards. */
enum domain_save_flags { SAVE_BYPASS_CACHE = 1, SAVE_RUNNING = 2, SAVE_PAUSED = 4 };
int domain_save(struct domain *d, const char *to, const char *xml, unsigned flags, GError **error);
int domain_restore(
	struct manager *m, const char *from, const char *xml, unsigned flags, GError **error);
char *domain_save_xml(const char *from, GError **error);
int domain_save_set_xml(const char *from, const char *xml, unsigned flags, GError **error);
int domain_managed_save_remove(struct domain *d, GError **error);

/* What runs now and since when; kind NULL: nothing. */
struct domain_job_view {
	const char *kind;
	int64_t elapsed_us;
};
void domain_job_view(struct domain *d, struct domain_job_view *ret);

/* ---- the running machine ---- */

/* A QMP command, inside the caller's job or as a query. Takes args. OPERATION_INVALID if it is off.
 */
json_t *domain_qmp(
	struct domain *d, const char *command, json_t *args, int timeout_ms, GError **error);
json_t *domain_qmp_fd(struct domain *d, const char *command, json_t *args, int fd, GError **error);
char *domain_qmp_text(struct domain *d, const char *text, GError **error);
/* The same without a result. */
int domain_qmp_do(struct domain *d, const char *command, json_t *args, GError **error);

/* One change at a time: waits up to 30 s for its turn. `kind` is static text, for messages. */
int domain_job_begin(struct domain *d, const char *kind, GError **error);
void domain_job_end(struct domain *d);

/* Tells of a change: libvirt's event id, its numbers, and data (taken; NULL: none). */
void domain_tell(struct domain *d, int kind, int event, int detail, json_t *data);

/* Devices (domain_device.c), inside no job. */
int domain_attach_device(struct domain *d, const char *xml, unsigned flags, GError **error);
int domain_detach_device(struct domain *d, const char *xml, unsigned flags, GError **error);
int domain_detach_alias(struct domain *d, const char *alias, unsigned flags, GError **error);
int domain_update_device(struct domain *d, const char *xml, unsigned flags, GError **error);

struct config_disk;
/* The file of a volume, owned by the caller; NULL for other sources. */
int domain_disk_path(struct domain *d, const struct config_disk *k, char **ret, GError **error);
bool domain_has_snapshots(struct domain *d);
struct manager *domain_manager(const struct domain *d);

#endif
