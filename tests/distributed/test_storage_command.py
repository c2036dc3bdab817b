"""Train, lose the machine, resume from the bucket."""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.distributed import commands
from tests.distributed.commands import (
    SMALL,
    kill_group,
    run_command,
    start_command,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(900)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(commands.ENVIRONMENT, name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="runs-of-a-test")
    client.close()
    yield "runs-of-a-test"
    server.stop()


def test_storage__killed_run_goes_on_from_the_bucket(bucket: str, tmp_path: Path) -> None:
    run, back, log = tmp_path / "run", tmp_path / "back", tmp_path / "log"
    uri = f"s3://{bucket}/here"
    client = boto3.client("s3")

    def read(key: str) -> str | None:
        try:
            return client.get_object(Bucket=bucket, Key=f"here/run/{key}")["Body"].read().decode()
        except client.exceptions.NoSuchKey:
            return None

    with start_command(
        log, "train", *SMALL, "--episodes", "100000", "--run-dir", str(run), "--storage", uri
    ) as process:
        stored = wait_until(lambda: (read("checkpoints/latest") or "0") >= "000064", 400)
        kill_group(process)
    assert stored, log.read_text()
    shutil.rmtree(run)
    latest = read("checkpoints/latest")
    assert latest is not None

    second = run_command("resume", f"{uri}/run", "--run-dir", str(back), "--episodes", "+64")

    assert second.returncode == 0, second.stderr
    assert f"checkpoint {latest}" in second.stdout
    assert f"stored           {uri}/run" in second.stdout
    final = (back / "checkpoints" / "latest").read_text()
    assert int(final) >= int(latest) + 64
    assert read("checkpoints/latest") == final
    assert json.loads(read("evaluation.json") or "") == json.loads(
        (back / "evaluation.json").read_text()
    )
    client.close()


def test_storage__mistakes_are_one_line(bucket: str, tmp_path: Path) -> None:
    for uri, message in (
        ("s3://not-there/x", "--storage: 's3://not-there/x' cannot be written (NO_SUCH_BUCKET"),
        ("ftp://host/x", "--storage: 'ftp://host/x' cannot be used"),
    ):
        run = tmp_path / "run"

        found = run_command("train", *SMALL, "--run-dir", str(run), "--storage", uri)

        assert found.returncode == 2
        assert found.stderr.startswith(f"error: {message}")
        assert found.stderr.count("\n") == 1
        assert not run.exists()
