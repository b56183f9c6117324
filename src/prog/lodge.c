/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lodge.c: the command line. */
#include <locale.h>
#include <signal.h>

#include <glib.h>

#include "cli/verb.h"

int main(int argc, char **argv)
{
	g_set_prgname("lodge");
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	return cli_main(argc, argv);
}
