/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * native.c: runs test code on this CPU. Assembly loads the whole register state and jumps; a signal
 * (INT3 behind the code, or a fault) brings it back with all registers in its frame.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <asm/ldt.h>
#include <asm/prctl.h>

#include "diff.h"

enum { ALT_STACK = 65536, XSTATE_BV = 512, YMM_HIGH = 576, XSAVE_SIZE = 4096, HANG_MS = 2000,
       USER_CS = 0x33, USER_CS32 = 0x23, USER_DS = 0x2b /* Linux's selectors */ };

/* Order and offsets are the assembly's. */
struct entry {
	uint64_t gpr[16];	/* 0 … 120 */
	uint64_t rflags;	/* 128 */
	uint64_t rip;		/* 136 */
	uint64_t host_rsp;	/* 144 */
	void *xsave;		/* 152 */
	uint64_t mask;		/* 160 */
	uint32_t far_offset;	/* 168 */
	uint16_t far_selector;	/* 172 */
	uint16_t stack_selector; /* 174 */
} native_entry;

static uint8_t xsave_image[XSAVE_SIZE] __attribute__((aligned(64)));
static struct diff_result *result;
static volatile bool inside, started, hung;
static struct sigaction before[NSIG];
static void (*stop)(void *opaque);
static void *stop_opaque;
static bool have_fsgsbase;

/* Everything but the last jump, which for 32-bit code is a far one. */
#define LOAD_REGISTERS                                                                                     \
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"                      \
	"	mov %rsp, native_entry+144(%rip)\n"                                                      \
	"	mov native_entry+152(%rip), %rcx\n"                                                      \
	"	mov native_entry+160(%rip), %eax\n"                                                      \
	"	xor %edx, %edx\n"                                                                        \
	"	xrstor64 (%rcx)\n"                                                                       \
	"	mov native_entry+0(%rip), %rax\n"                                                        \
	"	mov native_entry+8(%rip), %rcx\n"                                                        \
	"	mov native_entry+16(%rip), %rdx\n"                                                       \
	"	mov native_entry+24(%rip), %rbx\n"                                                       \
	"	mov native_entry+40(%rip), %rbp\n"                                                       \
	"	mov native_entry+48(%rip), %rsi\n"                                                       \
	"	mov native_entry+56(%rip), %rdi\n"                                                       \
	"	mov native_entry+64(%rip), %r8\n"                                                        \
	"	mov native_entry+72(%rip), %r9\n"                                                        \
	"	mov native_entry+80(%rip), %r10\n"                                                       \
	"	mov native_entry+88(%rip), %r11\n"                                                       \
	"	mov native_entry+96(%rip), %r12\n"                                                       \
	"	mov native_entry+104(%rip), %r13\n"                                                      \
	"	mov native_entry+112(%rip), %r14\n"                                                      \
	"	mov native_entry+120(%rip), %r15\n"                                                      \
	"	push native_entry+128(%rip)\n"                                                           \
	"	popf\n"                                                                                  \
	"	mov native_entry+174(%rip), %ss\n"                                                       \
	"	mov native_entry+32(%rip), %rsp\n"

void native_enter(void);
void native_enter_far(void);
void native_back(void);
__asm__(
	".text\n"
	".globl native_enter, native_enter_far, native_back\n"
	"native_enter:\n"
	LOAD_REGISTERS
	"	jmp *native_entry+136(%rip)\n"
	"native_enter_far:\n"
	LOAD_REGISTERS
	"	ljmp *native_entry+168(%rip)\n"
	"native_back:\n"
	"	mov native_entry+144(%rip), %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	cld\n"
	"	ret\n");

static void take_fpstate(const struct _libc_fpstate *fp, struct x86_cpu *c)
{
	const uint8_t *raw = (const uint8_t *)fp;
	uint64_t bv;

	c->fpu.fcw = fp->cwd;
	c->fpu.fsw = fp->swd;
	c->fpu.ftw = (uint8_t)fp->ftw;
	memcpy(c->fpu.st, fp->_st, sizeof(c->fpu.st));
	c->mxcsr = fp->mxcsr;
	memcpy(&bv, raw + XSTATE_BV, 8);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(c->ymm[i], &fp->_xmm[i], 16);
		if (bv & 4)
			memcpy(c->ymm[i] + 2, raw + YMM_HIGH + i * 16, 16);
		else
			memset(c->ymm[i] + 2, 0, 16);
	}
}

