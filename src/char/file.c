/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.c: output into a file that is made anew; there is no input. */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "char/kind.h"

static int file_kind_open(struct chardev *c, const char *arg, GError **error)
{
	int fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);

	if (fd < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot write to it", arg);
	char_connect(c, -1, fd);
	return 0;
}

const struct char_kind char_kind_file = {
	.name = "file",
	.argument = "PATH",
	.open = file_kind_open,
};
