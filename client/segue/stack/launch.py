"""The launcher: how does a child process never outlive its supervisor, whatever kills it?

Run as `python -I -S launch.py <supervisor pid> <program> [argument...]`, by path and without any
package, so that it costs a bare interpreter start. On Linux it asks the kernel to kill it when the
supervisor's thread ends (PR_SET_PDEATHSIG, which survives exec) and becomes the program. Elsewhere
it stays as the program's parent and watches the supervisor's pid.
"""

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.25
_NOT_FOUND = 127


def main(supervisor: int, argv: list[str]) -> int:
    """Become, or run, the program; returns only where there is no death signal.

    Args:
        supervisor: Process id whose end is this process's end.
        argv: The program and its arguments.
    """
    if sys.platform != "linux":
        return _run_watched(supervisor, argv)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        return _run_watched(supervisor, argv)
    # A supervisor that died before the call above sends no signal any more.
    if os.getppid() != supervisor:
        return 0
    try:
        os.execv(argv[0], argv)  # noqa: S606 - becoming the given program is the purpose
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return _NOT_FOUND


def _run_watched(supervisor: int, argv: list[str]) -> int:
    import subprocess  # noqa: PLC0415 - half of the launcher's time, and seldom needed

    with subprocess.Popen(argv) as child:  # noqa: S603 - running the given program is the purpose

        def forward(number: int, _: object) -> None:
            child.send_signal(number)

        signal.signal(signal.SIGTERM, forward)
        signal.signal(signal.SIGINT, forward)
        while child.poll() is None:
            if os.getppid() != supervisor:
                child.kill()
            time.sleep(_POLL_S)
        return child.returncode


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:]))
