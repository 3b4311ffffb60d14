"""A command that runs every night: the lines for cron, or the units for systemd."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path

from meshnode.cli.terminal import out

_HOUR, _MINUTE = 3, 17  # at night, and not when everybody else's jobs begin


class Timer(StrEnum):
    """What starts the command."""

    CRON = "cron"
    SYSTEMD = "systemd"


def print_timer(timer: Timer, home: Path) -> None:
    """Print how the command at hand, without its --timer, runs every night."""
    program = Path(sys.argv[0]).absolute()
    is_module = program.name == "__main__.py"
    call = [sys.executable, "-m", "meshnode"] if is_module else [str(program)]
    words = [*call, *_without_timer(sys.argv[1:])]
    if not any(word.partition("=")[0] == "--home" for word in words):
        words += ["--home", str(home.absolute())]
    if timer is Timer.CRON:
        line = f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(words)}"
        line = line.replace("%", "\\%")  # a bare % ends a command in crontab(5)
        out.print(f"{_MINUTE} {_HOUR} * * * {line}", markup=False)
        return
    command = " ".join(_systemd_word(word) for word in words)
    at = f"{_HOUR:02}:{_MINUTE:02}"
    out.print(_UNITS.format(command=command, folder=Path.cwd(), at=at), markup=False)


def _without_timer(words: list[str]) -> list[str]:
    kept = []
    skips = False
    for word in words:
        if not skips and word.partition("=")[0] != "--timer":
            kept.append(word)
        skips = word == "--timer"
    return kept


def _systemd_word(word: str) -> str:
    """Quote a word of ExecStart (systemd.service(5), "Command lines")."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or not word or any(map(str.isspace, word)) else word


_UNITS = """\
# /etc/systemd/system/meshnode-sync.service
[Unit]
Description=Publish what changed
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart={command}

# /etc/systemd/system/meshnode-sync.timer
[Unit]
Description=Publish what changed, every night

[Timer]
OnCalendar={at}
RandomizedDelaySec=30min
Persistent=true

[Install]
WantedBy=timers.target"""
