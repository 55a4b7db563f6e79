"""The command line: what does `segue` do?"""

import logging
import sys


def main() -> None:
    """Run the command `segue`."""
    import segue_shared.loading  # noqa: F401, PLC0415 - first, since it is for what follows

    # isort: split
    import structlog  # noqa: PLC0415 - after that

    # Logs of the libraries are no data: only errors are shown, and on standard error.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    from segue.cli.app import build  # noqa: PLC0415 - after logging is set up
    from segue.cli.shell import system_shell  # noqa: PLC0415 - after logging is set up
    from segue_shared.garbage import collect_from_now_on  # noqa: PLC0415 - with the others

    collect_from_now_on()
    build(system_shell())()
