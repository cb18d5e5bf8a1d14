"""Inputs that are missing or malformed, and outputs that are not written."""

# ruff: noqa: PTH123 - as users write it
from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
INPUT, OUTPUT = Category.bad_input, Category.missing_output
SCRATCH = "{scratch}"


@CASES.python(INPUT)
def missing_file() -> Any:
    """Opens a file that does not exist."""
    return open("/no/such/input.dat").read()


@CASES.python(INPUT)
def numpy_missing_file() -> Any:
    """Loads an array from a file that does not exist."""
    import numpy as np

    return np.load("/no/such/array.npy")


@CASES.python(INPUT)
def pandas_missing_file() -> Any:
    """Reads a table from a file that does not exist."""
    import pandas as pd

    return pd.read_csv("/no/such/table.csv")


@CASES.python(INPUT)
def wrapped_missing_file() -> Any:
    """A missing file below the exception of a library."""
    try:
        return Path("/no/such/mesh.msh").read_bytes()
    except OSError as error:
        raise RuntimeError("cannot read the mesh") from error


@CASES.python(INPUT)
def directory_as_file() -> Any:
    """Opens a directory as a file."""
    return open("/tmp").read()


@CASES.python(INPUT)
def file_as_directory() -> Any:
    """Lists a file as a directory."""
    return list(Path("/etc/hostname").iterdir())


@CASES.python(INPUT)
def broken_json() -> Any:
    """Parses JSON that ends too early."""
    import json

    return json.loads('{"a": [1, 2')


@CASES.python(INPUT)
def broken_utf8() -> Any:
    """Decodes bytes that are not UTF-8."""
    return b"\xff\xfe\x00caf\xe9".decode("utf-8")


@CASES.python(INPUT, SCRATCH)
def broken_gzip(scratch: str) -> Any:
    """Reads a text file as gzip."""
    import gzip

    path = Path(scratch, "not.gz")
    path.write_text("plain text")
    return gzip.open(path).read()


@CASES.python(INPUT, SCRATCH)
def truncated_gzip(scratch: str) -> Any:
    """Reads a gzip file of which the second half is missing."""
    import gzip

    path = Path(scratch, "half.gz")
    path.write_bytes(gzip.compress(bytes(range(256)) * 400)[:200])
    return gzip.open(path).read()


@CASES.python(INPUT, SCRATCH)
def broken_zip(scratch: str) -> Any:
    """Opens a text file as a zip archive."""
    import zipfile

    path = Path(scratch, "not.zip")
    path.write_text("plain text")
    return zipfile.ZipFile(path)


@CASES.python(INPUT, SCRATCH)
def broken_tar(scratch: str) -> Any:
    """Opens a text file as a tar archive."""
    import tarfile

    path = Path(scratch, "not.tar")
    path.write_text("plain text")
    return tarfile.open(path)


@CASES.python(INPUT, SCRATCH)
def empty_array_file(scratch: str) -> Any:
    """Loads an array from an empty file."""
    import numpy as np

    path = Path(scratch, "empty.npy")
    path.touch()
    return np.load(path)


@CASES.python(INPUT, SCRATCH, structured=False)
def no_array_file(scratch: str) -> Any:
    """Loads an array from a text file: NumPy raises a plain ValueError."""
    import numpy as np

    path = Path(scratch, "text.npy")
    path.write_text("x,y\n1,2\n")
    return np.load(path)


@CASES.python(INPUT, SCRATCH)
def empty_table(scratch: str) -> Any:
    """Reads a table from an empty file."""
    import pandas as pd

    path = Path(scratch, "empty.csv")
    path.touch()
    return pd.read_csv(path)


@CASES.python(INPUT, SCRATCH)
def ragged_table(scratch: str) -> Any:
    """Reads a table whose rows differ in length."""
    import pandas as pd

    path = Path(scratch, "ragged.csv")
    path.write_text("a,b\n1,2\n1,2,3,4\n")
    return pd.read_csv(path)


@CASES.python(INPUT, SCRATCH)
def broken_parquet(scratch: str) -> Any:
    """Reads a text file as Parquet."""
    import pyarrow.parquet

    path = Path(scratch, "text.parquet")
    path.write_text("plain text, no Parquet at all")
    return pyarrow.parquet.read_table(path)


