# SPDX-License-Identifier: GPL-2.0-only
"""
Host kernels for the emulated machine: from a Debian package to what boot.S
puts into memory, and the kernel's modules with all they depend on.
"""

import glob
import lzma
import os
import re
import struct
import subprocess
import zlib

import packages
from common import Error, cached, file_digest, need_program
from emulator import CYLINDER

# Short names for --kernel.
SHORT = {
    '6.1': 'linux-image-cloud-amd64/bookworm',
    '6.12': 'linux-image-cloud-amd64/bookworm-backports',
    '7': 'linux-image-cloud-amd64/sid',
}
SUITES = ('bookworm', 'bookworm-backports', 'sid')

# Shared with boot.S.
BLOCK = 0x10000
BLOCK_SECTORS = 72
TABLE = 0x0c00
ZERO_PAGE = 0x1000
COMMAND_LINE = 0x2000
COMMAND_LINE_MAX = 0x0ff0
PML4 = 0x3000
KERNEL = 0x1000000

SECTOR = 512
MiB = 1 << 20
INITRD = 128 * MiB

# Offsets of "The Linux/x86 Boot Protocol".
HEADER = 0x1f1
HEADER_END = 0x201
SETUP_SECTS = 0x1f1
PAYLOAD_OFFSET = 0x248
TYPE_OF_LOADER = 0x210
LOADFLAGS = 0x211
RAMDISK = 0x218
CMD_LINE_PTR = 0x228

PT_LOAD = 1

SIGNED = b'~Module signature appended~\n'


