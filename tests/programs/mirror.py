#!/usr/bin/python3
"""Mirrors a directory, to be read only, by FUSE: mirror.py DIRECTORY MOUNTPOINT

Says the id of the process that answers, which can be stopped (SIGSTOP) to make the file system hang. When the standard
input ends, or after two minutes, that process is continued, the file system unmounted and all ended: whatever becomes of
the test, nothing hangs for longer.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import time

import fusepy

MNT_DETACH = 2
LONGEST_S = 120


class Mirror(fusepy.Operations):
    """What is below a directory."""

    def __init__(self, directory):
        self.directory = directory

    def at(self, path):
        return os.path.join(self.directory, path.lstrip("/"))

    def getattr(self, path, fh=None):
        stat = os.lstat(self.at(path))
        names = ["st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid", "st_ino"]
        return {name: getattr(stat, name) for name in names}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.at(path))]

    def open(self, path, flags):
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise fusepy.FuseOSError(errno.EROFS)
        return os.open(self.at(path), flags)

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def release(self, path, fh):
        os.close(fh)


def main():
    directory, at = sys.argv[1:]
    before = os.stat(at).st_dev
    answering = os.fork()
    if answering == 0:
        os.setpgid(0, 0)
        fusepy.FUSE(
            Mirror(directory),
            at,
            foreground=True,
            nothreads=True,
            ro=True,
            attr_timeout=0,
            entry_timeout=0,
            use_ino=True,
        )
        os._exit(0)
    try:
        end = time.monotonic() + LONGEST_S
        while os.stat(at).st_dev == before:
            if time.monotonic() > end or os.waitpid(answering, os.WNOHANG)[0] != 0:
                sys.exit("FUSE cannot be mounted here")
            time.sleep(0.01)
        print(answering, flush=True)
        select.select([sys.stdin], [], [], LONGEST_S)
    finally:
        ctypes.CDLL(None).umount2(at.encode(), MNT_DETACH)
        os.system(f"fusermount -uz '{at}' 2>/dev/null")
        try:
            os.kill(answering, signal.SIGKILL)
            os.kill(answering, signal.SIGCONT)
            os.waitpid(answering, 0)
        except (ChildProcessError, ProcessLookupError):
            pass


main()
