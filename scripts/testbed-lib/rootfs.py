# SPDX-License-Identifier: GPL-2.0-only
"""
The emulated machine's root file system: an initramfs in two parts. The base
holds the Debian packages and is kept; the other holds what this run brings
(modules, files, the command) and is made each time.
"""

import os
import re
import stat
import subprocess

import kernel
import packages
from emulator import CYLINDER
from common import HERE, Error, cached, file_digest, run

# Of each package, what no program needs at run time.
LEFT_OUT = re.compile(
    r'(usr/share/(doc|man|locale|info|lintian|bash-completion|menu|icons|'
    r'applications|bug|metainfo|gtk-doc|iso-codes|alsa|mime)'
    r'|usr/include|usr/lib/debug|var/cache|etc/init\.d|etc/cron\.\w+)(/|$)')

# Since Debian 12 these are links into usr.
MERGED = ('bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32')

FOLDERS = ('dev', 'proc', 'sys', 'tmp', 'run', 'root', 'mnt', 'etc', 'var',
           'var/tmp', 'var/log', 'usr', 'usr/bin', 'usr/sbin', 'usr/lib',
           'testbed')

ETC = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n'
                  'nobody:x:65534:65534:nobody:/:/bin/false\n',
    'etc/group': 'root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n',
    'etc/hosts': '127.0.0.1 localhost\n',
    'etc/hostname': 'testbed\n',
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
    'etc/os-release': 'ID=testbed\nNAME=testbed\n',
    'etc/profile': "PS1='testbed:\\w# '\n",
}


class Cpio:
    """A "newc" archive, as the kernel wants its initramfs."""

    def __init__(self, path):
        self.file = open(path, 'wb')
        self.known = set()
        self.inode = 0

    def entry(self, name, mode, data=b''):
        encoded = name.encode() + b'\0'
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(encoded), 0)
        head = b'070701' + b''.join(b'%08x' % f for f in fields) + encoded
        self.file.write(head + bytes(-len(head) % 4))
        self.file.write(data)
        self.file.write(bytes(-len(data) % 4))

    def folder(self, name):
        """NAME and the folders above it, once each."""
        name = merged(name)
        parts = [p for p in name.split('/') if p]
        for i in range(1, len(parts) + 1):
            part = '/'.join(parts[:i])
            if part not in self.known:
                self.known.add(part)
                self.entry(part, stat.S_IFDIR | 0o755)

    def place(self, name):
        """Make room for NAME. False where it is there already."""
        name = merged(name)
        if name in self.known:
            return None
        self.folder(os.path.dirname(name))
        self.known.add(name)
        return name

    def data(self, name, data, mode=0o644):
        name = self.place(name)
        if name:
            self.entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        name = self.place(name)
        if name:
            self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, mode, major, minor):
        name = self.place(name)
        encoded = name.encode() + b'\0'
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, 0, 0, 0, major, minor,
                  len(encoded), 0)
        head = b'070701' + b''.join(b'%08x' % f for f in fields) + encoded
        self.file.write(head + bytes(-len(head) % 4))

    def copy(self, source, name):
        """A file, link or folder with all that is in it."""
        info = os.lstat(source)
        if stat.S_ISLNK(info.st_mode):
            self.link(name, os.readlink(source))
        elif stat.S_ISDIR(info.st_mode):
            self.folder(name)
            for child in sorted(os.listdir(source)):
                self.copy(os.path.join(source, child), f'{name}/{child}')
        elif stat.S_ISREG(info.st_mode):
            with open(source, 'rb') as f:
                self.data(name, f.read(), stat.S_IMODE(info.st_mode))

    def package(self, tree):
        for path, folders, names in os.walk(tree):
            inside = os.path.relpath(path, tree)
            inside = '' if inside == '.' else inside
            folders[:] = [f for f in folders
                          if not LEFT_OUT.match(os.path.join(inside, f))]
            for name in sorted(names + [f for f in folders if os.path.islink(
                    os.path.join(path, f))]):
                self.copy(os.path.join(path, name),
                          os.path.join(inside, name))
            if inside and inside not in MERGED:
                self.folder(inside)

    def close(self):
        self.entry('TRAILER!!!', 0)
        self.file.write(bytes(-self.file.tell() % CYLINDER))
        self.file.close()


