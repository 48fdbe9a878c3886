# SPDX-License-Identifier: MIT
"""`--boot disk` with disks as other distributions lay them out: what is on them is made here, and the kernel
that their boot entry names is seen to run with that entry's command line."""

import shutil
import subprocess

import pytest

from bench.medium import BUILD, TOP
from vm.test_bootdisk import FEDORA as FEDORA_MENU
from vm.test_bootdisk import block
from vm.test_debian import HOSTS
from vm.test_reboot import start
from vm.test_session import Login

MIB = 1 << 20
ESP, LINUX = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

# As Ubuntu's cloud images have it: commands that are none of ours, variables, a second entry, submenus.
UBUNTU = """
set default="0"
if [ x$feature_menuentry_id = xy ]; then
  menuentry_id_option="--id"
fi
menuentry 'Ubuntu' --class ubuntu --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
	recordfail
	load_video
	gfxmode $linux_gfx_mode
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	insmod part_gpt
	insmod ext2
	search --no-floppy --fs-uuid --set=root 1234-5678
	linux	/boot/vmlinuz-6.1.0 root=PARTUUID=cafe ro layout=ubuntu $vt_handoff
	initrd	/boot/initrd.img-6.1.0
}
submenu 'Advanced options for Ubuntu' {
	menuentry 'Ubuntu, with Linux 5.0' {
		linux	/boot/vmlinuz-5.0 root=PARTUUID=cafe ro layout=old
	}
}
"""
# A boot partition of its own: paths begin there, the root is on something that is found later.
SEPARATE = """
menuentry 'Debian GNU/Linux' {
	search --no-floppy --fs-uuid --set=root 8765-4321
	echo	'Loading Linux ...'
	linux	/vmlinuz-6.1.0 root=/dev/mapper/vg-root ro layout=separate
	echo	'Loading initial ramdisk ...'
	initrd	/initrd.img-6.1.0
}
"""
# The same with an entry that was asked for once, by `grub-reboot`: it boots, then what was saved does.
ONCE = """
if [ -s $prefix/grubenv ]; then load_env; fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="${saved_entry}"
fi
menuentry 'Old' { linux /vmlinuz-5.0; }
""" + SEPARATE + SEPARATE.replace("Debian GNU/Linux", "Once").replace("=separate", "=once")
BTRFS = SEPARATE.replace("/vmlinuz", "/@/boot/vmlinuz").replace("/initrd", "/@/boot/initrd").replace("=separate", "=btrfs")
FEDORA = """title Fedora Linux (6.1.0) 39 (Cloud Edition)
version 6.1.0
linux /vmlinuz-6.1.0
initrd /initrd.img-6.1.0 $tuned_initrd
options root=UUID=beef ro rootflags=subvol=root $kernelopts $tuned_params
grub_users $grub_users
grub_class fedora
"""
OTHER = "title Fedora Linux (other)\nlinux /vmlinuz-other\noptions layout=other\n"


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, timeout=300,
                          **more).stdout


