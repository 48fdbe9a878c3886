// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/store.c
/*
 * Stores to the local APIC as compilers write them (encodings by GNU as), and what is no store.
 */
#include "test.h"

#include <x86/vmx/store.h>

static const struct hv_gprs regs = {
	.rax = 0x11111111aaaaaaaa, .rsp = 0x44, .rsi = 0x66, .r8 = 0x88, .r12 = 0xcc, .r15 = 0xff};

TEST(stores)
{
	static const struct {
		const char *what;
		uint8_t code[STORE_MAX_BYTES];
		unsigned int length;
		uint32_t value;
	} rows[] = {
		{"mov %eax,(%rdi)", {0x89, 0x07}, 2, 0xaaaaaaaa},
		{"mov %esi,0xffffffffff5fc300", {0x89, 0x34, 0x25, 0, 0xc3, 0x5f, 0xff}, 7, 0x66},
		{"mov %esi,-0xa04000(%rdi)", {0x89, 0xb7, 0, 0xc0, 0x5f, 0xff}, 6, 0x66},
		{"mov %r8d,0x10(%rax)", {0x44, 0x89, 0x40, 0x10}, 4, 0x88},
		{"mov %esp,(%rax)", {0x89, 0x20}, 2, 0x44},
		{"mov %r12d,(%r12)", {0x45, 0x89, 0x24, 0x24}, 4, 0xcc},
		{"mov %r15d,0(%r13)", {0x45, 0x89, 0x7d, 0}, 4, 0xff},
		{"mov %eax,8(%rax,%rcx,4)", {0x89, 0x44, 0x88, 8}, 4, 0xaaaaaaaa},
		{"mov %eax,0x100(%rax,%rcx,4)", {0x89, 0x84, 0x88, 0, 1, 0, 0}, 7, 0xaaaaaaaa},
		{"mov %eax,0x20(%rip)", {0x89, 5, 0x20, 0, 0, 0}, 6, 0xaaaaaaaa},
		{"movl $0,0xb0(%rax)", {0xc7, 0x80, 0xb0, 0, 0, 0, 0, 0, 0, 0}, 10, 0},
		{"movl $0x4500,(%rax)", {0xc7, 0, 0, 0x45, 0, 0}, 6, 0x4500},
		{"movl $1,0x20(%rip)", {0xc7, 5, 0x20, 0, 0, 0, 1, 0, 0, 0}, 10, 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t value = 0xdeadbeef;
		unsigned int length = store_decode(rows[i].code, &regs, &value);

		if (length != rows[i].length || value != rows[i].value)
			test_fail(__FILE__, __LINE__, "%s: %u bytes, %#x", rows[i].what, length,
				  value);
	}
}

TEST(no_stores)
{
	static const uint8_t rows[][STORE_MAX_BYTES] = {
		{0x8b, 0x07},	    /* mov (%rdi),%eax */
		{0x48, 0x89, 0x07}, /* mov %rax,(%rdi) */
		{0x89, 0xc7},	    /* mov %eax,%edi */
		{0x66, 0x89, 0x07}, /* mov %ax,(%rdi) */
		{0x88, 0x07},	    /* mov %al,(%rdi) */
		{0x87, 0x07},	    /* xchg %eax,(%rdi) */
		{0},
	};
	uint32_t value;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK_EQ(store_decode(rows[i], &regs, &value), 0);
}
