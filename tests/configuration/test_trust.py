"""What a stored configuration would call must belong to the program, or be trusted by name."""

import pytest
from omegaconf import OmegaConf

from echo_exp.configuration import trust
from echo_exp.settings import SettingError

STORED = OmegaConf.create(
    {"model": {"_target_": "mine.Net"}, "optimizer": {"_target_": "mine.Sign"}, "seed": 1}
)


def test_all_that_is_not_trusted_is_named_together_with_what_is() -> None:
    foreign = r"would call mine.Net, mine.Sign, which are not part .* trust=\[mine.Net,mine.Sign\]"
    with pytest.raises(SettingError, match=foreign):
        trust.check(STORED, (), ("run", "last"), by_name=True)
    one = [("model._target_", "mine.Net")]
    with pytest.raises(SettingError, match=r"mine.Sign, which is .* trust=\[mine.Net,mine.Sign\]"):
        trust.check(STORED, one, ("run", "last"), by_name=True)
    trust.check(STORED, [*one, ("optimizer._target_", "mine.Sign")], ("run", "last"))


def test_a_configuration_that_looks_something_up_is_refused() -> None:
    with pytest.raises(SettingError, match=r"would look up \$\{oc.env:HOME\}"):
        trust.check(OmegaConf.create({"seed": "${oc.env:HOME}"}), (), ("run", "last"))
