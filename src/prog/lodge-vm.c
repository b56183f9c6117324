/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lodge-vm.c: one process, one virtual machine. */
#include <glib-unix.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "char/char.h"
#include "core/engine.h"
#include "core/machine.h"
#include "monitor/monitor.h"
#include "vm/inspect.h"
#include "vm/vm.h"

struct run {
	GMainLoop *loop;
	struct vm *vm;
	int signal; /* that ends us; 0: none */
};

/* One clear line, and the exit status that goes with it. */
static int say(GError *error)
{
	int code = error->domain == LODGE_ERROR ? error->code : LODGE_ERROR_INTERNAL;

	log_info("%s", error->message);
	g_error_free(error);
	return code;
}

static int print(char *text, GError *error)
{
	if (!text)
		return say(error);
	fputs(text, stdout);
	g_free(text);
	return fflush(stdout) ? LODGE_ERROR_FILE : 0;
}

/* --help, --man and --version; -1 if none was asked for. */
static int manual(int argc, char **argv)
{
	GError *error = NULL;
	char *text;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			text = vm_help(argv[i + 1], &error);
			return print(text, error);
		}
		if (strcmp(argv[i], "--man") == 0)
			return print(vm_man(), NULL);
		if (strcmp(argv[i], "--version") == 0)
			return print(g_strdup("lodge-vm " LODGE_VERSION "\n"), NULL);
	}
	return -1;
}

static void on_end(void *opaque)
{
	g_main_loop_quit(((struct run *)opaque)->loop);
}

static gboolean on_signal(int fd, GIOCondition condition, void *opaque)
{
	struct run *r = opaque;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == sizeof(info)) {
		r->signal = (int)info.ssi_signo;
		machine_request(r->vm->machine, MACHINE_REQ_POWEROFF, "host-signal");
	}
	return G_SOURCE_CONTINUE;
}

/*
 * What ends us is read from a descriptor: GLib's own way would bring a thread along. Called before
 * there are threads, which inherit the mask; a signal that comes early waits for the loop.
 */
static int signals_open(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_escape(void *opaque, char key)
{
	struct machine *m = ((struct run *)opaque)->vm->machine;

	switch (key) {
	case 'x': machine_request(m, MACHINE_REQ_POWEROFF, "host-ui"); break;
	case 'r': machine_request(m, MACHINE_REQ_RESET, "host-ui"); break;
	case 'p':
		machine_pause(m);
		fputs("\r\n[paused; Ctrl-a c goes on]\r\n", stderr);
		break;
	case 'c': machine_start(m); break;
	case 's':
		vm_powerdown(((struct run *)opaque)->vm);
		break;
	default:
		fputs("\r\nCtrl-a x  end the machine\r\nCtrl-a s  press the power button\r\n"
			"Ctrl-a r  reset\r\nCtrl-a p  pause\r\nCtrl-a c  continue\r\n"
			"Ctrl-a Ctrl-a  send Ctrl-a\r\n", stderr);
	}
}

static int run(struct vm *vm, int signals)
{
	struct run r = { .vm = vm };
	struct machine *m = vm->machine;

	r.loop = g_main_loop_new(NULL, FALSE);
	m->ended = on_end;
	m->ended_opaque = &r;
	g_unix_fd_add(signals, G_IO_IN, on_signal, &r);
	if (vm->stdio)
		char_set_escape(vm->stdio, on_escape, &r);
	for (guint i = 0; i < vm->backends->len; i++) {
		const struct vm_backend *b = g_ptr_array_index(vm->backends, i);
		const char *where = b->chr ? char_describe(b->chr) : NULL;

		if (where)
			log_info("%s: %s", b->id, where);
	}
	if (!vm->spec.paused)
		machine_start(m);
	g_main_loop_run(r.loop);
	m->ended = NULL;
	g_main_loop_unref(r.loop);
	return m->exit_status ? m->exit_status : r.signal ? 128 + r.signal : 0;
}

static void stats_line(void *opaque, const char *name, uint64_t value)
{
	fprintf(stderr, "%-24s %" PRIu64 "\n", name, value);
}

int main(int argc, char **argv)
{
	struct vm_spec spec;
	struct vm *vm;
	struct monitor *monitor = NULL;
	GError *error = NULL;
	int rc, signals;

	g_set_prgname("lodge-vm");
	signal(SIGPIPE, SIG_IGN);
	rc = manual(argc, argv);
	if (rc >= 0)
		return rc;
	signals = signals_open();
	vm_spec_init(&spec);
	if (vm_spec_parse(&spec, argc - 1, argv + 1, &error) < 0) {
		vm_spec_fini(&spec);
		return say(error);
	}
	vm = vm_new(&spec, &error);
	vm_spec_fini(&spec);
	if (!vm)
		return say(error);
	if (strcmp(vm->spec.accel, "auto") == 0)
		log_info("%s", vm->accel_why);
	if (vm->spec.qmp)
		monitor = monitor_new(vm, vm->spec.qmp, &error);
	rc = error ? say(error) : run(vm, signals);
	if (vm->spec.jit_stats && vm->machine->accel->stats)
		vm->machine->accel->stats(vm->machine, stats_line, NULL);
	monitor_free(monitor);
	vm_free(vm);
	return rc;
}
