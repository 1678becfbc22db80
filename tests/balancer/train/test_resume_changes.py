"""What may change when a run goes on, what must be allowed by name, and which configs are kept."""

import shutil
import tomllib
from pathlib import Path

import pytest
from support.resumed_runs import BASE, POINTS, STEPS, STOP, Cli, final_state, snapshot, train

from balancer.record import checkpoint
from balancer.record.signals import read_signals


class TestChanges:
    @pytest.fixture
    def run(self, tmp_path: Path, cli: Cli) -> Path:
        args = ("--plugins", "dynamic_lambda,d_lr_ratio", *POINTS, "--set", "train.lambda_adv=0.7")
        train(cli, *args, "--set", "dynamic_lambda.warmup_steps=0", "--steps", STOP, "--out", tmp_path / "run")
        return tmp_path / "run"

    def refused(self, cli: Cli, run: Path, *args: object) -> str:
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", STEPS, *args)
        assert result.status == 2
        assert result.err.startswith("balancer: ")
        assert result.err.count("\n") == 1
        assert snapshot(run) == before
        return str(result.err)

    def test_a_changed_setting_is_refused_field_by_field(self, run: Path, cli: Cli) -> None:
        message = self.refused(
            cli, run, "--set", "train.lr=1e-3", "--set", "model.width=16", "--set", "dynamic_lambda.ceiling=0.5",
            "--set", "d_lr_ratio.ratio=0.25", "--seed", 4,
        )  # fmt: skip
        for row in (
            "train.lr: 0.005 -> 0.001", "model.width: 32 -> 16", "dynamic_lambda.ceiling: 0.6 -> 0.5",
            "train.seed: 0 -> 4", "--allow-change dynamic_lambda.ceiling",
        ):  # fmt: skip
            assert row in message
        assert "d_lr_ratio" not in message, "the same value is no change"

    def test_a_run_of_before_a_setting_was_there_goes_on(self, run: Path, cli: Cli) -> None:
        config = run / "config.toml"
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if not line.startswith(("on_nan", "rollback"))))
        message = self.refused(cli, run, "--set", "train.on_nan=rollback")
        assert message.endswith(
            "train.on_nan: 'stop' -> 'rollback'; to change them on purpose add --allow-change train.on_nan\n"
        )
        train(cli, "--resume", run, "--steps", STEPS)

    def test_a_changed_plugin_set_is_refused(self, run: Path, cli: Cli) -> None:
        message = self.refused(cli, run, "--plugins", "dynamic_lambda,d_skip")
        assert "run.plugins: ['d_lr_ratio', 'dynamic_lambda'] -> ['d_skip', 'dynamic_lambda']" in message
        assert "--allow-change run.plugins" in message

    def test_another_order_of_the_same_plugins_is_no_change(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--plugins", "d_lr_ratio,dynamic_lambda", "--quiet")

    def test_only_what_is_named_may_change(self, run: Path, cli: Cli) -> None:
        changes = ("--set", "train.lr=1e-3", "--set", "dynamic_lambda.ceiling=0.3")
        message = self.refused(cli, run, *changes, "--allow-change", "train.lr")
        assert "dynamic_lambda.ceiling" in message
        assert "train.lr:" not in message
        assert "no such setting: did you mean train.lr" in self.refused(cli, run, "--allow-change", "train.lrr")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", *changes,
              "--allow-change", "train.lr", "--allow-change", "dynamic_lambda.ceiling")  # fmt: skip
        columns = read_signals(run)
        assert set(columns["lr_g"][:STOP]) == {5e-3}
        assert set(columns["lr_g"][STOP:]) == {1e-3}
        assert max(columns["lambda_adv"][:STOP]) == 0.6
        assert max(columns["lambda_adv"][STOP:]) == 0.3
        assert tomllib.loads((run / "config.toml").read_text())["train"]["lr"] == 1e-3
        assert tomllib.loads((run / f"config.until_{STOP:08d}.toml").read_text())["train"]["lr"] == 5e-3

    def test_a_plugin_that_is_switched_off_gives_the_base_back(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--plugins", "", "--allow-change", "run.plugins", "--quiet")
        columns = read_signals(run)
        assert set(columns["lambda_adv"][STOP:]) == {0.7}
        assert columns["lr_d"][:STOP] == pytest.approx(0.25 * 5e-3)
        assert set(columns["lr_d"][STOP:]) == {5e-3}
        state = final_state(run)["balance"]
        assert state["plugins"] == {}
        assert not any(state["knobs"].values())
        config = tomllib.loads((run / "config.toml").read_text())
        assert config["run"]["plugins"] == []
        assert "dynamic_lambda" not in config

    def test_a_plugin_that_comes_later_starts_fresh(self, run: Path, cli: Cli) -> None:
        plugins = ("--plugins", "dynamic_lambda,d_lr_ratio,label_smoothing", "--allow-change", "run.plugins")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", *plugins, "--set", "label_smoothing.real=0.8")
        columns = read_signals(run)
        assert set(columns["real_label"][:STOP]) == {1.0}
        assert set(columns["real_label"][STOP:]) == {0.8}

    def test_a_run_that_is_done_stays_as_it_is(self, run: Path, cli: Cli) -> None:
        # As after a kill: the logs went on for a while beyond the checkpoint.
        rows = (run / "signals.bin").read_bytes()
        (run / "signals.bin").write_bytes(rows + rows[-80:])
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", 5)
        assert result.status == 2
        assert f"it has done {STOP} steps already" in result.err
        assert snapshot(run) == before

    def test_flags_that_belong_to_a_new_run(self, run: Path, cli: Cli) -> None:
        for flags in (("--out", "elsewhere"), ("--model", "points")):
            assert "--resume takes model and directory from the run" in self.refused(cli, run, *flags)
        result = cli("train", *POINTS, "--steps", 3, "--allow-change", "train.lr")
        assert (result.status, result.err) == (2, "balancer: --allow-change goes with --resume\n")

    def test_a_recipe_for_a_starved_run_that_is_resumed(self, run: Path, cli: Cli) -> None:
        assert "train.lambda_adv: 0.7 -> 0.2" in self.refused(cli, run, "--config", "document_resume")
        train(cli, "--resume", run, "--config", "document_resume", "--steps", STEPS, "--quiet",
              "--allow-change", "run.plugins", "--allow-change", "train.lambda_adv")  # fmt: skip
        assert set(read_signals(run)["lambda_adv"][STOP:]) == {0.2}

    def test_other_bands_than_the_state_was_saved_with(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", "--set", "dynamic_lambda.preset=three_bands",
              "--allow-change", "dynamic_lambda.preset")  # fmt: skip
        assert set(read_signals(run)["lambda_adv"][STOP:]) <= {0.2, 0.4, 0.6}

    def test_other_data_is_noticed(self, run: Path, cli: Cli) -> None:
        message = self.refused(cli, run, "--set", "model.points=300", "--allow-change", "model.points")
        assert "training items: 300, the run had 512" in message


def kept(run: Path) -> dict[str, float]:
    """The learning rate of each config that a run keeps, by file name."""
    return {path.name: tomllib.loads(path.read_text())["train"]["lr"] for path in sorted(run.glob("config*.toml"))}


def test_every_config_that_held_for_some_steps_is_kept_and_no_other(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train(cli, *POINTS, "--plugins", "", "--steps", 10, "--out", run)

    def resume(lr: str, steps: int) -> None:
        train(cli, "--resume", run, "--steps", steps, "--set", f"train.lr={lr}", "--allow-change", "train.lr", *BASE)

    resume("1e-3", 20)
    assert kept(run) == {"config.toml": 1e-3, "config.until_00000010.toml": 5e-3}
    # As if killed before its first step was saved: what held until step 20 is still the config from step 10 on.
    resume("2e-3", 21)
    shutil.rmtree(run / "checkpoints" / "step_00000021")
    resume("4e-3", 21)
    assert kept(run) == {
        "config.toml": 4e-3,
        "config.until_00000010.toml": 5e-3,
        "config.until_00000020.toml": 1e-3,
    }
    # Back to step 10: what held after it is forgotten, and the config that held before it is not.
    for step in ("20", "21"):
        shutil.rmtree(run / "checkpoints" / f"step_000000{step}")
    resume("3e-3", 15)
    assert kept(run) == {"config.toml": 3e-3, "config.until_00000010.toml": 5e-3}


def edit(run: Path, **settings: object) -> None:
    """Change settings in a run's config.toml by hand."""
    path = run / "config.toml"
    lines = path.read_text().splitlines()
    for key, value in settings.items():
        (place,) = (at for at, line in enumerate(lines) if line.startswith(f"{key} = "))
        lines[place] = f"{key} = {value}"
    path.write_text("\n".join(lines) + "\n")


class TestEditedConfig:
    """A config.toml that was edited says other settings than the checkpoint, which is asked about like `--set`."""

    @pytest.fixture
    def run(self, tmp_path: Path, cli: Cli) -> Path:
        train(cli, "--plugins", "dynamic_lambda", *POINTS, "--steps", STOP, "--out", tmp_path / "run")
        return tmp_path / "run"

    def test_it_is_refused_field_by_field(self, run: Path, cli: Cli) -> None:
        edit(run, lr=0.01, seed=5)
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", STEPS)
        assert (result.status, result.err.count("\n")) == (2, 1)
        for part in ("train.lr: 0.005 -> 0.01", "train.seed: 0 -> 5", "--allow-change train.lr", str(run)):
            assert part in result.err
        assert snapshot(run) == before
        result = cli("train", "--resume", run, "--steps", STEPS, "--allow-change", "train.lr")
        assert result.status == 2
        assert "train.lr:" not in result.err

    def test_a_single_flipped_bit_is_noticed(self, run: Path, cli: Cli) -> None:
        text = (run / "config.toml").read_text()
        assert "lr = 0.005" in text
        (run / "config.toml").write_text(text.replace("lr = 0.005", "lr = 0.004", 1))  # 5 is 0x35, 4 is 0x34
        assert "train.lr: 0.005 -> 0.004" in cli("train", "--resume", run, "--steps", STEPS).err

    def test_it_may_be_allowed(self, run: Path, cli: Cli) -> None:
        edit(run, lr=0.01)
        train(cli, "--resume", run, "--steps", STEPS, "--allow-change", "train.lr", "--quiet")
        assert set(read_signals(run)["lr_g"][STOP:]) == {0.01}
        train(cli, "--resume", run, "--steps", STEPS + 1, "--quiet")

    def test_the_length_of_a_run_is_no_change(self, run: Path, cli: Cli) -> None:
        edit(run, steps=STEPS)
        train(cli, "--resume", run, "--quiet")

    def test_a_change_that_a_resume_made_is_asked_about_once(self, run: Path, cli: Cli) -> None:
        change = ("--set", "train.lr=1e-3", "--allow-change", "train.lr")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", *change)
        # As after a kill before its first checkpoint.
        for step in (20, STEPS):
            shutil.rmtree(run / "checkpoints" / f"step_{step:08d}")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet")
        assert set(read_signals(run)["lr_g"][STOP:]) == {1e-3}

    def test_a_checkpoint_of_before_says_nothing(self, run: Path, cli: Cli) -> None:
        step, state, *_ = checkpoint.load_latest(run / "checkpoints")
        del state["settings"]
        checkpoint.save(run / "checkpoints", step, state, keep=9)
        edit(run, lr=0.01)
        train(cli, "--resume", run, "--steps", STEPS, "--quiet")
