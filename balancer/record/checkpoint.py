"""Checkpoints: a nested state, written so that a kill at any moment leaves a good one, verified when read.

`root/step_00001234/` holds `tensors.safetensors`, `state.json` for all that is not a tensor, and `manifest.json` with
the SHA-256 and size of both; nothing is pickled. One process at a time writes to a root: it fills `.saving_step_N`,
then renames it to `step_N`. One that is there already (a resumed run saves a step again) steps aside as `step_N.old`,
which readers take for step N meanwhile. Deletion begins by renaming to `.deleting_*`: whatever is named `step_*` is
whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from balancer.contract.boundary import described, short
from balancer.errors import BalancerError, CheckpointError
from balancer.record import files
from balancer.record.encoding import decode, encode
from balancer.record.handles import Misplaced
from balancer.record.tensor_file import TensorFile

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT: Final = 2
_MANIFEST: Final = "manifest.json"
_STATE: Final = "state.json"
_TENSORS: Final = "tensors.safetensors"
_MOST_MANIFEST_BYTES: Final = 2**20
_NAME: Final = re.compile(r"step_(\d{8,})(\.old)?")


class Loaded(NamedTuple):
    """A verified checkpoint; `skipped` has one sentence for each newer one that cannot be used."""

    step: int
    state: dict[str, Any]
    path: Path
    skipped: list[str]


def save(root: Path, step: int, state: Mapping[str, Any], *, keep: int) -> Path:
    """Write `root/step_NNNNNNNN` durably, then delete all but the newest `keep` checkpoints up to this step.

    A state is made of dicts (keys: str or int), lists, tuples, str, int, float, bool, None and dense tensors of any
    device. Mappings come back as dicts, named tuples as tuples, tensors that shared memory as separate ones.
    Checkpoints of later steps (damaged ones, or those of a run that was taken back) are neither counted nor deleted.

    Raises:
        CheckpointError: the state holds something else, or NaN in a network, or the disk refused; earlier checkpoints
            are then untouched. Also when this one is saved but an older one cannot be deleted.
        ValueError: `step` is negative, or `keep` is less than 1.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"a checkpoint needs step >= 0 and keep >= 1, not step={step} and keep={keep}")
    if (where := _spoiled(state)) is not None:
        raise CheckpointError(f"{where} holds NaN after {step} steps: no checkpoint is written; earlier ones stay")
    content = _content(step, state)
    target = root / f"step_{step:08d}"
    try:
        run, top = _place(root)
        files.make_run(run)
        files.make_folder(run, top)
        _clear_interrupted(root)
        _publish(step, content, root, target.name)
    except OSError as error:
        with contextlib.suppress(OSError):
            _clear_interrupted(root)
        raise CheckpointError(
            f"cannot save checkpoint {target}: {_why(error)}, then resume; earlier checkpoints are untouched."
        ) from error
    try:
        _rotate(root, step, keep)
    except OSError as error:
        raise CheckpointError(f"{target} is saved, but an older one cannot be deleted: {_why(error)}.") from error
    return target


def load(path: Path) -> tuple[int, dict[str, Any]]:
    """Read one checkpoint directory, verifying every byte; returns its step and state, tensors on the CPU.

    Raises:
        CheckpointError: a file is missing, unreadable or damaged, or another version of balancer or torch wrote it.
    """
    from safetensors.torch import load as load_tensors

    sealed = _part(path, _MANIFEST, _MOST_MANIFEST_BYTES)
    manifest: dict[str, Any] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        manifest = json.loads(sealed)["manifest"]
    if _seal(manifest) != sealed:
        raise _unusable(path, f"{_MANIFEST} is damaged")
    with reading(path):
        if manifest["format"] != _FORMAT:
            raise _unusable(path, f"it has format {manifest['format']}, and this version of balancer reads {_FORMAT}")
        step = manifest["step"]
        if type(step) is not int or not 0 <= step < 2**53:
            raise _unusable(path, f"its step is {short(step)}, not a count of steps")
        # A file that is not of the size that was written is not read.
        content = {name: _part(path, name, manifest["files"][name]["size"]) for name in (_STATE, _TENSORS)}
        return step, _state(path, manifest, content, load_tensors)


