"""The version of the code changes with everything that decides a result, and with nothing else."""

import ast
import shutil
import subprocess
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir

import echo_exp
from echo_exp import configuration, running
from echo_exp.configuration import code as module
from echo_exp.configuration.code import BESIDE, code, modules
from echo_exp.running import resume, training_run

PACKAGE = Path(echo_exp.__file__).parent

NOT_MEASURING = {
    "configuration.activations": "estimates memory",
    "configuration.checking": "refuses settings",
    "configuration.code": "is the version",
    "configuration.command_line": "knows what a user has written",
    "configuration.groups": "names settings",
    "configuration.identity": "tells configurations apart",
    "configuration.memory": "estimates memory",
    "configuration.renamed": "knows settings of earlier versions",
    "configuration.shapes": "estimates memory",
    "configuration.swept": "puts settings into words",
    "configuration.trust": "refuses classes",
    "metrics": "says how scores are shown and which are better, not what they are",
    "running": "hands over what `outcome` and `recorder` have made",
    "settings": "refuses values",
    "tracking": "carries numbers to the store as they are",
}
"""What else runs in a run, beside `BESIDE`, and why it decides no number that is recorded."""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    def forget() -> None:
        for cached in (module.code, module._on_the_way, module._find, module._content):
            cached.cache_clear()
        module._tree.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of this program whose code ran, from a configuration to a recorded run."""
    assert training_run.__name__ in sys.modules  # no import is traced
    folder = tmp_path_factory.mktemp("traced")
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose(
            "config",
            [
                *("epochs=2", "replicas=2", "missing=mask", "trainer.validate_every=1"),
                *("trainer.test_sequences=2", "trainer.progress=lines", "export=false"),
                f"output_dir={folder}",
            ],
        )
    names = set()

    def look(frame: types.FrameType, event: str, argument: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] == "echo_exp":
            names.add(name)

    before = sys.gettrace()
    sys.settrace(look)
    try:
        running.execute(config)
    finally:
        sys.settrace(before)
    return names


def _in(name: str, rooms: Iterable[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_all_code_that_determines_recorded_numbers_is_part_of_the_version(traced: set[str]) -> None:
    beside = {f"echo_exp.{name}" for name in BESIDE | NOT_MEASURING}
    left = traced - modules().keys() - {"echo_exp"}
    assert [name for name in left if not _in(name, beside)] == []
    training = ("module", "recorder", "evaluation", "outcome")
    there = [*(f"training.{name}" for name in training), "task.data", "models.lstm"]
    assert traced >= {f"echo_exp.{name}" for name in there}


def test_a_change_in_any_part_is_another_version(traced: set[str], tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "echo_exp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(configuration.FOLDER, tmp_path / "conf")
    measuring = sorted(traced & modules().keys())
    script = f"""
import pathlib
from echo_exp.configuration import code as module

def version():
    for cached in (module.code, module._content, module._tree):
        cached.cache_clear()
    return module.code()

reference = version()
for name in {measuring}:
    path = module.modules()[name]
    assert path.is_relative_to({str(tmp_path)!r}), path
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\\nONE_MORE = 1\\n", encoding="utf-8")
    print(name, version() != reference)
    path.write_text(text, encoding="utf-8")
assert version() == reference
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} True" for name in measuring]
    assert len(measuring) > 15


def test_the_threshold_of_a_solved_task_is_part_of_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`recorder` finds the first epoch that counts as solved; it was once forgotten."""
    text = (PACKAGE / "training" / "recorder.py").read_text(encoding="utf-8")
    other = text.replace('found["val/accuracy"][0] >= SOLVED', 'found["val/accuracy"][0] >= 0.5')
    assert other != text
    reference = code()
    code.cache_clear()
    recorder = modules()["echo_exp.training.recorder"]
    content = module._content
    monkeypatch.setattr(
        module,
        "_content",
        lambda path: ast.dump(ast.parse(other)) if path == recorder else content(path),
    )
    assert code() != reference


def test_code_that_only_displays_or_transports_is_not_part_of_the_version() -> None:
    rooms = {name.split(".")[1] for name in modules()}
    assert rooms == {"task", "models", "training", "configuration"}
    for name in BESIDE:
        assert f"echo_exp.{name}" not in modules()
        assert PACKAGE.joinpath(*name.split(".")).with_suffix(".py").is_file()


def _version(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    module._content.cache_clear()
    module._tree.cache_clear()
    code.cache_clear()
    return code(frozenset({"own_network.Net"}))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own module, with another beside it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_helper.py").write_text("SIZE = 1\n", encoding="utf-8")
    return tmp_path / "own_network.py"


def test_the_version_changes_with_code_and_not_with_comments(own: Path) -> None:
    before = _version(own, "a = 1\n")
    assert _version(own, '"""What it is."""\n\na = 1  # one\n\n') == before
    assert _version(own, "a = 1\nif TYPE_CHECKING:\n    from x import y\n") == before
    assert _version(own, "a = 2\n") != before


def test_code_that_a_type_checker_does_not_read_is_part_of_the_version(own: Path) -> None:
    without = _version(own, "if TYPE_CHECKING:\n    a = 1\n")
    assert _version(own, "if typing.TYPE_CHECKING:\n    a = 2\n") == without
    assert _version(own, "if not TYPE_CHECKING:\n    a = 1\n") != without


@pytest.mark.parametrize(
    "text",
    [
        "import own_helper\n",
        "from own_helper import SIZE\n",
        "class Net:\n    def forward(self):\n        from own_helper import SIZE\n",
    ],
)
def test_the_imports_of_an_own_module_are_part_of_the_version(own: Path, text: str) -> None:
    before = _version(own, text)
    own.with_name("own_helper.py").write_text("SIZE = 2\n", encoding="utf-8")
    assert _version(own, text) != before


def test_an_own_package_is_followed_by_its_relative_imports(own: Path) -> None:
    package = own.with_name("own_package")
    package.mkdir()
    for name, text in {
        "__init__": "from .net import Net\n",
        "net": "from . import parts\nfrom .. import nothing\n",
        "parts": "import torch\n",
    }.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    more = modules(frozenset({"own_package.Net"})).keys() - modules().keys()
    assert more == {"own_package", "own_package.net", "own_package.parts"}


def test_of_a_library_only_the_named_file_is_part_of_the_version() -> None:
    more = modules(frozenset({"pytorch_lightning.callbacks.EarlyStopping"})).keys()
    assert more - modules().keys() == {"pytorch_lightning", "pytorch_lightning.callbacks"}


@pytest.mark.parametrize("name", ["nowhere.Net", "__main__.Net", "..", "os.path.join"])
def test_an_unknown_name_is_left_to_the_caller(name: str) -> None:
    assert isinstance(code(frozenset({name})), str)


@pytest.mark.parametrize(
    "setting", ["model._target_=own_network.Net", "+callbacks.mine={_target_: own_network.Net}"]
)
def test_a_run_records_the_version_of_the_users_code(own: Path, setting: str) -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        ours, theirs = compose("config"), compose("config", [setting])
    assert resume.code_of(ours) == code()
    versions = [resume.code_of(ours)]
    for text in ("class Net: ...\n", "class Net: a = 1\n"):
        _version(own, text)
        versions.append(resume.code_of(theirs))
    assert len(set(versions)) == 3


def test_the_version_is_found_without_importing_anything() -> None:
    script = "import sys; from echo_exp.configuration.code import code; code(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert {"torch", "pytorch_lightning", "echo_exp.training.experiment"}.isdisjoint(
        done.stdout.split()
    )
