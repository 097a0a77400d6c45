"""What a GGUF file says about itself, read from its header alone.

The header of a large model's file is a few MB before many GB of weights, so this works on a file
of which only the beginning has been downloaded, in a fraction of a second, and without trusting
it: every count and length is checked against the bytes that are there before it is used.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from course_lib.errors import CourseError

_MOST_ENTRIES = 100_000  # of metadata or tensors; a 671B model's file has about a thousand
_MOST_VALUES = 1 << 21  # texts in all arrays together, so that no header takes long to read
_NESTED = 16  # what an array within an array costs of these
_MOST_ITEMS = 1 << 22  # in an array; vocabularies have a few hundred thousand
_MOST_DIMENSIONS = 4
_DEEPEST = 4  # arrays within arrays
_MOST_FILES = 1000  # that a model is split into

_SIZES = ("file_bytes", "needed_bytes", "present_bytes")


class GgufError(CourseError, ValueError):
    """The file is no GGUF file, is cut off within its header, or contradicts itself."""


class GgufTensor(NamedTuple):
    """One tensor: its name, its shape as stored (row length first), its format and its size."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """The header of a GGUF file, or of all the files that a large model was split into.

    `file_bytes` is the size that the whole should have, `needed_bytes` the same without the padding
    at its end (llama.cpp does not ask for that), and `present_bytes` the size it has here.
    `missing` names the files of a split model that are not here.
    """

    version: int
    metadata: dict[str, Any]
    tensors: tuple[GgufTensor, ...]
    file_bytes: int
    needed_bytes: int
    present_bytes: int
    missing: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Parameters in all tensors."""
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def complete(self) -> bool:
        """Whether all of the file is here."""
        return not self.missing and self.present_bytes >= self.needed_bytes

    def told(self, key: str, otherwise: Any) -> Any:
        """What the metadata has under `key`, if that is of the kind of `otherwise`, else this."""
        found = self.metadata.get(key)
        return found if isinstance(found, type(otherwise)) else otherwise


def read_gguf_header(path: str | os.PathLike[str]) -> GgufHeader:
    """Read the header of the GGUF file at `path`, versions 2 and 3, little-endian.

    Of a model that was split (`llama-gguf-split` writes `NAME-00001-of-00003.gguf`) all files are
    read, and `path` is the first of them, as for llama.cpp.

    Raises GgufError, a ValueError with one clear sentence, for a file that cannot be read, is not
    GGUF, ends within its header, or whose counts, sizes, types or offsets cannot be.
    """
    path = Path(path)
    header = _read_file(path)
    count, number = (header.metadata.get(f"split.{key}", 0) for key in ("count", "no"))
    if not isinstance(count, int) or not isinstance(number, int):
        raise GgufError(f"{path.name} is not a sound GGUF file: its split.count is no number.")
    return _join(path, header, number, count) if count > 1 else header


def require_whole(path: Path) -> GgufHeader:
    """The header of a file (or of a split model's first) of which nothing is missing.

    Raises GgufError that names what is.
    """
    header = read_gguf_header(path)
    if header.missing:
        raise GgufError(
            f"{path.name} is one file of a split model; {', '.join(header.missing[:3])} must lie "
            "beside it."
        )
    if not header.complete:
        raise GgufError(
            f"{path.name} is cut short: {header.present_bytes:,} of {header.file_bytes:,} bytes "
            "are here; get it again."
        )
    return header


def _join(path: Path, first: GgufHeader, number: int, count: int) -> GgufHeader:
    """The headers of all files of a split model as one."""
    named = re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\.gguf", path.name)
    if number != 0:
        raise GgufError(
            f"{path.name} is file {number + 1} of a split model; give the first of them."
        )
    if count > _MOST_FILES or named is None or (int(named[2]), int(named[3])) != (1, count):
        raise GgufError(
            f"{path.name} is the first of the {count} files of a split model, and is not named so: "
            f"its name must end in -00001-of-{count:05}.gguf."
        )
    names = [f"{named[1]}-{i:05}-of-{count:05}.gguf" for i in range(2, count + 1)]
    missing = tuple(name for name in names if not path.with_name(name).is_file())
    found = [first, *(_read_file(path.with_name(n)) for n in names if n not in missing)]
    tensors = tuple(tensor for header in found for tensor in header.tensors)
    declared = first.metadata.get("split.tensors.count", len(tensors))
    whole = not missing and all(header.complete for header in found)
    if len({t.name for t in tensors}) < len(tensors) or (whole and declared != len(tensors)):
        raise GgufError(f"The {count} files of {path.name} do not belong together; get them again.")
    sizes = {size: sum(getattr(header, size) for header in found) for size in _SIZES}
    return GgufHeader(first.version, first.metadata, tensors, missing=missing, **sizes)


