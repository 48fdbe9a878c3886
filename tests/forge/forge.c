// SPDX-License-Identifier: MIT
/*
 * A boot loader that lies, for tests/test_forged.py.
 *
 * GRUB loads this as if it were the hypervisor. It carries the real one inside, puts it where GRUB
 * might have (at LOAD_AT: the image relocates itself), copies GRUB's information block, falsifies
 * what the word `forge=` of the command line says, and jumps to the hypervisor's entry as a
 * Multiboot2 loader does. 32-bit code: that is how both are entered.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define LOAD_AT	  0x20000000u
#define ELF_BASE  0xffffffff80000000ull
#define MAGIC	  0x36d76289u
#define BLOCK_MAX 65536
#define NO_TAG	  0xffffu

struct tag {
	u32 type, bytes;
};

struct __attribute__((packed)) elf_header {
	u8 ident[16];
	u8 type_machine_version[8];
	u64 entry, phoff, shoff;
	u32 flags;
	unsigned short ehsize, phentsize, phnum;
};

struct __attribute__((packed)) elf_segment {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

extern const u8 hypervisor[];
static u8 block[BLOCK_MAX] __attribute__((aligned(4096)));

void forge(u32 magic, const u8 *from);
void jump(u32 magic, u32 block, u32 entry);

static void copy(u8 *to, const u8 *from, u32 n)
{
	for (u32 i = 0; i < n; i++)
		to[i] = from[i];
}

static int starts(const char *s, const char *with)
{
	while (*with)
		if (*s++ != *with++)
			return 0;
	return 1;
}

static struct tag *find(u32 type)
{
	for (u32 at = 8; at < *(u32 *)block;) {
		struct tag *t = (struct tag *)(block + at);

		if (t->type == type)
			return t;
		if (t->type == 0)
			break;
		at += (t->bytes + 7) & ~7u;
	}
	return 0;
}

/* Leave @t only @bytes; what follows becomes a tag that nobody knows. */
static void split(struct tag *t, u32 bytes)
{
	struct tag *rest = (struct tag *)((u8 *)t + bytes);

	rest->type = NO_TAG;
	rest->bytes = t->bytes - bytes;
	t->bytes = bytes;
}

static const char *wanted(void)
{
	struct tag *t = find(1);
	const char *s = t ? (const char *)(t + 1) : "";

	for (; *s; s++)
		if (starts(s, "forge="))
			return s + 6;
	return "";
}

static u32 load(void)
{
	const struct elf_header *h = (const struct elf_header *)hypervisor;

	for (u32 i = 0; i < h->phnum; i++) {
		const struct elf_segment *s =
			(const struct elf_segment *)(hypervisor + (u32)h->phoff + i * h->phentsize);
		u8 *to = (u8 *)(LOAD_AT + (u32)(s->vaddr - ELF_BASE));

		copy(to, hypervisor + (u32)s->offset, (u32)s->filesz);
		for (u32 k = (u32)s->filesz; k < (u32)s->memsz; k++)
			to[k] = 0;
	}
	return LOAD_AT + (u32)(h->entry - ELF_BASE);
}

static void x2apic(void)
{
	__asm__ volatile("rdmsr; orl $0xc00, %%eax; wrmsr" ::"c"(0x1b) : "eax", "edx", "memory");
}

/*
 * Firmware that keeps its tables and its screen above 4 GiB: copies of the ACPI tables lie there, a
 * new root pointer leads to them, and the framebuffer's tag names RAM there.
 */
#define HIGH	    0x110000000ull
#define HIGH_SCREEN 0x120000000ull
#define WINDOW	    0xc0000000u /* HIGH's 1 GiB is shown here meanwhile */

struct __attribute__((packed)) acpi_table {
	u8 signature[4];
	u32 bytes;
	u8 revision, checksum, rest[26];
	u32 entry[];
};

static u64 directories[4][512] __attribute__((aligned(4096)));
static u64 pointers[4] __attribute__((aligned(32)));

static void paging(int on)
{
	for (u32 i = 0; i < 4 * 512; i++)
		directories[i / 512][i % 512] =
			(i / 512 == 3 ? (HIGH & ~0x3fffffffull) + (i % 512) * 0x200000ull
				      : i * 0x200000ull) |
			0x83;
	for (u32 i = 0; i < 4; i++)
		pointers[i] = (u32)directories[i] | 1;
	if (on)
		__asm__ volatile("mov %%cr4, %%eax; or $0x20, %%eax; mov %%eax, %%cr4;"
				 "mov %0, %%cr3; mov %%cr0, %%eax; or $0x80000000, %%eax;"
				 "mov %%eax, %%cr0" ::"r"(pointers)
				 : "eax", "memory");
	else
		__asm__ volatile("mov %%cr0, %%eax; and $0x7fffffff, %%eax; mov %%eax, %%cr0" ::
					 : "eax", "memory");
}