def unpack_payload(data):
    """The compressed kernel inside a bzImage, unpacked."""
    pipes = {b'\x02\x21\x4c\x18': ('lz4', 'lz4'),
             b'\x28\xb5\x2f\xfd': ('zstd', 'zstd')}
    size = struct.unpack('<I', data[-4:])[0]
    if data[:2] == b'\x1f\x8b':
        return zlib.decompressobj(31).decompress(data)
    if data[:6] == b'\xfd7zXZ\0':
        return lzma.LZMADecompressor().decompress(data)
    if data[:4] not in pipes:
        raise Error(f'kernel compressed in an unknown way ({data[:6].hex()})')
    program, package = pipes[data[:4]]
    need_program(program, package)
    if program == 'zstd':
        data = data[:-4]
    done = subprocess.run([program, '-dc'], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    if len(done.stdout) < size:
        raise Error(f'{program} cannot unpack the kernel')
    return done.stdout


def memory_image(elf):
    """(entry, bytes) of a vmlinux as it lies in memory from KERNEL on."""
    if elf[:5] != b'\x7fELF\x02':
        raise Error('not a 64-bit kernel')
    entry, phoff = struct.unpack_from('<QQ', elf, 24)
    phsize, phnum = struct.unpack_from('<HH', elf, 54)
    image = bytearray()
    for i in range(phnum):
        kind, _, offset, _, paddr, size = struct.unpack_from(
            '<IIQQQQ', elf, phoff + i * phsize)
        if kind != PT_LOAD:
            continue
        at = paddr - KERNEL
        image.extend(bytes(max(0, at + size - len(image))))
        image[at:at + size] = elf[offset:offset + size]
    image = image.rstrip(b'\0')
    return entry, bytes(image) + bytes(-len(image) % CYLINDER)


def make_image(bzimage, target):
    """
    TARGET/header: the setup header; TARGET/image: the kernel in memory;
    TARGET/entry: where it begins.
    """
    with open(bzimage, 'rb') as f:
        data = f.read()
    if data[0x202:0x206] != b'HdrS':
        raise Error(f'{bzimage} is not a Linux kernel')
    offset, size = struct.unpack_from('<II', data, PAYLOAD_OFFSET)
    offset += (data[SETUP_SECTS] + 1) * SECTOR
    os.makedirs(target)
    with open(os.path.join(target, 'header'), 'wb') as f:
        f.write(data[HEADER:0x202 + data[HEADER_END]])
    entry, image = memory_image(unpack_payload(data[offset:offset + size]))
    with open(os.path.join(target, 'image'), 'wb') as f:
        f.write(image)
    with open(os.path.join(target, 'entry'), 'w') as f:
        f.write(str(entry))


class Kernel:
    """A kernel and its modules, from unpacked packages or a user's folder."""

    def __init__(self, trees):
        images = [p for t in trees for pattern in
                  ('boot/vmlinuz-*', 'usr/lib/modules/*/vmlinuz',
                   'lib/modules/*/vmlinuz')
                  for p in glob.glob(os.path.join(t, pattern))]
        if not images:
            raise Error(f'no kernel image in {" ".join(trees)}')
        self.bzimage = images[0]
        name = os.path.basename(self.bzimage)
        self.release = (name.removeprefix('vmlinuz-') if name != 'vmlinuz' else
                        os.path.basename(os.path.dirname(self.bzimage)))
        self.folders = [f for t in trees for f in
                        (os.path.join(t, 'lib/modules', self.release),
                         os.path.join(t, 'usr/lib/modules', self.release))
                        if os.path.isdir(f)]
        self._index = None

    def boot_image(self):
        """(setup header, entry, path of the image in memory)."""
        stat = os.stat(self.bzimage)
        folder = cached(f'kernels/{self.release}',
                        [file_digest(os.path.abspath(__file__)),
                         self.bzimage, stat.st_size, stat.st_mtime_ns],
                        lambda target: make_image(self.bzimage, target))
        with open(os.path.join(folder, 'entry')) as f:
            entry = int(f.read())
        with open(os.path.join(folder, 'header'), 'rb') as f:
            return f.read(), entry, os.path.join(folder, 'image')

    def index(self):
        """{module name: path} of the kernel's own modules."""
        if self._index is None:
            self._index = {}
            for folder in self.folders:
                for path, _, names in os.walk(folder):
                    for name in names:
                        if re.search(r'\.ko(\.\w+)?$', name):
                            self._index[module_name(name)] = \
                                os.path.join(path, name)
        return self._index

    def find(self, name):
        path = self.index().get(module_name(name))
        if not path:
            raise Error(f'kernel {self.release} has no module {name}')
        return path


def module_name(path):
    name = os.path.basename(path)
    return re.sub(r'\.ko(\.\w+)?$', '', name).replace('-', '_')


def read_module(path):
    """A module as insmod takes it: unpacked, and without its signature."""
    with open(path, 'rb') as f:
        data = f.read()
    if path.endswith('.xz'):
        data = lzma.decompress(data)
    elif path.endswith('.zst'):
        need_program('zstd', 'zstd')
        data = subprocess.run(['zstd', '-dc'], input=data, check=True,
                              stdout=subprocess.PIPE).stdout
    return unsigned(data)


def unsigned(data):
    """
    Checking a signature takes the emulated machine seconds. It stands at the
    end: signer data, a 12-byte record with their length, and a mark.
    """
    if not data.endswith(SIGNED):
        return data
    end = len(data) - len(SIGNED)
    length, = struct.unpack('>I', data[end - 4:end])
    return data[:end - 12 - length]


def module_info(data):
    """The .modinfo section as a list of (key, value)."""
    if data[4] == 1:		# 32-bit ELF
        table, counts, section = ('<I', 32), 46, '<IIIIII'
    else:
        table, counts, section = ('<Q', 40), 58, '<IIQQQQ'
    shoff, = struct.unpack_from(table[0], data, table[1])
    shsize, shnum, shstr = struct.unpack_from('<HHH', data, counts)
    sections = [struct.unpack_from(section, data, shoff + i * shsize)
                for i in range(shnum)]
    names = sections[shstr][4]
    for name, _, _, _, offset, size in sections:
        if data.startswith(b'.modinfo\0', names + name):
            text = data[offset:offset + size].decode('utf-8', 'replace')
            return [tuple(t.split('=', 1)) for t in text.split('\0')
                    if '=' in t]
    return []


def module_depends(data):
    needed = dict(module_info(data)).get('depends', '')
    return [module_name(n) for n in needed.split(',') if n]


def module_release(data):
    return dict(module_info(data)).get('vermagic', 'no kernel').split()[0]


def find_kernel(spec):
    """
    SPEC: a short name (6.1), a package[/suite], a release, or a folder with
    boot/ and lib/modules/.
    """
    if os.path.isdir(spec):
        return Kernel([spec])
    if spec in SHORT:
        return Kernel(packages.fetch_kernel(SHORT[spec]))
    if spec.startswith('linux-'):
        return Kernel(packages.fetch_kernel(spec))
    for suite in SUITES:
        try:
            return Kernel(packages.fetch_kernel(f'linux-image-{spec}/{suite}'))
        except Error:
            continue
    raise Error(f'no kernel {spec}: give {", ".join(SHORT)}, a package such as '
                'linux-image-amd64[/SUITE], a release or a folder')


# The boot block of boot.S.

def page_tables():
    """Four gigabytes mapped 1:1 with 2M pages."""
    present, large = 3, 0x83
    base = BLOCK + PML4
    tables = struct.pack('<512Q', base + 0x1000 | present, *[0] * 511)
    tables += struct.pack('<512Q', *[base + 0x2000 + i * 0x1000 | present
                                     for i in range(4)], *[0] * 508)
    for i in range(2048):
        tables += struct.pack('<Q', i * 2 * MiB | large)
    return tables


def zero_page(header, initrd_size, initrd_at):
    page = bytearray(4096)
    page[HEADER:HEADER + len(header)] = header
    page[TYPE_OF_LOADER] = 0xff
    page[LOADFLAGS] |= 1
    struct.pack_into('<II', page, RAMDISK, initrd_at, initrd_size)
    struct.pack_into('<I', page, CMD_LINE_PTR, BLOCK + COMMAND_LINE)
    return bytes(page)


def boot_block(code, header, command_line, images, initrd_at, initrd_size):
    """
    IMAGES: (BIOS drive, first sector, sectors, address) each; the last has no
    sectors, and the kernel's entry for an address.
    """
    line = command_line.encode()
    if len(line) > COMMAND_LINE_MAX:
        raise Error('kernel command line too long')
    if len(code) != TABLE:
        raise Error('boot.S and kernel.py disagree on the boot block')
    table = b''.join(struct.pack('<IIII', *i) for i in images)
    block = (code + table).ljust(ZERO_PAGE, b'\0')
    block += zero_page(header, initrd_size, initrd_at)
    block += line.ljust(PML4 - COMMAND_LINE, b'\0')
    block += page_tables()
    return block.ljust(BLOCK_SECTORS * SECTOR, b'\0')
