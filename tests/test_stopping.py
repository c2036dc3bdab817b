"""What signals do to a command, in processes of their own."""

import signal
import subprocess
import sys

import pytest

LOOP = """
import time
from marl.training.stopping import collect_signals, install_handlers
install_handlers()
with collect_signals() as received:
    print("ready", flush=True)
    while not received:
        time.sleep(0.01)
    print("saved", flush=True)
    if {slow}:
        time.sleep(60)
print(received, flush=True)
time.sleep({after})
"""


# Under nohup, or in the background of a script, these tests themselves ignore both.
HEED = (
    "import signal\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
)


def start(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HEED + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_loop__ends_in_order_after_the_first_signal(number: int) -> None:
    process = start(LOOP.format(slow=False, after=0))

    process.send_signal(number)

    assert process.communicate(timeout=30) == (f"saved\n[{number}]\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("slow", [True, False], ids=["in the loop", "after it"])
@pytest.mark.parametrize(
    ("second", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_loop__a_second_signal_ends_at_once(second: int, status: int, slow: bool) -> None:
    process = start(LOOP.format(slow=slow, after=60))
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    while process.stdout.readline() != ("saved\n" if slow else f"[{signal.SIGTERM}]\n"):
        pass

    process.send_signal(second)

    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == status


def test_handlers__elsewhere_a_signal_cleans_up_and_ends_with_its_status() -> None:
    code = (
        "import time\n"
        "from marl.commands import cli\n"
        "def run(**_):\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "cli.app = run\n"
        "cli.main()\n"
    )
    process = start(code)

    process.send_signal(signal.SIGTERM)

    assert process.communicate(timeout=30) == ("cleaned up\n", "")
    assert process.returncode == 143


def test_handlers__what_nohup_ignores_stays_ignored() -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from marl.training.stopping import install_handlers, keep_handlers\n"
        "install_handlers()\n"
        "with keep_handlers():\n"
        "    pass\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "print('ready')\n"
    )
    assert start(code).wait(timeout=30) == 0
