# SPDX-License-Identifier: GPL-2.0-only
"""
Debian packages by name, without touching the machine's own apt state.

Each (suite, architecture) has a private apt configuration under build/apt
with its own lists and cache and an empty package database, derived from the
machine's own apt sources: same archive, same keyring, another suite. Package
lists are fetched once, and again by update() or when a package that they
name is gone from the archive.
"""

import glob
import json
import os
import re
import urllib.parse

from common import (BUILD, Error, build_path, digest, discard, locked,
                    progress, run)

SUITE = 'bookworm'
KEEP_OPTIONS = ('signed-by', 'trusted')

# Needed to install packages, not to run what is in them.
INSTALL_ONLY = {
    'adduser', 'debconf', 'dpkg', 'gcc-12-base', 'init-system-helpers',
    'initramfs-tools', 'initramfs-tools-core', 'iso-codes', 'libaudit-common',
    'libdebconfclient0', 'libpam-modules', 'libpam-modules-bin',
    'libsemanage-common', 'linux-base', 'passwd', 'perl-base',
    'sensible-utils', 'ucf',
}


class Source:
    """One entry of an apt source list."""

    def __init__(self, uris, suites, components, options):
        self.uris = uris
        self.suites = suites
        self.components = components
        self.options = options


def parse_deb822(text):
    for stanza in re.split(r'\n\s*\n', text):
        stanza = re.sub(r'(?m)^#.*\n?', '', stanza + '\n')
        fields = {m[1].lower(): ' '.join(m[2].split()) for m in re.finditer(
            r'(?m)^([\w-]+):((?:.*\n?)(?:^[ \t].*\n?)*)', stanza)}
        if 'deb' not in fields.get('types', '').split():
            continue
        if fields.get('enabled', 'yes') == 'no':
            continue
        yield Source(fields.get('uris', '').split(),
                     fields.get('suites', '').split(),
                     fields.get('components', '').split(),
                     {k: v for k, v in fields.items() if k in KEEP_OPTIONS})


def parse_one_line(text):
    for m in re.finditer(r'(?m)^\s*deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)(.*)$',
                         text):
        options = dict(o.split('=', 1) for o in (m[1] or '').split())
        yield Source([m[2]], [m[3]], m[4].split('#')[0].split(),
                     {k: v for k, v in options.items() if k in KEEP_OPTIONS})


def host_sources():
    for path in sorted(glob.glob('/etc/apt/sources.list.d/*.sources')):
        with open(path) as f:
            yield from parse_deb822(f.read())
    for path in ['/etc/apt/sources.list',
                 *sorted(glob.glob('/etc/apt/sources.list.d/*.list'))]:
        if os.path.exists(path):
            with open(path) as f:
                yield from parse_one_line(f.read())


def host_codename():
    with open('/etc/os-release') as f:
        m = re.search(r'(?m)^VERSION_CODENAME="?(\w+)', f.read())
    return m[1] if m else 'sid'


def debian_archives():
    """(main archive, security archive or None) of the machine's own apt."""
    codename = host_codename()
    names = {codename, 'stable', 'testing', 'unstable', 'sid'}
    main = security = None
    for source in host_sources():
        if 'main' not in source.components:
            continue
        if not main and names & set(source.suites):
            main = source
        if not security and any('-security' in s for s in source.suites):
            security = source
    if not main:
        raise Error('no Debian archive among the apt sources of this machine: '
                    'add one to /etc/apt/sources.list.d')
    return main, security


def stanza(source, suites, types='deb'):
    lines = [f'Types: {types}', f'URIs: {" ".join(source.uris)}',
             f'Suites: {" ".join(suites)}', 'Components: main']
    lines += [f'{k.title()}: {v}' for k, v in source.options.items()]
    return '\n'.join(lines) + '\n'


def source_list(suite, types='deb'):
    main, security = debian_archives()
    base = suite.removesuffix('-backports')
    if base in ('sid', 'unstable', 'testing'):
        return stanza(main, [suite], types)
    suites = [base, f'{base}-updates']
    if suite != base:
        suites.append(suite)
    text = stanza(main, suites, types)
    if security:
        text += '\n' + stanza(security, [f'{base}-security'], types)
    return text


