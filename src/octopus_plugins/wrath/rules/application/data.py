"""Rules for the application layer: inputs, outputs and numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import EXIT_TYPES, Match, Rule, Trust, first_line, in_serializer, place, quote
from octopus_plugins.wrath.rules.statements import line_with, stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

# Modules whose only work is to read what others wrote: what is raised in them is the input's fault.
_READERS = re.compile(
    r"/(?:tomllib|tomli|json|xml|email|zipfile|tarfile|gzip|configparser|csv)(?:/|\.py:)"
    r"|/numpy/lib/_?(?:npyio|format)|/pandas/io/|/pyarrow/(?:parquet|csv|feather|ipc|orc)"
    r"|/(?:yaml|h5py|netCDF4|PIL|lxml|msgpack|rasterio|Bio)/"
)
_NOT_NUMBERS = Phrases(r"\bnan in (?:ascii|column)\b", r"is not installed")
NUMBERS = Phrases(
    r"\b(?:problems?|error|failed|failure)\b[^\n]{0,40}\bcholesky\b",
    r"\bcholesky\b[^\n]{0,60}\b(?:failed|failure|not possible|error)\b",
    r"\bnans?\b(?!o)",
    r"\bnon-?finite\b",
    r"\bnot finite\b",
    r"\bis infinite\b",
    r"\binfs\b",
    r"\binfinity\b",
    r"\bmath (?:domain|range) error\b",
    r"\bnot (?:symmetric )?positive(?:[- ]semi)?[- ]definite\b",
    r"\b(?:did|does|could|has|have|is|are|was) ?(?:not|n't) (?:yet )?(?:be )?converge(?:d)?\b",
    r"\bnot (?:be )?converg(?:ed|ing|e)\b",
    r"\b(?:fail\w*|unable|error|no|problem|trouble|never)\b[^\n]{0,40}\bconverge(?:nce|d)?\b",
    r"\bconvergence\b[^\n]{0,40}\b(?:fail|not|error|problem)",
    r"\bunconverged\b",
    r"\b(?:has |have |solution |solver |simulation |iterations? |it )diverged\b",
    r"\bdivergence (?:detected|found)\b",
    r"\bsingular (?:matrix|system|jacobian)\b",
    r"\bmatrix is (?:\w+ )?singular\b",
    r"\bill[- ]conditioned\b",
    r"\b(?:floating[- ]point|numerical|arithmetic|integer) (?:overflow|underflow|exception|error|instability"
    r"|instabilit\w+)\b",
    r"\boverflow encountered\b",
    r"\blost atoms\b",
    r"\b(?:bond |dihedral |angle |shake )?atoms? missing\b",
    r"\bsimulation (?:is |became |has become )?unstable\b",
    r"\b(?:blew|blows|blowing) up\b",
    r"\bhas exploded\b",
    r"\bzbrent\b",
    r"\b(?:zheev|dsyev|zhegv)\w*\b[^\n]{0,60}(?:fail|error|info)",
    r"\bnumerically (?:unstable|singular)\b",
    unless=_NOT_NUMBERS,
)
_MALFORMED = Phrases(
    r"\btruncated (?:file|data|input|record|gzip|bam|archive|block)\b",
    r"\b(?:file|data|input|stream|record|archive|image|block) (?:is |was |appears |seems )?(?:to be )?(?:truncated"
    r"|corrupt(?:ed)?|incomplete|damaged|malformed)\b",
    r"\bcorrupt(?:ed)? (?:file|data|input|record|archive|header|block|image|index|zip|gzip)\b",
    r"\b(?:unexpected|premature) (?:end of (?:file|input|stream|data)|eof)\b",
    r"\bend of file (?:reached|encountered|error)\b",
    r"\bpremature end\b",
    r"\bfile signature not found\b",
    r"\bnot in gzip format\b",
    r"\binvalid (?:file )?(?:header|magic|signature|format)\b",
    r"\bno (?:valid )?(?:bam |sam |fits )?(?:bgzf )?(?:eof marker|header)\b",
    r"\bbad magic\b(?! number in)",
    r"\bmalformed\b",
    r"\b(?:parse|parsing|syntax) error (?:at|in|on|near)\b[^\n]{0,80}\b(?:line|file|column|input)",
    r"\b(?:failed|unable|cannot|could not|error) (?:to )?pars(?:e|ing)\b",
    r"\b(?:unrecogni[sz]ed|unknown|unsupported|invalid|wrong) (?:file |input |data )?(?:format|file ?type)\b",
    r"\bis not a valid [^\n]{0,40}\b(?:file|archive|image|document)\b",
    r"\b(?:invalid|bad) input (?:file|data)\b",
)
_ABSENT_WORDS = ("no such file or directory", "cannot open file", "does not exist")


def _numerical(failure: Failure, history: History | None) -> Match:
    return Match(f"the arithmetic failed: {quote(failure.exception)}", confidence=0.85)


def _bad_input(failure: Failure, history: History | None) -> Match | None:
    if failure.exception.type.endswith(".BadStdStreamFile") and failure.causes:
        return None  # Parsl wraps the OSError that tells why
    unlocated = failure.exception.type.endswith(".UnpicklingError") and failure.exception.location is None
    if unlocated or in_serializer(failure):
        return None  # what the framework sent, not what the task read
    evidence = {"subject": failure.exception.attributes.get("filename")}
    return Match(f"an input could not be read{place(failure)}: {quote(failure.exception)}", evidence, 0.75)


def _no_database(failure: Failure, history: History | None) -> Match | None:
    # The class stands over all that SQLite finds wrong; by itself it is raised for a file that is none of its own.
    if failure.exception.type != "sqlite3.DatabaseError":
        return None
    return _bad_input(failure, history)


def _reader(failure: Failure, history: History | None) -> Match | None:
    where = failure.exception.location
    if where is None or not _READERS.search(where):
        return None
    reason = f"an input could not be read{place(failure)}: {quote(failure.exception)}"
    return Match(reason, {"raised_in": where}, 0.7)


def _absent(failure: Failure, history: History | None) -> Match:
    line = line_with(failure, _ABSENT_WORDS)
    return Match(f"a program found no input{place(failure)}: {line}", {"text": line}, 0.6)


def _refused_request(failure: Failure, history: History | None) -> Match:
    return Match(
        f"the executor refused the task's request: {first_line(failure.exception.message)}",
        confidence=0.95,
        resolvable="no",
    )


def _missing_output(failure: Failure, history: History | None) -> Match:
    return Match(f"the app ended and left out promised files: {first_line(failure.exception.message)}", confidence=0.95)


RULES = (
    Rule(
        "numerical_error.type",
        Category.numerical_error,
        Trust.exact_type,
        _numerical,
        types=("ArithmeticError", "numpy.linalg.LinAlgError", "numpy.linalg.linalg.LinAlgError"),
        doc="`ArithmeticError` (division by zero, overflow, floating point), `LinAlgError`",
    ),
    Rule(
        "bad_input.request",
        Category.bad_input,
        Trust.exact_type,
        _refused_request,
        types=(
            "parsl.executors.errors.InvalidResourceSpecification",
            "parsl.executors.errors.UnsupportedFeatureError",
        ),
        doc="a resource specification or a feature that the executor refuses",
    ),
    Rule(
        "missing_output.type",
        Category.missing_output,
        Trust.exact_type,
        _missing_output,
        types=("parsl.app.errors.MissingOutputs",),
        doc="`MissingOutputs`",
    ),
    Rule(
        "bad_input.type",
        Category.bad_input,
        Trust.exact_type,
        _bad_input,
        types=(
            "FileNotFoundError",
            "IsADirectoryError",
            "NotADirectoryError",
            "EOFError",
            "UnicodeDecodeError",
            "json.decoder.JSONDecodeError",
            "zipfile.BadZipFile",
            "gzip.BadGzipFile",
            "tarfile.TarError",
            "zlib.error",
            "_lzma.LZMAError",
            "_pickle.UnpicklingError",
            "csv.Error",
            "_csv.Error",
            "struct.error",
            "binascii.Error",
            "xml.etree.ElementTree.ParseError",
            "lxml.etree.XMLSyntaxError",
            "configparser.Error",
            "tomllib.TOMLDecodeError",
            "tomli.TOMLDecodeError",
            "yaml.error.YAMLError",
            "msgspec.DecodeError",
            "pydantic_core._pydantic_core.ValidationError",
            "jsonschema.exceptions.ValidationError",
            "pandas.errors.ParserError",
            "pandas.errors.EmptyDataError",
            "pyarrow.lib.ArrowInvalid",
            "PIL.UnidentifiedImageError",
            "parsl.app.errors.BadStdStreamFile",
        ),
        doc="a file that is not there, or content that cannot be parsed",
    ),
    Rule(
        "bad_input.database",
        Category.bad_input,
        Trust.exact_type,
        _no_database,
        types=("sqlite3.DatabaseError",),
        doc="`sqlite3.DatabaseError` itself: a file that is no database",
    ),
    Rule(
        "bad_input.reader",
        Category.bad_input,
        Trust.structured,
        _reader,
        types=("ValueError", "OSError", "KeyError", "TypeError"),
        doc="raised inside a module that only reads files (`tomllib`, `numpy.load`, `pandas.io`, …)",
    ),
    stated(
        "numerical_error.text",
        Category.numerical_error,
        "the arithmetic failed",
        NUMBERS,
        confidence=0.65,
        trust=Trust.text,
        doc="an exception or a program that speaks of NaN, infinity, a singular matrix or of what does not converge",
    ),
    stated(
        "bad_input.content",
        Category.bad_input,
        "an input could not be read",
        _MALFORMED,
        confidence=0.6,
        trust=Trust.text,
        doc="`truncated file`, `corrupt`, `unexpected end of file`, `file signature not found`, `malformed`, …",
    ),
    Rule(
        "bad_input.text",
        Category.bad_input,
        Trust.text,
        _absent,
        types=EXIT_TYPES,
        words=_ABSENT_WORDS,
        doc="a program's `No such file or directory`, where its exit status says nothing else",
    ),
)
