"""Files that are whole or not there, and JSON that notices when a byte of it has changed."""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lib.errors import UserError

MAX_JSON = 4 * 2**20  # bytes; the largest manifest has a few thousand
SEAL = "checksum"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: beside its place, flushed to disk, renamed into place.

    Parameters
    ----------
    path : Path
        Its folder is made if need be; what was there before is replaced.
    content : bytes
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def sealed(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as the bytes of a file, with a checksum of itself.

    Parameters
    ----------
    content : mapping
        Of plain JSON values; a checksum that it has from before is replaced.
    """
    rest = {key: value for key, value in content.items() if key != SEAL}
    return _dump({**rest, SEAL: hashlib.sha256(_dump(rest)).hexdigest()})


def _dump(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, default=dict) + "\n").encode()  # dict: of read-only ones


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file; if it has a checksum, every byte of the file is checked by it.

    Returns
    -------
    mapping
        Read-only, as are the objects in it: who asks again gets the same.

    Raises
    ------
    FileNotFoundError
        If there is none.
    UserError
        If the file cannot be read, is no JSON object, or is not the one that was sealed.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_JSON + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if len(text) > MAX_JSON:
        raise UserError(f"{path}: has more than {MAX_JSON:,} bytes; it should be smaller")
    try:
        content = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not readable JSON ({error})") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: is not a JSON object")
    if SEAL in content and not _is_sealed(text):
        raise UserError(f"{path}: has changed since it was written: its checksum is not that of its content")
    return content


# A chapter asks the same manifests thousands of times.
@functools.lru_cache(maxsize=64)
def _parsed(text: bytes) -> Any:
    return json.loads(text.decode("utf-8"), object_hook=MappingProxyType)


@functools.lru_cache(maxsize=64)
def _is_sealed(text: bytes) -> bool:
    return sealed(_parsed(text)) == text


def remove_leftovers(folder: Path) -> None:
    """Remove what `write_whole` left unfinished when its process was killed; for who alone writes in `folder`."""
    for path in folder.glob(".*-????????"):
        if path.is_file():
            path.unlink()
