/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.h: the commands for machines: machine.c looks, machine_life.c starts and stops,
 * machine_define.c keeps definitions, console.c is the terminal, device.c what is plugged in. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "cli/verb.h"

struct client;

extern const struct cli_option machine_only_options[]; /* the machine, and the daemon */

extern const struct cli_option machine_list_options[], machine_stats_options[],
	machine_log_options[];
int machine_list_run(struct cli *c, GError **error);
int machine_info_run(struct cli *c, GError **error);
int machine_member_run(struct cli *c, GError **error);
int machine_disks_run(struct cli *c, GError **error);
int machine_cards_run(struct cli *c, GError **error);
int machine_addresses_run(struct cli *c, GError **error);
int machine_stats_run(struct cli *c, GError **error);
int machine_log_run(struct cli *c, GError **error);

extern const struct cli_option machine_start_options[], machine_shutdown_options[],
	machine_save_options[], machine_restore_options[], machine_managedsave_options[];
int machine_start_run(struct cli *c, GError **error);
int machine_action_run(struct cli *c, GError **error); /* the action is the verb's name */
int machine_shutdown_run(struct cli *c, GError **error);
int machine_save_run(struct cli *c, GError **error);
int machine_restore_run(struct cli *c, GError **error);
int machine_managedsave_run(struct cli *c, GError **error);

extern const struct cli_option machine_define_options[], machine_create_options[],
	machine_undefine_options[], machine_dumpxml_options[], machine_autostart_options[],
	machine_rename_options[], machine_count_options[], machine_memory_options[],
	machine_describe_options[];
int machine_define_run(struct cli *c, GError **error);
int machine_create_run(struct cli *c, GError **error);
int machine_undefine_run(struct cli *c, GError **error);
int machine_dumpxml_run(struct cli *c, GError **error);
int machine_edit_run(struct cli *c, GError **error);
int machine_autostart_run(struct cli *c, GError **error);
int machine_rename_run(struct cli *c, GError **error);
int machine_setvcpus_run(struct cli *c, GError **error);
int machine_setmem_run(struct cli *c, GError **error); /* and setmaxmem */
int machine_describe_run(struct cli *c, GError **error);

extern const struct cli_option console_options[];
int console_run(struct cli *c, GError **error);
/* Until it ends or the person leaves; `name` for people. */
int console_open(
	struct cli *c, struct client *cl, const char *path, const char *name, GError **error);

extern const struct cli_option device_xml_options[], device_disk_options[], device_target_options[],
	device_card_options[], device_card_gone_options[], device_link_options[];
int device_xml_run(struct cli *c, GError **error); /* attach-, detach-, update-device */
int device_disk_attach_run(struct cli *c, GError **error);
int device_disk_detach_run(struct cli *c, GError **error);
int device_card_attach_run(struct cli *c, GError **error);
int device_card_detach_run(struct cli *c, GError **error);
int device_link_run(struct cli *c, GError **error);

#endif
