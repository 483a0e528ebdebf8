"""No core dump of a process that has keys in memory. The children that it starts can have theirs."""

from __future__ import annotations

import contextlib
import resource

PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Set the limit to zero, and the process undumpable: a core that is piped to a program ignores the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
