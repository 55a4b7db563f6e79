"""The command line: what does `segue` do?"""

import logging
import sys

import structlog


def main() -> None:
    """Run the command `segue`."""
    # Logs of the libraries are no data: only errors are shown, and on standard error.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    from segue.cli.app import build  # noqa: PLC0415 - after logging is set up
    from segue.cli.shell import system_shell  # noqa: PLC0415 - after logging is set up

    build(system_shell())()
