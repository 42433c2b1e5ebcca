# SPDX-License-Identifier: GPL-2.0-only
"""
Bochs: which build to use, its configuration, and a run from start to end with
the two streams that come out of its debug port (see agent.c) taken apart.
"""

import base64
import contextlib
import ctypes
import glob
import os
import re
import select
import signal
import subprocess
import sys
import time

import packages
from common import TREE, Error, cached, progress

MODEL = 'corei7_skylake_x'
IPS = 200_000_000

# Memory that one Bochs can hold; the rest it swaps to a file.
HOST_MEMORY_MAX = 2048

# Disk images are whole cylinders of 16 heads and 32 sectors.
CYLINDER = 16 * 32 * 512

# The machine's clock starts here, so that runs repeat exactly.
START_TIME = 1767225600

# MSRs that Linux uses and Bochs does not know.
MSRS = '0x0e7 0x0e8 0x1d9'

STDOUT, STDERR, STATUS, FILES, NOTE, FAILURE = 1, 2, 3, 4, 5, 6

STOPPED = 130			# the status of a run that the user ended

BOOT_MARK = b'testbed: boot\n'

# What the host kernel prints when something is wrong with it.
TROUBLE = re.compile(
    r'BUG:|WARNING: |Oops:|kernel BUG at|general protection fault[,:]|'
    r'Kernel panic|blocked for more than \d+ seconds|'
    r'rcu_\w+ (self-)?detected|rcu: INFO:|soft lockup|hard LOCKUP|'
    r'unchecked MSR access|UBSAN:|KASAN:|refcount_t:|list_(add|del) corrupt|'
    r'Bad page|sleeping function called|scheduling while atomic|'
    r'circular locking|recursive locking|inconsistent lock state|'
    r'suspicious RCU usage|DEBUG_LOCKS_WARN_ON|kmemleak: \d+ new|'
    r'stack segment|double fault|Objects remaining|memory leak')


class Bochs:
    """A build of Bochs: how to start it."""

    def __init__(self, name, command, display, env):
        self.name = name
        self.command = command
        self.display = display
        self.env = env
        self.bios = os.path.join(packages.fetch('bochsbios'),
                                 'usr/share/bochs/BIOS-bochs-latest')
        self.vgabios = os.path.join(packages.fetch('vgabios'),
                                    'usr/share/vgabios/vgabios.bin')


