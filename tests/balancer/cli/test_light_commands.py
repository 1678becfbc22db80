"""What only looks imports nothing heavy: help, lists, plugins shown and checked."""

import subprocess
import sys

import pytest
from support.built_in import TOGETHER


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "--help"], ["plugins", "list"]])
def test_help_and_list_import_neither_torch_nor_a_plugin_nor_a_model(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["balancer", *{arguments!r}]
from balancer.cli.main import main
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
unwanted = ("torch", "numpy", "accelerate", "zi2zi_model", "PIL")
heavy = [name for name in sys.modules if name.partition(".")[0] in unwanted]
plugins = [name for name in sys.modules if name.startswith("balancer_plugins.")]
print("IMPORTED", heavy + plugins)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "IMPORTED []"
    assert len(done.stdout.splitlines()) > 1 or arguments == ["--version"]


@pytest.mark.parametrize(
    "arguments", [["plugins", "show", "freeze_head"], ["plugins", "check", ",".join(TOGETHER), "--model", "zi2zi"]]
)
def test_show_and_check_need_no_torch(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["balancer", *{arguments!r}]
from balancer.cli.main import main
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
assert "torch" not in sys.modules
assert any(name.startswith("balancer_plugins.") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
