/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board_boot.c: the PC board without a CPU: what the loaders put into memory and registers, and
 * every kind of bad kernel. A real kernel is the oracle of the guest tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h" /* before cmocka, which has a macro of the name fail */

#include <cmocka.h>
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "accel/accel.h"
#include "board/pc/pc.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"

enum { SETUP = 5 * 512, PAYLOAD = 64 * 1024 };

static char *dir;

static char *write_file(const char *name, const void *p, gsize n)
{
	char *path = g_build_filename(dir, name, NULL);

	assert_true(g_file_set_contents(path, p, n, NULL));
	return path;
}

static void put(uint8_t *p, unsigned off, uint64_t v, unsigned n)
{
	memcpy(p + off, &v, n);
}

/* A bzImage as boot.rst describes it; the payload is a counter. */
static uint8_t *bzimage(gsize *n)
{
	uint8_t *p = g_malloc0(*n = SETUP + PAYLOAD);

	p[0x1f1] = SETUP / 512 - 1;
	put(p, 0x1f4, PAYLOAD / 16, 4);
	put(p, 0x1fe, 0xaa55, 2);
	put(p, 0x200, 0x6aeb, 2);
	memcpy(p + 0x202, "HdrS", 4);
	put(p, 0x206, 0x020f, 2);
	p[0x211] = 1;
	put(p, 0x22c, 0x7fffffff, 4);
	put(p, 0x230, 0x200000, 4);
	p[0x234] = 1;
	put(p, 0x236, 1, 2);
	put(p, 0x238, 2047, 4);
	put(p, 0x258, 0x1000000, 8);
	put(p, 0x260, 0x400000, 4);
	for (unsigned i = 0; i < PAYLOAD; i++)
		p[SETUP + i] = i * 7 >> 4;
	return p;
}

static struct machine *build(const struct pc_spec *spec, GError **error)
{
	struct machine *m = machine_new(accel_find("null", NULL, NULL), error);

	if (pc_board_new(m, spec, error) < 0) {
		machine_free(m);
		return NULL;
	}
	machine_reset(m);
	assert_int_equal(m->exit_status, 0);
	return m;
}

static uint64_t peek(struct machine *m, uint64_t addr, unsigned n)
{
	uint64_t v = 0;

	assert_true(dma_read(m, addr, &v, n));
	return v;
}

static void test_linux(void **state)
{
	gsize n;
	g_autofree uint8_t *image = bzimage(&n);
	g_autofree char *kernel = write_file("bz", image, n),
			*initrd = write_file("rd", image, 5000);
	struct pc_spec spec = { .memory = 64 << 20, .cpus = 2, .kernel = kernel, .initrd = initrd,
		.append = "console=ttyS0 quiet" };
	struct machine *m = build(&spec, NULL);
	struct x86_cpu *c = m->vcpus[0]->arch;
	uint8_t buf[PAYLOAD];
	char text[20];
	uint64_t zero, rd;

	for (unsigned round = 0; round < 2; round++) { /* the second after the guest spoilt all */
		assert_true(dma_read(m, 0x1000000, buf, PAYLOAD));
		assert_memory_equal(buf, image + SETUP, PAYLOAD);
		assert_true(c->rip == 0x1000200);
		zero = c->gpr[RSI];
		assert_true(dma_read(m, peek(m, zero + 0x228, 4), text, sizeof(text)));
		assert_string_equal(text, "console=ttyS0 quiet");
		rd = peek(m, zero + 0x218, 4);
		assert_int_equal(rd % 4096, 0);
		assert_true(rd >= 0x1400000 && rd + 5000 <= 64 << 20);
		assert_int_equal(peek(m, zero + 0x21c, 4), 5000);
		assert_true(dma_read(m, rd, buf, 5000));
		assert_memory_equal(buf, image, 5000);
		assert_int_equal(peek(m, zero + 0x202, 4), 0x53726448);
		assert_int_equal(
			peek(m, peek(m, zero + 0x70, 8), 8), 0x2052545020445352); /* RSDP */
		/* identity map: the last large page of the fourth GiB */
		assert_int_equal(peek(m, (peek(m, peek(m, c->cr3, 8) & ~0xfffull, 8) & ~0xfffull) +
			511 * 8, 8), 511ull << 21 | 0x83);
		assert_true(c->cr0 & X86_CR0_PG && c->efer & X86_EFER_LMA);
		memset(((struct ram *)g_ptr_array_index(m->rams, 0))->host, 0xcc, 64 << 20);
		machine_reset(m);
	}
	machine_free(m);
	g_unlink(kernel);
	g_unlink(initrd);
}

