/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h: what a machine is: its definition, from and to libvirt's domain XML. Immutable once
 * made, so that any thread reads it without a lock; a change makes a new one from an edited
 * document.
 *
 * The XML is the master copy: what Lodge does not act upon stays in it as it came, and what it
 * cannot do is refused by name (policy.c has the table). The struct holds what is acted upon.
 */
#ifndef MANAGER_CONFIG_CONFIG_H
#define MANAGER_CONFIG_CONFIG_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

enum device_kind {
	DEVICE_OTHER, /* kept in the XML, not in the machine: see docs/domain-xml.md */
	DEVICE_DISK,
	DEVICE_NIC,
	DEVICE_CHAR,
	DEVICE_RNG,
	DEVICE_BALLOON,
	DEVICE_CONTROLLER,
	DEVICE_ROOT_PORT,
	DEVICE_SERIAL_BUS, /* virtio-serial: carries channels and virtio consoles */
};

/* Bytes and operations a second, and bursts, as virDomainBlockIoTuneInfo has them; 0: no limit. */
enum iotune {
	TOTAL_BYTES,
	READ_BYTES,
	WRITE_BYTES,
	TOTAL_IOPS,
	READ_IOPS,
	WRITE_IOPS,
	TOTAL_BYTES_MAX,
	READ_BYTES_MAX,
	WRITE_BYTES_MAX,
	TOTAL_IOPS_MAX,
	READ_IOPS_MAX,
	WRITE_IOPS_MAX,
	SIZE_IOPS,
	TOTAL_BYTES_MAX_LENGTH,
	READ_BYTES_MAX_LENGTH,
	WRITE_BYTES_MAX_LENGTH,
	TOTAL_IOPS_MAX_LENGTH,
	READ_IOPS_MAX_LENGTH,
	WRITE_IOPS_MAX_LENGTH,
	IOTUNE_COUNT
};
extern const char *const iotune_names[IOTUNE_COUNT + 1]; /* of XML elements and typed parameters */

enum disk_source { DISK_FILE, DISK_BLOCK, DISK_VOLUME };

struct config_disk {
	enum disk_source source;
	bool cdrom, readonly, shareable, direct, discard_off;
	char *target;        /* vda; unique */
	char *path;          /* NULL: empty, or a volume */
	char *pool, *volume; /* DISK_VOLUME */
	char *format;        /* NULL: probe is off, raw */
	char *serial;
	unsigned queues;
	uint64_t block_size; /* logical; 0: default */
	uint64_t iotune[IOTUNE_COUNT];
};

enum nic_source { NIC_NETWORK, NIC_BRIDGE, NIC_USER, NIC_ETHERNET, NIC_DIRECT };

struct config_nic {
	enum nic_source source;
	uint8_t mac[6];
	char *from;   /* network, bridge or host interface; NULL: user, ethernet */
	char *tap;    /* wanted, or in a live configuration what it has */
	bool managed; /* ethernet: make the tap */
	char *filter;
	GHashTable
		*filter_parameters; /* char * -> char *: several values with commas; NULL: none */
	char *portgroup, *mode;     /* of the network; of a macvtap; NULL: theirs */
	bool isolated, trusted;     /* from other isolated ones; no rules against spoofing */
	bool link_down;
	unsigned queues, mtu;
	uint64_t in_average, in_peak, in_burst, out_average, out_peak,
		out_burst;   /* kbytes/s, kbytes */
	GPtrArray *forwards; /* char *: "tcp:ADDR:PORT:GUESTPORT" */
};

enum char_class { CHAR_SERIAL, CHAR_CONSOLE, CHAR_CHANNEL };

struct config_char {
	enum char_class class;
	bool virtio;          /* a port of the virtio console */
	bool twin;            /* the console that is the first serial port seen again: no device */
	bool driven;          /* false: spicevmc and the like, kept only */
	char *type;           /* pty, unix, file, tcp, null */
	char *path;           /* file, unix; live: pty */
	char *host, *service; /* tcp */
	bool server;          /* unix, tcp: bind */
	char *name;           /* channel's name in the guest */
	unsigned port;
};