class Apt:
    """The private apt of one suite and architecture."""

    def __init__(self, suite=SUITE, arch='amd64', types='deb'):
        kind = '' if types == 'deb' else f'-{types}'
        self.suite = suite
        self.arch = arch
        self.types = types
        self.name = f'{suite}-{arch}{kind}'
        self.dir = os.path.join(BUILD, 'apt', self.name)
        self.conf = os.path.join(self.dir, 'apt.conf')

    @staticmethod
    def lock():
        return locked(build_path('locks', 'apt'))

    def prepare(self):
        """Write the configuration and fetch the lists where missing."""
        if os.path.exists(os.path.join(self.dir, 'ready')):
            return
        for sub in ('lists/partial', 'cache/archives/partial', 'etc'):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        self.write('status', '')
        self.write('etc/debian.sources', source_list(self.suite, self.types))
        self.write('apt.conf', f'''
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{self.dir}/etc";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{self.dir}/lists";
Dir::State::extended_states "{self.dir}/extended_states";
Dir::State::status "{self.dir}/status";
Dir::Cache "{self.dir}/cache";
APT::Architecture "{self.arch}";
APT::Architectures {{ "{self.arch}"; }};
{self.release_line()}
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
''')
        self.fetch_lists()

    def release_line(self):
        """Backports are second choice until asked for; the rest is not."""
        if not self.suite.endswith('-backports'):
            return ''
        return f'APT::Default-Release "{self.suite}";'

    def write(self, name, text):
        with open(os.path.join(self.dir, name), 'w') as f:
            f.write(text)

    def fetch_lists(self):
        progress.step(f'fetching the package lists of {self.name}')
        try:
            self.run('apt-get', '-q', 'update', '-o',
                     'APT::Update::Error-Mode=any')
        except Error as e:
            self.make_do(e)
        self.write('ready', '')

    def make_do(self, error):
        """
        A mirror in the middle of an update has some lists only: go on if the
        suite's own is among them.
        """
        if not glob.glob(f'{self.dir}/lists/*_dists_{self.suite}_main_*'):
            raise error
        progress.note(f'package lists of {self.name} are incomplete: '
                     + str(error).splitlines()[-1])

    def run(self, *argv, cwd=None):
        env = dict(os.environ, APT_CONFIG=self.conf, LC_ALL='C.UTF-8')
        return run(list(argv), f'apt for {self.suite}', env=env, cwd=cwd)

    def resolve(self, names):
        """[(file, package)] of NAMES and all they depend on."""
        text = self.run('apt-get', 'install', '-q', '-y', '--print-uris',
                        *names)
        return self.parse_uris(text)

    def download_list(self, name):
        return self.parse_uris(self.run('apt-get', 'download', '-q',
                                        '--print-uris', name))

    @staticmethod
    def parse_uris(text):
        files = re.findall(r"(?m)^'[^']+' (\S+\.deb) ", text)
        return [(f, f.split('_')[0]) for f in files]

    def depends(self, name):
        """The first-level dependencies of NAME."""
        text = self.run('apt-cache', 'depends', '--no-recommends',
                        '--no-suggests', '--no-conflicts', '--no-breaks',
                        '--no-replaces', '--no-enhances', name)
        return re.findall(r'(?m)^\s+\|?(?:Pre)?Depends: ([^<\s]+)', text)

    def download(self, names):
        """Bring the archives of NAMES (package=version allowed) to build/."""
        archives = os.path.join(BUILD, 'debs')
        os.makedirs(archives, exist_ok=True)
        scratch = os.path.join(archives, f'partial-{os.getpid()}')
        os.makedirs(scratch, exist_ok=True)
        try:
            self.run('apt-get', 'download', '-q', *names, cwd=scratch)
            for name in os.listdir(scratch):
                os.rename(os.path.join(scratch, name),
                          os.path.join(archives, name))
        finally:
            discard(scratch)


def fresh(apt, action):
    """
    Do ACTION; when it fails, do it once more with new package lists: the
    archive may have replaced a version since they were fetched.
    """
    with apt.lock():
        apt.prepare()
        try:
            return action()
        except Error:
            apt.fetch_lists()
            return action()


def deb_tree(file):
    """The folder in which the archive FILE lies unpacked."""
    return os.path.join(BUILD, 'packages', file.removesuffix('.deb'))


def unpack(file):
    tree = deb_tree(file)
    if os.path.exists(tree):
        return tree
    archive = os.path.join(BUILD, 'debs', file)
    os.makedirs(os.path.dirname(tree), exist_ok=True)
    discard(f'{tree}.tmp')
    run(['dpkg-deb', '-x', archive, f'{tree}.tmp'], f'unpacking {file}')
    os.rename(f'{tree}.tmp', tree)
    os.unlink(archive)
    return tree


