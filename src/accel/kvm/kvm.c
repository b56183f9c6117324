/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm.c: opens KVM and says what it lacks. Spec: Linux Documentation/virt/kvm/api.rst, 4.1-4.4. */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "core/engine.h"
#include "core/machine.h"

#define KVM_PATH "/dev/kvm"

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int rc;

	do {
		rc = ioctl(fd, request, arg);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

/*
 * A KVM without VT-x or AMD-V below it emulates guest kernels instruction by instruction and lacks
 * some of them, so `auto` takes KVM only where the CPU has the hardware.
 */
static bool cpu_has_virtualization(void)
{
	g_autofree char *text = NULL;
	const char *flags;
	g_auto(GStrv) words = NULL;

	if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
		return false;
	flags = strstr(text, "\nflags");
	if (!flags)
		return false;
	words = g_strsplit_set(flags + 1, " \n", 512);
	for (char **w = words; *w; w++) {
		if (strcmp(*w, "vmx") == 0 || strcmp(*w, "svm") == 0)
			return true;
		if (g_str_has_prefix(*w, "bugs"))
			break;
	}
	return false;
}

static const char *kvm_unusable(void)
{
	if (!cpu_has_virtualization())
		return "the CPU shows no vmx or svm";
	if (access(KVM_PATH, F_OK) < 0)
		return "there is no " KVM_PATH " (module kvm_intel or kvm_amd not loaded?)";
	if (access(KVM_PATH, R_OK | W_OK) < 0)
		return "no permission for " KVM_PATH " (is this user in group kvm?)";
	return NULL;
}

static int open_device(struct kvm_vm *vm, GError **error)
{
	int version;

	vm->kvm = open(KVM_PATH, O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		const char *cure = errno == ENOENT ? "load kvm_intel or kvm_amd, or use --accel jit"
			: errno == EACCES ? "add this user to group kvm, or use --accel jit"
					  : "or use --accel jit";
		int err = errno;

		return fail(error, LODGE_ERROR_HOST, KVM_PATH ": %s; %s", g_strerror(err), cure);
	}
	version = kvm_ioctl(vm->kvm, KVM_GET_API_VERSION, NULL);
	if (version != KVM_API_VERSION)
		return fail(error, LODGE_ERROR_HOST, KVM_PATH " speaks API version %d, Lodge needs %d",
			version, KVM_API_VERSION);
	return 0;
}

static bool has(const struct kvm_vm *vm, long cap)
{
	return kvm_ioctl(vm->kvm, KVM_CHECK_EXTENSION, (void *)cap) > 0;
}

/* What there is no way around is named in one line; the rest is done without. */
static int check_capabilities(struct kvm_vm *vm, GError **error)
{
	static const struct {
		long cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "USER_MEMORY" }, { KVM_CAP_IRQCHIP, "IRQCHIP" },
		{ KVM_CAP_PIT2, "PIT2" }, { KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
		{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" }, { KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
		{ KVM_CAP_EXT_CPUID, "EXT_CPUID" }, { KVM_CAP_MP_STATE, "MP_STATE" },
		{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" }, { KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	};
	g_autoptr(GString) missing = g_string_new(NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
		if (!has(vm, needed[i].cap))
			g_string_append_printf(missing, " %s", needed[i].name);
	}
	if (missing->len)
		return fail(error, LODGE_ERROR_HOST, "this host's KVM lacks%s; use --accel jit",
			missing->str);
	vm->irqfd = has(vm, KVM_CAP_IRQFD);
	vm->ioeventfd = has(vm, KVM_CAP_IOEVENTFD);
	vm->xsave = has(vm, KVM_CAP_XSAVE);
	vm->xcrs = has(vm, KVM_CAP_XCRS);
	vm->debugregs = has(vm, KVM_CAP_DEBUGREGS);
	vm->readonly = has(vm, KVM_CAP_READONLY_MEM);
	return 0;
}

static int create_vm(struct kvm_vm *vm, GError **error)
{
	uint64_t identity_map = 0xfeffc000;
	int rc;

	rc = kvm_ioctl(vm->kvm, KVM_CREATE_VM, NULL);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: cannot make a virtual machine");
	vm->fd = rc;
	fcntl(vm->fd, F_SETFD, FD_CLOEXEC);
	rc = kvm_ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (rc < (int)sizeof(struct kvm_run))
		return fail(error, LODGE_ERROR_HOST, "KVM: vCPU mapping of %d bytes", rc);
	vm->run_size = (size_t)rc;
	/* Intel without unrestricted guest wants four pages of guest-physical space, out of RAM's way
	 * (api.rst 4.36, 4.41). */
	kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	rc = kvm_ioctl(vm->fd, KVM_SET_TSS_ADDR, (void *)(identity_map + 0x1000));
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: cannot place the TSS");
	return 0;
}

static void kvm_close(struct machine *m)
{
	struct kvm_vm *vm = m->accel_vm;

	if (!vm)
		return;
	kvm_slots_fini(vm);
	kvm_irqchip_fini(vm);
	g_clear_pointer(&vm->msrs, g_hash_table_unref);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	g_clear_pointer(&m->accel_vm, g_free);
}

static int kvm_open(struct machine *m, GError **error)
{
	struct kvm_vm *vm = g_new0(struct kvm_vm, 1);

	m->accel_vm = vm;
	vm->machine = m;
	vm->kvm = vm->fd = -1;
	if (open_device(vm, error) < 0 || check_capabilities(vm, error) < 0 ||
		create_vm(vm, error) < 0 || kvm_features_init(vm, error) < 0 ||
		kvm_irqchip_init(vm, error) < 0) {
		kvm_close(m);
		return -1;
	}
	kvm_slots_init(vm);
	return 0;
}

const struct accel accel_kvm = {
	.name = "kvm",
	.help = "the CPU's own virtualization",
	.unusable = kvm_unusable,
	.open = kvm_open,
	.close = kvm_close,
	.vcpu_init = kvm_vcpu_init,
	.vcpu_fini = kvm_vcpu_fini,
	.vcpu_reset = kvm_vcpu_reset,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.vcpu_pull = kvm_pull,
	.vcpu_push = kvm_push,
	.vcpu_step = kvm_vcpu_step,
	.dirty_log = kvm_dirty_log,
	.dirty_sync = kvm_dirty_sync,
	.irqchip_class = kvm_irqchip_class,
};