static GByteArray *elf64(uint64_t paddr, uint32_t pvh)
{
	GByteArray *b = g_byte_array_new();
	Elf64_Ehdr e = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
		.e_entry = 0xffffffff81000010, .e_phoff = sizeof(e), .e_phnum = 2,
		.e_phentsize = sizeof(Elf64_Phdr), .e_ehsize = sizeof(e) };
	struct { Elf64_Nhdr h; char name[4]; uint32_t desc; } note = { { 4, 4, 18 }, "Xen", pvh };
	Elf64_Phdr load = { .p_type = PT_LOAD, .p_offset = 4096, .p_vaddr = 0xffffffff81000000,
		.p_paddr = paddr, .p_filesz = 4096, .p_memsz = 8192 };
	Elf64_Phdr notes = {
		.p_type = PT_NOTE, .p_offset = 512, .p_filesz = pvh ? sizeof(note) : 0
	};

	memcpy(e.e_ident, ELFMAG "\2\1\1", 7);
	g_byte_array_set_size(b, 8192);
	memset(b->data, 0x5a, 8192);
	memcpy(b->data, &e, sizeof(e));
	memcpy(b->data + sizeof(e), &load, sizeof(load));
	memcpy(b->data + sizeof(e) + sizeof(load), &notes, sizeof(notes));
	memcpy(b->data + 512, &note, sizeof(note));
	return b;
}

static void test_elf(void **state)
{
	g_autoptr(GByteArray) pvh = elf64(0x1000000, 0x1000040), plain = elf64(0x1000000, 0);
	g_autofree char *a = write_file("pvh", pvh->data, pvh->len);
	g_autofree char *b = write_file("plain", plain->data, plain->len);
	struct pc_spec spec = { .memory = 3584ull << 20, .cpus = 1, .kernel = a, .append = "x" };
	struct machine *m = build(&spec, NULL);
	struct x86_cpu *c = m->vcpus[0]->arch;

	assert_true(c->rip == 0x1000040);
	assert_false(c->cr0 & X86_CR0_PG);
	assert_true(c->seg[SEG_CS].attr & SEG_ATTR_DB);
	assert_int_equal(peek(m, c->gpr[RBX], 4), 0x336ec578);
	assert_int_equal(peek(m, c->gpr[RBX] + 12, 4), 0);
	assert_int_equal(peek(m, peek(m, c->gpr[RBX] + 24, 8), 2), 'x');
	/* the last entry of the memory map: what does not fit below the hole */
	assert_true(peek(m, peek(m, c->gpr[RBX] + 40, 8) +
		24 * (peek(m, c->gpr[RBX] + 48, 4) - 1), 8) == 1ull << 32);
	assert_int_equal(peek(m, 0x1000000, 1), 0x5a);
	assert_int_equal(peek(m, 0x1001000, 8), 0);
	machine_free(m);
	spec.kernel = b;
	m = build(&spec, NULL);
	c = m->vcpus[0]->arch;
	assert_true(c->rip == 0x1000010); /* the virtual entry point, as loaded */
	assert_true(c->efer & X86_EFER_LMA);
	machine_free(m);
	g_unlink(a);
	g_unlink(b);
}

static void refused(const struct pc_spec *spec, const char *part, int code)
{
	g_autoptr(GError) error = NULL;
	struct machine *m = build(spec, &error);

	assert_null(m);
	if (!strstr(error->message, part))
		fail_msg("'%s' lacks '%s'", error->message, part);
	assert_null(strchr(error->message, '\n'));
	assert_int_equal(error->code, code);
}

