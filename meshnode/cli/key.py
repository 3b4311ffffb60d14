"""`key`: key files, for maintainers whose keys lie on more than one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshnode.cli.passphrase import NoPassphraseOption, PassphraseFileOption, asked, chosen
from meshnode.cli.terminal import JsonOption, out, print_json
from meshnode.errors import UsageError

app = typer.Typer(help="Make and look at key files.", no_args_is_help=True)

KeyArgument = Annotated[Path, typer.Argument(help="The private key's file.")]


@app.command()
def create(
    file: KeyArgument,
    no_passphrase: NoPassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a private key FILE, and beside it FILE.pub to give away.

    Example:

      meshnode key create alice.key
    """
    from meshnode.core.signing import public_key
    from meshnode.runtime.keys import create_key, write_public_key

    key = create_key(file, chosen(passphrase_file, none=no_passphrase))
    public = file.with_name(f"{file.name}.pub")
    write_public_key(public, public_key(key))
    _say(file, public, public_key(key), as_json=as_json)


@app.command()
def show(
    file: KeyArgument,
    public: Annotated[
        Path | None, typer.Option(help="Write the public key to this file, to give away.")
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which key a file holds; of a private key this takes its passphrase.

    Example:

      meshnode key show alice.key --public alice.key.pub
    """
    from meshnode.runtime.keys import public_key_of, write_public_key

    key = public_key_of(file, asked(passphrase_file))
    if public is not None:
        write_public_key(public, key)
    _say(file, public, key, as_json=as_json)


@app.command()
def passphrase(
    file: KeyArgument,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the new passphrase.")
    ] = None,
    no_passphrase: NoPassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the passphrase of a key. Copies of the file keep the old one.

    Example:

      meshnode key passphrase alice.key
    """
    from meshnode.cli.passphrase import is_terminal
    from meshnode.core.signing import public_key
    from meshnode.runtime.keys import load_key, save_key

    if not (new_passphrase_file or no_passphrase or is_terminal()):
        raise UsageError(
            "there is no new passphrase",
            hint="run it in a terminal, or give --new-passphrase-file or --no-passphrase",
        )
    key = load_key(file, asked(passphrase_file))
    save_key(file, key, chosen(new_passphrase_file, none=no_passphrase, fresh=True))
    _say(file, None, public_key(key), as_json=as_json)


def _say(file: Path, public: Path | None, key: bytes, *, as_json: bool) -> None:
    from meshnode.core.identifiers import PublicKey, key_id

    kid = key_id(PublicKey(key)).hex()
    if as_json:
        print_json({"file": str(file), "public": str(public) if public else None, "kid": kid})
        return
    out.print(f"key {kid} in {file}")
    if public is not None:
        out.print(f"public part in {public}: give it away")