/* Not the test code's: the watchdog of another engine, or a signal that engine handles. */
static void other_signal(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *a = &before[sig];

	if (sig == SIGALRM && stop)
		stop(stop_opaque);
	else if (a->sa_flags & SA_SIGINFO)
		a->sa_sigaction(sig, info, context);
	else
		signal(sig, SIG_DFL);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	static const uint8_t order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
		REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t *u = context;
	greg_t *g = u->uc_mcontext.gregs;
	struct x86_cpu *c = &result->cpu;

	/* the kernel leaves RFLAGS.AC to handlers */
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" : : : "cc", "memory");
	if (!inside) {
		other_signal(sig, info, context);
		return;
	}
	/* RFLAGS.TF traps already in native_enter, and once before the first instruction of the test */
	if (!started && g[REG_TRAPNO] == X86_DB) {
		started = (uint64_t)g[REG_RIP] == native_entry.rip;
		return;
	}
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = (uint64_t)g[order[i]];
	c->rip = (uint64_t)g[REG_RIP];
	c->rflags = (uint64_t)g[REG_EFL];
	take_fpstate(u->uc_mcontext.fpregs, c);
	result->vector = (int)g[REG_TRAPNO];
	result->fault_address = (uint64_t)g[REG_CR2];
	result->error = (unsigned)g[REG_ERR];
	if (sig == SIGALRM)
		hung = true;
	if (sig == SIGTRAP && result->vector == X86_BP) {
		c->rip--;
		result->vector = VECTOR_NONE;
	}
	inside = false;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0xffffffff0000ll) | USER_CS | (greg_t)USER_DS << 48;
	g[REG_RIP] = (greg_t)(uintptr_t)native_back;
	g[REG_RSP] = (greg_t)native_entry.host_rsp;
	g[REG_EFL] = 0x202;
	/* back to the host's idea of floating point */
	u->uc_mcontext.fpregs->cwd = 0x37f;
	u->uc_mcontext.fpregs->swd = 0;
	u->uc_mcontext.fpregs->ftw = 0;
	u->uc_mcontext.fpregs->mxcsr = 0x1f80;
}

static bool map_at(uint64_t va, size_t size, int prot, int fd)
{
	void *p = mmap((void *)(uintptr_t)va, size, prot, (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) |
		MAP_FIXED_NOREPLACE, fd, 0);

	return p == (void *)(uintptr_t)va;
}

static bool map_all(struct diff_memory *m)
{
	int fd = memfd_create("diff-code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, CODE_SIZE) < 0)
		return false;
	m->code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m->code == MAP_FAILED || !map_at(CODE_BASE, CODE_SIZE, PROT_READ | PROT_EXEC, fd) ||
			!map_at(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE, -1) ||
			!map_at(DATA_BASE + DATA_SIZE, READONLY_SIZE, PROT_READ, -1))
		return false;
	close(fd);
	m->data = (uint8_t *)(uintptr_t)DATA_BASE;
	memset(m->data, 0, DATA_SIZE);
	(void)*(volatile uint8_t *)(m->data + DATA_SIZE); /* all present, for the error codes of faults */
	memset(m->code, 0xcc, CODE_SIZE);
	return true;
}

bool native_init(struct diff_memory *m)
{
	if (map_all(m))
		return true;
	fprintf(stderr, "cannot map the test's memory: %s\n", strerror(errno));
	return false;
}

