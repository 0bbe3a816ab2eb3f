"""The choices of a run: presets, their reasons, and the command line."""

import pytest

from huenet.config import Config, ConfigError, arguments, describe, from_preset
from huenet.train import loop as train


def test_print_config_gives_a_reason_for_every_difference(capsys):
    assert train.main(["--print-config", "--preset", "quick", "--lr", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "paper: 0.0002; chosen on the command line" in printed
    for preset in ("default", "quick"):
        for line in describe(from_preset(preset)).splitlines():
            assert "paper:" not in line or ";" in line
    assert "paper:" not in describe(from_preset("paper"))


def test_the_paper_preset_holds_every_constant_of_section_2_6():
    config = from_preset("paper")
    assert (config.bins, config.batch_size, config.lr, config.beta1, config.beta2) == (256, 32, 2e-4, 0.5, 0.999)
    assert (config.lambda_emd, config.gamma_mi, config.flip) == (100, 25, "vertical")
    assert (config.boundary, config.bandwidth, config.size, config.epochs) == ("open", 0.4, 128, 100)
    assert not config.circle
    assert not config.chroma_weights


def test_the_preset_follows_from_the_data():
    assert from_preset().preset == "quick"
    assert from_preset(data="somewhere").preset == "default"
    assert from_preset("paper", data="somewhere").preset == "paper"


def test_print_config_compares_what_the_paper_has_a_word_on(capsys):
    assert train.main(["--print-config", "--preset", "paper", "--data", "x", "--out", "y", "--resume", "auto"]) == 0
    assert "paper:" not in capsys.readouterr().out


def test_a_preset_overruled_by_the_papers_own_value_is_no_difference():
    (line,) = [line for line in describe(from_preset("default", lambda_emd=100.0)).splitlines() if "lambda-emd" in line]
    assert line.split() == ["lambda-emd", "100.0"]


def test_booleans_have_a_no():
    assert arguments(["--no-circle", "--amp", "--no-compile"]) == {"circle": False, "amp": True, "compile": False}
    assert arguments([]) == {}


def test_epochs_take_back_the_steps_of_a_preset():
    assert arguments(["--epochs", "3"]) == {"epochs": 3, "steps": 0}
    assert arguments(["--epochs", "3", "--steps", "7"]) == {"epochs": 3, "steps": 7}
    assert from_preset("quick", **arguments(["--epochs", "3"])).steps == 0


def test_json_comes_back_and_what_is_unknown_is_named():
    config = from_preset("quick", lr=0.5, data="a b")
    assert Config.from_json(config.to_json()) == config
    assert Config.from_json("{}") == Config(emd_form="sum")  # what 0.1.0 trained with
    with pytest.raises(ConfigError, match="does not know: colour, speed"):
        Config.from_json('{"speed": 1, "colour": 2}')


def test_one_bin_is_refused():
    with pytest.raises(ConfigError, match="--bins must be at least 2, got 1"):
        from_preset("quick", bins=1)


def test_configurations_of_before_are_read_where_they_mean_the_same_and_else_refused():
    old = Config(preset="paper", emd_form="sum")
    assert Config.from_json('{"preset": "paper", "circle": false, "prior": 0.0}') == old
    for prior in ("32.0", "0.0"):
        with pytest.raises(ConfigError, match=r"made by version 0\.1\.0"):
            Config.from_json(f'{{"preset": "default", "circle": true, "prior": {prior}}}')


@pytest.mark.parametrize("name", ["data", "out", "resume"])
def test_an_empty_name_is_not_this_folder_nor_a_default(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments([f"--{name}", ""])
    assert f"--{name}: is empty; name a file or folder" in capsys.readouterr().err