def merged(name):
    name = os.path.normpath(name.lstrip('/'))
    top = name.split('/')[0]
    return f'usr/{name}' if top in MERGED and '/' in name else name


def agent_program():
    source = os.path.join(HERE, 'agent.c')

    def make(target):
        run(['gcc', '-O2', '-static', '-o', target, source],
            'compiling the agent')
    return cached('testbed/agent', file_digest(source), make)


def boot_code():
    source = os.path.join(HERE, 'boot.S')

    def make(target):
        run(['gcc', '-m32', '-c', '-o', f'{target}.o', source],
            'assembling the boot loader')
        run(['ld', '-m', 'elf_i386', '-Ttext=0', '--oformat', 'binary',
             '-o', target, f'{target}.o'], 'linking the boot loader')
        os.unlink(f'{target}.o')
    path = cached('testbed/boot', file_digest(source), make)
    with open(path, 'rb') as f:
        return f.read()


def busybox_links(cpio, busybox):
    """A name for every applet that no package has brought."""
    done = subprocess.run([busybox, '--list-full'], check=True, text=True,
                          stdout=subprocess.PIPE)
    for applet in done.stdout.split():
        cpio.link(applet, '/bin/busybox')


def make_base(target, trees, agent):
    cpio = Cpio(target)
    for name in FOLDERS:
        cpio.folder(name)
    for name in MERGED:
        cpio.folder(f'usr/{name}')
        cpio.known.add(name)
        cpio.entry(name, stat.S_IFLNK | 0o777, f'usr/{name}'.encode())
    cpio.node('dev/console', stat.S_IFCHR | 0o600, 5, 1)
    cpio.node('dev/null', stat.S_IFCHR | 0o666, 1, 3)
    cpio.copy(os.path.join(HERE, 'init.sh'), 'init')
    cpio.copy(agent, 'testbed/agent')
    for name, text in ETC.items():
        cpio.data(name, text.encode())
    for tree in trees:
        cpio.package(tree)
    for tree in trees:
        for busybox in ('bin/busybox', 'usr/bin/busybox'):
            path = os.path.join(tree, busybox)
            if os.path.exists(path):
                busybox_links(cpio, path)
    cpio.close()


def base(names):
    """The path of the kept part, with the packages NAMES and a shell."""
    trees = packages.closure(['busybox-static', *names])
    agent = agent_program()
    inputs = [[os.path.basename(t) for t in trees], os.path.basename(agent),
              file_digest(os.path.join(HERE, 'init.sh')),
              file_digest(os.path.abspath(__file__))]
    return cached('testbed/base', inputs,
                  lambda target: make_base(target, trees, agent))


class Modules:
    """The modules of a run, each after what it depends on."""

    def __init__(self, host_kernel):
        self.kernel = host_kernel
        self.order = []		# (name, data, parameters, asked for)
        self.own = {}		# name -> path, modules given as files

    def add(self, spec):
        """'PATH.ko [PARAMETERS]' or 'NAME [PARAMETERS]'."""
        word, _, parameters = spec.strip().partition(' ')
        if word.endswith('.ko') or '/' in word:
            if not os.path.exists(word):
                raise Error(f'no such module: {word}')
            self.own[kernel.module_name(word)] = word
        self._add(kernel.module_name(word), parameters.strip(), True)

    def _add(self, name, parameters, asked):
        if name in [n for n, _, _, _ in self.order]:
            return
        path = self.own.get(name)
        if not path and not asked and name not in self.kernel.index():
            raise Error(f'kernel {self.kernel.release} has no module {name}')
        data = kernel.read_module(path or self.kernel.find(name))
        built_for = kernel.module_release(data)
        if built_for != self.kernel.release:
            raise Error(f'{path} is built for {built_for}, but the machine '
                        f'runs {self.kernel.release}: make KDIR=$(scripts/'
                        'headers WHICH), and --kernel WHICH')
        for needed in kernel.module_depends(data):
            self._add(needed, '', False)
        self.order.append((name, data, parameters, asked))

    def write(self, cpio):
        lines = []
        for name, data, parameters, asked in self.order:
            cpio.data(f'testbed/modules/{name}.ko', data)
            lines.append(f'{name} {parameters}'.strip())
        cpio.data('testbed/modules/list', '\n'.join([*lines, '']).encode())
