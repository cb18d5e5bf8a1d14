from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath import (
    Category,
    CategoryPolicy,
    DenyPolicy,
    Policy,
    TerminationPolicy,
    load_policy,
    policy_from,
)


def written(tmp_path, text):
    file = tmp_path / "site.toml"
    file.write_text(text)
    return file


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    file = written(
        tmp_path,
        """
        mode = "passive"
        ladder = ["small", "large"]
        maximum_failures = 100

        [categories.memory_exhausted]
        maximum_attempts = 2
        rungs = ["other_executor"]

        [categories.code_error]
        action = "terminate"

        [deny]
        duration = 60
        """,
    )
    policy, default = load_policy(file), Policy.default()
    assert (policy.name, policy.mode, policy.ladder, policy.maximum_failures) == (
        "site",
        "passive",
        ("small", "large"),
        100,
    )
    memory = policy.entry(Category.memory_exhausted)
    assert (memory.maximum_attempts, memory.rungs) == (2, ("other_executor",))
    assert memory.charge == default.entry(Category.memory_exhausted).charge
    assert policy.entry(Category.code_error).action == "terminate"
    assert policy.deny == DenyPolicy(duration=60)
    unchanged = set(Category) - {Category.memory_exhausted, Category.code_error}
    assert all(policy.entry(category) == default.entry(category) for category in unchanged)


def test_a_file_for_an_earlier_version_still_loads(tmp_path):
    text = "[deny]\ncooldown = 2.0\nduration = 900\nmaximum_duration = 7200\ntasks = 3\nfloor = 0.5\n"
    policy = load_policy(written(tmp_path, text + "[categories.code_error]\nmaximum_attempts = 3\nconfirm = 2\n"))
    assert policy.deny == DenyPolicy(cooldown=2.0, duration=900, maximum_duration=7200, tasks=3)
    assert (policy.entry(Category.code_error).confirm, policy.entry(Category.code_error).recovery) == (2, 0.05)


def test_what_is_done_about_a_hopeless_run_and_task_stands_in_the_file(tmp_path):
    text = "on_systemic_failure = 'pause'\n[termination]\ncost = 60\nrecovery = 0.2\n[stragglers]\nspeculate = true\n"
    policy = load_policy(written(tmp_path, text))
    assert policy.on_systemic_failure == "pause"
    assert policy.termination == TerminationPolicy(cost=60, recovery=0.2)
    assert policy.stragglers.speculate


def test_an_empty_file_is_the_default_policy_under_the_files_name(tmp_path):
    policy = load_policy(written(tmp_path, ""))
    assert policy.name == "site"
    assert policy.categories == Policy.default().categories