@CASES.python(INPUT)
def short_struct() -> Any:
    """Unpacks a binary record that is too short."""
    import struct

    return struct.unpack("<IIQ", b"\x01\x02")


@CASES.python(INPUT)
def broken_xml() -> Any:
    """Parses XML whose element is not closed."""
    import xml.etree.ElementTree as ET

    return ET.fromstring("<run><task></run>")


@CASES.python(INPUT)
def broken_ini() -> Any:
    """Parses a configuration file without a section."""
    import configparser

    return configparser.ConfigParser().read_string("key = value\n")


@CASES.python(INPUT)
def broken_toml() -> Any:
    """Parses TOML that is none."""
    import tomllib

    return tomllib.loads("key = = 3")


@CASES.python(INPUT)
def broken_base64() -> Any:
    """Decodes base64 of the wrong length."""
    import base64

    return base64.b64decode("abcde")


@CASES.python(INPUT)
def truncated_pickle() -> Any:
    """Unpickles a checkpoint that ends too early."""
    import pickle

    return pickle.loads(pickle.dumps({"a": list(range(100))})[:40])


@CASES.python(INPUT)
def no_pickle() -> Any:
    """Unpickles a checkpoint that is text."""
    import pickle

    return pickle.loads(b"this is no pickle")


@CASES.python(INPUT, SCRATCH)
def no_database(scratch: str) -> Any:
    """Opens a text file as an SQLite database."""
    import sqlite3

    path = Path(scratch, "text.db")
    path.write_text("plain text, no database, long enough to have a header of some hundred bytes " * 4)
    return sqlite3.connect(path).execute("SELECT * FROM t")


@CASES.python(INPUT)
def refused_by_pydantic() -> Any:
    """Gives a pydantic model parameters that it refuses."""
    import pydantic

    class Parameters(pydantic.BaseModel):
        steps: int

    return Parameters.model_validate({"steps": "many"})


@CASES.python(INPUT)
def refused_by_msgspec() -> Any:
    """Decodes a record that lacks a field."""
    import msgspec

    class Cell(msgspec.Struct):
        size: int

    return msgspec.json.decode(b"{}", type=Cell)


@CASES.python(INPUT, structured=False)
def number_in_words() -> Any:
    """Parses a number of an input line that has a word there: a plain ValueError."""
    return [float(part) for part in ["1.0", "2.5", "n/a"]]


@CASES.workflow(INPUT)
def refused_resources(lab: Any) -> Any:
    """Asks HighThroughputExecutor for resources that it does not take."""
    from parsl.app.app import python_app

    def wants_much(parsl_resource_specification: Any = None) -> int:
        return 1

    return python_app(wants_much, executors=[lab.executor])(parsl_resource_specification={"cores": 4, "gpus": 1})


CASES.bash("cat_missing_input", INPUT, "cat /no/such/input.dat")
CASES.bash("sort_missing_input", INPUT, "sort /no/such/reads.fastq > /dev/null")
CASES.bash("tar_missing_input", INPUT, "tar xf /no/such/bundle.tar")
CASES.bash("python_program_missing_input", INPUT, "python3 -c 'open(\"/no/such/mesh.msh\")'")
CASES.bash("python_program_broken_json", INPUT, "python3 -c 'import json; json.loads(\"{\")'")


def _outputs(lab: Any, name: str, command: str, *files: str) -> Any:
    from parsl.data_provider.files import File

    return lab.bash(name, command, outputs=[File(str(lab.scratch / file)) for file in files])


@CASES.workflow(OUTPUT)
def writes_nothing(lab: Any) -> Any:
    """A bash app that ends well and writes nothing of the file that it promised."""
    return _outputs(lab, "writes_nothing", "true", "result.out")


@CASES.workflow(OUTPUT)
def writes_elsewhere(lab: Any) -> Any:
    """A bash app that writes its output under another name."""
    return _outputs(lab, "writes_elsewhere", "echo 1 > {scratch}/rseult.dat", "result.dat")


@CASES.workflow(OUTPUT)
def writes_one_of_two(lab: Any) -> Any:
    """A bash app that writes one of two promised files."""
    return _outputs(lab, "writes_one_of_two", "echo 1 > {scratch}/a.dat", "a.dat", "b.dat")


SCENES = [Scene("inputs", CASES)]
