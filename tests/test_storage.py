"""Copies of run folders, against a real S3 server on localhost and a local folder."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig
from marl.errors import RunError
from marl.runs.folder import PROGRESS_FILE, RunFolder
from marl.runs.storage import Storage
from tests.conftest import make_progress


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server that lives as long as the test."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    post("/moto-api/reset")  # the server's state belongs to the process
    client = boto3.client("s3")
    client.create_bucket(Bucket="shop")
    client.close()
    yield "s3://shop/runs"
    server.stop()


def post(path: str, content: bytes = b"") -> None:
    url = os.environ["AWS_ENDPOINT_URL"] + path
    request = urllib.request.Request(url, content, {"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request).close()


@pytest.fixture(params=["s3", "folder", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        return Storage.open(request.getfixturevalue("bucket")).join("run")
    folder = tmp_path / "copies"
    return Storage.open(str(folder) if request.param == "folder" else f"file://{folder}").join(
        "run"
    )


@pytest.fixture
def run(tmp_path: Path, tiny: Scenario) -> RunFolder:
    return RunFolder.create(tmp_path / "run", tiny, TrainConfig())


def save(run: RunFolder, episodes: int, *, is_best: bool = False, content: bytes = b"pool") -> None:
    def write(folder: Path) -> None:
        progress = make_progress(episodes, 14 * episodes)
        (folder / PROGRESS_FILE).write_text(progress, encoding="utf-8")
        (folder / "pool.npz").write_bytes(content)

    run.save_checkpoint(episodes, write, is_best=is_best)


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_storage__gives_back_what_was_stored(
    run: RunFolder, storage: Storage, tmp_path: Path
) -> None:
    storage.check_writable()
    storage.check_new()
    run.append_metrics({"env_steps": 1})
    for episodes in (32, 64, 96, 128):
        save(run, episodes, is_best=episodes == 32)
        storage.upload(run.path)

    storage.download(tmp_path / "back")

    stored = read_tree(tmp_path / "back")
    assert stored == read_tree(run.path)
    assert {name.split("/")[1] for name in stored if "/" in name} == {
        "000032", "000096", "000128", "best", "latest",
    }  # fmt: skip
    back = RunFolder.open(tmp_path / "back")
    assert back.load_progress(back.open_checkpoint())["episodes"] == 128


def test_storage__upload_that_breaks_off_names_the_checkpoint_before(
    run: RunFolder, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 32)
    storage.upload(run.path)
    save(run, 64)
    upload_file = Storage._upload_file

    def break_off(self: Storage, file: Path, target: str) -> None:
        if file.name == "progress.json":
            raise OSError("the line is cut")
        upload_file(self, file, target)

    monkeypatch.setattr(Storage, "_upload_file", break_off)
    with pytest.raises(RunError, match=r"cannot be written \(the line is cut\)"):
        storage.upload(run.path)

    storage.download(tmp_path / "back")

    back = RunFolder.open(tmp_path / "back")
    assert back.load_progress(back.open_checkpoint())["episodes"] == 32


def test_storage__checkpoint_written_again_is_copied_again(
    run: RunFolder, storage: Storage, tmp_path: Path
) -> None:
    save(run, 32)
    storage.upload(run.path)
    save(run, 32, content=b"another")
    storage.upload(run.path)

    storage.download(tmp_path / "back")

    assert (tmp_path / "back/checkpoints/000032/pool.npz").read_bytes() == b"another"


def test_check_new__run_that_is_there(run: RunFolder, storage: Storage) -> None:
    storage.upload(run.path)

    with pytest.raises(InputError, match="holds a run; resume it, or give another --run-dir"):
        storage.check_new()


def test_download__no_run_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run with a whole checkpoint"):
        storage.download(tmp_path / "back")

    assert not (tmp_path / "back").exists()


def test_download__folder_in_use(run: RunFolder, storage: Storage) -> None:
    with pytest.raises(InputError, match="is not empty; resume that folder, or give a new one"):
        storage.download(run.path)


def test_open__unknown_scheme() -> None:
    with pytest.raises(InputError) as error:
        Storage.open("ftp://host/runs")

    assert "--storage: 'ftp://host/runs' cannot be used (" in str(error.value)
    assert "give a folder, or a URI such as s3://bucket/runs" in str(error.value)
    assert "\n" not in str(error.value)


def test_check_writable__wrong_bucket(bucket: str) -> None:
    storage = Storage.open(bucket.replace("shop", "nobody"))

    with pytest.raises(InputError) as error:
        storage.check_writable()

    assert str(error.value) == (
        "--storage: 's3://nobody/runs' cannot be written (NO_SUCH_BUCKET: The specified bucket "
        "does not exist); check the bucket, the credentials and the endpoint"
    )


def test_check_writable__wrong_credentials(bucket: str, tmp_path: Path) -> None:
    post("/moto-api/reset-auth", b"0")  # from here on the server checks who asks
    try:
        with pytest.raises(InputError, match=r"cannot be written \(\w+: .*\); check the bucket"):
            Storage.open(bucket).check_writable()
        with pytest.raises(InputError, match=r"run: 's3://shop/runs' cannot be read \("):
            Storage.open(bucket).download(tmp_path / "back")
    finally:
        post("/moto-api/reset-auth", b"inf")


def test_check_writable__folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be written"):
        Storage.open(str(tmp_path / "file")).check_writable()


def test_storage__credentials_in_a_uri_are_not_shown() -> None:
    storage = Storage.open("s3://KEY:SECRET@shop/runs?region=us-east-1").join("run")

    assert storage.uri == "s3://shop/runs/run?region=us-east-1"
    assert storage.path == "shop/runs/run"
