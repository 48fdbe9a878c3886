# SPDX-License-Identifier: MIT
"""What `--boot disk` reads of a disk: the script that runs inside the guest, with a folder for a disk."""

import subprocess

import pytest

from bench.medium import TOP

DEMO = TOP / "control-domain/demo/root/usr/lib/demo"
SCRIPT = (DEMO / "bootdisk").read_text().split("modprobe -q vfat")[0].replace("/usr/lib/demo", str(DEMO))

GRUB = """
set default=0
menuentry 'Linux' --class gnu {
	search --set=root
	linux	/boot/vmlinuz-6 root=LABEL=x ro $extra quiet
	initrd	/boot/microcode.cpio /boot/initrd.img-6 $more
}
menuentry 'Old' {
	linux /boot/vmlinuz-5 ro
	initrd /boot/initrd.img-5
}
"""
BLS = """title Linux
linux /vmlinuz-6
initrd /microcode.cpio
initrd /initrd.img-6 $tuned_initrd
options root=LABEL=x ro $tuned_params
"""

# A menu as update-grub writes it, with GRUB_DEFAULT=saved: what boots is in the environment block.
SAVED = """
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
font="/usr/share/grub/unicode.pf2" # of no use here
if loadfont $font ; then set gfxmode=auto; load_video; fi
for colour in black white; do
  menuentry 'of a loop' { linux /boot/vmlinuz-loop; }
done
menuentry 'Debian' --class debian --class os $menuentry_id_option 'simple-cafe' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root cafe
	linux	/boot/vmlinuz-6 root=UUID=cafe ro
	initrd	/boot/initrd.img-6
}
submenu 'Advanced: more > all' $menuentry_id_option 'advanced-cafe' {
	menuentry 'Linux 6' --id 'six-cafe' {
		linux	/boot/vmlinuz-6 root=UUID=cafe ro of=submenu
	}
	menuentry "Linux \\"5\\"" --class os $menuentry_id_option 'five-cafe' {
		savedefault
		linux	($root)/boot/vmlinuz-5 root=UUID=cafe ro \\
			$unset "two words" 'it'\\''s'
		initrd	/boot/initrd.img-5
	}
}
menuentry "Something else" { chainloader +1; }
menuentry 'Last' --id=last { linux /boot/vmlinuz-last; initrd /boot/initrd.img-last
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""
SIX, FIRST_OF_SUBMENU = "root=UUID=cafe ro", "root=UUID=cafe ro of=submenu"
FIVE, LAST = "root=UUID=cafe ro \"two words\" \"it\\'s\"", ""


def block(**values):
    return ("# GRUB Environment Block\n" + "".join(f"{k}={v}\n" for k, v in values.items())).ljust(1024, "#")


class Disk:
    def __init__(self, folder):
        self.folder = folder / "mnt"
        self.run = folder / "run"
        self.run.mkdir()
        (folder / "bin").mkdir()  # the same programs as in the guest
        subprocess.run(["busybox", "--install", "-s", folder / "bin"], check=True)
        self.env = {"PATH": str(folder / "bin")}
        self.script = SCRIPT.replace("/mnt", str(self.folder)).replace("/run/", f"{self.run}/")

    def add(self, path, content=""):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def sh(self, command):
        done = subprocess.run(["/bin/busybox", "sh", "-c", self.script + command], capture_output=True, text=True, env=self.env)
        assert not done.stderr
        return done.returncode, done.stdout

    def entry(self):
        return self.sh(f"find_entry {self.folder} /dev/vda")[1].splitlines()


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


def test_the_first_entry_of_grub_with_all_of_its_initrds(disk):
    disk.add("boot/grub/grub.cfg", GRUB)
    assert disk.entry() == ["/boot/vmlinuz-6", "/boot/microcode.cpio /boot/initrd.img-6", "root=LABEL=x ro quiet", ""]


@pytest.mark.parametrize("saved,kernel,options", [
    ("", "6", SIX), ("0", "6", SIX), ("simple-cafe", "6", SIX), ("Debian", "6", SIX),
    ("1", "6", FIRST_OF_SUBMENU), ("1>1", "5", FIVE), ("advanced-cafe>five-cafe", "5", FIVE),
    ("Advanced: more >> all>Linux \"5\"", "5", FIVE), ("advanced-cafe>six-cafe", "6", FIRST_OF_SUBMENU),
    ("advanced-cafe>gone", "6", FIRST_OF_SUBMENU), ("gone", "6", SIX), ("five-cafe", "6", SIX), ("17", "6", SIX),
    ("last", "last", LAST), ("3", "last", LAST), ("own", "own", "mine"), ("4", "own", "mine"),
])
def test_the_entry_that_grub_has_saved(disk, saved, kernel, options):
    disk.add("boot/grub/grub.cfg", SAVED)
    disk.add("boot/grub/custom.cfg", "menuentry own {\nlinux /boot/vmlinuz-own mine\n}\n")
    disk.add("boot/grub/grubenv", block(saved_entry=saved, other="a\\\\b"))
    said = disk.entry()
    assert said[0] == f"/boot/vmlinuz-{kernel}" and said[2] == options
    # only `savedefault` changes what is saved, and the full path of what was chosen is the same entry
    assert said[3:] == ([f"{disk.folder}/boot/grub/grubenv"] if kernel == "5" and saved != "advanced-cafe>five-cafe" else [""])
    if said[3]:
        assert (disk.run / "grubenv").read_text() == block(saved_entry="advanced-cafe>five-cafe", other="a\\\\b")


def test_an_entry_for_one_start(disk):
    disk.add("boot/grub/grub.cfg", SAVED)
    disk.add("boot/grub/grubenv", block(saved_entry="last", next_entry="advanced-cafe>five-cafe"))
    said = disk.entry()
    assert said[0] == "/boot/vmlinuz-5" and said[3] == f"{disk.folder}/boot/grub/grubenv"
    assert (disk.run / "grubenv").read_text() == block(saved_entry="last", next_entry="")
    # put in place as `--boot disk` does it, with a mount that always succeeds, it is the other one's turn
    assert disk.sh(f"mount() {{ :; }}; note {said[3]} 2>&1") == (0, "")
    assert (disk.folder / "boot/grub/grubenv").read_text() == block(saved_entry="last", next_entry="")
    assert disk.entry()[0] == "/boot/vmlinuz-last"
    said = disk.sh(f"mount() {{ return 1; }}; say() {{ echo $*; }}; note {disk.folder}/boot/grub/grubenv")[1]
    assert said == "/boot/grub/grubenv cannot be written: what it asks for once stays asked for\n"


def test_a_menu_without_an_environment_block(disk):
    disk.add("boot/grub/grub.cfg", SAVED)
    assert disk.entry() == ["/boot/vmlinuz-6", "/boot/initrd.img-6", SIX, ""]


def test_an_entry_that_is_no_linux_is_none(disk):
    disk.add("boot/grub/grub.cfg", SAVED)
    disk.add("boot/grub/grubenv", block(saved_entry="Something else"))
    assert disk.entry() == []


CONDITIONS = [
    ("[ a = a ]", True), ("[ a == b ]", False), ("[ a != b ]", True), ("test -z \"\"", True), ("[ -n \"$no\" ]", False),
    ("[ \"$no\" ]", False), ("[ x$no = x ]", True), ("! false", True), ("! true", False), ("[ ! a = a ]", False),
    ("[ 2 -lt 10 ]", True), ("[ 2 -gt 10 ]", False), ("[ a = b -o c = c ]", True), ("[ a = a -a c = d ]", False),
    ("[ a = b -a c = d -o e ]", True), ("[ -e /boot/grub/grub.cfg ]", True), ("[ -s ($root)/boot/empty ]", False),
    ("[ -f /boot/empty ]", True), ("[ -e $prefix/gone ]", False), ("search --fs-uuid cafe", True), ("keystatus --shift", False),
    ("[ \"${grub_platform}\" = pc ]", True), ("cpuid -l", True), ("false; true", True),
]


@pytest.mark.parametrize("condition,holds", CONDITIONS)
def test_conditions(disk, condition, holds):
    disk.add("boot/empty")
    disk.add("boot/grub/grub.cfg", f"""
