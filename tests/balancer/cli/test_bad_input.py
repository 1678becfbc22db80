"""Bad input ends with one line that says what to do, exit status 2, no traceback, and nothing half-written."""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from balancer.cli.main import main
from balancer.record import checkpoint
from balancer.record.signals import read_signals

Cli = Callable[..., Any]
POINTS = ("--model", "points", "--device", "cpu")
RUN = (*POINTS, "--plugins", "", "--steps", 3, "--quiet")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below, hidden ones too, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(status: int, out: str, err: str) -> str:
    assert err.startswith("balancer: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert (status, out) == (2, "")
    assert len(err) < 1500
    return err.removeprefix("balancer: ").strip()


def refused(cli: Cli, *args: object) -> str:
    """Run it where it must be refused, and see that it left everything as it was; returns the message."""
    before = everything(Path.cwd())
    message = assert_refused(*cli("train", *args))
    assert everything(Path.cwd()) == before
    return message


# What is asked for.

UNKNOWN = [
    (("--plugins", "dynamic_lamda"), "unknown plugin 'dynamic_lamda': did you mean dynamic_lambda?"),
    (("--plugins", "zzz"), "unknown plugin 'zzz': known are d_lr_ratio, d_skip,"),
    (("--plugins", "d_skip,dskip"), "unknown plugin 'dskip': did you mean d_skip?"),
    (("--model", "zi2zy"), "unknown model 'zi2zy': did you mean zi2zi?"),
    (("--set", "train.batch_sise=4"), "train.batch_sise: no such setting: did you mean batch_size?"),
    (("--set", "train.momentum=0.9"), "train.momentum: no such setting: known are"),
    (("--set", "model.widht=4"), "model.widht: no such setting: did you mean width?"),
    (("--plugins", "d_skip", "--set", "d_skip.evry=2"), "d_skip.evry: no such setting: did you mean every?"),
    (("--set", "d_skip.every=2"), "d_skip is not part of this run: add d_skip to --plugins"),
    (("--plugins", "d_skip", "--set", "dskip.every=2"), "dskip is not part of this run: did you mean d_skip?"),
    (("--set", "trian.lr=1"), "trian is not part of this run: did you mean train?"),
    (("--set", "run.plugins=d_skip"), "run.plugins"),
    (("--set", "run.model=zi2zi"), "run.model"),
]  # fmt: skip

BANDS = ("--plugins", "dynamic_lambda", "--set")
VALUES = [
    (("--set", "train.lambda_adv=nan"), "train.lambda_adv: input should be a finite number, got nan"),
    (("--set", "train.lr=inf"), "train.lr: input should be a finite number, got inf"),
    (("--set", "train.lambda_adv=-0.3"), "train.lambda_adv: input should be greater than or equal to 0, got -0.3"),
    (("--set", "train.lr=0"), "train.lr: input should be greater than 0, got 0"),
    (("--set", "train.lr=fast"), "train.lr: input should be a valid number"),
    (("--set", "train.batch_size=2.5"), "train.batch_size: input should be a valid integer"),
    (("--set", "train.batch_size=[4]"), "train.batch_size: input should be a valid integer"),
    (("--set", "model.lambda_category=-1"), "model.lambda_category: input should be greater than or equal to 0"),
    ((*BANDS, "dynamic_lambda.initial=nan"), "dynamic_lambda.initial: input should be a finite number, got nan"),
    ((*BANDS, "dynamic_lambda.ceiling=-1"), "dynamic_lambda.ceiling: input should be greater than or equal to 0"),
    ((*BANDS, "dynamic_lambda.bands=[[0.1, nan]]"), "dynamic_lambda.bands"),
    ((*BANDS, "dynamic_lambda.bands=[[0.2, 0.1], [0.1, 0.2]]"), "thresholds must be positive and rise"),
    (("--plugins", "d_skip", "--set", "d_skip.every=0"), "d_skip.every: input should be greater than or equal to 1"),
    (("--plugins", "lambda_schedule", "--set", "lambda_schedule.steps=[[0, -0.1]]"), "lambda_schedule.steps"),
    (("--steps", -4), "train.steps: input should be greater than or equal to 1, got -4"),
    (("--epochs", 0), "train.epochs: input should be greater than or equal to 1, got 0"),
    (("--seed", -1), "train.seed: input should be greater than or equal to 0, got -1"),
    (("--device", "tpu"), "train.device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'"),
    (("--set", "train.precision=fp16"), "train.precision: input should be 'fp32' or 'bf16'"),
    (("--set", "model.adversarial=wgan"), "model.adversarial: input should be"),
    (("--set", "train.lr"), "--set 'train.lr': expected NAME.KEY=VALUE"),
    (("--set", "lr=0.1"), "--set 'lr=0.1': expected NAME.KEY=VALUE"),
    (("--set", ".lr=0.1"), "expected NAME.KEY=VALUE"),
    (("--set", "train.=0.1"), "expected NAME.KEY=VALUE"),
    (("--steps", 3, "--epochs", 3), "--steps and --epochs contradict each other"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"), [*UNKNOWN, *VALUES], ids=lambda value: value if isinstance(value, str) else ""
)
def test_names_and_values(args: tuple[object, ...], message: str, cli: Cli) -> None:
    own = {"--steps", "--epochs"} & set(args)
    base = (*POINTS, "--out", "run", "--quiet") if own else (*POINTS, "--out", "run", "--quiet", "--steps", 3)
    assert message in refused(cli, *base, *args)


def test_no_length(cli: Cli) -> None:
    assert refused(cli, *POINTS, "--plugins", "", "--out", "deep/run") == "how long? give --steps N or --epochs N"


RIVAL = """
from balancer import Plugin


class Rival(Plugin):
    name = "rival"
    writes = {"lambda_adv": ("set",)}
"""


def test_two_owners_of_a_knob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    site = tmp_path / "site"
    info = site / "rival-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "rival_plugin.py").write_text(RIVAL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[balancer.plugins]\nrival = rival_plugin:Rival\n")
    monkeypatch.syspath_prepend(str(site))
    message = refused(cli, *RUN, "--plugins", "rival,dynamic_lambda", "--out", "run")
    assert (
        message == "plugins dynamic_lambda and rival both set lambda_adv: a knob has one owner; leave one of them out"
    )
    # A schedule beside a law is no second owner.
    assert cli("train", *RUN, "--plugins", "rival,lambda_schedule", "--out", "run").status == 0


def test_what_the_model_does_not_offer(cli: Cli) -> None:
    hinge = refused(cli, *RUN, "--plugins", "label_smoothing", "--set", "model.adversarial=hinge", "--out", "run")
    assert "label_smoothing" in hinge
    assert "the hinge loss has no labels to smooth" in hinge
    headless = refused(cli, *RUN, "--plugins", "freeze_head", "--set", "model.head=false", "--out", "run")
    assert "D of model points has no head that may be frozen" in headless
    head = refused(cli, *RUN, "--plugins", "freeze_head", "--set", "freeze_head.head=binary", "--out", "run")
    assert "no such head of D; known are category" in head
    twice = refused(cli, *RUN, "--plugins", "d_skip,d_skip", "--out", "run")
    assert "d_skip is named twice" in twice


# Config files.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train\nlr = 1", "config bad.toml: "),
        ("lr = 0.1", "lr"),
        ("train = 5", "train"),
        ("run = 5", "run"),
        ("[run]\nplugins = 'd_skip'", "run.plugins"),
        ("[run]\nplugins = [3]", "run.plugins"),
        ("[run]\nmodel = 3", "run.model"),
        ("[run]\nmodle = 'points'", "run.modle: no such setting: did you mean model?"),
        ("[d_skpi]\nevery = 2", "there is no plugin 'd_skpi': did you mean d_skip?"),
        ("[train]\nlr = nan", "train.lr: input should be a finite number"),
        ("[run]\nplugins = ['d_skip']\n[d_skip]\nevery = -2", "d_skip.every: input should be greater"),
        ("[train]\nlr = 1e-4\nlr = 1e-3", "config bad.toml: "),
    ],
)
def test_config_files(text: str, message: str, here: Path, cli: Cli) -> None:
    (here / "bad.toml").write_text(text)
    base = ("--config", "bad.toml", "--steps", 3, "--device", "cpu", "--quiet", "--out", "run")
    assert message in refused(cli, *base, *(() if "model" in text else ("--model", "points")))


