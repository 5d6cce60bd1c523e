# SPDX-License-Identifier: Apache-2.0
"""mcrtest: namespace tests of mcr with real packets.

Nodes are network namespaces, links are veth pairs, and every verdict is that of an independent receiver (mcrgen recv,
a raw AF_PACKET capture, a plain socket). Only then it is compared with the daemon's own counters.

Nothing of the machine is touched: the test itself moves into a network namespace of its own first. Nothing is left
behind, not even when the test is killed: see Guardian.
"""
from .capture import *
from .clock import *
from .daemon import *
from .frames import *
from .manager import *
from .process import *
from .result import *
from .signers import *
from .run import main, session, test
from .system import *
from .topology import *
from .traffic import *
