// SPDX-License-Identifier: MIT
/*
 * The two ports of the control domain that exit, and its rare CR accesses.
 *
 * All ports are its own, except that writes to the PM1 control registers are looked at: suspend
 * would resume the machine without a hypervisor.
 */
#define LOG_TAG "control"
#include <string.h>

#include <log.h>
#include <sleep.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/cr.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define IO_BYTES(q)	((unsigned int)field_get((q), 2, 0) + 1)
#define IO_IS_IN(q)	((q)&BIT64(3))
#define IO_IS_STRING(q) ((q)&BIT64(4))
#define IO_PORT(q)	((uint16_t)field_get((q), 31, 16))
#define CR_NUMBER(q)	field_get((q), 3, 0)
#define CR_IS_WRITE(q)	(field_get((q), 5, 4) == 0)
#define CR_REGISTER(q)	field_get((q), 11, 8)

struct sleep_types control_sleep_types;
static struct log_limit limit;

static uint32_t in_port(uint16_t port, unsigned int bytes)
{
	return bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
}

static void out_port(uint16_t port, unsigned int bytes, uint32_t value)
{
	if (bytes == 1)
		outb(port, (uint8_t)value);
	else if (bytes == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}

void control_io(struct hv_gprs *g)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned int bytes = IO_BYTES(q);
	uint64_t mask = MASK64(8 * bytes - 1, 0);
	uint16_t port = IO_PORT(q);

	if (IO_IS_STRING(q)) { /* nobody does string I/O on a power-management register */
		vmx_inject_exception(VECTOR_GP, 0);
		return;
	}
	if (IO_IS_IN(q)) {
		g->rax = (g->rax & ~mask) | in_port(port, bytes);
		if (bytes == 4)
			g->rax = (uint32_t)g->rax;
	} else {
		/* A byte written to the register's high half carries bits 15:8. */
		uint32_t value = (uint32_t)(g->rax & mask);
		uint32_t seen = bytes == 1 && (port & 1) ? value << 8 : value;

		if (sleep_refused(&control_sleep_types, seen))
			log_limited(
				&limit, LOG_INFO,
				"refused: suspend (PM1 control %#x): the machine would resume without "
				"the hypervisor; power off or reboot instead",
				seen);
		else
			out_port(port, bytes, value);
	}
	vmx_skip_instruction();
}

static bool read_own_pdptes(void *ctx, gpa_t at, uint64_t out[4])
{
	const uint8_t *page = window_open(HPA(align_down(at.v, PAGE_SIZE)));

	(void)ctx;
	memcpy(out, page + (at.v & (PAGE_SIZE - 1)), 4 * sizeof(*out));
	window_close();
	return true;
}

void control_cr_access(const struct hv_gprs *g)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION), r = CR_REGISTER(q);
	uint64_t value = r == 4 ? vmread(VMCS_GUEST_RSP) : ((const uint64_t *)g)[r];

	/* The only CR4 write that exits sets VMXE, which its CPUID does not have. */
	if (CR_IS_WRITE(q) && CR_NUMBER(q) == 0 && cr0_write(value, CR0_NE, read_own_pdptes, NULL))
		vmx_skip_instruction();
	else
		vmx_inject_exception(VECTOR_GP, 0);
}
