/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dispatch.h: the calls of libvirt's protocol and who answers them. A file per family
 * (rpc/domain_*.c, rpc/network.c, rpc/storage.c, rpc/connect.c, …) has a table of its procedures;
 * server.c decodes the arguments by the codec's tables, runs the handler on a worker, encodes the
 * result.
 */
#ifndef MANAGER_RPC_DISPATCH_H
#define MANAGER_RPC_DISPATCH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "manager/caller.h"

struct manager;
struct rpc_client;
struct rpc_stream;

/* One call under way. Borrowed by the handler. */
struct rpc_call {
	struct manager *manager;
	struct rpc_client *client; /* NULL: through another door, see rpc_invoke() */
	const struct caller *caller;
	uint32_t serial;
	int fds[32]; /* descriptors that came with it; owned by the call, set to -1 by who takes one
		      */
	unsigned fd_count;
	int reply_fds[32]; /* descriptors to send with the reply; closed after sending */
	unsigned reply_fd_count;
	struct rpc_stream
		*stream; /* a handler of a streaming procedure leaves it here, see stream.h */
	/* How far a long call is, in bytes; false: it is to be given up. Use rpc_progress(). */
	bool (*progress)(void *opaque, uint64_t done, uint64_t total); /* NULL: nobody asks */
	void *progress_opaque;
};

/* Tells it; false when the call is cancelled or its client is gone. A volume_progress's tick, with
 * the call as opaque. Any thread. */
bool rpc_progress(void *call, uint64_t done, uint64_t total);

/*
 * args and ret point to the structs the codec generates for the procedure (wire/libvirt/), e.g.
 * struct remote_domain_define_xml_args; NULL if it has none. ret is zeroed; what the handler puts
 * there must be from GLib's allocator and is freed by the codec after encoding, also when the
 * handler fails. 0 or -1 with error (MANAGER_ERROR).
 */
typedef int rpc_handler(struct rpc_call *call, const void *args, void *ret, GError **error);

struct rpc_procedure {
	uint32_t number; /* REMOTE_PROC_… of the codec; 0 ends a table */
	rpc_handler *run;
	enum role need; /* on the machine that the first argument names, else on the host; checked
			 * before the handler runs. Who lists several leaves out what the caller may
			 * not read */
};

extern const struct rpc_procedure rpc_connect_procedures[], rpc_node_procedures[],
	rpc_event_procedures[], rpc_domain_procedures[], rpc_domain_info_procedures[],
	rpc_domain_tune_procedures[], rpc_domain_params_procedures[],
	rpc_domain_device_procedures[], rpc_domain_stats_procedures[], rpc_domain_job_procedures[],
	rpc_snapshot_procedures[], rpc_network_procedures[], rpc_pool_procedures[],
	rpc_volume_procedures[], rpc_nwfilter_procedures[], rpc_secret_procedures[],
	rpc_node_device_procedures[], rpc_interface_procedures[], rpc_auth_procedures[];
/* of the program QEMU_PROGRAM, numbers QEMU_PROC_… */
extern const struct rpc_procedure rpc_qemu_procedures[], rpc_qemu_event_procedures[];

/*
 * The same call from another door: args and ret as for the handler, which sees call->client NULL.
 * Checks the caller's role as for a client. ret must be zeroed; xdr_clear() it afterwards (after a
 * failure it is empty).
 * A streaming procedure leaves a stream to take with rpc_stream_detach(). Any thread; may block.
 */
struct rpc_server;
int rpc_invoke(struct rpc_server *s, struct rpc_call *call, uint32_t number, const void *args,
	void *ret, GError **error);

/* Refuses flags that are not among the known ones. */
int rpc_no_flags(uint32_t flags, uint32_t known, GError **error);

/* The current name of the machine with this uuid, owned by the caller; NULL: there is none. In
 * rpc/domain.c. */
struct remote_nonnull_domain;
char *rpc_machine_name(struct manager *m, const struct remote_nonnull_domain *dom);

#endif
