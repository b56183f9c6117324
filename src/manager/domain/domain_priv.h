/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_priv.h: a machine's inside, for the domain_*.c files. */
#ifndef MANAGER_DOMAIN_PRIV_H
#define MANAGER_DOMAIN_PRIV_H

#include "manager/domain/config/config.h"
#include "manager/domain/domain.h"
#include "manager/manager.h"
#include "manager/process/process.h"
#include "manager/process/qmp_client.h"

struct domain {
	int refs;
	struct manager *manager; /* borrowed */
	uint8_t uuid[16];        /* never changes */
	GMutex lock;             /* all below */
	GCond changed;           /* the job ended, or the process */
	char *name;
	struct domain_config *config; /* kept; a transient machine's: what it was started from */
	struct domain_config *live;   /* NULL: off */
	bool persistent, autostart, updated, gone; /* gone: undefined, in no table */
	int id;
	enum domain_state state;
	int reason;

	const char *job; /* NULL: none */
	GThread *job_owner;
	int64_t job_since;

	struct process *process; /* NULL: off */
	struct qmp_client *qmp;
	GPtrArray *taps; /* char *: made for it */
	int stop_reason; /* of DOMAIN_SHUTOFF, set by who ends the process; 0: it ended itself */
	GPtrArray *snapshots; /* struct domain_snapshot; NULL: none */
	bool guest_down;      /* SHUTDOWN was told */
	bool starting;        /* not yet told as started */
	bool watched;         /* its end will be noticed */
	bool reaping;
	char *waiting_for;   /* alias of the device whose end a call waits for */
	unsigned boot_vcpus; /* it was made with; a saved state must be loaded into the like */
	unsigned crashes;    /* in a row */
	int64_t started;     /* monotonic */
};

struct domains {
	GMutex lock;
	GHashTable *by_uuid; /* uuid -> struct domain *, a reference each */
	GHashTable *by_name;
	GThreadPool *reapers, *starters;
	int next_id;
};

enum {
	SHUTOFF_SHUTDOWN = 1,
	SHUTOFF_DESTROYED,
	SHUTOFF_CRASHED,
	SHUTOFF_MIGRATED,
	SHUTOFF_SAVED,
	SHUTOFF_FAILED
};
enum {
	RUNNING_BOOTED = 1,
	RUNNING_MIGRATED,
	RUNNING_RESTORED,
	RUNNING_SNAPSHOT,
	RUNNING_UNPAUSED,
	RUNNING_MIGRATION_CANCELED,
	RUNNING_SAVE_CANCELED
};
enum { PAUSED_USER = 1, PAUSED_SAVE = 3, PAUSED_SHUTTING_DOWN = 8, PAUSED_STARTING = 11 };
/* lifecycle events and details */
enum {
	LIFE_DEFINED,
	LIFE_UNDEFINED,
	LIFE_STARTED,
	LIFE_SUSPENDED,
	LIFE_RESUMED,
	LIFE_STOPPED,
	LIFE_SHUTDOWN
};

struct domain *domain_new(struct manager *m, const uint8_t uuid[16]);
/* Into and out of the tables. Under no lock. add: -1 with DOM_EXIST when the name is taken. */
int domain_enter(struct domain *d, GError **error);
void domain_leave(struct domain *d);
/* Sets state, reason and tells. Lock not held. */
void domain_set_state(struct domain *d, enum domain_state state, int reason, int event, int detail);
/* Definition and status onto the disk. */
int domain_store(struct domain *d, GError **error);
int domain_store_status(struct domain *d, GError **error);
char *domain_status_text(struct domain *d); /* lock held; NULL: off */
/* Takes up a machine by what status says; called while loading. */
void domain_adopt(struct domain *d, const char *status);
/* Boots or (load not NULL) restores within the caller's job. */
int domain_launch(struct domain *d, const struct domain_config *base, unsigned vcpus,
	unsigned flags, const char *load, GError **error);
/* From a file that domain_save() wrote; xml NULL: as it was saved. */
int domain_launch_saved(
	struct domain *d, const char *from, const char *xml, unsigned flags, GError **error);
/* A machine that was not there before. Takes c. NULL with error. */
struct domain *domain_make(
	struct manager *m, struct domain_config *c, bool persistent, GError **error);
/* The machine with this definition's uuid and name, or *ret NULL; -1: they belong to two. */
int domain_find_same(
	struct manager *m, const struct domain_config *c, struct domain **ret, GError **error);
/* Ends the process and waits until it is reaped; `reason` of DOMAIN_SHUTOFF. */
int domain_end(struct domain *d, int reason, GError **error);
int domain_wait_end(struct domain *d, bool graceful, GError **error);

/* domain_start.c, for hot-plugging: the tap's name is the caller's, and the machine's from then on.
 */
int domain_port_open(
	struct domain *d, const struct config_nic *k, int fds[16], char **ret_tap, GError **error);
void domain_port_close(struct domain *d, const char *tap);

/* domain_tune.c */
int domain_apply_tune(struct domain *d, GError **error);
int domain_apply_iotune(struct domain *d, const struct config_device *disk, GError **error);
void domain_cgroup_remove(struct domain *d);

/* domain_device.c: the guest has let go of it. Main loop. */
void domain_device_deleted(struct domain *d, const char *alias);
/* domain_snapshot.c: before a machine is undefined: refuses or removes its snapshots. */
int domain_snapshots_load(struct manager *m, GError **error);
int domain_snapshots_undefine(struct domain *d, bool remove, GError **error);
void domain_reap(gpointer domain, gpointer domains); /* reapers' function; takes the reference */
void domain_watch(struct domain *d);                 /* events and end of its process */
int domain_need_active(struct domain *d, GError **error);
char *domain_file(const struct domain *d, const char *base, const char *suffix);
bool domain_is_active(struct domain *d);
void domain_set_live(struct domain *d, struct domain_config *c); /* takes c */

#endif
