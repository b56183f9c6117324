/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-init.c: the first process of the default guest's initrd. Loads the kernel modules named in
 * /modules (one file a line, in order of need), waits for root=, mounts it and becomes its init.
 *
 * A full initramfs does the same with a shell, udev and some hundred forks, all of which a
 * translated CPU would have to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROOT_WAIT_MS = 10000, ROOT_POLL_MS = 5 };

static char cmdline[4096];

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* Ends the machine: nobody can repair an initrd from inside it. */
static void __attribute__((noreturn)) give_up(const char *what, const char *name)
{
	fprintf(stderr, "initrd: %s %s: %s\n", what, name, strerror(errno));
	fflush(stderr);
	sync();
	sleep_ms(100);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void modules_load(void)
{
	char line[256];
	FILE *list = fopen("/modules", "r");

	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		int fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			fprintf(stderr, "initrd: module %s: %s\n", line, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	if (list)
		fclose(list);
}

/* The value of the last word `key`=value of the kernel command line, or NULL. */
static char *option(const char *key)
{
	static char copy[sizeof(cmdline)];
	static char values[4][256];
	static int used;
	size_t n = strlen(key);
	char *found = NULL, *save = NULL;

	strcpy(copy, cmdline);
	for (char *w = strtok_r(copy, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		if (!strncmp(w, key, n) && w[n] == '=')
			found = w + n + 1;
	if (!found || used == 4)
		return NULL;
	return strncpy(values[used++], found, sizeof(values[0]) - 1);
}

static int flag(const char *word)
{
	static char copy[sizeof(cmdline)];
	char *save = NULL;

	strcpy(copy, cmdline);
	for (char *w = strtok_r(copy, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		if (!strcmp(w, word))
			return 1;
	return 0;
}

static void root_mount(const char *dev, const char *type)
{
	struct stat st;

	for (unsigned waited = 0; stat(dev, &st); waited += ROOT_POLL_MS) {
		if (waited >= ROOT_WAIT_MS)
			give_up("no root device", dev);
		sleep_ms(ROOT_POLL_MS);
	}
	if (mount(dev, "/root", type, flag("rw") ? 0 : MS_RDONLY, NULL))
		give_up("cannot mount", dev);
}

int main(void)
{
	mount("proc", "/proc", "proc", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, cmdline, sizeof(cmdline) - 1);
	cmdline[n > 0 ? n : 0] = 0;
	close(fd);

	modules_load();
	char *dev = option("root"), *type = option("rootfstype"), *init = option("init");
	if (!dev)
		dev = "/dev/vda";
	root_mount(dev, type ? type : "ext4");

	/* The initramfs itself cannot be unmounted; give its memory back before covering it. */
	unlink("/init");
	umount2("/proc", MNT_DETACH);
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) || chdir("/root") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		give_up("cannot switch to", dev);
	char *argv[] = { init ? init : "/sbin/init", NULL };
	execv(argv[0], argv);
	give_up("cannot run", argv[0]);
}