def test_config_files_that_are_not_there_or_no_text(here: Path, cli: Cli) -> None:
    assert refused(cli, *RUN, "--out", "run", "--config", "none.toml") == "config none.toml: no such file"
    assert "is neither a file nor a recipe: did you mean document?" in refused(cli, *RUN, "--config", "documnt")
    (here / "binary.toml").write_bytes(bytes(range(256)))
    assert refused(cli, *RUN, "--out", "run", "--config", "binary.toml").startswith("config binary.toml: ")
    (here / "folder.toml").mkdir()
    assert refused(cli, *RUN, "--out", "run", "--config", "folder.toml").startswith("config folder.toml: ")


# Data.

FONTS = Path(__file__).parents[3] / "zi2zi_model" / "fonts"
ZI2ZI = ("--plugins", "", "--steps", 2, "--device", "cpu", "--quiet", "--out", "run")


def test_charsets(here: Path, cli: Cli) -> None:
    (here / "runes.txt").write_text("ᚠᚢᚦ")
    message = refused(cli, *ZI2ZI, "--set", "model.charset=runes.txt")
    assert f"draws none of the 3 characters of charset {here / 'runes.txt'}" in message
    (here / "empty.txt").write_text("")
    assert "empty.txt" in refused(cli, *ZI2ZI, "--set", "model.charset=empty.txt")
    assert "big5-7" in refused(cli, *ZI2ZI, "--set", "model.charset=big5-7")
    (here / "one.txt").write_text("一")
    assert "held" in refused(cli, *ZI2ZI, "--set", "model.charset=one.txt")