def boot_folder(folder, entries):
    """A boot folder with a kernel, an initramfs (the demo guest's) and text files."""
    folder.mkdir(parents=True)
    cloud = run("make", "-s", "--eval=print:;@echo $(CLOUD)", "print", cwd=TOP).strip()
    shutil.copyfile(f"{cloud}/vmlinuz", folder / "vmlinuz-6.1.0")
    shutil.copyfile(BUILD / "control-domain/demo/initramfs", folder / "initrd.img-6.1.0")
    for name, text in entries.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def xfs_files(folder):
    """The lines of a prototype file for mkfs.xfs."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from (f"{path.name} d--755 0 0", *xfs_files(path), "$")
        else:
            yield f"{path.name} ---644 0 0 {path}"


def make_partition(path, kind, tree, mib):
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
    if kind == "ext4":
        run("mke2fs", "-q", "-t", "ext4", "-d", tree, path)
    elif kind == "vfat":
        run("mformat", "-i", path, "-F", "::")
        run("mmd", "-i", path, "::/EFI", "::/EFI/fedora")
        (path.parent / "stub").write_text("search --fs-uuid --set=dev beef\nconfigfile ($dev)/grub2/grub.cfg\n")
        run("mcopy", "-i", path, path.parent / "stub", "::/EFI/fedora/grub.cfg")
    elif kind == "btrfs":
        run("/sbin/mkfs.btrfs", "-q", "--rootdir", tree, path)
    else:
        prototype = path.parent / "prototype"
        prototype.write_text("\n".join(["/boot", "0 0", "d--755 0 0", *xfs_files(tree), "$", ""]))
        run("/sbin/mkfs.xfs", "-q", "-p", prototype, path)


def make_disk(path, folder, parts):
    """A GPT with these file systems: (kind, folder with what is in it, MiB)."""
    folder.mkdir()
    table, at = ["label: gpt"], 1
    for kind, _, mib in parts:
        table.append(f"start={at * 2048}, size={mib * 2048}, type={ESP if kind == 'vfat' else LINUX}")
        at += mib
    with open(path, "wb") as file:
        file.truncate((at + 1) * MIB)
    run("/sbin/sfdisk", "-q", path, input="\n".join(table))
    at = 1
    for kind, tree, mib in parts:
        make_partition(folder / "part", kind, tree, mib)
        run("dd", f"if={folder / 'part'}", f"of={path}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")
        at += mib


@pytest.fixture
def volume(tmp_path):
    """The control domain's data volume with the disks on it."""
    trees, data = tmp_path / "trees", tmp_path / "data"
    data.mkdir()
    boot_folder(trees / "ubuntu/boot", {"grub/grub.cfg": UBUNTU})
    boot_folder(trees / "separate", {"grub/grub.cfg": ONCE, "grub/grubenv": block(saved_entry="Debian GNU/Linux", next_entry="Once")})
    boot_folder(trees / "btrfs/@/boot", {"grub/grub.cfg": BTRFS})
    boot_folder(trees / "fedora", {"loader/entries/abc-6.1.0.conf": FEDORA, "loader/entries/abc-6.2.0.conf": OTHER,
                                   "loader/entries/abc-0-rescue.conf": OTHER, "grub2/grub.cfg": FEDORA_MENU,
                                   "grub2/grubenv": block(saved_entry="abc-6.1.0", kernelopts="layout=fedora")})
    (trees / "root/etc").mkdir(parents=True)
    root = trees / "root"
    for name, parts in {
            "ubuntu": [("vfat", None, 40), ("ext4", trees / "ubuntu", 64)],
            "separate": [("ext4", trees / "separate", 64), ("ext4", root, 16)],
            "btrfs": [("vfat", None, 40), ("btrfs", trees / "btrfs", 160)],
            "fedora": [("vfat", None, 40), ("xfs", trees / "fedora", 320), ("btrfs", root, 128)]}.items():
        make_disk(data / f"{name}.raw", tmp_path / f"{name}-parts", parts)
    volume = tmp_path / "data.img"
    with open(volume, "wb") as file:
        file.truncate(1 << 30)
    run("mke2fs", "-q", "-t", "ext4", "-L", "hornero-data", "-d", data, volume)
    return volume


@pytest.mark.parametrize("kind", HOSTS)
def test_disks_of_other_distributions(machine, kind, volume, tmp_path):
    domain = start(machine, kind, tmp_path, volume)
    for name, device, layout in (("ubuntu", "vda2", "ubuntu"), ("separate", "vda1", "once"),
                                 ("separate", "vda1", "separate"), ("btrfs", "vda2", "btrfs"),
                                 ("fedora", "vda2", "fedora")):
        login = Login(domain)
        login.enter(f"vm run {name} --rm --disk /var/lib/hornero/{name}.raw -m 192M", r"Ctrl-\] detaches")
        login.expect(rf"bootdisk: /dev/{device}: /\S*vmlinuz-6.1.0 root=\S+ ro ")
        login.expect(r"demo:~# ")
        said = login.enter("cat /proc/cmdline", r"root=\S+ ro [^\n]*").group(0)
        assert f"layout={layout} " in said and "$" not in said
        login.enter("poweroff", rf"{name} has ended: power-off by guest")
        login.leave()
