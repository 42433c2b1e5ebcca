#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""scripts/kvm_stat on a folder that looks like debugfs, also on a terminal."""

import csv
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                      os.pardir, 'scripts', 'kvm_stat')
counts = {'ok': 0, 'not ok': 0}


def check(name, good, why=''):
    """One test's line."""
    result = 'ok' if good else 'not ok'
    counts[result] += 1
    print(f'{result} {name}', flush=True)
    if not good:
        print(f'#   {why}')


def write_vm(folder, vm, exits, cpuid):
    """A VM's counters."""
    path = f'{folder}/{vm}'
    os.makedirs(f'{path}/vcpu0', exist_ok=True)
    for name, text in (('exits', f'{exits}\n'), ('halt_exits', '0\n'),
                       ('exit_reasons', f'CPUID {cpuid}\nHLT 2\n'),
                       ('vcpu0/stats', 'exits 1\n')):
        with open(f'{path}/{name}.new', 'w', encoding='ascii') as f:
            f.write(text)
        os.rename(f'{path}/{name}.new', f'{path}/{name}')


def run(folder, *options):
    """(status, output, errors) of one run."""
    done = subprocess.run([SCRIPT, '--debugfs', folder, *options], text=True,
                          capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Mover(threading.Thread):
    """Counters that go up."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder = folder
        self.stop = False

    def run(self):
        value = 1000
        while not self.stop:
            value += 10
            write_vm(self.folder, '100-4', value, value)
            time.sleep(0.01)


def check_printing(folder):
    """Without a terminal."""
    status, out, _ = run(folder, '-1', '-i', '0.3')
    lines = out.splitlines()
    check('once', not status and lines[0].startswith('100-4 ') and
          re.search(r'^exit:CPUID +\d+ +[1-9]\d* +100\.0$', out, re.M), out)
    check('rest_is_hidden', 'halt_exits' not in out, out)
    _, out, _ = run(folder, '-1', '-i', '0.1', '-z', '-s', 'name')
    names = [line.split()[0] for line in out.splitlines()[3:]]
    check('zero_by_name', 'halt_exits' in names and names == sorted(names),
          out)
    _, out, _ = run(folder, '-1', '-i', '0.1', '-f', 'HLT')
    check('filter', 'exit:HLT' in out and 'CPUID' not in out, out)
    status, out, _ = run(folder, '--csv', '-i', '0.2', '-n', '3')
    rows = list(csv.reader(out.splitlines()))
    check('csv', not status and len(rows) == 4 and rows[0][:2] ==
          ['time', 'vms'] and all(len(r) == len(rows[0]) and r[1] == '2'
                                  for r in rows[1:]) and
          float(rows[3][rows[0].index('exit:CPUID')]) > 0, out)
    _, out, _ = run(folder, '-1', '-i', '0.1', '-p', '200')
    check('one_vm', '200-5' in out and '100-4' not in out, out)


def check_errors(folder):
    """One line each, and a status."""
    for name, options in (('no_folder', ['--debugfs', '/nowhere']),
                          ('no_vm', ['-p', '7']), ('bad_filter', ['-f', '(']),
                          ('bad_interval', ['-i', '0']),
                          ('bad_count', ['-n', 'x'])):
        status, out, errors = run(folder, *options)
        check(name, status and not out and
              'Traceback' not in errors and 'kvm_stat: ' in errors, errors)
    status, out, _ = run(folder, '--help')
    check('help', not status and '--csv' in out)


def read_until(terminal, wanted, seconds=20):
    """What the terminal shows until it matches."""
    text = ''
    end = time.monotonic() + seconds
    while time.monotonic() < end and not re.search(wanted, text):
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text += os.read(terminal, 65536).decode('utf-8', 'replace')
            except OSError:
                break
            text = re.sub(r'\x1b[^a-zA-Z]*[a-zA-Z]', ' ', text)
    return text if re.search(wanted, text) else ''


def check_terminal(folder):
    """Keys, and what they lead to."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ.update(TERM='xterm', LINES='30', COLUMNS='100')
        os.execv(SCRIPT, [SCRIPT, '--debugfs', folder, '-i', '0.2'])
    check('terminal', read_until(terminal, r'2 VMs'))
    check('terminal_rows', read_until(terminal, r'CPUID'))
    for name, keys, wanted in (
            ('terminal_help', b'h', r'look into it'),
            ('terminal_help_ends', b'x', r'100-4'),
            ('terminal_vm', b'\x1bOB\n', r'VM 200-5'),
            ('terminal_back', b'\x7f', r'2 VMs'),
            ('terminal_filter', b'fHLT\n', r'HLT')):
        os.write(terminal, keys)
        check(name, read_until(terminal, wanted))
    # A VM that ends while it is looked at.
    shutil.rmtree(f'{folder}/200-5')
    check('terminal_vm_ends', read_until(terminal, r'1'))
    os.write(terminal, b'q')
    read_until(terminal, r'\0never', 2)
    _, status = os.waitpid(pid, 0)
    check('terminal_quit', status == 0, str(status))


def main():
    """See above."""
    with tempfile.TemporaryDirectory() as folder:
        write_vm(folder, '100-4', 1000, 1000)
        write_vm(folder, '200-5', 5, 3)
        mover = Mover(folder)
        mover.start()
        check_printing(folder)
        check_errors(folder)
        check_terminal(folder)
        mover.stop = True
        mover.join()
    print(f'{counts["ok"]} passed, {counts["not ok"]} failed, 0 skipped')
    return 1 if counts['not ok'] else 0


if __name__ == '__main__':
    sys.exit(main())