def _read_file(path: Path) -> GgufHeader:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise GgufError(f"{path.name} cannot be read: it is no file.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 4 or file.read(4) != b"GGUF":
                raise GgufError(f"{path.name} is not a GGUF file: it does not begin with 'GGUF'.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(_Cursor(content, path.name))
    except OSError as error:
        raise GgufError(f"{path.name} cannot be read: {error.strerror or error}.") from error


class _Cursor:
    """A place in the file; every read is checked against the file's end."""

    def __init__(self, content: mmap.mmap, name: str) -> None:
        self.content, self.name, self.size = content, name, len(content)
        self.at = 4  # behind the magic letters
        self.values_left = _MOST_VALUES

    def fail(self, what: str) -> GgufError:
        return GgufError(f"{self.name} is not a sound GGUF file: {what}.")

    def numbers(self, letter: str, count: int) -> list[Any]:
        """So many numbers of a kind, by the letter that `struct` has for it."""
        layout = f"<{count}{letter}"
        end = self.at + struct.calcsize(layout)
        if end > self.size:
            raise self.cut()
        values = struct.unpack_from(layout, self.content, self.at)
        self.at = end
        return list(values)

    def take(self, letter: str) -> Any:
        return self.numbers(letter, 1)[0]

    def string(self) -> str:
        length = self.take(_U64)
        if length > self.size - self.at:
            raise self.cut()
        self.at += length
        # Tokens of a byte-level vocabulary need not be valid text.
        return self.content[self.at - length : self.at].decode("utf-8", errors="replace")

    def number(self, letter: str, most: int, what: str) -> int:
        value = self.take(letter)
        if value > most:
            raise self.fail(f"{what} is {value}, and more than {most} cannot be")
        return value

    def cut(self) -> GgufError:
        return self.fail(f"it ends within its header, after {self.size} bytes; get it again")


_U32, _U64 = "I", "Q"
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True))


def _read(cursor: _Cursor) -> GgufHeader:
    version = cursor.take(_U32)
    if version not in (2, 3):
        raise cursor.fail(f"its version is {version}, and only 2 and 3, little-endian, can be read")
    tensor_count = cursor.number(_U64, _MOST_ENTRIES, "the number of tensors")
    entry_count = cursor.number(_U64, _MOST_ENTRIES, "the number of metadata entries")
    metadata: dict[str, Any] = {}
    for _ in range(entry_count):
        key = cursor.string()
        if key in metadata:
            raise cursor.fail(f"its metadata has {_short(key)} twice")
        metadata[key] = _value(cursor, cursor.take(_U32))
    places = [_tensor(cursor) for _ in range(tensor_count)]
    tensors = tuple(tensor for tensor, _ in places)
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise cursor.fail("two of its tensors have one name")
    alignment = _alignment(cursor, metadata)
    end = _data_end(cursor, alignment, places)
    whole = _aligned(end, alignment) if places else end
    return GgufHeader(version, metadata, tensors, whole, end, present_bytes=cursor.size)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _value(cursor: _Cursor, kind: int, depth: int = 0) -> Any:
    if kind in _SCALARS:
        return cursor.take(_SCALARS[kind])
    if kind == _STRING:
        return cursor.string()
    if kind != _ARRAY or depth == _DEEPEST:
        what = "arrays too deep in arrays" if kind == _ARRAY else f"a value of unknown type {kind}"
        raise cursor.fail(f"its metadata has {what}")
    item = cursor.take(_U32)
    count = cursor.number(_U64, _MOST_ITEMS, "the length of an array")
    if item in _SCALARS:
        return cursor.numbers(_SCALARS[item], count)
    cursor.values_left -= count * (_NESTED if item == _ARRAY else 1)
    if cursor.values_left < 0:
        raise cursor.fail(f"its metadata holds more than {_MOST_VALUES} values")
    if item == _STRING:
        return [cursor.string() for _ in range(count)]
    return [_value(cursor, item, depth + 1) for _ in range(count)]


def _tensor(cursor: _Cursor) -> tuple[GgufTensor, int]:
    """One tensor's entry, and where its data begins within the data."""
    name = cursor.string()
    dimensions = cursor.number(_U32, _MOST_DIMENSIONS, f"the dimensions of tensor {_short(name)}")
    shape = tuple(cursor.take(_U64) for _ in range(dimensions))
    kind, offset = cursor.take(_U32), cursor.take(_U64)
    if kind not in GGML_QUANT_SIZES:
        raise cursor.fail(f"tensor {_short(name)} has the unknown format {kind}")
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    items = math.prod(shape)
    if not 0 < items < 2**62 or (shape or (1,))[0] % block:
        raise cursor.fail(f"tensor {_short(name)} has the impossible shape {shape}")
    tensor = GgufTensor(name, shape, GGMLQuantizationType(kind).name, items // block * size)
    return tensor, offset


def _alignment(cursor: _Cursor, metadata: dict[str, Any]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 8 <= value <= 1 << 20 or value & (value - 1):
        raise cursor.fail(f"its alignment is {value!r} and must be a power of two from 8")
    return value


def _data_end(cursor: _Cursor, alignment: int, places: list[tuple[GgufTensor, int]]) -> int:
    """Where the last tensor ends; every tensor begins at a multiple of the alignment."""
    end = 0
    for tensor, offset in sorted(places, key=lambda place: place[1]):
        if offset % alignment or offset < end:
            raise cursor.fail(f"tensor {_short(tensor.name)} begins at the wrong place, {offset}")
        end = offset + tensor.bytes
    return (_aligned(cursor.at, alignment) if places else cursor.at) + end


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