if {condition}; then set default=yes
elif true; then
  if {condition}; then set default=never; else set default=no; fi
else
  set default=never
fi
menuentry never {{ linux /never }}
menuentry no {{ linux /no }}
menuentry yes {{ linux /yes }}
""")
    assert disk.entry()[0] == ("/yes" if holds else "/no")


FEDORA = """
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="${saved_entry}"
fi
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=UUID=beef ro "
fi
insmod blscfg
blscfg
"""


@pytest.mark.parametrize("saved,version", [
    ("", "6.10"), ("abc-6.9", "6.9"), ("1", "6.9"), ("Linux 6.9", "6.9"), ("gone", "6.10"), ("abc-0-rescue", "0-rescue")])
def test_the_entry_that_grub_has_saved_of_the_boot_loader_specification(disk, saved, version):
    for name in ("6.9", "6.10", "0-rescue"):
        disk.add(f"loader/entries/abc-{name}.conf",
                 f"title Linux {name}\nlinux /vmlinuz-{name}\ninitrd /i-{name} $tuned_initrd\noptions $kernelopts ${{tuned_params}}\n")
    disk.add("grub2/grub.cfg", FEDORA)
    disk.add("grub2/grubenv", block(saved_entry=saved, tuned_params="quiet"))
    assert disk.entry() == [f"/vmlinuz-{version}", f"/i-{version}", "root=UUID=beef ro quiet", ""]
    disk.add("grub2/grubenv", block(saved_entry=saved, next_entry="abc-6.9", kernelopts="own"))
    assert disk.entry() == ["/vmlinuz-6.9", "/i-6.9", "own", f"{disk.folder}/grub2/grubenv"]


def test_the_entry_that_systemd_boot_would_take(disk):
    for name in ("6.9", "6.10", "rescue"):
        disk.add(f"loader/entries/abc-{name}.conf", f"linux /vmlinuz-{name}\n")
    assert disk.entry()[0] == "/vmlinuz-6.10"
    disk.add("loader/loader.conf", "timeout 3\ndefault abc-6.9*\n")
    assert disk.entry()[0] == "/vmlinuz-6.9"
    disk.add("loader/loader.conf", "default gone-*\n")
    assert disk.entry()[0] == "/vmlinuz-6.10"


def test_an_entry_of_the_boot_loader_specification(disk):
    disk.add("loader/entries/a-5.conf", "linux /vmlinuz-5\n")
    disk.add("loader/entries/a-6.conf", BLS)
    kernel, initrds, options, _ = disk.entry()
    assert (kernel, initrds, options.split()) == \
        ("/vmlinuz-6", "/microcode.cpio /initrd.img-6", ["root=LABEL=x", "ro"])


@pytest.mark.parametrize("options,words", [
    ("ro quiet", "console=tty0 console=hvc0\n"), ("console=tty0 console=ttyS0,115200 quiet", ""), ("console=ttyS0", ""),
    ("console=ttyS1", "console=tty0 console=hvc0\n"), ("xconsole=ttyS0", "console=tty0 console=hvc0\n")])
def test_the_console_is_one_that_the_entry_logs_in_on(disk, options, words):
    assert disk.sh(f"console_words '{options}'")[1] == words


def test_the_links_of_debian(disk):
    disk.add("boot/vmlinuz-6")
    (disk.folder / "vmlinuz").symlink_to("boot/vmlinuz-6")
    assert disk.entry() == ["/vmlinuz", "", "root=/dev/vda ro"]
    (disk.folder / "initrd.img").symlink_to("boot/initrd.img-6")
    assert disk.entry() == ["/vmlinuz", "/initrd.img", "root=/dev/vda ro"]


def test_initrds_are_put_behind_each_other(disk):
    disk.add("boot/one", "12345")
    disk.add("boot/two", "abcd")
    assert disk.sh("gather") == (0, "")
    assert disk.sh("gather /boot/two") == (0, f"{disk.folder}/boot/two\n")
    assert disk.sh("gather /boot/one /boot/two") == (0, f"{disk.run}/initrd\n")
    assert (disk.run / "initrd").read_bytes() == b"12345\0\0\0abcd"
    assert disk.sh("gather /boot/one /boot/three")[0] == 1
