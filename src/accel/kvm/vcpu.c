/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vcpu.c: a KVM vCPU: made, run, kicked. Spec: api.rst 4.7 (vCPU), 4.10 (run), 5 (struct kvm_run). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm.h"
#include "base/error.h"
#include "base/log.h"
#include "core/engine.h"
#include "core/machine.h"
#include "core/vcpu.h"

enum { KICK_SIGNAL = SIGUSR1 };

static void on_kick(int sig)
{
	/* Its arrival is all that matters: KVM_RUN comes back with EINTR. */
}

int kvm_vcpu_init(struct vcpu *c, GError **error)
{
	struct kvm_vm *vm = c->machine->accel_vm;
	struct kvm_vcpu *k = g_new0(struct kvm_vcpu, 1);
	struct sigaction sa = { .sa_handler = on_kick };
	int rc;

	c->engine = k;
	c->arch = &k->arch;
	k->vcpu = c;
	k->vm = vm;
	sigaction(KICK_SIGNAL, &sa, NULL);
	k->fd = rc = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, (void *)(uintptr_t)c->index);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: cannot make vCPU %u", c->index);
	k->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->run == MAP_FAILED) {
		k->run = NULL;
		return fail_errno(error, LODGE_ERROR_HOST, errno, "KVM: cannot map vCPU %u", c->index);
	}
	if (kvm_cpuid_set(k, error) < 0)
		return -1;
	rc = kvm_ioctl(k->fd, KVM_GET_LAPIC, &k->lapic_reset);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: no local APIC");
	k->arch.apic_id = c->index;
	x86_cpu_reset(&k->arch, c->index == 0, false);
	return 0;
}

void kvm_vcpu_fini(struct vcpu *c)
{
	struct kvm_vcpu *k = c->engine;

	if (!k)
		return;
	if (k->run)
		munmap(k->run, k->vm->run_size);
	if (k->fd >= 0)
		close(k->fd);
	g_free(k);
	c->engine = c->arch = NULL;
}

void kvm_vcpu_reset(struct vcpu *c)
{
	struct kvm_vcpu *k = c->engine;
	g_autoptr(GError) error = NULL;

	k->completing = false;
	x86_cpu_reset(&k->arch, c->index == 0, false);
	k->arch.activity = c->index == 0 ? X86_RUNNING : X86_WAIT_SIPI;
	if (kvm_push(c, &error) < 0)
		log_warn("vCPU %u: reset: %s", c->index, error->message);
	kvm_ioctl(k->fd, KVM_SET_LAPIC, &k->lapic_reset);
}

void kvm_vcpu_kick(struct vcpu *c)
{
	struct kvm_vcpu *k = c->engine;

	/* Before KVM_RUN looks: the flag stops it. After: the signal does. */
	__atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (c->tid)
		tgkill(getpid(), c->tid, KICK_SIGNAL);
}

/* An access of any length, in pieces a space takes. */
static void access_space(struct space *s, uint64_t addr, uint8_t *data, unsigned len, bool write)
{
	while (len) {
		unsigned n = len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
		uint64_t val = 0;

		if (write) {
			memcpy(&val, data, n);
			space_write(s, addr, val, n);
		} else {
			val = space_read(s, addr, n);
			memcpy(data, &val, n);
		}
		addr += n;
		data += n;
		len -= n;
	}
}

static void do_io(struct kvm_vcpu *k)
{
	struct kvm_run *r = k->run;
	uint8_t *data = (uint8_t *)r + r->io.data_offset;

	for (unsigned i = 0; i < r->io.count; i++, data += r->io.size)
		access_space(k->vm->machine->ports, r->io.port, data, r->io.size,
			r->io.direction == KVM_EXIT_IO_OUT);
}

static void log_broken(struct kvm_vcpu *k)
{
	const struct kvm_run *r = k->run;
	struct kvm_regs regs = { 0 };

	kvm_ioctl(k->fd, KVM_GET_REGS, &regs);
	switch (r->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		log_warn("KVM: internal error %u at rip 0x%llx%s", r->internal.suberror, regs.rip,
			r->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction it cannot emulate; try --accel jit)" : "");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		log_warn("KVM: the CPU refused to enter the guest (reason 0x%llx)",
			r->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		log_warn("KVM: unexpected exit %u at rip 0x%llx", r->exit_reason, regs.rip);
	}
}

/* true: go on; false: *ret says why not. */
static bool handle_exit(struct kvm_vcpu *k, enum vcpu_exit *ret)
{
	struct kvm_run *r = k->run;

	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		do_io(k);
		k->completing = true;
		return true;
	case KVM_EXIT_MMIO:
		access_space(k->vm->machine->memory, r->mmio.phys_addr, r->mmio.data,
			MIN(r->mmio.len, sizeof(r->mmio.data)), r->mmio.is_write);
		k->completing = true;
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_SYSTEM_EVENT:
		*ret = VCPU_SHUTDOWN;
		return false;
	case KVM_EXIT_DEBUG:
		*ret = VCPU_DEBUG;
		return false;
	default:
		log_broken(k);
		*ret = VCPU_BROKEN;
		return false;
	}
}

/* KVM finishes an emulated access on the next entry only; until then the registers are not final. */
static void complete(struct kvm_vcpu *k)
{
	if (!k->completing)
		return;
	k->completing = false;
	k->run->immediate_exit = 1;
	ioctl(k->fd, KVM_RUN, 0);
	k->run->immediate_exit = 0;
}

enum vcpu_exit kvm_vcpu_run(struct vcpu *c)
{
	struct kvm_vcpu *k = c->engine;
	enum vcpu_exit ret;

	for (;;) {
		uint32_t ev;

		__atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		ev = vcpu_events(c);
		if (ev & VCPU_EV_EXIT) {
			complete(k);
			return VCPU_KICKED;
		}
		if (ev & VCPU_EV_NMI)
			ioctl(k->fd, KVM_NMI, 0);
		vcpu_events_clear(c, ev);
		if (ioctl(k->fd, KVM_RUN, 0) < 0) {
			k->completing = false;
			if (errno == EINTR || errno == EAGAIN)
				continue;
			log_warn("KVM: vCPU %u: %s", c->index, g_strerror(errno));
			return VCPU_BROKEN;
		}
		k->completing = false;
		if (!handle_exit(k, &ret))
			return ret;
	}
}

int kvm_vcpu_step(struct vcpu *c, bool on, GError **error)
{
	struct kvm_vcpu *k = c->engine;
	struct kvm_guest_debug d = {
		.control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0,
	};
	int rc = kvm_ioctl(k->fd, KVM_SET_GUEST_DEBUG, &d);

	return rc < 0 ? fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: no guest debugging") : 0;
}
