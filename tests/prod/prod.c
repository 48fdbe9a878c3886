// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel module that does in the control domain what a hostile or broken kernel could do: any
 * hypercall, any physical address, any MSR, VMX instructions. A test writes a command to
 * /proc/prod and reads the answer there:
 *
 *	vmcall NUMBER [up to 5 arguments]	"ok RAX RDX"
 *	peek ADDRESS | poke ADDRESS VALUE	8 bytes of physical memory: "ok VALUE"
 *	store32 ADDRESS VALUE			4 bytes, where a device is: "ok VALUE"
 *	rdmsr MSR | wrmsr MSR VALUE		"ok VALUE"
 *	outw PORT VALUE				"ok VALUE"
 *	vmx INSTRUCTION				"ok 0x0", see VMX_LIST
 *	cr4 BITS				sets these bits too: "ok CR4"
 *
 * Numbers are as C writes them. An instruction that faults answers "fault N" (N: the vector); the
 * module itself checks nothing, because that is the hypervisor's part. Use: test_hostile.py.
 */
#include <linux/ctype.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/msr.h>

#define MAX_WORDS 8

/*
 * Runs the given instructions; v becomes -1, or the vector of the fault that they raised.
 * On a fault the kernel's exception table stores the vector in RAX and goes on at 2.
 */
#define TRY(v, code, outputs, inputs...)                                                           \
	asm volatile("1: " code "\n\t"                                                             \
		     "mov $-1, %%eax\n\t"                                                          \
		     "2:\n\t" _ASM_EXTABLE_FAULT(1b, 2b)                                           \
		     : "=&a"(v)outputs:inputs                                                      \
		     : "memory", "cc")
#define AND_OUT(x) , x

static char answer[96];
static DEFINE_MUTEX(lock);

static void said(int fault, u64 value)
{
	if (fault >= 0)
		snprintf(answer, sizeof(answer), "fault %d\n", fault);
	else
		snprintf(answer, sizeof(answer), "ok 0x%llx\n", value);
}

static void do_vmcall(const u64 *arg)
{
	register u64 r8 asm("r8") = arg[5];
	u64 rax = arg[0], rdx = arg[3];
	int faulted = 1;

	asm volatile("1: vmcall\n\t"
		     "xor %[faulted], %[faulted]\n\t"
		     "2:\n\t" _ASM_EXTABLE_FAULT(1b, 2b)
		     : "+a"(rax), "+d"(rdx), [faulted] "+r"(faulted)
		     : "D"(arg[1]), "S"(arg[2]), "c"(arg[4]), "r"(r8)
		     : "memory", "cc");
	if (faulted)
		said((int)rax, 0);
	else
		snprintf(answer, sizeof(answer), "ok %lld 0x%llx\n", (s64)rax, rdx);
}

static void do_memory(u64 address, bool write, u64 value)
{
	u64 *p = memremap(address & PAGE_MASK, PAGE_SIZE, MEMREMAP_WB);
	u64 *at;
	int fault;

	if (!p)
		p = (u64 __force *)ioremap_cache(address & PAGE_MASK, PAGE_SIZE);
	if (!p) {
		snprintf(answer, sizeof(answer), "unmappable\n");
		return;
	}
	at = p + (address & ~PAGE_MASK) / sizeof(*p);
	if (write)
		TRY(fault, "movq %[v], (%[p])", , [p] "r"(at), [v] "r"(value));
	else
		TRY(fault, "movq (%[p]), %[v]", AND_OUT([v] "=&r"(value)), [p] "r"(at));
	said(fault, value);
	memunmap(p);
}

/* The four bytes may lie in two pages. */
static void do_store32(u64 address, u32 value)
{
	u8 *p = (u8 __force *)ioremap(address & PAGE_MASK, 2 * PAGE_SIZE);
	int fault;

	if (!p) {
		snprintf(answer, sizeof(answer), "unmappable\n");
		return;
	}
	TRY(fault, "movl %[v], (%[p])", , [p] "r"(p + (address & ~PAGE_MASK)), [v] "r"(value));
	said(fault, value);
	iounmap((void __iomem __force *)p);
}

static void do_msr(u32 msr, bool write, u64 value)
{
	u32 low = (u32)value, high = (u32)(value >> 32), out;
	int fault;

	if (write) {
		/* the fault vector takes RAX's place, where the value's low half has to be */
		asm volatile("1: wrmsr\n\t"
			     "mov $-1, %%eax\n\t"
			     "2:\n\t" _ASM_EXTABLE_FAULT(1b, 2b)
			     : "=a"(fault)
			     : "0"(low), "d"(high), "c"(msr)
			     : "memory");
	} else {
		asm volatile("1: rdmsr\n\t"
			     "mov %%eax, %[out]\n\t"
			     "mov $-1, %%eax\n\t"
			     "2:\n\t" _ASM_EXTABLE_FAULT(1b, 2b)
			     : "=&a"(fault), "=d"(high), [out] "=&r"(out)
			     : "c"(msr));
		value = (u64)high << 32 | out;
	}
	said(fault, value);
}