static void sum(u8 *table, u32 n, u8 *checksum)
{
	u8 all = 0;

	*checksum = 0;
	for (u32 i = 0; i < n; i++)
		all = (u8)(all + table[i]);
	*checksum = (u8)-all;
}

/* One more tag at the block's end. */
static void append(u32 type, const u8 *body, u32 n)
{
	struct tag *t = find(0), *end = (struct tag *)((u8 *)t + ((8 + n + 7) & ~7u));

	t->type = type;
	t->bytes = 8 + n;
	copy((u8 *)(t + 1), body, n);
	end->type = 0;
	end->bytes = 8;
	*(u32 *)block = (u32)((u8 *)(end + 1) - block);
}

static void high(void)
{
	static const u32 screen[] = {(u32)HIGH_SCREEN,
				     (u32)(HIGH_SCREEN >> 32),
				     4096,
				     1024,
				     768,
				     0x120,
				     0x08080810,
				     0x0800};
	struct tag *old = find(14);
	u8 root[36] = {0};
	u8 *at = (u8 *)WINDOW + (u32)(HIGH & 0x3fffffff);
	struct acpi_table *xsdt = (struct acpi_table *)at;
	struct acpi_table *rsdt = *(struct acpi_table **)((u8 *)(old + 1) + 16);
	u32 n = (rsdt->bytes - 36) / 4;

	paging(1);
	copy(at, (const u8 *)rsdt, 36);
	copy(xsdt->signature, (const u8 *)"XSDT", 4);
	xsdt->bytes = 36 + 8 * n;
	at += 4096;
	for (u32 i = 0; i < n; i++) {
		const struct acpi_table *t = (const struct acpi_table *)rsdt->entry[i];

		*(u64 *)(xsdt->entry + 2 * i) = HIGH + (u32)(at - (u8 *)xsdt);
		copy(at, (const u8 *)t, t->bytes);
		at += (t->bytes + 15) & ~15u;
	}
	sum((u8 *)xsdt, xsdt->bytes, &xsdt->checksum);
	paging(0);

	copy(root, (const u8 *)(old + 1), 20);
	root[15] = 2;
	*(u32 *)(root + 20) = 36;
	*(u64 *)(root + 24) = HIGH;
	sum(root, 20, root + 8);
	sum(root, 36, root + 32);
	append(15, root, 36);
	append(8, (const u8 *)screen, 30);
}

void forge(u32 magic, const u8 *from)
{
	u32 bytes = *(const u32 *)from, entry = load();
	const char *what;

	copy(block, from, bytes < BLOCK_MAX ? bytes : BLOCK_MAX);
	what = wanted();
	if (starts(what, "no-map"))
		find(6)->type = NO_TAG;
	else if (starts(what, "empty-map"))
		split(find(6), 16);
	else if (starts(what, "no-ram"))
		for (u32 at = 16; at + 24 <= find(6)->bytes; at += 24)
			((u32 *)((u8 *)find(6) + at))[4] = 2;
	else if (starts(what, "map-entry-size"))
		((u32 *)find(6))[2] = 0;
	else if (starts(what, "tag-size"))
		find(6)->bytes = 0xfffffff0;
	else if (starts(what, "zero-total"))
		*(u32 *)block = 0;
	else if (starts(what, "huge-total"))
		*(u32 *)block = 0xffffffff;
	else if (starts(what, "no-end"))
		find(0)->type = NO_TAG;
	else if (starts(what, "null-block"))
		jump(magic, 0, entry);
	else if (starts(what, "high"))
		high();
	else if (starts(what, "magic"))
		magic = 0x2badb002;
	else if (starts(what, "x2apic"))
		x2apic();
	jump(magic, (u32)block, entry);
}

__asm__(".section .header, \"a\"\n"
	".balign 8\n"
	"header: .long 0xe85250d6, 0, 24 + FRAMEBUFFER, -(0xe85250d6 + 24 + FRAMEBUFFER)\n"
	".if FRAMEBUFFER\n"
	"	.short 5, 1\n" /* as the hypervisor asks for it */
	"	.long 20, 0, 0, 0, 0\n"
	".endif\n"
	"	.short 0, 0\n"
	"	.long 8\n"
	".text\n"
	".globl start\n"
	"start:	cli\n"
	"	movl $stack_top, %esp\n"
	"	pushl %ebx\n"
	"	pushl %eax\n"
	"	call forge\n"
	".globl jump\n"
	"jump:	movl 4(%esp), %eax\n"
	"	movl 8(%esp), %ebx\n"
	"	jmp *12(%esp)\n"
	".section .rodata\n"
	".balign 16\n"
	".globl hypervisor\n"
	"hypervisor: .incbin \"" HYPERVISOR "\"\n"
	".bss\n"
	".skip 4096\n"
	"stack_top:\n"
	".text\n");
