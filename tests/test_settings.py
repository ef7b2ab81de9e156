"""A setting that is not allowed is named with its value and what is allowed."""

import math
from typing import Any

import pytest

from echo_exp.settings import SettingError, choice, integer, number, redacted
from echo_exp.training.settings import Display


def test_the_message_names_key_value_and_what_is_allowed() -> None:
    assert str(SettingError("a.b", 3, "it must be 4")) == "a.b=3 is not allowed: it must be 4"
    assert str(SettingError("a.b", None, "it must be 4")).startswith("a.b=null ")
    assert str(SettingError("a.b", True, "it must be 4")).startswith("a.b=true ")


def test_allowed_integers_are_returned() -> None:
    assert [integer("k", value, 1, 3) for value in (1, 2, 3)] == [1, 2, 3]
    assert integer("k", 10**30, 0) == 10**30


@pytest.mark.parametrize("value", [0, 4, -1, 2.0, "2", None, True, [2], math.nan])
def test_other_integers_are_refused(value: Any) -> None:
    with pytest.raises(SettingError, match=r"k=.* integer from 1 to 3"):
        integer("k", value, 1, 3)


def test_allowed_numbers_are_returned_as_floats() -> None:
    assert number("k", 1, above=0) == 1.0
    assert isinstance(number("k", 1, above=0), float)


@pytest.mark.parametrize("value", [0, 1, -0.5, math.nan, math.inf, "0.5", None, True, [0.5]])
def test_other_numbers_are_refused(value: Any) -> None:
    with pytest.raises(SettingError, match=r"k=.* number above 0 and below 1"):
        number("k", value, above=0, below=1)


@pytest.mark.parametrize("value", [1, 0, 1.0, "true", None])
def test_what_equals_true_or_false_is_neither(value: Any) -> None:
    with pytest.raises(SettingError, match=r"k=.* it must be true or false"):
        choice("k", value, (True, False))


def test_a_word_of_a_choice_may_be_a_plain_string() -> None:
    choice("k", "bar", tuple(Display))
    choice("k", None, (None, "post"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg://me:s/e:c@r@host/db", "postgresql+psycopg://me:***@host/db"),
        (r"tracking.uri=mysql\://me\:secret@host\:1", r"tracking.uri=mysql\://me\:***@host\:1"),
        ("https://:secret@host", "https://:***@host"),
        (
            "a 'mysql://a:secret@b' and http://c:secret@d.",
            "a 'mysql://a:***@b' and http://c:***@d.",
        ),
        ("mysql://host/db?password=secret&x=1", "mysql://host/db?password=***&x=1"),
        ("http://127.0.0.1:5000/a b@c", "http://127.0.0.1:5000/a b@c"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_passwords_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_refused_setting_does_not_show_its_password() -> None:
    assert "secret" not in str(SettingError("tracking.uri", "x://me:secret@host", "no"))
