from __future__ import annotations

import json
import subprocess
import sys

import pytest
from parsl.executors.high_throughput.errors import WorkerLost

import octopus_plugins.wrath
from octopus_plugins.wrath import Category, Layer, category_table, signature


def test_layers_and_categories_read_as_their_names():
    assert f"{Layer.runtime} {Category.memory_exhausted}" == "runtime memory_exhausted"
    assert Category("memory_exhausted") is Category.memory_exhausted
    assert json.dumps(Category.disk_full) == '"disk_full"'


def test_every_category_has_a_layer_a_scope_and_a_meaning():
    for category in Category:
        assert category.layer in Layer
        assert category.scope in {"task", "worker", "node", "pool", "run"}
        assert category.resolvable in {"yes", "no", "unknown"}
        assert category.doc.endswith(".")
    assert {category.layer for category in Category} == set(Layer)


def test_the_table_has_a_row_for_every_category():
    rows = category_table().splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert [row.split("`")[1] for row in rows[2:]] == [category.value for category in Category]


@pytest.mark.parametrize("name", octopus_plugins.wrath.__all__)
def test_every_public_name_can_be_had_whatever_was_imported_before(name):
    code = (
        "import types, octopus_plugins.wrath.decisions.decider, octopus_plugins.wrath.taxonomy.documentation\n"
        f"from octopus_plugins.wrath import {name}\n"
        f"assert not isinstance({name}, types.ModuleType)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_loads_nothing_heavy():
    code = (
        "import sys, octopus_plugins.wrath as w; [getattr(w, n) for n in w.__all__]; "
        "sys.exit(bool({'parsl', 'numpy', 'confluent_kafka', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        octopus_plugins.wrath.Nothing  # noqa: B018


def refuse(message):
    raise ValueError(message)


def test_accidents_of_a_message_do_not_change_the_signature(fail):
    one = fail(lambda: refuse("cannot read /scratch/job_1/x.h5 at 0x7ffe12 on small-0: 17 of 20 bytes"))
    two = fail(lambda: refuse("cannot read /tmp/w9/y.h5 at 0x55aa00 on small-2: 3.5 of 8 bytes"), host="small-2")
    assert signature(one) == signature(two)


def test_type_place_and_words_do_change_the_signature(fail):
    base = signature(fail(lambda: refuse("no convergence")))
    assert signature(fail(lambda: refuse("no memory"))) != base
    assert signature(fail(lambda: int("x"))) != base
    assert signature(fail(WorkerLost(1, "small-0"))) == signature(fail(WorkerLost(2, "small-1"), host="small-1"))