struct config_device {
	enum device_kind kind;
	unsigned index; /* which child element of <devices> it is */
	char *alias;    /* id in lodge-vm too; unique */
	int slot; /* behind this root port (1..); 0: on the root bus at `device`; -1: nowhere */
	unsigned device; /* number on the root bus */
	union {
		struct config_disk disk;
		struct config_nic nic;
		struct config_char chr;
		struct {
			uint64_t max_bytes, period_ms;
		} rng;
		struct {
			bool deflate, reporting;
		} balloon;
	};
};

enum lifecycle_action {
	ACTION_DESTROY,
	ACTION_RESTART,
	ACTION_PRESERVE,
	ACTION_RENAME_RESTART,
	ACTION_COREDUMP_DESTROY,
	ACTION_COREDUMP_RESTART
};

/* -1: not given */
struct config_tune {
	int64_t shares, period, quota, emulator_period, emulator_quota, global_period, global_quota;
	int64_t weight;                              /* of block I/O */
	uint64_t hard_limit, soft_limit, swap_limit; /* KiB; 0: none */
	GPtrArray *vcpu_pin;                         /* char * cpuset by vCPU, NULL: not pinned */
	char *emulator_pin, *cpuset, *nodeset;
};

struct domain_config {
	int refs;
	char *xml; /* normal form */
	char *name, *title, *description;
	uint8_t uuid[16];
	uint64_t memory_kib, current_kib;
	unsigned vcpus_max, vcpus;
	bool kvm;  /* type='kvm': the CPU's virtualization, else the translator */
	char *cpu; /* lodge-vm's --cpu; NULL: its default */
	char *kernel, *initrd, *cmdline;
	bool hugepages;
	enum lifecycle_action on_poweroff, on_reboot, on_crash;
	struct config_tune tune;
	unsigned root_ports;
	GPtrArray *devices; /* struct config_device */
};

enum config_flags {
	CONFIG_LIVE = 1, /* keep what belongs to a running machine: aliases, taps, terminals */
};

/* Checks, completes and reads a definition. NULL with error. */
struct domain_config *domain_config_parse(const char *xml, unsigned flags, GError **error);
/* A changed copy. `edit` gets the root element; what it leaves is checked like any definition. */
typedef int domain_config_editor(xmlNode *root, void *opaque, GError **error);
struct domain_config *domain_config_edit(const struct domain_config *c, unsigned flags,
	domain_config_editor *edit, void *opaque, GError **error);
struct domain_config *domain_config_ref(const struct domain_config *c);
void domain_config_unref(struct domain_config *c);

/* The element of a device in a document that has the configuration's shape. */
xmlNode *domain_config_element(xmlNode *root, const struct config_device *d);
/* Borrowed; NULL: none. Disks by target or path, cards by MAC, tap or alias. */
struct config_device *domain_config_disk(const struct domain_config *c, const char *name);
struct config_device *domain_config_nic(const struct domain_config *c, const char *name);
struct config_device *domain_config_alias(const struct domain_config *c, const char *alias);
/* One device's XML read and completed as if it were added to c: the new configuration, and in
 * *ret_device the device in it. */
struct domain_config *domain_config_add_device(const struct domain_config *c, unsigned flags,
	const char *xml, struct config_device **ret_device, GError **error);
struct domain_config *domain_config_remove_device(const struct domain_config *c, unsigned flags,
	const struct config_device *d, GError **error);
/* `d` of c becomes what `xml` says. */
struct domain_config *domain_config_replace_device(const struct domain_config *c, unsigned flags,
	const struct config_device *d, const char *xml, GError **error);
/* The device of c that a client means by this XML. NULL with DEVICE_MISSING. */
struct config_device *domain_config_match(
	const struct domain_config *c, const char *xml, GError **error);

#endif
