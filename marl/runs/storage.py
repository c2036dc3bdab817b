"""Copies of run folders where machines come and go: S3 and compatible, GCS, another local folder.

A copy has the layout of a run folder (see `marl.runs.folder`). Checkpoints are copied file by file,
their manifest last, and `latest` last of all: a copy that breaks off names the checkpoint before.
Credentials and endpoint are the environment's (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pyarrow import fs

from envs.errors import InputError
from marl.errors import RunError
from marl.runs.checkpoints import MANIFEST_FILE
from marl.runs.files import remove

ALLOWED = "a folder, or a URI such as s3://bucket/runs, gs://bucket/runs or file:///folder"

_CHECKPOINTS = "checkpoints"
_POINTERS = ("best", "latest")  # `latest` last


class Storage:
    """A folder that may be on another machine.

    Args:
        uri: what the user gave; shown without credentials.
        filesystem: where it is.
        path: of the folder there.
    """

    def __init__(self, uri: str, filesystem: fs.FileSystem, path: str) -> None:
        self.uri = _hide_credentials(uri)
        self.filesystem = filesystem
        self.path = path.rstrip("/")

    @classmethod
    def open(cls, uri: str) -> Self:
        """Finds the file system of a URI or local path.

        Raises:
            InputError: if the scheme is not known.
        """
        if "://" not in uri:
            return cls(uri, fs.LocalFileSystem(), str(Path(uri).resolve()))
        try:
            filesystem, path = fs.FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--storage: '{_hide_credentials(uri)}' cannot be used ({_explain(error)}); "
                f"give {ALLOWED}"
            ) from None
        return cls(uri, filesystem, path)

    def join(self, name: str) -> Storage:
        """A folder inside this one."""
        scheme, place, path, query, _ = urlsplit(self.uri)
        uri = urlunsplit((scheme, place, f"{path.rstrip('/')}/{name}", query, ""))
        return Storage(uri, self.filesystem, f"{self.path}/{name}")

    def check_writable(self) -> None:
        """Writes a file and removes it, so that a wrong bucket is known before a run starts.

        Raises:
            InputError: if that fails.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        with self._explain_errors(InputError, "--storage: '{uri}' cannot be written"):
            self._write(probe, b"")
            self.filesystem.delete_file(f"{self.path}/{probe}")

    def check_new(self) -> None:
        """Refuses a folder that holds a run.

        Raises:
            InputError: if so.
        """
        with self._explain_errors(InputError, "--storage: '{uri}' cannot be read"):
            found = self._read("config.yaml") is not None
        if found:
            raise InputError(
                f"--storage: '{self.uri}' holds a run; resume it, or give another --run-dir"
            )

    def upload(self, run: Path) -> None:
        """Brings the copy of a run up to date.

        Args:
            run: the run folder; nobody may change its checkpoints meanwhile.

        Raises:
            RunError: if the storage cannot be reached or written.
        """
        with self._explain_errors(RunError, "storage '{uri}' cannot be written"):
            checkpoints = [p for p in _list_visible(run / _CHECKPOINTS) if p.is_dir()]
            for checkpoint in checkpoints:
                self._upload_checkpoint(checkpoint)
            for file in _list_visible(run):
                if file.is_file():
                    self._upload_file(file, file.name)
            for pointer in _POINTERS:
                if (file := run / _CHECKPOINTS / pointer).is_file():
                    self._upload_file(file, f"{_CHECKPOINTS}/{pointer}")
            self._prune({checkpoint.name for checkpoint in checkpoints})

    def download(self, folder: Path) -> None:
        """Copies a stored run into a new folder.

        Raises:
            InputError: if there is no run, the folder is not empty, or the storage cannot be read.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"--run-dir: '{folder}' is not empty; resume that folder, or give a new one"
            )
        with self._explain_errors(InputError, "run: '{uri}' cannot be read"):
            if self._read(f"{_CHECKPOINTS}/latest") is None:
                raise InputError(f"run: '{self.uri}' holds no run with a whole checkpoint")
            partial = folder.with_name(f".{folder.name}.partial")
            remove(partial)
            partial.mkdir(parents=True)
            try:
                fs.copy_files(self.path, str(partial), source_filesystem=self.filesystem)
                if folder.exists():
                    folder.rmdir()
                partial.replace(folder)
            finally:
                remove(partial)

    def _upload_checkpoint(self, checkpoint: Path) -> None:
        """Copies a checkpoint unless the storage has the very same one."""
        target = f"{_CHECKPOINTS}/{checkpoint.name}"
        manifest = checkpoint / MANIFEST_FILE
        if self._read(f"{target}/{MANIFEST_FILE}") == manifest.read_bytes():
            return
        files = [file for file in _list_visible(checkpoint) if file != manifest]
        for file in [*files, manifest]:
            self._upload_file(file, f"{target}/{file.name}")

    def _upload_file(self, file: Path, target: str) -> None:
        self._make_parent(target)
        fs.copy_files(str(file), f"{self.path}/{target}", destination_filesystem=self.filesystem)

    def _prune(self, names: set[str]) -> None:
        """Removes the checkpoints that the run has removed."""
        selector = fs.FileSelector(f"{self.path}/{_CHECKPOINTS}", allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == fs.FileType.Directory and info.base_name not in names:
                self.filesystem.delete_dir(info.path)

    def _read(self, name: str) -> bytes | None:
        """The content of a file, or None if there is none."""
        path = f"{self.path}/{name}"
        if self.filesystem.get_file_info(path).type != fs.FileType.File:
            return None
        with self.filesystem.open_input_stream(path) as stream:
            content: bytes = stream.read()
        return content

    def _write(self, name: str, content: bytes) -> None:
        self._make_parent(name)
        with self.filesystem.open_output_stream(f"{self.path}/{name}") as stream:
            stream.write(content)

    def _make_parent(self, name: str) -> None:
        # Object stores have no folders, and may refuse to make the bucket.
        if isinstance(self.filesystem, fs.LocalFileSystem):
            Path(self.path, name).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _explain_errors(
        self, kind: type[InputError] | type[RunError], message: str
    ) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = message.format(uri=self.uri)
            raise kind(
                f"{text} ({_explain(error)}); check the bucket, the credentials and the endpoint"
            ) from None


def _list_visible(folder: Path) -> list[Path]:
    """Content of a folder without what is half written."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _explain(error: Exception) -> str:
    """The part of Arrow's message that tells a person what is wrong."""
    text = str(error)
    if match := re.search(r"AWS Error (\w+) during \w+ operation: ([^;(]+)", text):
        return f"{match[1]}: {match[2].strip().rstrip('.')}"
    return getattr(error, "strerror", None) or text.splitlines()[0]


def _hide_credentials(uri: str) -> str:
    """s3://KEY:SECRET@bucket is allowed, and not for the screen."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)
