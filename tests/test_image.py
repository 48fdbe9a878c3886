# SPDX-License-Identifier: MIT
"""What was built is what was promised: general registers only, W^X, a Multiboot2 image, a size
that one can read. The checkers themselves are shown something bad first."""

import pathlib
import re
import subprocess

import pytest

from bench import image
from bench.medium import BUILD, TOP

HYPERVISOR = BUILD / "hornero.elf"
DEBUG = BUILD / "hornero.debug"
# Of the hypervisor, what is there when guests run; the rest is a loader, gone by then as GRUB is.
BUDGET = {"resident": 10_000, "boot part": 3_210, "driver": 8_000}


def compile_c(folder, source, *flags):
    (folder / "made.c").write_text(source)
    subprocess.run(["gcc", "-O2", "-nostdlib", "-ffreestanding", "-static", "-o", folder / "made",
                    folder / "made.c", *flags], check=True, timeout=60)
    return folder / "made"


@pytest.mark.parametrize("code", [
    "double f(double a, double b) { return a * b; } void _start(void) {}",
    "long double f(long double a) { return a + 1; } void _start(void) {}",
    'void _start(void) { asm("vpxor %ymm1, %ymm1, %ymm1"); }',
    'void _start(void) { asm("movq %mm0, %mm1"); }',
])
def test_checker_sees_vector_code(tmp_path, code):
    assert image.vector_instructions(compile_c(tmp_path, code))


def test_hypervisor_uses_general_registers_only():
    assert image.instruction_count(HYPERVISOR) > 1000
    assert image.vector_instructions(HYPERVISOR) == []


def test_checker_sees_indirect_branches(tmp_path):
    source = "int (*f)(void); int g(int x) { switch (x) { case 0: return 5; default: return f() + 1; } } void _start(void) { g(0); }"
    assert image.indirect_branches(compile_c(tmp_path, source)) == {"g"}
    assert not image.indirect_branches(compile_c(tmp_path, source, "-mindirect-branch=thunk-inline"))


def test_no_indirect_branch_asks_the_predictors_of_guests():
    """But two: the jump to the high half, and the start of a CPU on its stack, before there is any guest."""
    assert image.indirect_branches(DEBUG) == {"entry64", "stack_switch"}


def test_checker_sees_writable_code(tmp_path):
    source = "int a = 1; void _start(void) { a = 2; }"
    assert image.writable_code(compile_c(tmp_path, source, "-Wl,-N"))
    assert not image.writable_code(compile_c(tmp_path, source))


def test_no_segment_is_writable_and_executable():
    assert len(list(image.segments(HYPERVISOR))) >= 2
    assert image.writable_code(HYPERVISOR) == []


def test_hypervisor_is_multiboot2():
    subprocess.run(["grub-file", "--is-x86-multiboot2", HYPERVISOR], check=True, timeout=60)


@pytest.mark.parametrize("text,lines", [
    ("int a;\n\n/* x\n * y\n */\nint b; // c\n", 2),
    ('char *s = "/* no comment";\nint c; /* x */\n', 2),
    ("// a \\\nstill\nint d;\n", 1),
    ("a /* x\n*/ b\n", 2),
])
def test_code_lines(text, lines):
    assert image.code_lines(text) == lines


def tracked(*folders):
    names = subprocess.run(["git", "ls-files", "-z", *folders], cwd=TOP, check=True,
                           capture_output=True, text=True, timeout=60).stdout.split("\0")
    return [TOP / name for name in names if pathlib.Path(name).suffix in (".c", ".h", ".S")]


def lines_of(paths):
    return {path: image.code_lines(path.read_text(errors="replace")) for path in paths}


