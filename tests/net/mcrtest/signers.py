# SPDX-License-Identifier: Apache-2.0
"""Those who sign a config file, by the real minisign."""
import os
import shutil
import subprocess

from . import case
from .daemon import to_libconfig
from .result import Skip


class Signers:
    """Keys, in a directory of their own, and the trust.conf that names them."""

    def __init__(self, *names):
        if not shutil.which("minisign"):
            raise Skip("minisign is not installed")
        self.directory = case.present.directory()
        os.chmod(self.directory, 0o755)
        self.trust = os.path.join(self.directory, "trust.conf")
        self.public = {}
        for name in names:
            key = os.path.join(self.directory, name)
            subprocess.run(["minisign", "-G", "-f", "-W", "-p", key + ".pub", "-s", key], check=True,
                           stdout=subprocess.DEVNULL)
            with open(key + ".pub", encoding="ascii") as f:
                self.public[name] = f.read().splitlines()[1]
        self.write(2, *names)

    def write(self, required, *names):
        keys = [{"name": n, "key": self.public[n]} for n in names]
        with open(self.trust + ".new", "w", encoding="ascii") as f:
            f.write(f"required = {required}; keys = {to_libconfig(keys)};\n")
        os.chmod(self.trust + ".new", 0o600)  # of root alone: read with the rights of the start
        os.rename(self.trust + ".new", self.trust)

    def sign(self, config, *names, legacy=False):
        for name in names:
            to = f"{config.file}.{name}.minisig"
            subprocess.run(["minisign", "-S", *(["-l"] if legacy else []), "-s", os.path.join(self.directory, name),
                            "-m", config.file, "-x", to + ".new"], check=True, stdout=subprocess.DEVNULL)
            os.rename(to + ".new", to)

    def withdraw(self, config, *names):
        for name in names:
            os.unlink(f"{config.file}.{name}.minisig")