def optimised():
    mine = os.environ.get('TESTBED_BOCHS')
    if mine:
        return Bochs('own', [mine], 'nogui', {})
    script = os.path.join(TREE, 'scripts/bochs/build')
    progress.step('looking for the optimised Bochs (building it takes two '
                  'minutes)')
    done = subprocess.run([script, '--quiet'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode:
        raise Error(done.stderr.strip() or f'{script} failed')
    return Bochs('optimised', [done.stdout.strip()], 'nogui', {})


def packaged():
    """
    Debian's own build, run from its unpacked packages with the libraries it
    was built with. It carries a debugger, which wants to be told to go on,
    and has no display library that shows nothing: SDL's dummy stands in.
    """
    trees = packages.closure(['bochs', 'bochs-sdl'])
    farm = cached('bochs/packaged', [os.path.basename(t) for t in trees],
                  lambda target: link_libraries(target, trees))
    env = {'SDL_VIDEODRIVER': 'dummy', 'SDL_AUDIODRIVER': 'dummy',
           'LTDL_LIBRARY_PATH': f'{farm}/plugins'}
    command = [f'{farm}/lib/ld-linux-x86-64.so.2', '--library-path',
               f'{farm}/lib', f'{farm}/bin/bochs-bin', '-rc', f'{farm}/go']
    return Bochs('packaged', command, 'sdl2', env)


def link_libraries(target, trees):
    """One folder each for the programs, libraries and plugins of TREES."""
    multiarch = 'lib/x86_64-linux-gnu'
    kinds = {'bin': ['usr/bin'], 'plugins': [f'usr/{multiarch}/bochs/plugins'],
             'lib': [multiarch, f'usr/{multiarch}',
                     f'usr/{multiarch}/pulseaudio', 'lib', 'usr/lib']}
    for kind, folders in kinds.items():
        os.makedirs(os.path.join(target, kind))
        for path in (p for t in trees for f in folders
                     for p in glob.glob(os.path.join(t, f, '*'))):
            link = os.path.join(target, kind, os.path.basename(path))
            if not os.path.isdir(path) and not os.path.lexists(link):
                os.symlink(path, link)
    with open(os.path.join(target, 'go'), 'w') as f:
        f.write('c\n')


def find_bochs(which):
    if which == 'optimised':
        return optimised()
    if which == 'packaged':
        return packaged()
    try:
        return optimised()
    except Error as e:
        progress.note(f'{e}')
        progress.note('using the packaged Bochs, about four times slower')
        return packaged()


class Machine:
    """What the emulated machine is made of."""

    def __init__(self):
        self.model = MODEL
        self.cpus = 1
        self.memory = 1024
        self.disks = []
        self.seed = 1		# of what RDRAND returns
        self.terminal = None	# where its serial port leads


def disk_lines(disks):
    for i, path in enumerate(disks):
        cylinders = os.path.getsize(path) // CYLINDER
        yield (f'ata{i // 2}-{("master", "slave")[i % 2]}: type=disk, '
               f'mode=flat, path="{path}", cylinders={cylinders}, '
               'heads=16, spt=32')


def configuration(bochs, machine, folder):
    host = min(machine.memory, HOST_MEMORY_MAX)
    msrs = os.path.join(folder, 'msrs')
    with open(msrs, 'w') as f:
        for address in MSRS.split():
            f.write(f'{address} 0 00000000 00000000 00000000 00000000 '
                    '00000000 00000000\n')
    lines = [
        'config_interface: textconfig',
        f'display_library: {bochs.display}',
        f'cpu: model={machine.model}, count={machine.cpus}, ips={IPS}, '
        f'reset_on_triple_fault=0, ignore_bad_msrs=1, msrs="{msrs}"',
        f'memory: guest={machine.memory}, host={host}',
        f'romimage: file="{bochs.bios}", options=fastboot',
        f'vgaromimage: file="{bochs.vgabios}"',
        f'clock: sync={"slowdown" if machine.terminal else "none"}, '
        f'time0={START_TIME}',
        'boot: disk',
        'ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15',
        *disk_lines(machine.disks),
        'port_e9_hack: enabled=1',
        'panic: action=fatal',
        'error: action=report',
        'info: action=ignore',
        'debug: action=ignore',
        f'log: "{folder}/bochs.log"',
    ]
    if machine.terminal:
        lines.append('com1: enabled=1, mode=term, '
                     f'dev="{machine.terminal.device}"')
    return '\n'.join(lines) + '\n'


def in_child():
    """
    Bochs dies with us, gets no Ctrl-C of its own, and never sees SIGALRM: its
    speed display can deadlock with its log.
    """
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# One stream, two senders: text below 0x80 is the kernel's, the rest frames.

FRAME_DATA = bytes(range(0x80, 0xc0))
BASE64 = (b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
          b'0123456789+/')
TO_BASE64 = bytes.maketrans(FRAME_DATA, BASE64)
ASCII = bytes(range(0x80))
HIGH = bytes(range(0x80, 0x100))


class Stream:
    """Takes the bytes of the debug port apart."""

    def __init__(self, frame, text):
        self.frame = frame	# called with (channel, data)
        self.text = text	# called with the kernel's text
        self.partial = b''
        self.channel = None

    def feed(self, data):
        text = data.translate(None, HIGH)
        if text:
            self.text(text)
        for piece in re.findall(rb'[\x80-\xbf]+|[\xc0-\xff]',
                                data.translate(None, ASCII)):
            if piece[0] < 0xc0:
                self.partial += piece
            elif piece[0] == 0xff:
                self.end()
            else:
                self.channel = piece[0] & 0x3f
                self.partial = b''

    def end(self):
        if self.channel is None:
            return
        coded = self.partial.translate(TO_BASE64)
        self.frame(self.channel,
                   base64.b64decode(coded + b'=' * (-len(coded) % 4)))
        self.channel = None
        self.partial = b''


class Run:
    """One life of the emulated machine."""

    def __init__(self, bochs, machine, folder, timeout):
        self.bochs = bochs
        self.machine = machine
        self.folder = folder
        self.timeout = timeout
        self.status = None
        self.failure = None
        self.files = bytearray()
        self.console = bytearray()	# all that the kernel printed
        self.ready_at = None		# length of it when the command began
        self.boots = 0
        self.off = False		# it has said its last word
        self.started = time.monotonic()
        self.timed_out = False

    # What arrives.

    def frame(self, channel, data):
        if channel in (STDOUT, STDERR):
            progress.clear()
            out = sys.stdout if channel == STDOUT else sys.stderr
            out.buffer.write(data)
            out.flush()
        elif channel == STATUS:
            self.status = int(data)
        elif channel == FILES:
            self.files += data
        elif channel == NOTE:
            self.note(data.decode().strip())
        elif channel == FAILURE:
            self.failure = data.decode().strip()

    def note(self, what):
        if what == 'modules':
            self.ready_at = len(self.console)
            progress.step('loading modules')
        elif what == 'ready':
            progress.step('running the command')
            if self.machine.terminal:
                progress.clear()
                self.machine.terminal.begin()
        elif what == 'off':
            self.off = True

    def text(self, data):
        self.console += data
        boots = self.console.count(BOOT_MARK)
        if boots > self.boots:
            self.boots = boots
            progress.step('booting the host kernel')

    # The life itself.

    def start(self):
        config = os.path.join(self.folder, 'bochsrc')
        with open(config, 'w') as f:
            f.write(configuration(self.bochs, self.machine, self.folder))
        self.process = subprocess.Popen(
            [*self.bochs.command, '-q', '-f', config],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=open(os.path.join(self.folder, 'stderr'), 'wb'),
            env=dict(os.environ, BOCHS_SEED=str(self.machine.seed),
                     **self.bochs.env), cwd=self.folder,
            preexec_fn=in_child)

    def kill(self):
        if self.off:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def over_time(self):
        return self.timeout and \
            time.monotonic() - self.started > self.timeout

    def follow(self):
        """Until the machine is off, dead or out of time."""
        stream = Stream(self.frame, self.text)
        pipe = self.process.stdout.fileno()
        terminal = self.machine.terminal
        while True:
            others = terminal.readers() if terminal else []
            ready, _, _ = select.select([pipe, *others], [], [], 0.25)
            progress.tick()
            if pipe in ready:
                data = os.read(pipe, 1 << 16)
                if not data:
                    return
                stream.feed(data)
            if set(ready) & set(others) and not terminal.handle():
                self.status = STOPPED
                return
            if self.off or self.failure or self.boots > 1:
                return
            if self.over_time():
                self.timed_out = True
                return

    def live(self):
        self.start()
        try:
            self.follow()
        finally:
            self.kill()

    # What to make of it.

    def kernel_log(self):
        text = self.console.decode('utf-8', 'replace').replace('\r', '')
        return text.partition(BOOT_MARK.decode())[2]

    def trouble(self):
        """The lines in which the kernel complained since modules loaded."""
        since = self.console[self.ready_at or 0:]
        text = since.decode('utf-8', 'replace').replace('\r', '')
        return [line for line in text.splitlines() if TROUBLE.search(line)]

    def why_dead(self):
        """The emulator's own words, when it ended before the command did."""
        words = self.console.decode('ascii', 'replace').splitlines() \
            if not self.boots else []
        for name in ('stderr', 'bochs.log'):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, errors='replace') as f:
                    words += f.read().splitlines()
        telling = [w.strip() for w in words if 'PANIC' in w or
                   re.search(r'[Ee]rror|not supported|unknown', w)]
        return '\n'.join(telling[-5:])
