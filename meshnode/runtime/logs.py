"""The log of a process: structured lines on standard error."""

from __future__ import annotations

import logging
import sys

import structlog

from meshnode.config import LogSettings


def configure_logs(settings: LogSettings) -> None:
    """Write what is at least as severe as the level; a library's own lines from warnings up."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if not settings.json_lines:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_standard_error,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    if level > logging.DEBUG:
        logging.getLogger().handlers[0].addFilter(_without_traceback)


def _standard_error(*_: object) -> structlog.PrintLogger:
    """Print to what standard error is at the time: who captures it may close it afterwards."""
    return structlog.PrintLogger(sys.stderr)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Libraries log what strangers do to them with tracebacks, which say nothing to an operator."""
    record.exc_info = record.exc_text = record.stack_info = None
    return True