def newlib_lines():
    """Of newlib's linked sources, the lines that its preprocessor leaves: vfprintf without floats,
    wide characters and streams is a quarter of its file."""
    folder, flags = image.make_variables("NEWLIB", "NEWLIB_FLAGS")
    for path in sorted(set(image.compiled_sources(DEBUG))):
        if "/newlib-" in str(path):
            source = pathlib.Path(folder, path.parent.name, path.name)
            more, = image.make_variables(f"NEWLIB_DEFS_{source.stem}") or [""]
            text = image.run("gcc", *flags.split(), *more.split(), "-isystem", f"{folder}/include",
                             f"-I{folder}/stdio", f"-I{folder}/string", "-E", source)
            yield source, image.preprocessed_lines(text, source)


def headers(objects):
    """What of ours the compiler read for these objects (its .d files)."""
    return {TOP / word for name in objects for word in
            pathlib.Path(TOP, name).with_suffix(".d").read_text().split()
            if word.endswith(".h")}


def test_hypervisor_keeps_its_line_budgets():
    """A source is of the boot part if its object is, a header if only such objects include it."""
    sources, boot, resident = (line.split() for line in image.make_variables(
        "HV_BOOT_SRC", "HV_BOOT_OBJ", "HV_RESIDENT_OBJ"))
    resident.remove(next(name for name in resident if name.endswith("/font.o")))  # made from a font
    of_boot = {TOP / name for name in sources} | headers(boot) - headers(resident)
    ours = lines_of(path for path in tracked("boot", "arch", "vmm", "drivers")
                    if TOP / "boot/efi" not in path.parents)  # the UEFI loader
    libc = dict(newlib_lines())
    assert of_boot & ours.keys() and libc and all(libc.values())
    parts = {"boot part": {path: n for path, n in ours.items() if path in of_boot},
             "resident": {path: n for path, n in ours.items() if path not in of_boot} | libc}
    totals = {part: sum(lines.values()) for part, lines in parts.items()}
    report = "".join(f"{count:6} {part}: {path}\n" for part, lines in parts.items()
                     for path, count in lines.items())
    (BUILD / "lines.txt").write_text(report + "".join(
        f"{total:6} {part}, budget {BUDGET[part]}\n" for part, total in totals.items()))
    assert all(total <= BUDGET[part] for part, total in totals.items()), totals


@pytest.mark.parametrize("refers,fault", [
    ("void log_head(void); void (*hook)(void) = log_head;", None),
    ("void smp_start(void); void (*hook)(void) = smp_start;", "smp_start"),
    ("void smp_start(void), hook(void); void hook(void) { smp_start(); }", "smp_start"),
    ("extern const int vmx_options[]; const int *const hook = vmx_options;", "vmx_options"),
    ("extern char found[], *hook(void); char *hook(void) { return found; }", "found"),
])
def test_nothing_resident_refers_to_the_boot_part(tmp_path, refers, fault):
    """The linker refuses it (linker.ld): that there is an image at all proves it for all objects.
    Here one more object is linked, whose `hook` is kept."""
    compiler, flags, link, objects, newlib = image.make_variables("HV_CC", "HV_CFLAGS", "HV_LDFLAGS", "HV_OBJ",
                                                           "NEWLIB")
    source, more = tmp_path / "more.c", tmp_path / "more.o"
    source.write_text(refers)
    subprocess.run([compiler, *flags.split(), "-c", source, "-o", more], check=True, timeout=60)
    linked = subprocess.run([compiler, *link.split(), "-Wl,-u,hook", *objects.split(), more,
                             f"{newlib}/libc.a", "-o", tmp_path / "out"], cwd=TOP,
                            capture_output=True, text=True, timeout=60)
    if fault:
        assert linked.returncode
        assert re.search(rf"prohibited cross reference from \.\w+ to `{fault}' in \.boot_", linked.stderr)
    else:
        assert not linked.returncode, linked.stderr


def test_driver_keeps_its_line_budget():
    driver = lines_of(tracked("control-domain/driver"))
    assert driver
    assert sum(driver.values()) <= BUDGET["driver"], driver