WRONG = [
    (
        "retry = 1",
        "retry = 1: no such key; allowed are breaker, budgets, categories, deny, ladder, maximum_failures, "
        "mode, name, on_systemic_failure, stragglers, termination",
    ),
    ("maximum_failure = 1", "maximum_failure = 1: no such key; did you mean 'maximum_failures'?"),
    ("mode = 'pasive'", "mode = 'pasive': must be one of active, passive"),
    ("name = ''", "name = '': must be a text that is not empty"),
    ("ladder = 'small'", "ladder = 'small': must be a list of executor labels, each at most once"),
    ("ladder = ['a', 'a']", "ladder = ('a', 'a'): must be a list of executor labels, each at most once"),
    ("categories = 3", "categories = 3: must be a table, written [categories]"),
    ("[categories.memory_exausted]", "categories.memory_exausted: no such category; did you mean 'memory_exhausted'?"),
    (
        "[categories.worker_lost]\nmaximum_attempt = 1",
        "categories.worker_lost.maximum_attempt = 1: no such key; did you mean 'maximum_attempts'?",
    ),
    (
        "[categories.worker_lost]\nmaximum_attempts = -1",
        "categories.worker_lost.maximum_attempts = -1: must be a whole number, 0 or more",
    ),
    (
        "[categories.worker_lost]\nmaximum_attempts = true",
        "categories.worker_lost.maximum_attempts = True: must be a whole number, 0 or more",
    ),
    (
        "[categories.worker_lost]\nbackoff_coefficient = 0.5",
        "categories.worker_lost.backoff_coefficient = 0.5: must be a number, 1 or more",
    ),
    (
        "[categories.worker_lost]\ninitial_interval = nan",
        "categories.worker_lost.initial_interval = nan: must be a number, 0 or more",
    ),
    (
        "[categories.worker_lost]\naction = 'ignore'",
        "categories.worker_lost.action = 'ignore': must be one of retry, terminate",
    ),
    (
        "[categories.worker_lost]\nrungs = ['next_node']",
        "categories.worker_lost.rungs = ('next_node',): must be a list of same_node, other_node, other_block, "
        "other_executor, each at most once, at least one",
    ),
    (
        "[categories.worker_lost]\ncharge = 0\nmaximum_attempts = 0",
        "categories.worker_lost.maximum_attempts = 0: a category with charge = 0 needs a limit, or it retries for ever",
    ),
    ("on_systemic_failure = 'stop'", "on_systemic_failure = 'stop': must be one of warn, pause, halt"),
    ("[termination]\nrecovery = 2", "termination.recovery = 2: must be a number from 0 to 1"),
    ("[termination]\nnodes = 0", "termination.nodes = 0: must be a whole number, 1 or more"),
    ("[deny]\nlevel = 2", "deny.level = 2: must be a number from 0 to 1"),
    ("[deny]\nfloor = 1.5", "deny.floor = 1.5: must be a number from 0 to 1"),
    ("[deny]\nenabled = 1", "deny.enabled = 1: must be true or false"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_a_wrong_file_is_refused_with_file_key_value_and_what_is_allowed(tmp_path, text, message):
    file = written(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    assert str(caught.value) == f"{file}: {message}"


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path):
    with pytest.raises(PolicyError, match=r"publishd: .* 'published' is the only name of a policy"):
        load_policy("publishd")
    with pytest.raises(PolicyError, match=r"absent\.toml: the policy cannot be read: No such file or directory$"):
        load_policy(tmp_path / "absent.toml")
    with pytest.raises(PolicyError, match=r"site\.toml: not a TOML file: "):
        load_policy(written(tmp_path, "mode = "))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match=r"binary\.toml: not a TOML file: "):
        load_policy(tmp_path / "binary.toml")


def test_a_policy_comes_from_nothing_a_path_a_mapping_or_a_policy(tmp_path):
    file = written(tmp_path, "maximum_failures = 7")
    assert policy_from(None) == Policy.default()
    assert policy_from(file).maximum_failures == policy_from(str(file)).maximum_failures == 7
    assert policy_from({"maximum_failures": 7, "deny": {"tasks": 2}}).deny.tasks == 2
    policy = Policy(maximum_failures=3)
    assert policy_from(policy) is policy
    assert policy_from("published") == Policy.published()
    assert policy_from(Path(file), ladder=["a", "b"], mode="passive").ladder == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": 5}, "policy = 5: must be None, the path of a TOML file, a mapping or a Policy"),
        ({"source": {"mod": "active"}}, "policy: mod = 'active': no such key; did you mean 'mode'?"),
        ({"source": None, "mode": "on"}, "mode = 'on': must be one of active, passive"),
        ({"source": None, "ladder": "small"}, "ladder = 'small': must be a list of executor labels, such as ['small']"),
    ],
)
def test_what_is_no_policy_is_refused(arguments, message):
    with pytest.raises(PolicyError) as caught:
        policy_from(**arguments)
    assert str(caught.value) == message


def test_wrong_values_are_refused_when_made_in_python():
    with pytest.raises(PolicyError, match="charge = -1: must be a number, 0 or more"):
        CategoryPolicy(charge=-1)
    with pytest.raises(PolicyError, match="tasks = 0: must be a whole number, 1 or more"):
        DenyPolicy(tasks=0)


def test_every_category_has_an_entry():
    assert set(Policy.default().categories) == set(Category)
    assert set(Policy(categories={}).categories) == set(Category)


def test_what_is_not_charged_has_a_cap():
    entries = Policy.default().categories.values()
    assert all(entry.maximum_attempts > 0 for entry in entries if entry.charge == 0)


def test_a_policy_survives_pickling():
    policy = policy_from({"categories": {"unknown": {"charge": 2}}}, ladder=["a"])
    assert pickle.loads(pickle.dumps(policy)) == policy


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(["name", "mode", "ladder", "maximum_failures", "categories", "deny", "x"])
sections = st.fixed_dictionaries({"categories": st.dictionaries(st.sampled_from(["unknown", "code_error"]), values)})


@settings(deadline=None)
@given(st.dictionaries(keys, values) | sections)
def test_any_mapping_gives_a_policy_or_an_error_of_ours(source):
    try:
        policy = policy_from(source)
    except PolicyError as error:
        assert str(error).startswith("policy: ")
    else:
        assert isinstance(policy, Policy)


def test_a_first_wait_above_the_longest_is_refused():
    with pytest.raises(PolicyError, match=r"categories\.app_exit\.initial_interval = 600: must be at most maximum"):
        policy_from({"categories": {"app_exit": {"initial_interval": 600}}})
