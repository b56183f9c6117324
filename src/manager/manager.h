/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manager.h: a host's machines, networks and storage: what lodged keeps. The doors (rpc/, rest/)
 * call into it; it knows neither of them.
 *
 * Threads. The main loop (GLib's default context) has the sockets, timers, exits of processes,
 * their QMP events, and delivers events. Calls of clients run on a pool of workers and may block
 * there. Every object (domain, network, pool, …) is counted by reference and has a lock around its
 * fields, never held over blocking I/O; what takes long and must not be interleaved with another
 * change takes the object's job first (see domain.h). Order of locks: a table's, an object's, the
 * store's, the events'.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <glib.h>
#include <stdbool.h>

struct domains;
struct event_bus;
struct networks;
struct nwfilters;
struct host_watch;
struct pools;
struct secrets;
struct store;

/* Where things live. Owned strings. Privileged: /var/lib/lodge, /run/lodge, /var/log/lodge,
 * /etc/lodge; else the user's XDG folders. */
struct manager_paths {
	char *state, *run, *log, *config;
	char *lodge_vm; /* the program that runs a machine */
};

struct manager {
	struct manager_paths paths;
	bool session;        /* a user's own daemon: qemu:///session */
	bool privileged;     /* root: taps, bridges, nftables, cgroups */
	struct store *store; /* all owned */
	struct event_bus *events;
	struct secrets *secrets;
	struct host_watch *watch; /* of the host's devices; NULL: none */
	struct pools *pools;
	struct nwfilters *nwfilters;
	struct networks *networks;
	struct domains *domains;
};

struct manager_options {
	const char *root;     /* a folder that stands for / in all paths; NULL: none. For tests */
	const char *lodge_vm; /* NULL: beside lodged, else in PATH */
	bool session;         /* the user's own daemon although root */
};

/* Opens the store, loads all objects, finds machines that already run again, starts what starts by
 * itself. Fails when another lodged holds the state folder. */
struct manager *manager_new(const struct manager_options *o, GError **error);
/* Lets go: machines run on. NULL allowed. */
void manager_free(struct manager *m);

#endif