/* The translator uses the GS base on this thread as well. */
static void set_gs(void)
{
	uint64_t base = DATA_BASE + GS_OFFSET;

	if (have_fsgsbase)
		__asm__ volatile("wrgsbase %0" : : "r"(base));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

/* Code and data with the bases and limits that diff.h says. */
static void make_ldt(void)
{
	struct user_desc code = { .entry_number = CODE_SELECTOR >> 3, .base_addr = CODE_BASE, .limit = 0xffff,
		.seg_32bit = diff_bits == 32, .contents = 2, .useable = 1 };
	struct user_desc data = { .entry_number = DATA_SELECTOR >> 3, .base_addr = DATA_BASE,
		.limit = SEGMENT_LIMIT, .seg_32bit = diff_bits == 32, .useable = 1 };

	if (syscall(SYS_modify_ldt, 1, &code, sizeof(code)) || syscall(SYS_modify_ldt, 1, &data, sizeof(data))) {
		fprintf(stderr, "no LDT on this host: %s\n", strerror(errno));
		exit(77); /* skipped, to meson */
	}
}

static void mask_alarm(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(how, &set, NULL);
}

void native_block_watchdog(void)
{
	mask_alarm(SIG_BLOCK);
}

void native_init_thread(struct diff_memory *m, void (*stop_fn)(void *opaque), void *opaque)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM };
	stack_t alt = { .ss_sp = malloc(ALT_STACK), .ss_size = ALT_STACK };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	uint32_t lo, hi;

	stop = stop_fn;
	stop_opaque = opaque;
	have_fsgsbase = getauxval(AT_HWCAP2) & 2; /* HWCAP2_FSGSBASE */
	mask_alarm(SIG_UNBLOCK);
	sigfillset(&sa.sa_mask);
	sigaltstack(&alt, NULL);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, &before[signals[i]]);
	if (diff_segmented)
		make_ldt();
	if (diff_bits != 64)
		__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(diff_segmented ? DATA_SELECTOR : USER_DS));
	__asm__("mov %%es, %0; mov %%cs, %1; mov %%ss, %2; mov %%ds, %3; mov %%fs, %4; mov %%gs, %5" :
		"=r"(m->selector[SEG_ES]), "=r"(m->selector[SEG_CS]), "=r"(m->selector[SEG_SS]),
		"=r"(m->selector[SEG_DS]), "=r"(m->selector[SEG_FS]), "=r"(m->selector[SEG_GS]));
	m->selector[SEG_CS] = diff_bits == 64 ? USER_CS : diff_segmented ? CODE_SELECTOR : USER_CS32;
	m->selector[SEG_SS] = diff_segmented ? DATA_SELECTOR : USER_DS;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	native_entry.mask = lo & 7;
	native_entry.xsave = xsave_image;
}

static void fill_xsave(const struct x86_cpu *c)
{
	uint8_t *x = xsave_image;
	uint64_t bv = native_entry.mask;

	memcpy(x, &c->fpu.fcw, 2);
	memcpy(x + 2, &c->fpu.fsw, 2);
	x[4] = c->fpu.ftw;
	memcpy(x + 24, &c->mxcsr, 4);
	memcpy(x + 32, c->fpu.st, sizeof(c->fpu.st));
	for (unsigned i = 0; i < 16; i++) {
		memcpy(x + 160 + i * 16, c->ymm[i], 16);
		memcpy(x + YMM_HIGH + i * 16, c->ymm[i] + 2, 16);
	}
	memcpy(x + XSTATE_BV, &bv, 8);
}

void native_watchdog(unsigned ms)
{
	struct itimerval t = { .it_value = { .tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

bool native_run(struct diff_memory *m, const struct diff_case *c, struct diff_result *out)
{
	memcpy(m->code + c->offset, c->code, c->n);
	memcpy(native_entry.gpr, c->start.gpr, sizeof(native_entry.gpr));
	native_entry.rflags = c->start.rflags;
	native_entry.rip = c->start.rip;
	native_entry.far_offset = (uint32_t)c->start.rip;
	native_entry.far_selector = diff_segmented ? CODE_SELECTOR : USER_CS32;
	native_entry.stack_selector = diff_segmented ? DATA_SELECTOR : USER_DS;
	fill_xsave(&c->start);
	result = out;
	hung = started = false;
	inside = true;
	set_gs();
	native_watchdog(HANG_MS);
	if (diff_bits == 64)
		native_enter();
	else
		native_enter_far();
	native_watchdog(0);
	memset(m->code + c->offset, 0xcc, c->n);
	out->memory_changed = memcmp(m->data, m->golden, DATA_SIZE) != 0;
	if (out->memory_changed) {
		memcpy(out->data, m->data, DATA_SIZE);
		memcpy(m->data, m->golden, DATA_SIZE);
	}
	return !hung;
}
