# SPDX-License-Identifier: GPL-2.0-only
"""What every part of the testbed needs: places, errors, progress, caching."""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TREE, 'build')

KEEP_SECONDS = 2 * 24 * 3600


class Error(Exception):
    """Something the user must know; printed without a traceback."""


def build_path(*parts):
    """A path under build/, its folder made."""
    path = os.path.join(BUILD, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def need_program(name, package):
    if not shutil.which(name):
        raise Error(f'the program {name} is missing: run scripts/host-setup '
                    f'(it is in the Debian package {package})')


def run(argv, what, **kwargs):
    """Run a program, quietly; its output becomes the error message."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **kwargs)
    if done.returncode:
        tail = '\n'.join(done.stdout.strip().splitlines()[-15:])
        raise Error(f'{what} failed ({argv[0]} returned '
                    f'{done.returncode}):\n{tail}')
    return done.stdout


# Progress: one line that rewrites itself on a terminal, plain lines elsewhere.

class Progress:
    def __init__(self):
        self.quiet = False
        self.started = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.text = ''
        self.shown = False
        self.drawn = 0.0

    def elapsed(self):
        return time.monotonic() - self.started

    def step(self, text):
        """What is happening now."""
        self.text = text
        if self.quiet:
            return
        if self.terminal:
            self.drawn = 0.0
            self.tick()
        else:
            print(f'testbed: [{self.elapsed():5.1f} s] {text}',
                  file=sys.stderr, flush=True)

    def tick(self):
        """Redraw the elapsed time; call now and then while waiting."""
        if self.quiet or not self.terminal or not self.text:
            return
        if self.elapsed() - self.drawn < 0.1:
            return
        self.drawn = self.elapsed()
        width = shutil.get_terminal_size().columns - 1
        line = f'testbed: [{self.elapsed():5.1f} s] {self.text}'[:width]
        sys.stderr.write('\r\033[K' + line)
        sys.stderr.flush()
        self.shown = True

    def clear(self):
        """Take the line away before other output."""
        self.text = ''
        if self.shown:
            sys.stderr.write('\r\033[K')
            sys.stderr.flush()
            self.shown = False

    def note(self, text):
        """A line that stays, also when quiet: warnings and errors."""
        self.clear()
        print(f'testbed: {text}', file=sys.stderr, flush=True)


progress = Progress()


# Caching: a thing is made again only when the stamp of its inputs changes.

@contextlib.contextmanager
def locked(path):
    """Hold the lock file PATH; other testbeds wait."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step(f'waiting for {os.path.relpath(path, TREE)}')
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(value):
    """A short name for any JSON value."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def cached(name, inputs, make):
    """
    The path build/NAME-STAMP, made by make(temporary path) unless it is
    there. What appears under its final name is complete.
    """
    path = build_path(f'{name}-{digest(inputs)}')
    if os.path.exists(path):
        os.utime(path)
        return path
    with locked(build_path('locks', name.replace('/', '-'))):
        if not os.path.exists(path):
            prune(name)
            fresh = f'{path}.tmp'
            discard(fresh)
            make(fresh)
            os.rename(fresh, path)
    return path


def prune(name):
    """Drop what was made of other inputs and not used for days."""
    for path in glob.glob(build_path(f'{glob.escape(name)}-*')):
        if time.time() - os.path.getmtime(path) > KEEP_SECONDS:
            discard(path)


def discard(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