def test_fonts(here: Path, cli: Cli) -> None:
    (here / "font.ttf").write_text("I am no font")
    good = FONTS / "source.ttf"
    (here / "cut.ttf").write_bytes(good.read_bytes()[:2000])
    (here / "folder.ttf").mkdir()
    for bad in ("font.ttf", "cut.ttf", "none.ttf", "folder.ttf"):
        assert bad in refused(cli, *ZI2ZI, "--set", f"model.source={bad}", "--set", f"model.targets={good}")
        assert bad in refused(cli, *ZI2ZI, "--set", f"model.source={good}", "--set", f"model.targets={bad}")
    assert "no target font" in refused(cli, *ZI2ZI, "--set", f"model.source={good}")
    (here / "pairs").mkdir()
    assert "pairs" in refused(cli, *ZI2ZI, "--set", "model.pairs=pairs")
    (here / "pairs" / "0_1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "0_1.png" in refused(cli, *ZI2ZI, "--set", "model.pairs=pairs")


# Run directories.


def test_a_run_directory_that_exists(here: Path, cli: Cli) -> None:
    assert cli("train", *RUN, "--out", "run").status == 0
    assert "run directory run exists: choose another --out, or go on with --resume run" in refused(
        cli, *RUN, "--out", "run"
    )
    (here / "file").write_text("mine")
    assert "run directory file exists" in refused(cli, *RUN, "--out", "file")
    (here / "empty").mkdir()
    assert cli("train", *RUN, "--out", "empty").status == 0, "an empty one is as good as none"


def test_a_directory_that_cannot_be_made(here: Path, cli: Cli) -> None:
    (here / "file").write_text("in the way")
    message = refused(cli, *RUN, "--out", "file/run")
    assert message.startswith("run directory file/run")
    assert "Not a directory" in message
    assert "File name too long" in refused(cli, *RUN, "--out", "x" * 300)


def test_resuming_what_is_no_run(here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    (here / "file").write_text("")
    for folder in ("none", "empty", "file"):
        message = refused(cli, "--resume", folder, "--steps", 9)
        assert message == f"--resume {folder}: no run there (config.toml is missing)"


class TestDamagedRun:
    @pytest.fixture
    def run(self, here: Path, cli: Cli) -> Path:
        assert cli("train", *RUN, "--set", "train.checkpoint_every=2", "--out", "run").status == 0
        return here / "run"

    def test_every_checkpoint_is_damaged(self, run: Path, cli: Cli) -> None:
        for path in (run / "checkpoints").glob("*/tensors.safetensors"):
            path.write_bytes(b"\0" * path.stat().st_size)
        message = refused(cli, "--resume", "run", "--steps", 9)
        assert message.startswith("there is no checkpoint that can be used in run/checkpoints")
        assert message.count("tensors.safetensors is damaged") == 2

    def test_there_is_no_checkpoint(self, run: Path, cli: Cli) -> None:
        shutil.rmtree(run / "checkpoints")
        assert refused(cli, "--resume", "run", "--steps", 9).startswith("there is no checkpoint in run/checkpoints")

    @pytest.mark.parametrize("text", ["", "[run]\n", "[run", "run = 1", "[run]\nmodel = 'points'\nplugins = 'd_skip'"])
    def test_its_config_is_damaged(self, text: str, run: Path, cli: Cli) -> None:
        (run / "config.toml").write_text(text)
        assert "config" in refused(cli, "--resume", "run", "--steps", 9)

    def test_the_state_of_another_model_size(self, run: Path, cli: Cli) -> None:
        change = ("--set", "model.width=8", "--allow-change", "model.width")
        assert "model" in refused(cli, "--resume", "run", "--steps", 9, *change)

    @pytest.mark.parametrize("name", ["signals.json", "decisions.jsonl"])
    def test_damaged_logs_do_not_keep_it_from_going_on(self, name: str, run: Path, cli: Cli) -> None:
        (run / name).write_bytes(b'{"step": \xff\n')
        result = cli("train", "--resume", "run", "--steps", 9, "--quiet")
        assert "Traceback" not in result.err
        if result.status:
            assert_refused(*result)
        else:
            assert checkpoint.steps(run / "checkpoints")[-1] == 9


# The machine.


def test_no_cuda_here(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refused(cli, *RUN, "--device", "cuda", "--out", "run")
    assert message == "train.device = cuda, but torch sees no CUDA device here: use --device cpu"


def test_a_batch_that_ranks_cannot_share(here: Path) -> None:
    # The environment that torchrun gives each of two ranks.
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [
        sys.executable,
        "-m",
        "balancer",
        "train",
        *map(str, RUN),
        "--set",
        "train.batch_size=15",
        "--out",
        "run",
    ]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    for process in ranks:
        out, err = process.communicate()
        message = assert_refused(process.returncode, out, err)
        assert message == "train.batch_size: 15 items do not divide evenly among 2 ranks"
    assert everything(here) == {}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Disks. Each command runs in a forked process with a limit or a mount of its own.


class Ended(NamedTuple):
    """How a command in a process of its own ended."""

    status: int
    out: str
    err: str


class MountRefusedError(Exception):
    pass


MOUNT_REFUSED = 77


def in_child(prepare: Callable[[], object], *args: object) -> Ended:
    """`balancer ARGS…` in a fork, after `prepare` there; everything that it prints, threads included."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; ours are those of closed TensorBoard writers.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(out_end, 1)
            os.dup2(err_end, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            # As outside pytest, which records warnings and makes errors of them.
            warnings.resetwarnings()
            warnings.showwarning = lambda *shown: print(warnings.formatwarning(*shown[:4]), end="", file=sys.stderr)
            prepare()
            sys.argv = ["balancer", *map(str, args)]
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except MountRefusedError as error:
            print(error, file=sys.stderr)
            status = MOUNT_REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    os.close(out_end)
    os.close(err_end)
    with os.fdopen(err) as errors, os.fdopen(out) as printed:
        ended = (errors.read(), printed.read())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == MOUNT_REFUSED:
        pytest.skip(f"this machine lets a test mount nothing ({ended[0].strip()})")
    return Ended(status, ended[1], ended[0])


def small_files(limit: int) -> Callable[[], None]:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return limited


MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 1 << 14, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def own_mounts() -> Callable[..., None]:
    """`mount(2)`, for the calling process alone; what it mounts goes with it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *args: object) -> None:
        if getattr(libc, name)(*args) != 0:
            raise MountRefusedError(f"{name}: {os.strerror(ctypes.get_errno())}")

    def mount(source: Path | str, target: Path | str, kind: str, flags: int, options: str = "") -> None:
        texts = [os.fsencode(text) for text in (source, target, kind)]
        call("mount", *texts, ctypes.c_ulong(flags), os.fsencode(options) or None)

    call("unshare", CLONE_NEWNS if os.geteuid() == 0 else CLONE_NEWNS | CLONE_NEWUSER)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    return mount


def read_only(folder: Path) -> Callable[[], None]:
    def protect() -> None:
        mount = own_mounts()
        mount(folder, folder, "none", MS_BIND)
        mount(folder, folder, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
        os.chdir(folder)

    return protect


def test_a_disk_that_one_may_not_write_to(here: Path, cli: Cli) -> None:
    assert cli("train", *RUN, "--out", "run").status == 0
    (here / "empty").mkdir()
    before = everything(here)
    for out in ("new", "deep/new", "empty"):
        message = assert_refused(*in_child(read_only(here), "train", *RUN, "--out", out))
        assert out in message
        assert "Read-only file system" in message
    message = assert_refused(*in_child(read_only(here), "train", "--resume", "run", "--steps", 9, "--quiet"))
    assert "run" in message
    assert "Read-only file system" in message
    assert everything(here) == before


def test_a_folder_of_somebody_else(cli: Cli) -> None:
    # What a run imports late is imported now: nobody may not read everybody's Python.
    assert cli("train", *RUN, "--out", "mine").status == 0

    def as_nobody() -> None:
        if os.geteuid() == 0:  # root may write everywhere
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to other users
        folder = Path(name)
        folder.chmod(0o555)
        message = assert_refused(*in_child(as_nobody, "train", *RUN, "--out", folder / "run"))
        assert everything(folder) == {}
        folder.chmod(0o755)
    assert message == f"run directory {folder / 'run'} cannot be made: Permission denied"


class TestFullDisk:
    """Saving stops the run; what was saved before stays, and serves once there is room again."""

    ARGS = (
        *POINTS,
        "--plugins",
        "dynamic_lambda",
        "--quiet",
        "--set",
        "train.checkpoint_every=4",
        "--set",
        "train.log_every=1",
    )

    def finishes(self, cli: Cli, run: Path, steps: int) -> None:
        result = cli("train", "--resume", run, "--steps", steps, "--quiet")
        assert result.status == 0, result.err
        assert read_signals(run)["step"].tolist() == list(range(steps))
        assert checkpoint.load_latest(run / "checkpoints").step == steps
        json_lines = (run / "decisions.jsonl").read_text().splitlines()
        assert all(json.loads(line)["step"] < steps for line in json_lines)

    def test_a_file_may_not_grow_large_enough(self, here: Path, cli: Cli) -> None:
        assert cli("train", *self.ARGS, "--steps", 4, "--out", "run").status == 0
        good = everything(here / "run" / "checkpoints")
        biggest = max(path.stat().st_size for path in (here / "run" / "checkpoints").rglob("*") if path.is_file())
        ended = in_child(small_files(biggest - 1000), "train", "--resume", "run", "--steps", 6, "--quiet")
        message = assert_refused(*ended)
        assert "cannot save checkpoint run/checkpoints/step_00000006: File too large; check the free space" in message
        assert everything(here / "run" / "checkpoints") == good
        self.finishes(cli, here / "run", 6)

    def test_there_is_no_room_from_the_start(self, here: Path) -> None:
        message = assert_refused(*in_child(small_files(0), "train", *self.ARGS, "--steps", 4, "--out", "run"))
        assert "run" in message
        assert "File too large" in message
        assert list(here.rglob("step_*")) == []

    def test_a_disk_runs_full(self, here: Path, tmp_path: Path, cli: Cli) -> None:
        disk, rescued = here / "disk", tmp_path / "rescued"
        disk.mkdir()
        # Checkpoints take some 40 KB each.
        room = 160 * 1024

        def fill() -> None:
            own_mounts()("none", disk, "tmpfs", 0, f"size={room}")
            # What was on the disk at the end is copied off before the mount goes with the process.
            leave = os._exit

            def rescue(status: int) -> None:
                shutil.copytree(disk, rescued)
                leave(status)

            os._exit = rescue  # type: ignore[assignment]

        ended = in_child(fill, "train", *self.ARGS, "--set", "train.keep=9", "--steps", 40, "--out", disk / "run")
        message = assert_refused(*ended)
        assert message.startswith(f"cannot save checkpoint {disk / 'run' / 'checkpoints'}")
        assert "No space left on device; check the free space" in message
        saved = checkpoint.steps(rescued / "run" / "checkpoints")
        assert saved
        assert 4 <= saved[-1] < 40
        assert tomllib.loads((rescued / "run" / "config.toml").read_text())["train"]["steps"] == 40
        self.finishes(cli, rescued / "run", 40)

    def test_logs_that_fill_the_disk_stop_nothing_but_themselves(self, here: Path) -> None:
        disk = here / "disk"
        disk.mkdir()
        ended = in_child(
            lambda: own_mounts()("none", disk, "tmpfs", 0, "size=60k"), "train", *self.ARGS, "--steps", 300,
            "--set", "train.checkpoint_every=1000", "--out", disk / "run",
        )  # fmt: skip
        assert ended.status == 2
        *given_up, last = ended.err.splitlines()
        assert last.startswith("balancer: cannot save checkpoint"), "it trained to its end, and only then needed room"
        assert "step_00000300" in last
        # A line each for TensorBoard, the signals and perhaps the decisions; no trace of TensorBoard's own thread.
        assert 2 <= len(given_up) <= 3, ended.err
        assert all(line.startswith(f"warning: {disk / 'run'}: no more ") for line in given_up), ended.err


def test_a_run_that_stopped_before_its_first_checkpoint_is_not_offered_for_resuming(here: Path, cli: Cli) -> None:
    (here / "begun").mkdir()
    (here / "begun" / "config.toml").write_text("")
    result = cli("train", "--model", "points", "--plugins", "", "--steps", 2, "--device", "cpu", "--out", "begun")
    assert result.status == 2
    assert "stopped before its first checkpoint: choose another --out" in result.err
    assert "--resume" not in result.err