def bring(apt, files):
    """Download and unpack the (file, package) pairs not there yet."""
    missing = [(f, p) for f, p in files if not os.path.exists(deb_tree(f))]
    if not missing:
        return
    progress.step(f'downloading {len(missing)} packages of {apt.name}: '
                  + ' '.join(p for _, p in missing[:6])
                  + (' ...' if len(missing) > 6 else ''))
    for file, package in missing:
        version = urllib.parse.unquote(file.split('_')[1])
        apt.download([f'{package}={version}'])
    for file, _ in missing:
        unpack(file)


def remembered(apt, what, key, find):
    """
    The list find() returns, kept with the package lists it was worked out
    from, so that a warm start asks apt nothing.
    """
    memo = os.path.join(apt.dir, f'{what}-{digest(key)}.json')
    ready = os.path.join(apt.dir, 'ready')
    if os.path.exists(memo) and os.path.exists(ready) and \
            os.path.getmtime(memo) >= os.path.getmtime(ready):
        with open(memo) as f:
            files = [tuple(pair) for pair in json.load(f)]
        if all(os.path.exists(deb_tree(file)) for file, _ in files):
            return files

    def work():
        files = find()
        bring(apt, files)
        return files

    files = fresh(apt, work)
    with open(f'{memo}.{os.getpid()}', 'w') as f:
        json.dump(files, f)
    os.rename(f'{memo}.{os.getpid()}', memo)
    return files


def closure(names, suite=SUITE):
    """Unpacked folders of NAMES and of all they need to run."""
    names = sorted(set(names))
    if not names:
        return []
    apt = Apt(suite)

    def find():
        progress.step(f'working out the dependencies of {" ".join(names)}')
        return [(f, p) for f, p in apt.resolve(names)
                if p in names or p not in INSTALL_ONLY]

    try:
        files = remembered(apt, 'closure', names, find)
    except Error as e:
        raise Error(f'cannot get the packages {" ".join(names)}: {e}') from e
    return [deb_tree(f) for f, _ in files]


def parse_spec(spec):
    """NAME[:ARCH][/SUITE] as (name, arch, suite)."""
    name, _, suite = spec.partition('/')
    name, _, arch = name.partition(':')
    return name, arch or 'amd64', suite or SUITE


def real_kernel_name(apt, name):
    """The package of this version that a name like linux-image-amd64 means."""
    while True:
        versions = [d for d in apt.depends(name)
                    if re.match(r'linux-(image|headers|source)-\d+\.', d)
                    and not d.endswith('-common')]
        if len(versions) != 1 or re.search(r'-\d+\.\d', name):
            return name
        name = versions[0]


def fetch(spec):
    """
    The unpacked folder of one package, without its dependencies. A package
    that is only a name for the current version of another, as
    linux-image-amd64, stands for that one.
    """
    name, arch, suite = parse_spec(spec)
    apt = Apt(suite, arch)

    def find():
        if re.match(r'linux-(image|headers|source)', name):
            return apt.download_list(real_kernel_name(apt, name))
        return apt.download_list(name)

    try:
        files = remembered(apt, 'fetch', name, find)
    except Error as e:
        raise Error(f'cannot get the package {spec}: {e}') from e
    return deb_tree(files[0][0])


def fetch_kernel(spec):
    """
    The unpacked folders of a kernel package. From 7.x on it is only a name
    for linux-binary (the image) and linux-modules.
    """
    name, arch, suite = parse_spec(spec)
    apt = Apt(suite, arch)

    def find():
        real = real_kernel_name(apt, name)
        release = real.removeprefix('linux-image-')
        parts = {f'linux-binary-{release}', f'linux-modules-{release}'}
        parts &= set(apt.depends(real))
        return [f for part in sorted(parts) or [real]
                for f in apt.download_list(part)]

    try:
        files = remembered(apt, 'kernel', name, find)
    except Error as e:
        raise Error(f'cannot get the kernel {spec}: {e}') from e
    return [deb_tree(f) for f, _ in files]


def fetch_source(name, suite, folder):
    """Bring the files of a source package to FOLDER, unchecked."""
    apt = Apt(suite, types='deb-src')
    with apt.lock():
        apt.prepare()
        os.makedirs(folder, exist_ok=True)
        try:
            apt.run('apt-get', 'source', '--download-only', name, cwd=folder)
        except Error as e:
            # The tarball may have come although its .dsc has not.
            progress.note(str(e).splitlines()[-1])


def update():
    """Fetch the package lists of every configuration in use again."""
    for ready in glob.glob(os.path.join(BUILD, 'apt', '*', 'ready')):
        suite_arch = os.path.basename(os.path.dirname(ready))
        if suite_arch.endswith('-deb-src'):
            continue
        suite, _, arch = suite_arch.rpartition('-')
        apt = Apt(suite, arch)
        with apt.lock():
            apt.fetch_lists()