static void test_bad(void **state)
{
	gsize n;
	g_autofree uint8_t *image = bzimage(&n);
	g_autoptr(GByteArray) elf = elf64(0x90000, 0), high = elf64(1ull << 50, 0);
	g_autofree char *kernel = write_file("bz", image, n),
			*cut = write_file("cut", image, n - 100);
	g_autofree char *head = write_file("head", image, 1024),
			*empty = write_file("empty", "", 0);
	g_autofree char *text = write_file("text", "hello", 5);
	g_autofree char *elf_path = write_file("elf", elf->data, elf->len);
	g_autofree char *high_path = write_file("high", high->data, high->len);
	g_autofree char *short_elf = write_file("short", high->data, 100);
	g_autofree char *long_line = g_strnfill(3000, 'x');
	struct pc_spec s = { .memory = 64 << 20, .cpus = 1 };
	struct {
		const char *kernel, *initrd, *append, *format;
		uint64_t mem;
		const char *part;
		int code;
	} bad[] = {
		{ "/nonexistent", NULL, NULL, NULL, 0, "No such file", LODGE_ERROR_FILE },
		{ dir, NULL, NULL, NULL, 0, "not a file", LODGE_ERROR_FILE },
		{ cut, NULL, NULL, NULL, 0, "truncated", LODGE_ERROR_FILE },
		{ head, NULL, NULL, NULL, 0, "truncated", LODGE_ERROR_FILE },
		{ empty, NULL, NULL, NULL, 0, "empty", LODGE_ERROR_FILE },
		{ text, NULL, NULL, NULL, 0, "neither a bzImage nor an ELF", LODGE_ERROR_FILE },
		{ text, NULL, NULL, "rwa", 0, "did you mean 'raw'", LODGE_ERROR_USAGE },
		{ kernel, "/nonexistent", NULL, NULL, 0, "initrd", LODGE_ERROR_FILE },
		{ kernel, NULL, long_line, NULL, 0, "2047", LODGE_ERROR_USAGE },
		{ kernel, NULL, NULL, NULL, 4 << 20, "raise --memory", LODGE_ERROR_FILE },
		{ NULL, kernel, NULL, NULL, 0, "need --kernel", LODGE_ERROR_USAGE },
		{ elf_path, NULL, NULL, NULL, 0, "which the guest has not", LODGE_ERROR_FILE },
		{ high_path, NULL, NULL, NULL, 0, "which the guest has not", LODGE_ERROR_FILE },
		{ short_elf, NULL, NULL, NULL, 0, "truncated", LODGE_ERROR_FILE },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		s.kernel = bad[i].kernel;
		s.initrd = bad[i].initrd;
		s.append = bad[i].append;
		s.kernel_format = bad[i].format;
		s.memory = bad[i].mem ? bad[i].mem : 64 << 20;
		refused(&s, bad[i].part, bad[i].code);
	}
	/* an initrd that would fit alone, but not beside the kernel */
	s = (struct pc_spec){ .memory = 22 << 20, .cpus = 1, .kernel = kernel };
	{
		g_autofree char *zeros = g_malloc0(3 << 20);
		g_autofree char *rd = write_file("rd", zeros, 3 << 20);

		s.initrd = rd;
		refused(&s, "does not fit", LODGE_ERROR_FILE);
		s.memory = 24 << 20;
		machine_free(build(&s, NULL));
		g_unlink(rd);
	}
	s = (struct pc_spec){ .memory = 1 << 20, .cpus = 1 };
	refused(&s, "2 MiB", LODGE_ERROR_USAGE);
	s = (struct pc_spec){ .memory = 64 << 20, .cpus = 256 };
	refused(&s, "255", LODGE_ERROR_USAGE);
	for (unsigned i = 0; i < 8; i++) {
		const char *names[] = { kernel, cut, head, empty, text, elf_path, high_path,
			short_elf };

		g_unlink(names[i]);
	}
}

static void test_raw(void **state)
{
	g_autofree char *path = write_file("raw", "\xf4\x90", 2);
	struct pc_spec spec = {
		.memory = 2 << 20, .cpus = 1, .kernel = path, .kernel_format = "raw"
	};
	struct machine *m = build(&spec, NULL);
	struct x86_cpu *c = m->vcpus[0]->arch;

	assert_int_equal(peek(m, 0x7c00, 2), 0x90f4);
	assert_int_equal(c->seg[SEG_CS].base + c->rip, 0x7c00);
	assert_false(c->cr0 & X86_CR0_PE);
	machine_free(m);
	g_unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_bad),
	};
	int rc;

	dir = g_dir_make_tmp("lodge-boot-XXXXXX", NULL);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	g_rmdir(dir);
	g_free(dir);
	return rc;
}