static u64 operand[2];

#define VMX_LIST(X)                                                                                \
	X(vmxon, "vmxon (%[p])")                                                                   \
	X(vmxoff, "vmxoff")                                                                        \
	X(vmclear, "vmclear (%[p])")                                                               \
	X(vmptrld, "vmptrld (%[p])")                                                               \
	X(vmptrst, "vmptrst (%[p])")                                                               \
	X(vmread, "vmread %[zero], %[zero]")                                                       \
	X(vmwrite, "vmwrite %[zero], %[zero]")                                                     \
	X(vmlaunch, "vmlaunch")                                                                    \
	X(vmresume, "vmresume")                                                                    \
	X(invept, "invept (%[p]), %[zero]")                                                        \
	X(invvpid, "invvpid (%[p]), %[zero]")                                                      \
	X(vmfunc, ".byte 0x0f, 0x01, 0xd4")

static void do_vmx(const char *name)
{
	u64 zero = 0;
	int fault = -2;

#define X(id, code)                                                                                \
	if (!strcmp(name, #id))                                                                    \
		TRY(fault, code, AND_OUT([zero] "+r"(zero)), [p] "r"(operand));
	VMX_LIST(X)
#undef X
	if (fault == -2)
		snprintf(answer, sizeof(answer), "unknown instruction %s\n", name);
	else
		said(fault, 0);
}

static void do_cr4(u64 bits)
{
	u64 before, after;
	int fault;

	asm volatile("mov %%cr4, %0" : "=r"(before));
	TRY(fault, "mov %[v], %%cr4", , [v] "r"(before | bits));
	asm volatile("mov %%cr4, %0" : "=r"(after));
	if (fault < 0)
		asm volatile("mov %0, %%cr4" : : "r"(before) : "memory");
	said(fault, after);
}

static void do_outw(u16 port, u16 value)
{
	outw(value, port);
	said(-1, value);
}

static int run(char *line)
{
	char *words[MAX_WORDS] = {NULL};
	u64 arg[MAX_WORDS] = {0};
	unsigned int n = 0;

	while (n < MAX_WORDS && (words[n] = strsep(&line, " \n")) && *words[n])
		n++;
	for (unsigned int i = 1; i < n; i++)
		if (isdigit(*words[i]) && kstrtou64(words[i], 0, &arg[i - 1]))
			return -EINVAL;
	if (!n)
		return -EINVAL;
	if (!strcmp(words[0], "vmcall"))
		do_vmcall(arg);
	else if (!strcmp(words[0], "peek"))
		do_memory(arg[0], false, 0);
	else if (!strcmp(words[0], "poke"))
		do_memory(arg[0], true, arg[1]);
	else if (!strcmp(words[0], "store32"))
		do_store32(arg[0], (u32)arg[1]);
	else if (!strcmp(words[0], "rdmsr"))
		do_msr((u32)arg[0], false, 0);
	else if (!strcmp(words[0], "wrmsr"))
		do_msr((u32)arg[0], true, arg[1]);
	else if (!strcmp(words[0], "outw"))
		do_outw((u16)arg[0], (u16)arg[1]);
	else if (!strcmp(words[0], "cr4"))
		do_cr4(arg[0]);
	else if (!strcmp(words[0], "vmx") && n > 1)
		do_vmx(words[1]);
	else
		return -EINVAL;
	return 0;
}

static ssize_t prod_write(struct file *file, const char __user *from, size_t bytes, loff_t *at)
{
	char line[160];
	int error;

	if (bytes >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, bytes))
		return -EFAULT;
	line[bytes] = 0;
	mutex_lock(&lock);
	error = run(line);
	mutex_unlock(&lock);
	return error ? error : (ssize_t)bytes;
}

static int prod_show(struct seq_file *out, void *unused)
{
	seq_puts(out, answer);
	return 0;
}

static int prod_open(struct inode *inode, struct file *file)
{
	return single_open(file, prod_show, NULL);
}

static const struct proc_ops prod_ops = {
	.proc_open = prod_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_write = prod_write,
	.proc_release = single_release,
};

static int __init prod_init(void)
{
	return proc_create("prod", 0600, NULL, &prod_ops) ? 0 : -ENOMEM;
}

static void __exit prod_exit(void)
{
	remove_proc_entry("prod", NULL);
}

module_init(prod_init);
module_exit(prod_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hornero's tests: misbehave in the control domain on demand");
