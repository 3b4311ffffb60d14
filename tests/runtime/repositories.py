"""A small git repository of processing code, the same at every run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BUILD = """\
builder = "https://example.org/builders/yukon"
repository = "https://git.example.org/yukon"
environment = ["Dockerfile", "env/requirements.txt"]

[parameters]
resolution = "200mm"
tiles = 12

[[sources]]
url = "https://data.example.org/raw/towns.zip"
file = "raw/towns.zip"

[[sources]]
url = "https://data.example.org/raw/roads.zip"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
"""
FILES = {
    "build.toml": BUILD,
    "Dockerfile": "FROM example.org/gdal@sha256:0000\n",
    "env/requirements.txt": "numpy==2.4.6\n",
    "make.py": "".join(f"print({number})\n" for number in range(200)),
    ".gitignore": "raw/\nout/\n",
}
WHEN = "2026-01-02T03:04:05Z"


def git(folder: Path, *arguments: str) -> str:
    """Run git without the settings of whoever runs the tests."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Maker",
        "GIT_AUTHOR_EMAIL": "maker@example.org",
        "GIT_COMMITTER_NAME": "Maker",
        "GIT_COMMITTER_EMAIL": "maker@example.org",
        "GIT_AUTHOR_DATE": WHEN,
        "GIT_COMMITTER_DATE": WHEN,
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_repository(folder: Path) -> Path:
    """Write two commits of code, a raw source, and an output, both ignored by git."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Make the towns")
    (folder / "make.py").write_text(FILES["make.py"] + "print('done')\n")
    git(folder, "commit", "-q", "-a", "-m", "Say when it is done")
    for name, text in (("raw/towns.zip", "raw towns"), ("out/towns.parquet", "towns")):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    return folder
