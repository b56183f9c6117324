/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * error.h: why a call was refused, as a code that every door can translate: the numbers are those
 * of libvirt's protocol (virErrorNumber), so that its clients act on them; REST maps them to HTTP.
 */
#ifndef MANAGER_ERROR_H
#define MANAGER_ERROR_H

#include <glib.h>

enum manager_error {
	MANAGER_ERR_INTERNAL = 1,
	MANAGER_ERR_NO_MEMORY = 2,
	MANAGER_ERR_NO_SUPPORT = 3,
	MANAGER_ERR_NO_CONNECT = 5,
	MANAGER_ERR_INVALID_ARG = 8,
	MANAGER_ERR_OPERATION_FAILED = 9,
	MANAGER_ERR_XML = 27, /* what it means is wrong */
	MANAGER_ERR_DOM_EXIST = 28,
	MANAGER_ERR_OPERATION_DENIED = 29, /* read-only connection */
	MANAGER_ERR_SYSTEM = 38,           /* an errno of the host */
	MANAGER_ERR_RPC = 39,
	MANAGER_ERR_NO_DOMAIN = 42,
	MANAGER_ERR_NO_NETWORK = 43,
	MANAGER_ERR_AUTH_FAILED = 45,
	MANAGER_ERR_NO_POOL = 49,
	MANAGER_ERR_NO_VOLUME = 50,
	MANAGER_ERR_NO_NODE_DEVICE = 53,
	MANAGER_ERR_OPERATION_INVALID = 55, /* not in this state */
	MANAGER_ERR_NO_INTERFACE = 57,
	MANAGER_ERR_NO_NWFILTER = 62,
	MANAGER_ERR_NO_SECRET = 66,
	MANAGER_ERR_CONFIG_UNSUPPORTED = 67,
	MANAGER_ERR_OPERATION_TIMEOUT = 68,
	MANAGER_ERR_NO_SNAPSHOT = 72,
	MANAGER_ERR_ARGUMENT_UNSUPPORTED = 74,
	MANAGER_ERR_OPERATION_ABORTED = 78,
	MANAGER_ERR_NO_METADATA = 80,
	MANAGER_ERR_OPERATION_UNSUPPORTED = 84,
	MANAGER_ERR_AGENT_UNRESPONSIVE = 86,
	MANAGER_ERR_RESOURCE_BUSY = 87,
	MANAGER_ERR_ACCESS_DENIED = 88,
	MANAGER_ERR_STORAGE_VOL_EXIST = 90,
	MANAGER_ERR_CPU_INCOMPATIBLE = 91,
	MANAGER_ERR_NO_CLIENT = 96,
	MANAGER_ERR_AGENT_UNSYNCED = 97,
	MANAGER_ERR_DEVICE_MISSING = 99,
};

#define MANAGER_ERROR (manager_error_quark())
GQuark manager_error_quark(void);

/* Sets *error in MANAGER_ERROR and returns -1. Errors of LODGE_ERROR that pass through a door
 * become OPERATION_FAILED with their text. */
int refuse(GError **error, enum manager_error code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

#endif
