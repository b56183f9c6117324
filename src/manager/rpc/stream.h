/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.h: bytes beside a call, in one direction or both: volumes up and down, consoles,
 * screenshots.
 *
 * A handler of a streaming procedure makes one of these and leaves it in call->stream; when its
 * reply is on its way the stream starts, on a thread of its own, where its callbacks may block.
 * Both directions push back: a client that does not read stops `read`, a slow `write` stops that
 * client's sending. After an error of a callback the client gets the error and the stream ends.
 */
#ifndef MANAGER_RPC_STREAM_H
#define MANAGER_RPC_STREAM_H

#include "manager/rpc/dispatch.h"

struct rpc_stream_ops {
	/*
	 * Download. Up to `len` bytes into buf, the count returned; 0: the end. Where a hole begins
	 * and the stream is sparse: *ret_hole its length, and 0 returned. -1 with error.
	 */
	ssize_t (*read)(void *opaque, void *buf, size_t len, uint64_t *ret_hole, GError **error);
	/* Upload: all `len` bytes, or -1 with error. */
	int (*write)(void *opaque, const void *buf, size_t len, GError **error);
	/* Upload, sparse: skip so many bytes. NULL: zeroes are written. */
	int (*hole)(void *opaque, uint64_t len, GError **error);
	/* The client has said that it is complete, all is written; its result is told to the
	 * client. NULL: nothing to do. */
	int (*finish)(void *opaque, GError **error);
	/* The last call, always; `finished` tells whether finish() was called and succeeded. NULL
	 * allowed. */
	void (*free)(void *opaque, bool finished);
};

/* By callbacks; those of the direction that the procedure does not have may be NULL. On success the
 * stream owns opaque. 0 or -1 with error (too many streams), then opaque stays the caller's. */
int rpc_stream_callbacks(struct rpc_call *call, const struct rpc_stream_ops *ops, void *opaque,
	bool sparse, GError **error);

/* A console: both ways between the client and a pty or socket. Takes fd, on failure too. */
int rpc_stream_console(struct rpc_call *call, int fd, GError **error);

/*
 * A file or block device from `offset`, `length` bytes of it (0: to its end, of an upload as much
 * as comes). Takes fd, on failure too. An upload is on the disk (fdatasync) before the client is
 * told; `done` (NULL allowed) runs afterwards on the stream's thread, with whether it completed.
 */
typedef void rpc_stream_done(void *opaque, bool finished);
int rpc_stream_download(struct rpc_call *call, int fd, uint64_t offset, uint64_t length,
	bool sparse, rpc_stream_done *done, void *opaque, GError **error);
int rpc_stream_upload(struct rpc_call *call, int fd, uint64_t offset, uint64_t length, bool sparse,
	rpc_stream_done *done, void *opaque, GError **error);

/* Of rpc_invoke(): what the handler made, for the door that called it to drive. A console: *ret_fd,
 * owned by the caller, and *ret_ops NULL; else its callbacks, whose free() ends it. The stream
 * itself is gone. */
void rpc_stream_detach(struct rpc_stream *s, const struct rpc_stream_ops **ret_ops,
	void **ret_opaque, int *ret_fd);

#endif
