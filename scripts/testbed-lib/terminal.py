# SPDX-License-Identifier: GPL-2.0-only
"""
The user's terminal, whose keys go to the emulated machine's serial port. What
the machine answers comes through the debug port, as other output.
"""

import os
import shutil
import sys
import termios
import tty

END_OF_FILE = b'\x04'
ESCAPE = b'\x1d'		# Ctrl-], ends the machine


class Terminal:
    """
    A pseudo-terminal whose far end Bochs opens. With a real terminal on our
    standard input that one is switched to raw, so that every key, Ctrl-C
    too, goes to the machine.
    """

    def __init__(self):
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.device = os.ttyname(self.slave)
        self.input = sys.stdin.fileno()
        self.saved = None
        self.begun = False

    def __enter__(self):
        if os.isatty(self.input):
            self.saved = termios.tcgetattr(self.input)
        return self

    def __exit__(self, *_):
        if self.saved:
            termios.tcsetattr(self.input, termios.TCSADRAIN, self.saved)
        os.close(self.master)
        os.close(self.slave)

    def begin(self):
        """From here on keys belong to the machine."""
        self.begun = True
        if self.saved:
            tty.setraw(self.input)

    def readers(self):
        return [self.input] if self.begun and self.input is not None else []

    def handle(self):
        """Pass on what has been typed. False: the user wants out."""
        data = os.read(self.input, 1024)
        if self.saved and ESCAPE in data:
            return False
        if not data:
            self.input = None
        os.write(self.master, data or END_OF_FILE)
        return True

    def setup(self):
        """Shell variables for the machine's init."""
        size = shutil.get_terminal_size()
        name = os.environ.get('TERM', 'linux')
        return f'export TERM={name}\nrows={size.lines} columns={size.columns}\n'