def _part(path: Path, name: str, most: int) -> bytes:
    if type(most) is not int:
        raise _unusable(path, f"{_MANIFEST} says no size of {name}")
    run, top = _place(path.parent)
    try:
        return files.read(run, f"{top}/{path.name}/{name}", most)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _unusable(path, f"{name} is damaged (it is larger than what was written)") from error
        raise _unusable(path, f"{name} is missing or unreadable ({error.strerror})") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Let whatever content of another form makes the code within raise be an error that names the checkpoint.

    Raises:
        CheckpointError: names `path`, and what was met.
    """
    try:
        yield
    except BalancerError as error:
        if not isinstance(error, CheckpointError) or str(path) in str(error):
            raise
        raise _unusable(path, str(error).rstrip(".")) from error
    except Exception as error:  # whatever the types, keys and shapes in it lead to
        raise _unusable(path, f"it holds what no checkpoint of this run would ({described(error)})") from error


def _state(
    path: Path, manifest: dict[str, Any], content: dict[str, bytes], load_tensors: Callable[[bytes], dict[str, Tensor]]
) -> dict[str, Any]:
    for name, data in content.items():
        if _fingerprint(data) != manifest["files"][name]:
            raise _unusable(path, f"{name} is damaged (its SHA-256 or size is not the one in {_MANIFEST})")
    try:
        state = decode(json.loads(content[_STATE]), load_tensors(content[_TENSORS]))
    except Exception as error:  # whatever its JSON and its tensors make their parsers raise
        raise _unusable(path, f"this version of balancer or torch cannot read it ({described(error)})") from error
    if not isinstance(state, dict):
        raise _unusable(path, f"its state is a {type(state).__name__}, not a dict")
    if (where := _spoiled(state)) is not None:
        raise _unusable(path, f"{where} holds NaN")
    return state


def load_latest(root: Path, at: int | None = None) -> Loaded:
    """Read the newest checkpoint under `root` that verifies, or the one of step `at`.

    Raises:
        CheckpointError: there is none, or none is good; the message says what is wrong with each.
    """
    skipped: list[str] = []
    found = _checkpoints(root)
    if at is not None and at not in (there := steps(root)):
        kept = ", ".join(map(str, there)) or "none"
        raise CheckpointError(f"there is no checkpoint of step {at} in {root}; there are those of steps {kept}")
    for step, path in reversed(found):
        if at is not None and step != at:
            continue
        try:
            return Loaded(*load(path), path, skipped)
        except CheckpointError as error:
            skipped.append(str(error))
    what = "no checkpoint that can be used" if skipped else "no checkpoint"
    raise CheckpointError(" ".join([f"there is {what} in {root}; check the path, or start a new run.", *skipped]))


def cut(root: Path, step: int) -> None:
    """Delete the checkpoints of steps after `step`, damaged ones too; newest first, so that a kill leaves no gap.

    Raises:
        CheckpointError: one cannot be deleted.
    """
    try:
        for later, path in reversed(_checkpoints(root)):
            if later > step:
                _delete(root, path.name)
    except OSError as error:
        raise CheckpointError(f"a checkpoint after step {step} in {root} cannot be deleted: {_why(error)}.") from error


def steps(root: Path) -> list[int]:
    """The steps that have a checkpoint under `root`, ascending, unverified; empty where `root` does not exist.

    Raises:
        CheckpointError: `root` cannot be read.
    """
    return sorted({step for step, _ in _checkpoints(root)})


def _spoiled(state: Mapping[str, Any]) -> str | None:
    """A tensor of a network that holds NaN; infinity may be meant, as in a mask among buffers."""
    for network in ("generator", "discriminator", "average"):
        tensors = state.get(network)
        for name, tensor in tensors.items() if isinstance(tensors, Mapping) else ():
            if getattr(tensor, "is_floating_point", bool)() and bool(tensor.isnan().any()):
                return f"{name} of the {network}"
    return None


def _content(step: int, state: Mapping[str, Any]) -> dict[str, files.Pieces]:
    """Files of a state, in pieces: tensors are copied, where they have to be, when their turn comes."""
    from safetensors import SafetensorError

    tensors: dict[str, Tensor] = {}
    try:
        tree = json.dumps(encode(state, "state", tensors), ensure_ascii=False, allow_nan=False).encode()
        return {_STATE: [tree], _TENSORS: TensorFile(tensors).pieces()}
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"the state of step {step} cannot be stored ({error}); store plain values.") from error


def _seal(body: dict[str, Any]) -> bytes:
    """The manifest's bytes: with its own hash and in one spelling only, so that no change to it goes unseen."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({"manifest": body, "sha256": digest}, indent=2, sort_keys=True).encode() + b"\n"


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _checkpoints(root: Path) -> list[tuple[int, Path]]:
    """Oldest first; of one step, `.old` before the one that replaces it."""
    try:
        names = [match for match in map(_NAME.fullmatch, files.listed(*_place(root))) if match]
    except FileNotFoundError:
        return []
    except Misplaced:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoints in {root}: {_why(error)}.") from error
    return [(int(name[1]), root / name[0]) for name in sorted(names, key=lambda name: (int(name[1]), not name[2]))]


def _place(root: Path) -> tuple[Path, str]:
    """The run directory, and what the checkpoints are called in it: the run may be reached through a link, they not."""
    root = root.absolute()
    return root.parent, root.name


def _publish(step: int, content: Mapping[str, files.Pieces], root: Path, name: str) -> None:
    run, top = _place(root)
    saving, target, old = f"{top}/.saving_{name}", f"{top}/{name}", f"{top}/{name}.old"
    files.make_folder(run, saving)
    written = {part: files.write_pieces(run, f"{saving}/{part}", pieces) for part, pieces in content.items()}
    files.replace(run, f"{saving}/{_MANIFEST}", _seal({"format": _FORMAT, "step": step, "files": written}))
    if files.exists(run, target, folder=True):
        if files.exists(run, old, folder=True):
            _delete(root, f"{name}.old")
        files.rename(run, target, old)
    files.rename(run, saving, target)
    files.sync(run, top)


def _clear_interrupted(root: Path) -> None:
    """Undo what a killed or failed save left: delete its remains, put back a checkpoint that had stepped aside."""
    run, top = _place(root)
    names = files.listed(run, top)
    for name in names:
        if name.startswith((".saving_", ".deleting_")):
            files.delete_folder(run, f"{top}/{name}")
        elif _NAME.fullmatch(name) and name.endswith(".old") and name.removesuffix(".old") not in names:
            files.rename(run, f"{top}/{name}", f"{top}/{name.removesuffix('.old')}")


def _rotate(root: Path, saved: int, keep: int) -> None:
    kept = [step for step in steps(root) if step <= saved][-keep:]
    for step, path in _checkpoints(root):
        if path.suffix == ".old" or (step <= saved and step not in kept):
            _delete(root, path.name)


def _delete(root: Path, name: str) -> None:
    run, top = _place(root)
    files.rename(run, f"{top}/{name}", f"{top}/.deleting_{name}")
    files.delete_folder(run, f"{top}/.deleting_{name}")


def _unusable(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path} cannot be used: {what}; resume from another one.")


def _why(error: OSError) -> str:
    return f"{error.strerror or error}; check the free space and the permissions there"
